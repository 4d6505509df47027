"""A site as configured: the tree of modules, where each runs, and the plant beneath.

`actors.config` builds it from YAML; everything else only reads it. Modules stand depth-first,
parents before children, children in the order of the file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from actors.drivers.kinds import Chargers
from actors.drivers.meters.links import Link as MeterLink
from actors.energy.external import SourceConfig
from actors.energy.fixed_load import MeterConfig
from actors.energy.modules import EnergyNodeConfig, EvseManagerConfig
from actors.energy.types import EnergyManagerConfig
from actors.mqtt.config import BrokerConfig

__all__ = [
    "Chargers",
    "Controller",
    "EnergyManagerConfig",
    "EnergyNodeConfig",
    "EvseManagerConfig",
    "Gateway",
    "Ignored",
    "Kind",
    "MeterConfig",
    "Module",
    "ModuleConfig",
    "MqttGatewayConfig",
    "MqttLink",
    "OcppGatewayConfig",
    "OcppLink",
    "PlantConfig",
    "Site",
    "SourceConfig",
]

Kind = Literal["EnergyManager", "EnergyNode", "EvseManager"]


ModuleConfig = EnergyManagerConfig | EnergyNodeConfig | EvseManagerConfig


class Module(Struct, frozen=True, kw_only=True):
    """One node or EVSE of the tree."""

    id: str
    kind: Kind
    config: ModuleConfig
    parent: str | None
    children: tuple[str, ...] = ()
    sources: tuple[SourceConfig, ...] = ()
    meter: MeterConfig | None = None
    meter_link: MeterLink | None = None
    """How the meter is reached; None: the plant plays it."""


class MqttGatewayConfig(BrokerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connection to an MQTT broker, over which the site is watched and limits are set."""

    topic_prefix: str = ""
    """Goes before all topics but those of Home Assistant: `garage/` makes garage/everest/…"""
    publish_interval_s: Annotated[float, Meta(ge=0.2, le=3600)] = 1.0
    accept_limits: bool = True
    """False: the site is only watched."""
    home_assistant: bool = True
    """Announce the site to Home Assistant."""
    discovery_prefix: str = "homeassistant"


class OcppGatewayConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connection to a CSMS, to which the site is one charge point."""

    RequestCompositeScheduleUnit: Literal["A", "W"] = "A"
    """In which unit the limits of charging profiles go into the tree."""
    url: str | None = None
    """Of the CSMS; the charge point's id is put behind it. Without one there is no connection."""
    protocol: Literal["ocpp1.6", "ocpp2.0.1"] = "ocpp1.6"
    charge_point_id: str | None = None
    """How the CSMS knows the site; by default the site's name."""
    password_file: str | None = None
    """Its first line is the password of basic authentication; the login is the charge point's id."""
    ca_file: str | None = None
    """Certificates of authorities that may vouch for the CSMS; by default those of the system."""
    cert_file: str | None = None
    key_file: str | None = None
    """Of a client certificate, where the CSMS wants one."""
    ping_interval_s: Annotated[float, Meta(ge=1, le=3600)] = 20.0
    """Between two pings; one that is not answered in that time ends the connection."""
    meter_interval_s: Annotated[float, Meta(ge=1, le=86400)] = 60.0
    id_tag: str = "amptree"
    """1.6: whom transactions are begun for."""
    source: str = "ocpp"
    """The external source at its modules that charging profiles set."""
    offline_source: str = "ocpp_offline"
    """The source that hears whether the CSMS is there, at those of its modules that declare it."""
    grid_operator_source: str | None = None
    """A source with `lpc:` that ChargingStationExternalConstraints drive (2.0.1)."""


class MqttLink(Struct, frozen=True, kw_only=True):
    """A gateway to an MQTT broker."""

    id: str
    config: MqttGatewayConfig
    kind: Literal["MqttGateway"] = "MqttGateway"


class OcppLink(Struct, frozen=True, kw_only=True):
    """A gateway to a CSMS."""

    id: str
    config: OcppGatewayConfig
    kind: Literal["OCPP"] = "OCPP"
    station: str = ""
    """The module that is EVSE 0."""
    evses: tuple[str, ...] = ()
    """The modules that are EVSE 1, 2, …"""


Gateway = MqttLink | OcppLink
"""Links the site with the outside world; no part of the tree."""


class Controller(Struct, frozen=True, kw_only=True):
    """One process: the modules that it hosts, and where its children's controllers find it."""

    name: str
    listen: str | None
    """ZeroMQ endpoint; None lets `up` choose one on this machine."""
    modules: tuple[str, ...]
    """All of the tree that it hosts, depth-first."""
    gateways: tuple[str, ...] = ()
    """What links it with the outside world."""
    chargers: tuple[str, ...] = ()
    """What links its EVSEs with their chargers."""


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
    gateways: dict[str, Gateway] = {}
    chargers: dict[str, Chargers] = {}
    ignored: tuple[Ignored, ...] = ()
    digest: str = ""
    """Of all that must be the same on every controller."""
    elsewhere: frozenset[str] = frozenset()
    """Names of modules that are not in this part of the site."""

    def part(self, controller: str) -> Site:
        """What one of its controllers needs of it: what it hosts, all below that, and the way to the root.
        KeyError for a stranger."""
        hosted = self.controllers[controller].modules
        names = {m for h in hosted for m in (*self.path_to_root(h), *self.subtree(h))}

        def only_these(modules: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(m for m in modules if m in names)

        return replace(
            self,
            modules={
                m: replace(module, children=only_these(module.children))
                for m, module in self.modules.items()
                if m in names
            },
            controllers={
                c.name: replace(c, modules=only_these(c.modules))
                for c in self.controllers.values()
                if not names.isdisjoint(c.modules)
            },
            plant=PlantConfig(listen=self.plant.listen),
            ignored=(),
            elsewhere=frozenset(self.modules.keys() - names),
        )

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

    def fixed_load_A(self, module_id: str) -> float:
        """The most that all but EVSEs draws below a module's fuse, ampere per phase."""
        module = self.modules[module_id]
        if isinstance(module.config, EnergyNodeConfig) and module.config.fixed_load_A is not None:
            return module.config.fixed_load_A
        return sum(self.fixed_load_A(child) for child in module.children)

    def fallback_A(self, module_id: str) -> float:
        """Ampere per phase that a module may draw when it has heard nothing."""
        module = self.modules[module_id]
        config = module.config
        if isinstance(config, EvseManagerConfig):
            return config.fallback_limit_A
        if isinstance(config, EnergyNodeConfig) and config.fallback_limit_A is not None:
            return config.fallback_limit_A
        return sum(self.fallback_A(child) for child in module.children)
