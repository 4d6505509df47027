"""What a module allows over time: its own limits with those of all its external sources.

For limits the most restrictive source wins, per field and instant. For setpoints the best priority
wins (0 before 1000); of equals in the same unit the result allows only what each of them allows:

    +10 A and +6 A -> +6 A      -10 A and -6 A -> -6 A      +10 A and -6 A -> 0 A

and of equals in different units the first by name (a node has one setpoint at a time). Where
sources name different conversion efficiencies, the one counts that lets less pass to the grid's
side: the lowest for imports, the highest for exports.

All entries that are past are folded into one, stamped with the begin of the current interval of
the market's grid: permanent limits must not add slots of their own to the market.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.types import (
    EnergyFlowRequest,
    ExternalLimits,
    IntegerWithSource,
    LimitsReq,
    NumberWithSource,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
    SetpointType,
)

NO_LIMITS = LimitsReq()
FOREVER_US = 2**63

Named = Sequence[tuple[str, ExternalLimits]]
Worst = Callable[[Iterable[float]], float]
Entry = TypeVar("Entry", ScheduleReqEntry, ScheduleSetpointEntry)
Valued = TypeVar("Valued", NumberWithSource, IntegerWithSource)


class OwnLimits(Struct, frozen=True, kw_only=True):
    """A module's own limits, towards the root, and how it reads watt limits of its sources."""

    limits_import: LimitsReq
    limits_export: LimitsReq
    watt_to_current_W: float | None = None
    """Where set (V x phases), an external watt limit without a current also limits the current."""


def grid_stamp(wall_us: int, interval_min: int) -> int:
    """Begin of the market's interval that `wall_us` lies in (microseconds, aligned to the epoch)."""
    interval_us = interval_min * 60 * timestamps.MICROSECONDS
    return wall_us // interval_us * interval_us


def with_schedules(
    request: EnergyFlowRequest, own: OwnLimits, sources: Named, stamp_us: int, now_us: int
) -> EnergyFlowRequest:
    """The request with its three schedules filled in."""

    def merged(
        base: LimitsReq, schedules: list[Sequence[ScheduleReqEntry]], worst: Worst
    ) -> tuple[ScheduleReqEntry, ...]:
        return _merged_limits(base, schedules, worst, own.watt_to_current_W, stamp_us, now_us)

    return replace(
        request,
        schedule_import=merged(own.limits_import, [limits.schedule_import for _, limits in sources], min),
        schedule_export=merged(own.limits_export, [limits.schedule_export for _, limits in sources], max),
        schedule_setpoints=_merged_setpoints(sources, stamp_us, now_us),
    )


def steady_until_us(sources: Named, now_us: int) -> int:
    """Until when on the wall clock these sources say the same as now (microseconds)."""
    instants = (
        timestamps.parse(entry.timestamp)
        for _, limits in sources
        for schedule in (limits.schedule_import, limits.schedule_export, limits.schedule_setpoints)
        for entry in schedule
    )
    return min((instant for instant in instants if instant > now_us), default=FOREVER_US)


