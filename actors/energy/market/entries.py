"""Schedule entries as numbers: what one entry of a node allows, in the node's own view.

A row holds what both sides of an entry come to (EVerest: limits to root and limits to leaves):
the smaller current, the smaller power seen from the root side, the smaller maximum phase count,
the larger minimum phase count and minimum current. The leaf side's power is converted: an import
of p watt at the leaves takes p / efficiency at the root side, an export gives p * efficiency.

Absent is a number here, chosen so that a path's smallest or largest value needs no special case:
no limit is infinite, no minimum is 0, no maximum phase count is 3. So every value is validated
on the way in: infinite or negative ones would be mistaken for something else.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Literal, NamedTuple

from actors.energy import timestamps
from actors.energy.market.errors import RequestError
from actors.energy.packing import (
    ACTIVE_PHASES,
    AMPERE,
    EARLIEST_US,
    EFFICIENCY,
    LATEST_US,
    LEAST_AMPERE,
    LEAST_PHASES,
    LEAVES,
    MAY_SWITCH,
    WATT,
    Layout,
    PackingError,
    checked_layout,
    unpacked_times,
    unpacked_values,
)
from actors.energy.packing import MOST_PHASES as MOST_COUNT
from actors.energy.types import EnergyFlowRequest, LimitsReq, PackedSchedule, ScheduleReqEntry

Direction = Literal["import", "export"]
Unit = Literal["A", "W"]

HUGE = 1e12
"""Limits above this many ampere or watt are taken as this many, so that no product overflows."""

MOST_PHASES = 3
MOST_ENTRIES = 20_000
"""Entries of one schedule."""
MOST_KEPT = 50
"""Entries of a schedule whose rows are remembered."""


class Row(NamedTuple):
    """What a node allows while one entry holds; the docstring above says how absence is written."""

    max_A: float
    max_W: float  # at the root side
    min_A: float
    max_phases: int
    min_phases: int  # 0: none given
    efficiency: float
    active_phases: int  # 0: not reported
    may_switch: bool


EMPTY = Row(0.0, 0.0, 0.0, MOST_PHASES, 0, 1.0, 0, True)
"""A node without any entry allows nothing."""


class _FaultError(Exception):
    """Field and message of a fault; the caller knows where the entry stands."""


class Steps(NamedTuple):
    """A schedule in one direction, in the order of time; one row more of a node that has none."""

    starts_us: tuple[int, ...]
    rows: tuple[Row, ...]
    """Entry after entry."""
    worst: float
    """Of the efficiencies."""

    def at(self, time_us: int) -> int:
        """Which row holds: the last that began at or before a time, else the first."""
        return max(bisect_right(self.starts_us, time_us) - 1, 0) if len(self.rows) > 1 else 0


SILENT = Steps((), (EMPTY,), 1.0)


def steps_of(packed: PackedSchedule, direction: Direction) -> Steps | None:
    """What a packed schedule says; None where `check_entry` would refuse an entry."""
    read = _steps if len(packed.times_us) <= 8 * MOST_KEPT else _steps.__wrapped__
    return read(
        packed.times_us,
        packed.fields,
        packed.varying,
        packed.differing,
        packed.values,
        len(packed.sources),
        len(packed.prices),
        direction,
    )


@lru_cache(maxsize=4096)
def _steps(
    times_us: bytes,
    fields: int,
    varying: int,
    differing: int,
    values: bytes,
    sources: int,
    prices: int,
    direction: Direction,
) -> Steps | None:
    """EVSEs that are alike say the same numbers, and say them again when they come back to them."""
    try:
        at, count = checked_layout(len(times_us), fields, varying, differing, len(values), sources, prices)
    except PackingError:
        return None
    times = unpacked_times(times_us)
    if count > MOST_ENTRIES or not EARLIEST_US <= times[0] <= times[-1] <= LATEST_US:
        return None
    if any(one > other for one, other in pairwise(times)):
        return None
    rows = _rows(at, varying, unpacked_values(values), count, direction)
    return None if rows is None else Steps(times, rows, min([row.efficiency for row in rows]))


def _rows(
    at: Layout, varying: int, numbers: tuple[float, ...], count: int, direction: Direction
) -> tuple[Row, ...] | None:
    rows = []
    for entry in range(count):
        sides = _SILENT * 2
        efficiency = 1.0
        for field, (place, _) in at.places.items():
            value = numbers[place + entry] if varying >> field & 1 else numbers[place]
            if value != value:
                continue
            kind = field % LEAVES
            if field == EFFICIENCY:
                if not 0.0 < value <= 1.0:
                    return None
                efficiency = value
            elif kind <= LEAST_AMPERE:
                if not 0.0 <= value < inf:
                    return None
                sides[field] = value if value <= HUGE else HUGE
            elif value not in (_FLAGS if kind == MAY_SWITCH else _COUNTS):
                return None
            else:
                sides[field] = int(value)
        rows.append(_row(sides[:LEAVES], sides[LEAVES:], efficiency, direction))
    return tuple(rows)


_FLAGS, _COUNTS = (0.0, 1.0), (1.0, 2.0, 3.0)


def _row(root: list[Any], leaves: list[Any], efficiency: float, direction: Direction) -> Row:
    """What both sides come to; numbers in the order of packing's fields."""
    watt, ampere, least_ampere, most, fewest, may_switch, active = root
    if leaves != _SILENT:
        other_W = leaves[WATT] / efficiency if direction == "import" else leaves[WATT] * efficiency
        watt, ampere, most = min(watt, other_W), min(ampere, leaves[AMPERE]), min(most, leaves[MOST_COUNT])
        least_ampere, fewest = max(least_ampere, leaves[LEAST_AMPERE]), max(fewest, leaves[LEAST_PHASES])
        may_switch = leaves[MAY_SWITCH] if may_switch is None else may_switch
        active = active or leaves[ACTIVE_PHASES]
    return Row(ampere, watt, least_ampere, most, fewest, efficiency, active, may_switch != 0)


