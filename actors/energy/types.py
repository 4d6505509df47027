"""EVerest's energy types: what bubbles up the tree, and what flows down.

Field names, enums and units are those of EVerest's `types/energy.yaml`, so its JSON goes in and
out unchanged. Optional fields are left out of what is written when they are `None`, which always
means "no limit" or "not known", never 0. Values of a request are positive in both directions;
in a result import is positive and export negative (docs/glossary.md).

These structs carry data and nothing else. `actors.energy.market` validates what it is given. Those of which
a tree has thousands cannot be part of a cycle, so the garbage collector need not look at them.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field


def _nothing() -> tuple[Any, ...]:
    """Default of a list that is written even when empty (EVerest requires the key)."""
    return ()


class NodeType(Enum):
    """What a node of the request tree is."""

    Undefined = "Undefined"
    Evse = "Evse"
    Generic = "Generic"


class EvseState(Enum):
    """Simplified state of an EVSE."""

    Unplugged = "Unplugged"
    WaitForAuth = "WaitForAuth"
    WaitForEnergy = "WaitForEnergy"
    PrepareCharging = "PrepareCharging"
    PausedEV = "PausedEV"
    PausedEVSE = "PausedEVSE"
    Charging = "Charging"
    Finished = "Finished"
    Disabled = "Disabled"


class NumberWithSource(Struct, frozen=True, gc=False):
    """A number and who set it."""

    value: float
    source: str = ""


class IntegerWithSource(Struct, frozen=True, gc=False):
    """An integer and who set it."""

    value: int
    source: str = ""


class LimitsReq(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Limits of a request, for one side of a node; `None` lets all pass."""

    total_power_W: NumberWithSource | None = None
    ac_max_current_A: NumberWithSource | None = None
    ac_min_current_A: NumberWithSource | None = None
    ac_max_phase_count: IntegerWithSource | None = None
    ac_min_phase_count: IntegerWithSource | None = None
    ac_supports_changing_phases_during_charging: bool | None = None
    ac_number_of_active_phases: int | None = None


