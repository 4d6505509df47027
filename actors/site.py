"""A site as configured: the tree of modules, where each runs, and the plant beneath.

`actors.config` builds it from YAML; everything else only reads it. Modules stand depth-first,
parents before children, children in the order of the file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from actors.energy.types import EnergyManagerConfig, ExternalLimits

_NotNegative = Annotated[float, Meta(ge=0)]
_Positive = Annotated[float, Meta(gt=0)]
_Phases = Annotated[int, Meta(ge=1, le=3)]

Kind = Literal["EnergyManager", "EnergyNode", "EvseManager"]


class EnergyNodeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sub-panel with a fuse; an unset fuse means no limit at this node."""

    fuse_limit_A: _NotNegative | None = None
    """Ampere per phase."""
    phase_count: _Phases = 3
    nominal_voltage_V: Annotated[float, Meta(ge=1, le=1000)] = 230.0
    """Volt between a phase and neutral."""
    enhance_external_schedule: bool = False
    """Let an external watt limit without a current also limit the current: W / (V x phases)."""
    fallback_limit_A: _NotNegative | None = None
    """What the node may draw when it has heard nothing; by default the sum of its children's."""


class EvseManagerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A charge point."""

    connector_id: Annotated[int, Meta(ge=1)] = 1
    priority: Annotated[int, Meta(ge=1, le=1000)] = 5
    """Tier: 1 is served first."""
    charge_mode: Literal["AC", "DC"] = "AC"
    max_current_A: _Positive = 32.0
    min_current_A: _NotNegative = 6.0
    phase_count: _Phases = 3
    max_power_W: _Positive | None = None
    """DC: rated power on the grid side."""
    supports_changing_phases_during_charging: bool = False
    switch_3ph1ph_delay_s: _NotNegative = 10.0
    """Pause while the contactor changes phases."""
    switch_3ph1ph_cp_state: Literal["X1", "F"] = "X1"
    """Control pilot state during that pause."""
    request_zero_power_in_idle: bool = True
    """An EVSE without a car asks for nothing."""
    fallback_limit_A: _NotNegative = 0.0
    """Ampere per phase when no limit is in force."""
    settle_time_s: _Positive = 11.0
    """Seconds within which a car's current is down after a lower limit."""
    driver: str = "plant"
    """What drives the hardware: plant (simulated)."""


ModuleConfig = EnergyManagerConfig | EnergyNodeConfig | EvseManagerConfig


class SourceConfig(Struct, frozen=True, kw_only=True):
    """A named source of external limits, as declared at its module."""

    name: str
    limits: ExternalLimits | None = None
    """In force from the start, until the source says otherwise."""
    heartbeat_timeout_s: float | None = None
    """Silent for longer than this, the source falls to its failsafe."""
    failsafe: ExternalLimits | None = None
    """Declared exactly when heartbeat_timeout_s is."""


class Module(Struct, frozen=True, kw_only=True):
    """One node or EVSE of the tree."""

    id: str
    kind: Kind
    config: ModuleConfig
    parent: str | None
    children: tuple[str, ...] = ()
    sources: tuple[SourceConfig, ...] = ()


class Controller(Struct, frozen=True, kw_only=True):
    """One process: the modules that it hosts, and where its children's controllers find it."""

    name: str
    listen: str | None
    """ZeroMQ endpoint; None lets `up` choose one on this machine."""
    modules: tuple[str, ...]
    """All that it hosts, depth-first."""


class Ignored(Struct, frozen=True, kw_only=True):
    """Something in the file that is not ours."""

    path: str
    what: str


class PlantConfig(Struct, frozen=True, kw_only=True):
    """The `plant:` section as written; `actors.plant.story` gives it its types."""

    listen: str | None = None
    story: dict[str, Any] = {}


class Site(Struct, frozen=True, kw_only=True):
    """A whole site; immutable."""

    name: str
    path: str
    root: str
    modules: dict[str, Module]
    controllers: dict[str, Controller]
    plant: PlantConfig = PlantConfig()
    ignored: tuple[Ignored, ...] = ()
    digest: str = ""
    """Of all that must be the same on every controller."""

    def manager_config(self) -> EnergyManagerConfig:
        """The root's configuration."""
        config = self.modules[self.root].config
        assert isinstance(config, EnergyManagerConfig)
        return config

    def controller_of(self, module_id: str) -> Controller:
        """The controller that hosts a module."""
        return next(c for c in self.controllers.values() if module_id in c.modules)

    def subtree(self, module_id: str) -> tuple[str, ...]:
        """A module and all below it, depth-first."""
        return (module_id, *(d for child in self.modules[module_id].children for d in self.subtree(child)))

    def path_to_root(self, module_id: str) -> tuple[str, ...]:
        """A module, its parent, … up to the root."""
        path = [module_id]
        while (parent := self.modules[path[-1]].parent) is not None:
            path.append(parent)
        return tuple(path)

    def phase_count(self, module_id: str) -> int:
        """Phases wired to a module: the fewest on its path."""
        configs = (self.modules[m].config for m in self.path_to_root(module_id))
        return min((c.phase_count for c in configs if not isinstance(c, EnergyManagerConfig)), default=3)

    def fallback_A(self, module_id: str) -> float:
        """Ampere per phase that a module may draw when it has heard nothing."""
        module = self.modules[module_id]
        config = module.config
        if isinstance(config, EvseManagerConfig):
            return config.fallback_limit_A
        if isinstance(config, EnergyNodeConfig) and config.fallback_limit_A is not None:
            return config.fallback_limit_A
        return sum(self.fallback_A(child) for child in module.children)