_SILENT: list[Any] = [inf, inf, 0.0, MOST_PHASES, 0, None, 0]


def check_entry(entry: ScheduleReqEntry) -> None:
    """RequestError with the path inside the entry where the market would refuse it."""
    side = "limits_to_root"
    try:
        _check_side(entry.limits_to_root)
        side = "limits_to_leaves"
        _check_side(entry.limits_to_leaves)
    except _FaultError as fault:
        field, message = fault.args
        raise RequestError(f"{side}.{field}", message) from None
    except AttributeError:
        raise RequestError(side, "limits are missing") from None
    efficiency = entry.conversion_efficiency
    if efficiency is not None and (not _is_number(efficiency) or not 0.0 < efficiency <= 1.0):
        raise RequestError("conversion_efficiency", f"must be above 0 and at most 1, is {efficiency}")


def _check_side(limits: LimitsReq) -> None:
    active = limits.ac_number_of_active_phases
    if active is not None and not (_is_whole(active) and 1 <= active <= MOST_PHASES):
        raise _FaultError("ac_number_of_active_phases", f"must be 1, 2 or 3, is {active!r}")
    for field in ("ac_max_current_A", "total_power_W", "ac_min_current_A"):
        number = getattr(limits, field)
        if number is not None and (not _is_number(number.value) or not 0.0 <= number.value < inf):
            raise _FaultError(f"{field}.value", f"must be a finite number, 0 or more, is {number.value!r}")
    for field in ("ac_max_phase_count", "ac_min_phase_count"):
        count = getattr(limits, field)
        if count is not None and (not _is_whole(count.value) or not 1 <= count.value <= MOST_PHASES):
            raise _FaultError(f"{field}.value", f"must be 1, 2 or 3, is {count.value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


NO_FALLBACK = 0.0, 0.0


def fallback_of(node: EnergyFlowRequest) -> tuple[float, float]:
    """Ampere and watt (at its root side) of a node's fallback; RequestError at the field."""
    if node.fallback_A is None and node.fallback_W is None:
        return NO_FALLBACK
    amounts = []
    for field, value in (("fallback_A", node.fallback_A), ("fallback_W", node.fallback_W)):
        if value is None:
            amounts.append(0.0)
        elif not _is_number(value) or not 0.0 <= value < inf:
            raise RequestError(field, f"must be a finite number, 0 or more, is {value!r}")
        else:
            amounts.append(min(float(value), HUGE))
    return amounts[0], amounts[1]


def instant(text: object) -> int:
    """Microseconds since the epoch of an entry's timestamp; RequestError at `timestamp`."""
    try:
        if not isinstance(text, str):
            raise ValueError(f"not an RFC 3339 timestamp: {text!r}")
        return timestamps.parse(text)
    except ValueError as error:
        raise RequestError("timestamp", str(error)) from None


def finite(value: object, field: str) -> float:
    """A finite number of either sign, cut to ±HUGE; RequestError at `field`."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not isfinite(value):
        raise RequestError(field, f"must be a finite number, is {value!r}")
    return max(-HUGE, min(float(value), HUGE))
