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

from math import inf, isfinite
from typing import Literal, NamedTuple

from actors.energy import timestamps
from actors.energy.market.errors import RequestError
from actors.energy.types import (
    EnergyFlowRequest,
    IntegerWithSource,
    LimitsReq,
    NumberWithSource,
    ScheduleReqEntry,
)

Direction = Literal["import", "export"]
Unit = Literal["A", "W"]

HUGE = 1e12
"""Limits above this many ampere or watt are taken as this many, so that no product overflows."""

MOST_PHASES = 3


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


def row_of(entry: ScheduleReqEntry, direction: Direction) -> Row:
    """The row of an entry; RequestError with the path inside the entry."""
    side = "limits_to_root"
    try:
        root = _side(entry.limits_to_root)
        side = "limits_to_leaves"
        leaf = _side(entry.limits_to_leaves)
    except _FaultError as fault:
        field, message = fault.args
        raise RequestError(f"{side}.{field}", message) from None
    except AttributeError:
        raise RequestError(side, "limits are missing") from None
    efficiency = entry.conversion_efficiency
    if efficiency is None:
        efficiency = 1.0
    elif not _is_number(efficiency) or not 0.0 < efficiency <= 1.0:
        raise RequestError("conversion_efficiency", f"must be above 0 and at most 1, is {efficiency}")
    if leaf is _NOTHING_SAID:
        max_A, max_W, min_A, most, fewest, active, may_switch = root
        return Row(max_A, max_W, min_A, most, fewest, efficiency, active, may_switch is not False)
    may_switch = leaf[6] if root[6] is None else root[6]
    leaf_W = leaf[1] / efficiency if direction == "import" else leaf[1] * efficiency
    return Row(
        max_A=min(root[0], leaf[0]),
        max_W=min(root[1], leaf_W),
        min_A=max(root[2], leaf[2]),
        max_phases=min(root[3], leaf[3]),
        min_phases=max(root[4], leaf[4]),
        efficiency=efficiency,
        active_phases=root[5] or leaf[5],
        may_switch=may_switch is not False,
    )


_Side = tuple[float, float, float, int, int, int, bool | None]
_NO_LIMITS = LimitsReq()
_NOTHING_SAID: _Side = (inf, inf, 0.0, MOST_PHASES, 0, 0, None)


def _side(limits: LimitsReq) -> _Side:
    if limits == _NO_LIMITS:
        return _NOTHING_SAID
    active = limits.ac_number_of_active_phases
    if active is not None and not (_is_whole(active) and 1 <= active <= MOST_PHASES):
        raise _FaultError("ac_number_of_active_phases", f"must be 1, 2 or 3, is {active!r}")
    # Most are None, and a call costs more than to ask.
    max_A, max_W, min_A = limits.ac_max_current_A, limits.total_power_W, limits.ac_min_current_A
    most, fewest = limits.ac_max_phase_count, limits.ac_min_phase_count
    return (
        inf if max_A is None else _limit(max_A, "ac_max_current_A"),
        inf if max_W is None else _limit(max_W, "total_power_W"),
        0.0 if min_A is None else _limit(min_A, "ac_min_current_A"),
        MOST_PHASES if most is None else _count(most, "ac_max_phase_count"),
        0 if fewest is None else _count(fewest, "ac_min_phase_count"),
        active or 0,
        limits.ac_supports_changing_phases_during_charging,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _limit(number: NumberWithSource, field: str) -> float:
    value = number.value
    if type(value) is float and 0.0 <= value <= HUGE:
        return value
    if not _is_number(value) or not 0.0 <= value < inf:
        raise _FaultError(f"{field}.value", f"must be a finite number, 0 or more, is {value!r}")
    return min(float(value), HUGE)


def _count(number: IntegerWithSource, field: str) -> int:
    value = number.value
    if type(value) is int and 1 <= value <= MOST_PHASES:
        return value
    if not _is_whole(value) or not 1 <= value <= MOST_PHASES:
        raise _FaultError(f"{field}.value", f"must be 1, 2 or 3, is {value!r}")
    return value


def fallback_of(node: EnergyFlowRequest) -> tuple[float, float]:
    """Ampere and watt (at its root side) of a node's fallback; RequestError at the field."""
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