class _Timeline(Generic[Entry]):
    """A schedule, sorted and with its instants parsed."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        stamped = sorted(((timestamps.parse(e.timestamp), i) for i, e in enumerate(entries)))
        self.instants = [instant for instant, _ in stamped]
        self._entries: list[Entry] = [entries[i] for _, i in stamped]

    def at(self, instant_us: int) -> Entry:
        """The entry that holds: the last stamped at or before the instant, else the first."""
        entry: Entry = self._entries[max(0, bisect_right(self.instants, instant_us) - 1)]
        return entry


def _change_points(timelines: Iterable[_Timeline[Entry]], now_us: int) -> list[int]:
    return sorted({instant for line in timelines for instant in line.instants if instant > now_us})


def _merged_limits(
    base: LimitsReq,
    schedules: list[Sequence[ScheduleReqEntry]],
    worst: Worst,
    watt_to_current_W: float | None,
    stamp_us: int,
    now_us: int,
) -> tuple[ScheduleReqEntry, ...]:
    timelines = [_Timeline(entries) for entries in schedules if entries]
    if not timelines:
        return (
            ScheduleReqEntry(
                timestamp=timestamps.format_utc(stamp_us), limits_to_root=base, limits_to_leaves=NO_LIMITS
            ),
        )

    def entry(stamp: int, at: int) -> ScheduleReqEntry:
        held = [_with_current(line.at(at), watt_to_current_W) for line in timelines]
        efficiencies = [e.conversion_efficiency for e in held if e.conversion_efficiency is not None]
        prices = [e.price_per_kwh for e in held if e.price_per_kwh is not None]
        return ScheduleReqEntry(
            timestamp=timestamps.format_utc(stamp),
            limits_to_root=reduce(tightest, (e.limits_to_root for e in held), base),
            limits_to_leaves=reduce(tightest, (e.limits_to_leaves for e in held), NO_LIMITS),
            conversion_efficiency=worst(efficiencies) if efficiencies else None,
            price_per_kwh=prices[0] if prices else None,
        )

    return (entry(stamp_us, now_us), *(entry(t, t) for t in _change_points(timelines, now_us)))


def _with_current(entry: ScheduleReqEntry, watt_to_current_W: float | None) -> ScheduleReqEntry:
    if watt_to_current_W is None:
        return entry

    def enhanced(limits: LimitsReq) -> LimitsReq:
        power = limits.total_power_W
        if power is None or limits.ac_max_current_A is not None:
            return limits
        current = NumberWithSource(power.value / watt_to_current_W, power.source)
        return replace(limits, ac_max_current_A=current)

    return replace(
        entry,
        limits_to_root=enhanced(entry.limits_to_root),
        limits_to_leaves=enhanced(entry.limits_to_leaves),
    )


def import_limits(entry: ScheduleReqEntry) -> LimitsReq:
    """Both sides of an import's entry as limits towards the root."""
    leaves = entry.limits_to_leaves
    if leaves.total_power_W is not None and entry.conversion_efficiency is not None:
        power_W = leaves.total_power_W.value / entry.conversion_efficiency
        leaves = replace(leaves, total_power_W=NumberWithSource(power_W, leaves.total_power_W.source))
    return tightest(entry.limits_to_root, leaves)


def tightest(one: LimitsReq, other: LimitsReq) -> LimitsReq:
    """Per field the more restrictive of two limits; of equals the first."""
    changing = (
        one.ac_supports_changing_phases_during_charging,
        other.ac_supports_changing_phases_during_charging,
    )
    return LimitsReq(
        total_power_W=_pick(one.total_power_W, other.total_power_W, lower=True),
        ac_max_current_A=_pick(one.ac_max_current_A, other.ac_max_current_A, lower=True),
        ac_min_current_A=_pick(one.ac_min_current_A, other.ac_min_current_A, lower=False),
        ac_max_phase_count=_pick(one.ac_max_phase_count, other.ac_max_phase_count, lower=True),
        ac_min_phase_count=_pick(one.ac_min_phase_count, other.ac_min_phase_count, lower=False),
        ac_supports_changing_phases_during_charging=False if False in changing else changing[0],
        ac_number_of_active_phases=one.ac_number_of_active_phases,
    )


def _pick(one: Valued | None, other: Valued | None, *, lower: bool) -> Valued | None:
    if one is None or other is None:
        return other if one is None else one
    return other if (other.value < one.value if lower else other.value > one.value) else one


def _merged_setpoints(sources: Named, stamp_us: int, now_us: int) -> tuple[ScheduleSetpointEntry, ...]:
    timelines = [
        _Timeline(limits.schedule_setpoints)
        for _, limits in sorted(sources, key=lambda named: named[0])
        if limits.schedule_setpoints
    ]
    if not timelines:
        return ()

    def entry(stamp: int, at: int) -> ScheduleSetpointEntry:
        held = [s for line in timelines if (s := line.at(at).setpoint) is not None]
        best = min((s.priority for s in held), default=0)
        equals = [s for s in held if s.priority == best]
        return ScheduleSetpointEntry(
            timestamp=timestamps.format_utc(stamp),
            setpoint=reduce(_both_allow, equals) if equals else None,
        )

    return (entry(stamp_us, now_us), *(entry(t, t) for t in _change_points(timelines, now_us)))


def _both_allow(one: SetpointType, other: SetpointType) -> SetpointType:
    for unit in ("ac_current_A", "total_power_W"):
        a, b = getattr(one, unit), getattr(other, unit)
        if a is None or b is None:
            if a is b:
                continue
            return one
        if a * b < 0:
            return replace(other, **{unit: 0.0, "source": f"{one.source},{other.source}"})
        return one if abs(a) <= abs(b) else other
    return one