class ScheduleReqEntry(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """What a node allows from `timestamp` (RFC 3339) on, seen from its root side and its leaf side."""

    timestamp: str
    limits_to_root: LimitsReq
    limits_to_leaves: LimitsReq
    conversion_efficiency: float | None = None
    price_per_kwh: dict[str, Any] | None = None


_PACKED_KEYS = {
    "times_us": "t",
    "fields": "f",
    "values": "v",
    "sources": "s",
    "varying": "w",
    "differing": "d",
    "prices": "p",
}
"""Short on the wire, as there are many."""


class PackedSchedule(Struct, frozen=True, omit_defaults=True, gc=False, rename=_PACKED_KEYS):
    """Entries of a schedule as numbers, in the order of time: what a tree has thousands of (packing.py)."""

    times_us: bytes
    """64-bit integers, little-endian, as all of this."""
    fields: int
    """Bits: what any entry says (packing.FIELDS)."""
    values: bytes
    """64-bit floats, field after field: one for all entries, or one for each if it varies; NaN: none said."""
    sources: tuple[str, ...] = ()
    """Of fields that have one: one text for all entries, or one for each if that differs."""
    varying: int = 0
    """Bits: fields whose numbers are not the same in all entries."""
    differing: int = 0
    """Bits: fields whose sources are not."""
    prices: tuple[dict[str, Any] | None, ...] = ()
    """One for each entry, or none at all."""


Schedule = tuple[ScheduleReqEntry, ...] | PackedSchedule


class FrequencyWattPoint(Struct, frozen=True, kw_only=True):
    """One point of a frequency-watt curve."""

    frequency_Hz: float
    total_power_W: float


class SetpointType(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A target: positive charges, negative discharges. Priority 0 is best, 1000 worst."""

    priority: int
    source: str
    ac_current_A: float | None = None
    total_power_W: float | None = None
    frequency_table: tuple[FrequencyWattPoint, ...] | None = None


class ScheduleSetpointEntry(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The setpoint from `timestamp` on; none when it is absent."""

    timestamp: str
    setpoint: SetpointType | None = None


class Frequency(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Grid frequency in Hz."""

    L1: float
    L2: float | None = None
    L3: float | None = None


class Powermeter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of EVerest's powermeter reading that the tree uses or passes on."""

    timestamp: str
    energy_Wh_import: dict[str, Any] | None = None
    energy_Wh_export: dict[str, Any] | None = None
    power_W: dict[str, Any] | None = None
    voltage_V: dict[str, Any] | None = None
    current_A: dict[str, Any] | None = None
    frequency_Hz: Frequency | None = None


class EnergyFlowRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a node and all below it ask for, and what they allow."""

    uuid: str
    node_type: NodeType
    children: tuple[EnergyFlowRequest, ...] = field(default_factory=_nothing)
    schedule_import: Schedule = field(default_factory=_nothing)
    schedule_export: Schedule = field(default_factory=_nothing)
    schedule_setpoints: tuple[ScheduleSetpointEntry, ...] = field(default_factory=_nothing)
    priority_request: bool | None = None
    evse_state: EvseState | None = None
    energy_usage_root: Powermeter | None = None
    energy_usage_leaves: Powermeter | None = None
    # Ours, on Evse nodes: tiers, 1 is served first, absent counts as 5. 0 is a fixed load.
    priority: int | None = None
    # Ours: what the node may import while it hears nothing, at its root side; nobody else is sold
    # that room. Absent or 0 reserves nothing.
    fallback_A: float | None = None
    fallback_W: float | None = None


class LimitsRes(Struct, frozen=True, omit_defaults=True, gc=False):
    """Limits of a result; import positive, export negative."""

    total_power_W: NumberWithSource | None = None
    ac_max_current_A: NumberWithSource | None = None
    ac_max_phase_count: IntegerWithSource | None = None


class ScheduleResEntry(Struct, frozen=True, omit_defaults=True, gc=False):
    """The limits that hold from `timestamp` (RFC 3339) on."""

    timestamp: str
    limits_to_root: LimitsRes
    price_per_kwh: dict[str, Any] | None = None


class PackedForecast(Struct, frozen=True, omit_defaults=True, gc=False):
    """The limits of many slots, in numbers; forecasts.py makes entries of them."""

    times: tuple[str, ...]
    """When each slot begins."""
    current_A: bytes = b""
    """A number of 8 bytes a slot, NaN where it has none; empty where no slot has one."""
    power_W: bytes = b""
    phases: bytes = b""
    """A byte a slot, 0 where it has none."""
    sources: str | tuple[str, ...] = ""
    """Of current and power: the one of all slots, or those that there are."""
    sourced: bytes = b""
    """Which of several sources each slot has, 2 bytes a slot."""
    phase_sources: str | tuple[str, ...] = ""
    phases_sourced: bytes = b""


class EnforcedLimits(Struct, frozen=True, gc=False):
    """What an EVSE may draw now (`limits_root_side`), for `valid_for` seconds, and the forecast.

    EVerest's JSON has the forecast as entries (`forecasts.unpacked`)."""

    uuid: str
    valid_for: int
    limits_root_side: LimitsRes
    schedule: tuple[ScheduleResEntry, ...] | PackedForecast = field(default_factory=_nothing)


class ExternalLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits that something outside the tree sets on a node; an empty schedule sets none."""

    schedule_import: tuple[ScheduleReqEntry, ...] = field(default_factory=_nothing)
    schedule_export: tuple[ScheduleReqEntry, ...] = field(default_factory=_nothing)
    schedule_setpoints: tuple[ScheduleSetpointEntry, ...] = field(default_factory=_nothing)


_Positive = Annotated[float, Meta(gt=0)]
_PositiveInteger = Annotated[int, Meta(ge=1)]
_Count = Annotated[int, Meta(ge=0)]


class EnergyManagerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The EnergyManager's configuration: names and defaults of EVerest's manifest."""

    nominal_ac_voltage: _Positive = 230.0
    """Volt between a phase and neutral, for converting ampere to watt."""
    update_interval: _PositiveInteger = 1
    """Seconds between two runs of the market."""
    schedule_interval_duration: _PositiveInteger = 60
    """Minutes of one slot of the forecast."""
    schedule_total_duration: _PositiveInteger = 1
    """Hours that the forecast looks ahead."""
    slice_ampere: _Positive = 0.5
    """Ampere sold at a turn."""
    slice_watt: _Positive = 500.0
    """Watt sold at a turn where only a power limit is offered."""
    debug: bool = False
    """Log requests, trading steps, the allocation with its reasons, and violations."""
    switch_3ph1ph_while_charging_mode: Literal["Never", "Oneway", "Both"] = "Never"
    """Whether phases may change within a session, and in which direction."""
    switch_3ph1ph_max_nr_of_switches_per_session: _Count = 0
    """0 is no limit."""
    switch_3ph1ph_switch_limit_stickyness: Literal["SinglePhase", "ThreePhase", "DontChange"] = "DontChange"
    """What holds when the limit of switches is reached."""
    switch_3ph1ph_power_hysteresis_W: Annotated[float, Meta(ge=0)] = 200
    """Watt above the three-phase minimum before three phases are wanted again."""
    switch_3ph1ph_time_hysteresis_s: Annotated[float, Meta(ge=0)] = 600
    """Seconds that three phases must have been wanted before they are allowed again."""


def valid_for_s(config: EnergyManagerConfig) -> int:
    """Seconds that a limit holds unless it is renewed: ten update intervals."""
    return 10 * config.update_interval


def value_of(number: NumberWithSource | None) -> float | None:
    """The bare number; None stays None."""
    return None if number is None else number.value
