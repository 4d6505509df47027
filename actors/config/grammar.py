"""The modules of a file, in the documentation's grammar or EVerest's, as entries with typed values.

    documentation                              EVerest
    config: {fuse_limit_A: 32}                 config_module: {fuse_limit_A: 32}
    connections:                               connections:
      energy_trunk: [evse_1]   (downwards)       energy_consumer:
      energy_grid: floor_1     (upwards)           - {module_id: evse_1, implementation_id: energy_grid}

Both may stand in one file, even in one module. `config:` is ours, so an unknown key in it is a fault;
in `config_module:` of an EvseManager most keys are EVerest's own business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from actors.config import gateways
from actors.config.chargers import read_chargers
from actors.config.faults import Faults, Path, did_you_mean, nearest, one_line, shown, written
from actors.config.fields import check_name, mapping, values
from actors.config.meters import read_meter
from actors.config.sources import read_sources
from actors.drivers.kinds import CHARGERS, Chargers
from actors.drivers.meters.links import Link as MeterLink
from actors.site import (
    EnergyManagerConfig,
    EnergyNodeConfig,
    EvseManagerConfig,
    Gateway,
    Ignored,
    Kind,
    MeterConfig,
    ModuleConfig,
    SourceConfig,
)

MAX_MODULES = 20_000

CONFIGS: dict[Kind, type[EnergyManagerConfig | EnergyNodeConfig | EvseManagerConfig]] = {
    "EnergyManager": EnergyManagerConfig,
    "EnergyNode": EnergyNodeConfig,
    "EvseManager": EvseManagerConfig,
}
KEYS = {kind: frozenset(field.name for field in fields(config)) for kind, config in CONFIGS.items()}

OUR_MODULE_KEYS = ("module", "config", "config_module", "connections", "external_limits", "meter")
EVEREST_MODULE_KEYS = (
    "config_implementation",
    "mapping",
    "telemetry",
    "access",
    "standalone",
    "capabilities",
    "config_maps",
)

# EVerest's newer settings of the EnergyManager, and the values with which they change nothing.
EVEREST_MANAGER_KEYS: dict[str, Any] = {
    "broker_strategy": "FastCharging",
    "phase_symmetry_enabled": False,
    **dict.fromkeys(
        (
            "redistribution_margin_A",
            "redistribution_start_with_lower_limit",
            "redistribution_reduction_hold_s",
            "power_meter_aggregation_window_s",
            "power_redistribution_connector_margin",
            "power_redistribution_site_margin",
            "power_redistribution_gain",
            "max_phase_imbalance_A",
            "phase_imbalance_hold_s",
        )
    ),
}

_KINDS = f"{', '.join(CONFIGS)} or another module's name"
_DOWN = ("energy_trunk", "energy_consumer")
_UP = "energy_grid"
_SINK = "evse_energy_sink"
_NEAR_MISS = 0.85  # below it are EVerest's own names, such as connector_type beside connector_id
_VOLTAGE_V = 230.0


class Link(Struct, frozen=True):
    """A module that another names in its connections, and where."""

    target: str
    path: Path


class Entry(Struct, frozen=True, kw_only=True):
    """One of our modules as written, before the tree is known."""

    id: str
    path: Path
    kind: Kind
    config: ModuleConfig
    config_path: Path
    down: tuple[Link, ...] = ()
    up: tuple[Link, ...] = ()
    sources: tuple[SourceConfig, ...] = ()
    meter: MeterConfig | None = None
    meter_link: MeterLink | None = None


class Modules(Struct, frozen=True, kw_only=True):
    """All modules of a file: ours by id, and the kind of each that is not."""

    path: Path
    ours: dict[str, Entry]
    strangers: dict[str, str]
    gateways: dict[str, Gateway]
    chargers: dict[str, Chargers]
    sinks: dict[str, tuple[Link, ...]] = {}
    """By gateway: the modules that it names in its connections."""


def read_modules(raw: dict[str, Any], path: Path, faults: Faults, notes: list[Ignored]) -> Modules:
    """All modules under `path`; what is not ours is noted, what is wrong becomes faults."""
    modules = Modules(path=path, ours={}, strangers={}, gateways={}, chargers={}, sinks={})
    if len(raw) > MAX_MODULES:
        faults.add(path, f"at most {MAX_MODULES} modules, got {len(raw)}")
        faults.raise_if_any()
    for module_id, module in raw.items():
        module_path = (*path, module_id)
        if not isinstance(module, dict):
            faults.add(module_path, f"expected a module: a mapping, got {shown(module)}")
        elif (name := _module_name(module, module_path, faults, notes)) in CONFIGS:
            kind = next(kind for kind in CONFIGS if kind == name)
            modules.ours[module_id] = _read_module(module_id, kind, module, module_path, faults, notes)
        elif name is not None and gateways.is_gateway(name, module):
            gateway = gateways.read_gateway(module_id, name, module, module_path, faults)
            modules.gateways[module_id] = gateway
            modules.sinks[module_id] = tuple(_sinks(module, module_path, faults))
        elif name in CHARGERS:
            modules.chargers[module_id] = read_chargers(module_id, name, module, module_path, faults)
        elif name is not None:
            remedy = "" if name in gateways.KINDS else misspelled_kind(name)
            connections = module.get("connections")
            of_tree = isinstance(connections, dict) and not connections.keys().isdisjoint((*_DOWN, _UP))
            if remedy and (of_tree or nearest(name, (*gateways.KINDS, *CHARGERS), _NEAR_MISS)):
                faults.add((*module_path, "module"), f'unknown kind "{name}"{remedy}')
            modules.strangers[module_id] = name
            notes.append(Ignored(path=written(module_path), what=one_line(name, 80)))
    return modules


def misspelled_kind(stranger: str) -> str:
    """`; did you mean "EvseManager"?` for a kind that is nearly one of ours, else nothing."""
    return did_you_mean(stranger, (*CONFIGS, *gateways.KINDS, *CHARGERS), _NEAR_MISS)


def _module_name(module: dict[str, Any], path: Path, faults: Faults, notes: list[Ignored]) -> str | None:
    """What a module says that it is. Left out, it follows from what only one kind has."""
    name = module.get("module")
    if isinstance(name, str) and name:
        return name
    if "module" in module:
        faults.add((*path, "module"), f"expected {_KINDS}, got {shown(name)}")
        return None
    keys = set(mapping(module.get("config"), (*path, "config"), faults))
    connections = set(mapping(module.get("connections"), (*path, "connections"), faults))
    if _UP in connections and connections.isdisjoint(_DOWN):
        kinds: list[Kind] = ["EvseManager"]
    else:
        kinds = [kind for kind in CONFIGS if keys and keys <= KEYS[kind]]
    if len(kinds) != 1:
        faults.add(path, f'no key "module"; expected {_KINDS}')
        return None
    notes.append(Ignored(path=written(path), what=f'no key "module"; taken as {kinds[0]}'))
    return kinds[0]


def _read_module(
    module_id: str, kind: Kind, module: dict[str, Any], path: Path, faults: Faults, notes: list[Ignored]
) -> Entry:
    check_name(module_id, path, faults)
    for key in module:
        if key not in OUR_MODULE_KEYS and key not in EVEREST_MODULE_KEYS:
            faults.add((*path, key), f"unknown key{did_you_mean(key, OUR_MODULE_KEYS)}")
    connections = mapping(module.get("connections"), (*path, "connections"), faults)
    down, up = _links(kind, connections, (*path, "connections"), faults)
    everest_only = "config_module" in module and "config" not in module
    config = _config(kind, module, path, faults, notes)
    meter, meter_link = read_meter(module.get("meter"), config, (*path, "meter"), faults)
    return Entry(
        id=module_id,
        path=path,
        kind=kind,
        config=config,
        config_path=(*path, "config_module" if everest_only else "config"),
        down=tuple(down),
        up=tuple(up),
        sources=read_sources(module.get("external_limits"), (*path, "external_limits"), faults),
        meter=meter,
        meter_link=meter_link,
    )


def _config(
    kind: Kind, module: dict[str, Any], path: Path, faults: Faults, notes: list[Ignored]
) -> ModuleConfig:
    ours = mapping(module.get("config"), (*path, "config"), faults)
    theirs = mapping(module.get("config_module"), (*path, "config_module"), faults)
    for key in [key for key in theirs if key in ours]:
        faults.add((*path, "config_module", key), "stands under config too")
    known = _without_everests_own(kind, theirs, (*path, "config_module"), notes)
    config = CONFIGS[kind](
        **values(CONFIGS[kind], ours, (*path, "config"), faults),
        **{
            key: value
            for key, value in values(CONFIGS[kind], known, (*path, "config_module"), faults).items()
            if key not in ours
        },
    )
    if isinstance(config, EvseManagerConfig) and "config_module" in module and "config" not in module:
        return _with_dc_power(config, path, notes)
    return config


def _without_everests_own(
    kind: Kind, raw: dict[str, Any], path: Path, notes: list[Ignored]
) -> dict[str, Any]:
    """What is ours of a `config_module:`; the rest is noted, except near misses of our keys."""
    if kind == "EnergyManager":
        own = [key for key in raw if key in EVEREST_MANAGER_KEYS]
        for key in own:
            neutral = EVEREST_MANAGER_KEYS[key]
            if neutral is not None and raw[key] != neutral:
                what = f"{shown(raw[key])} has no effect here"
                notes.append(Ignored(path=written((*path, key)), what=what))
    elif kind == "EvseManager":
        own = [key for key in raw if key not in KEYS[kind] and nearest(key, KEYS[kind], _NEAR_MISS) is None]
    else:
        own = []
    if own:
        notes.append(
            Ignored(path=written(path), what=one_line(f"EVerest's own settings: {', '.join(own)}", 2000))
        )
    return {key: value for key, value in raw.items() if key not in own}


def _with_dc_power(config: EvseManagerConfig, path: Path, notes: list[Ignored]) -> EvseManagerConfig:
    """EVerest's files leave a DC charger's power to its power supply, which is not ours to ask."""
    if config.charge_mode != "DC" or config.max_power_W is not None:
        return config
    power_W = config.max_current_A * config.phase_count * _VOLTAGE_V
    what = (
        f"no max_power_W; taken as {power_W:g} W "
        f"({config.max_current_A:g} A x {config.phase_count} phases x {_VOLTAGE_V:g} V)"
    )
    notes.append(Ignored(path=written((*path, "config_module")), what=what))
    return replace(config, max_power_W=power_W)


def _links(
    kind: Kind, connections: dict[str, Any], path: Path, faults: Faults
) -> tuple[list[Link], list[Link]]:
    """The modules that are named as children, and those named as parent."""
    down: list[Link] = []
    up: list[Link] = []
    for key, value in connections.items():
        if key in _DOWN and kind == "EvseManager":
            faults.add((*path, key), "an EvseManager has no children; it names its parent in energy_grid")
        elif key in _DOWN:
            down += _targets(value, (*path, key), faults)
        elif key == _UP and kind == "EnergyManager":
            faults.add((*path, key), "an EnergyManager is the root; it has no parent")
        elif key == _UP:
            up += _targets(value, (*path, key), faults)
        elif remedy := did_you_mean(key, (*_DOWN, _UP), 0.8):
            faults.add((*path, key), f"unknown connection{remedy}")
    return down, up


def _sinks(gateway: dict[str, Any], path: Path, faults: Faults) -> Iterator[Link]:
    """The modules that a gateway sets limits at."""
    path = (*path, "connections")
    for key, value in mapping(gateway.get("connections"), path, faults).items():
        if key == _SINK:
            yield from _targets(value, (*path, key), faults, "external_limits")
        else:
            faults.add((*path, key), f"unknown connection{did_you_mean(key, (_SINK,))}")


def _targets(value: Any, path: Path, faults: Faults, wanted: str = _UP) -> Iterator[Link]:
    if isinstance(value, list):
        places = [((*path, index), target) for index, target in enumerate(value)]
    else:
        places = [] if value is None else [(path, value)]
    for place, target in places:
        if isinstance(target, dict):
            for key in target:
                if key not in ("module_id", "implementation_id"):
                    remedy = did_you_mean(key, ("module_id", "implementation_id"))
                    faults.add((*place, key), f"unknown key{remedy}")
            implementation = target.get("implementation_id", wanted)
            if implementation != wanted:
                faults.add((*place, "implementation_id"), f'expected "{wanted}", got {shown(implementation)}')
            target = target.get("module_id")
        if isinstance(target, str):
            yield Link(target, place)
        else:
            quote = "; put it in quotes" if isinstance(target, bool | int | float) else ""
            faults.add(place, f"expected a module's name, got {shown(target)}{quote}")
