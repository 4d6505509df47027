"""Configuration of the tree's modules below the root, as the core and the YAML know it.

The EnergyManager's is in `actors.energy.types`: the market needs it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

NotNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Phases = Annotated[int, Meta(ge=1, le=3)]


class EnergyNodeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sub-panel with a fuse; an unset fuse means no limit at this node."""

    fuse_limit_A: NotNegative | None = None
    """Ampere per phase."""
    phase_count: Phases = 3
    nominal_voltage_V: Annotated[float, Meta(ge=1, le=1000)] = 230.0
    """Volt between a phase and neutral."""
    enhance_external_schedule: bool = False
    """Let an external watt limit without a current also limit the current: W / (V x phases)."""
    fallback_limit_A: NotNegative | None = None
    """What the EVSEs below may draw when the node has heard nothing; by default the sum of its children's."""
    fixed_load_A: NotNegative | None = None
    """The most that all else below its fuse draws, ampere per phase; by default the sum of nodes below."""


class EvseManagerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A charge point."""

    connector_id: Annotated[int, Meta(ge=1)] = 1
    priority: Annotated[int, Meta(ge=1, le=1000)] = 5
    """Tier: 1 is served first."""
    charge_mode: Literal["AC", "DC"] = "AC"
    max_current_A: Positive = 32.0
    min_current_A: NotNegative = 6.0
    phase_count: Phases = 3
    max_power_W: Positive | None = None
    """DC: rated power on the grid side."""
    supports_changing_phases_during_charging: bool = False
    switch_3ph1ph_delay_s: NotNegative = 10.0
    """Pause while the contactor changes phases."""
    switch_3ph1ph_cp_state: Literal["X1", "E", "F"] = "X1"
    """Control pilot state during that pause."""
    request_zero_power_in_idle: bool = True
    """An EVSE without a car asks for nothing."""
    fallback_limit_A: NotNegative = 0.0
    """Ampere per phase when no limit is in force."""
    settle_time_s: Positive = 11.0
    """Seconds within which a car's current is down after a lower limit."""
    driver: str = "plant"
    """What drives the hardware: plant (simulated) or ocpp."""
    charger: str | None = None
    """What its driver knows the charger by; by default the EVSE's own name."""
