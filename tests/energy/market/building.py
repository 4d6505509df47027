"""Requests in few words: every schedule is one entry that holds from NOW on unless entries are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.energy import timestamps
from actors.energy.forecasts import unpacked
from actors.energy.market import Allocation, Memory, allocate
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EnforcedLimits,
    EvseState,
    IntegerWithSource,
    LimitsReq,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
    SetpointType,
)

NOW = "2025-06-07T20:00:00.000Z"
NOW_US = timestamps.parse(NOW)
SECOND_US = 1_000_000
LATER = timestamps.format_utc(NOW_US + 600 * SECOND_US)

_NAMES = {
    "A": "ac_max_current_A",
    "W": "total_power_W",
    "min_A": "ac_min_current_A",
    "phases": "ac_max_phase_count",
    "min_phases": "ac_min_phase_count",
    "active": "ac_number_of_active_phases",
    "switches": "ac_supports_changing_phases_during_charging",
}


def limits(source: str, **values: Any) -> LimitsReq:
    """A, W, min_A, phases, min_phases, active, switches; sources are `source/A` and so on."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("active", "switches"):
            made[_NAMES[name]] = value
        elif name in ("phases", "min_phases"):
            made[_NAMES[name]] = IntegerWithSource(value, f"{source}/{name}")
        else:
            made[_NAMES[name]] = NumberWithSource(value, f"{source}/{name}")
    return LimitsReq(**made)


def entry(source: str, *, at: str = NOW, efficiency: float | None = None, **values: Any) -> ScheduleReqEntry:
    """An entry; values that start with `leaf_` are of the leaf side."""
    leaf = {name.removeprefix("leaf_"): value for name, value in values.items() if name.startswith("leaf_")}
    root = {name: value for name, value in values.items() if not name.startswith("leaf_")}
    return ScheduleReqEntry(
        timestamp=at,
        limits_to_root=limits(source, **root),
        limits_to_leaves=limits(f"{source}/leaf", **leaf),
        conversion_efficiency=efficiency,
    )


def setpoint(source: str, *, priority: int = 0, at: str = NOW, **values: Any) -> ScheduleSetpointEntry:
    """A setpoint: ac_current_A, total_power_W or frequency_table."""
    return ScheduleSetpointEntry(
        timestamp=at, setpoint=SetpointType(priority=priority, source=source, **values)
    )


def node(
    uuid: str, *children: EnergyFlowRequest, imports: Any = None, exports: Any = None, **more: Any
) -> EnergyFlowRequest:
    """A Generic node; `imports` and `exports` are entries, or values of one entry."""
    return EnergyFlowRequest(
        uuid=uuid,
        node_type=NodeType.Generic,
        children=children,
        schedule_import=_schedule(uuid, imports),
        schedule_export=_schedule(f"{uuid}.export", {"A": 0.0} if exports is None else exports),
        **more,
    )


def evse(uuid: str, *, imports: Any = None, exports: Any = None, **more: Any) -> EnergyFlowRequest:
    """An Evse that charges, by default with up to 32 A from 6 A on, on three phases, and no export."""
    if imports is None:
        imports = {"A": 32.0, "min_A": 6.0, "phases": 3, "min_phases": 1, "active": 3}
    return EnergyFlowRequest(
        uuid=uuid,
        node_type=NodeType.Evse,
        schedule_import=_schedule(uuid, imports),
        schedule_export=_schedule(f"{uuid}.export", {"A": 0.0} if exports is None else exports),
        evse_state=more.pop("evse_state", EvseState.Charging),
        **more,
    )


def changing_site(car: str = "car") -> EnergyFlowRequest:
    """An EVSE that is stopped by its own limit first, later by that of all, and one that is off."""
    own = (entry(car, A=8.0, phases=3), entry(car, at=LATER, A=32.0, phases=3))
    return node("root", evse(car, imports=own), evse("off", imports={"A": 0.0}), imports={"A": 20.0})


def _schedule(source: str, given: Any) -> tuple[ScheduleReqEntry, ...]:
    if isinstance(given, tuple):
        return given
    return (entry(source, **(given or {})),)


def run(
    request: EnergyFlowRequest, *, at_us: int = NOW_US, memory: Memory | None = None, **config: Any
) -> Allocation:
    """Allocate once."""
    return allocate(request, EnergyManagerConfig(**config), at_us, memory)[0]


def results(allocation: Sequence[EnforcedLimits]) -> list[EnforcedLimits]:
    """All that the market answers, forecasts as entries."""
    return [unpacked(limits) for limits in allocation]


def currents(allocation: Allocation) -> dict[str, float | None]:
    """What each EVSE may draw now, in ampere; None without a current."""
    now = {uuid: allocation.now(uuid).ac_max_current_A for uuid in allocation.uuids}
    return {uuid: None if number is None else round(number.value, 6) for uuid, number in now.items()}


def powers(allocation: Allocation) -> dict[str, float | None]:
    """What each EVSE may draw now, in watt; None without a power."""
    now = {uuid: allocation.now(uuid).total_power_W for uuid in allocation.uuids}
    return {uuid: None if number is None else round(number.value, 3) for uuid, number in now.items()}


def phases(allocation: Allocation) -> dict[str, int | None]:
    """The phases that current was bought on; None where none was."""
    now = {uuid: allocation.now(uuid).ac_max_phase_count for uuid in allocation.uuids}
    return {uuid: None if number is None else number.value for uuid, number in now.items()}
