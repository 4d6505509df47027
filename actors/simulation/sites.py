"""Sites by chance: trees of panels whose fuses are too small for all cars at once.

A site is drawn as the structs that `actors.config` would make of a file, because that is faster; the
same checks hold (a test writes drawn sites as YAML and reads them back).
"""

from __future__ import annotations

from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from actors.config.digest import site_digest
from actors.energy.external import ALWAYS
from actors.energy.types import ExternalLimits, LimitsReq, NumberWithSource, ScheduleReqEntry
from actors.simulation.loads import draw_meters
from actors.simulation.plan import Knobs
from actors.simulation.streams import mostly, stream
from actors.site import (
    Controller,
    EnergyManagerConfig,
    EnergyNodeConfig,
    EvseManagerConfig,
    Module,
    ModuleConfig,
    PlantConfig,
    Site,
    SourceConfig,
)

MOST_EVSES = 1000
MOST_LEVELS = 8
ROOT = "root"


class _Node(Struct):
    """A module while its tree grows."""

    id: str
    config: ModuleConfig
    parent: str | None
    children: list[str]
    sources: tuple[SourceConfig, ...] = ()


def configured(site: Site) -> Site:
    """The site of a configuration, as runs take it: all meters are played, whatever reads them. Sources that
    need a heartbeat have none, and hold to their failsafe."""
    modules = {m.id: replace(m, meter_link=None) for m in site.modules.values()}
    return replace(site, modules=modules, plant=PlantConfig(), gateways={}, chargers={})


def without_meters(site: Site, *nodes: str) -> Site:
    """The same site, of whose fixed loads what is declared counts: at these nodes, by default at all."""
    modules = {
        m.id: replace(m, meter=None) if not nodes or m.id in nodes else m for m in site.modules.values()
    }
    return replace(site, modules=modules)


def draw_site(seed: int, knobs: Knobs) -> Site:
    """The site of a seed, or the one that is there."""
    if knobs.site is not None:
        return without_meters(knobs.site) if knobs.meters == 0.0 else knobs.site
    random = stream(seed, "site")
    count = random.randint(1, 20)
    if knobs.evses is not None:
        count = min(knobs.evses, MOST_EVSES)
    tree = _grow(random, count, knobs)
    _choose_fuses(random, tree)
    if random.random() < 0.15:
        tree[ROOT].sources = (_permanent(random, tree),)
    order = _depth_first(tree, ROOT)
    modules = {
        name: Module(
            id=name,
            kind=_kind(tree[name].config),
            config=tree[name].config,
            parent=tree[name].parent,
            children=tuple(tree[name].children),
            sources=tree[name].sources,
        )
        for name in order
    }
    controllers = _host(random, tree, order)
    digest = site_digest(modules.values(), controllers.values())
    bare = Site(
        name=f"drawn_{seed}",
        path="<drawn>",
        root=ROOT,
        modules=modules,
        controllers=controllers,
        digest=digest,
    )
    return draw_meters(seed, bare, knobs)


def _grow(random: Random, count: int, knobs: Knobs) -> dict[str, _Node]:
    """Panels within panels, and EVSEs at any of them."""
    deep = random.random() < 0.08 if knobs.deep is None else knobs.deep
    levels = random.randint(5, MOST_LEVELS) if deep else random.randint(1, 3)
    mode: Literal["Never", "Both"] = "Both" if random.random() < 0.25 else "Never"
    root = EnergyManagerConfig(
        update_interval=random.randint(1, 10),
        switch_3ph1ph_while_charging_mode=mode,
        switch_3ph1ph_time_hysteresis_s=random.choice((0, 20, 600)),
        schedule_interval_duration=random.choice((15, 60)),
    )
    tree = {ROOT: _Node(ROOT, root, None, [])}
    level = [ROOT]
    panels: list[str] = []
    most_panels = max(2 * count, levels)
    if knobs.panels is not None:
        most_panels = min(most_panels, knobs.panels)
    for depth in range(1, levels + 1):
        below: list[str] = []
        for parent in level:
            most = 1 if deep else max(1, min(4, count // 2))
            for _ in range(random.randint(1, most) if depth > 1 else random.randint(1, max(most, 1))):
                if len(panels) < most_panels:
                    below.append(_add(tree, f"n{len(panels)}", parent, _panel(random)))
                    panels.append(below[-1])
        level = below or level
    spots = panels if random.random() < 0.5 else [p for p in panels if not tree[p].children]
    for number in range(count):
        _add(tree, f"e{number}", random.choice(spots or panels), _evse(random, mode != "Never"))
    return tree


def _add(tree: dict[str, _Node], name: str, parent: str, config: ModuleConfig) -> str:
    tree[name] = _Node(name, config, parent, [])
    tree[parent].children.append(name)
    return name


def _panel(random: Random) -> EnergyNodeConfig:
    enhance = random.random() < 0.2
    return EnergyNodeConfig(phase_count=1 if random.random() < 0.05 else 3, enhance_external_schedule=enhance)


def _evse(random: Random, switching: bool) -> EvseManagerConfig:
    settle_s = mostly(random, 11.0, 0.6, 5.0, 15.0)
    priority = random.choice((5, 5, 5, 1, 9))
    fallback, most = random.random() < 0.25, random.choice((16.0, 32.0, 32.0, 63.0))
    minimum = random.choice((6.0, 6.0, 6.0, 8.0, 0.0))
    phases, able = random.choice((3, 3, 3, 1)), switching and random.random() < 0.5
    power_W = random.choice((11_000.0, 22_000.0, 50_000.0))
    if random.random() < 0.12:
        return EvseManagerConfig(
            charge_mode="DC",
            max_power_W=power_W,
            priority=priority,
            settle_time_s=settle_s,
            fallback_limit_A=6.0 if fallback else 0.0,
        )
    return EvseManagerConfig(
        max_current_A=most,
        min_current_A=minimum,
        phase_count=phases,
        priority=priority,
        settle_time_s=settle_s,
        fallback_limit_A=max(minimum, random.choice((2.0, 6.0, 10.0))) if fallback else 0.0,
        supports_changing_phases_during_charging=able,
        switch_3ph1ph_delay_s=random.choice((2.0, 10.0)),
    )


def _choose_fuses(random: Random, tree: dict[str, _Node]) -> None:
    """From the leaves up: a fuse is less than all below may want, and no less than their fallbacks."""
    wanted_A: dict[str, float] = {}
    fallback_A: dict[str, float] = {}
    for name in reversed(_depth_first(tree, ROOT)):
        node = tree[name]
        tight, explicit = random.random(), random.random()
        share, more = random.uniform(0.25, 0.8), random.random()
        if isinstance(node.config, EvseManagerConfig):
            evse = node.config
            dc_A = (evse.max_power_W or 0.0) / (230.0 * evse.phase_count)
            wanted_A[name] = dc_A if evse.charge_mode == "DC" else evse.max_current_A
            fallback_A[name] = evse.fallback_limit_A
            continue
        below_A = sum(fallback_A[child] for child in node.children)
        wanted_A[name] = sum(wanted_A[child] for child in node.children)
        fallback_A[name] = below_A
        if not isinstance(node.config, EnergyNodeConfig):
            continue
        fuse_A = None
        if tight < 0.8 or node.parent == ROOT:
            fuse_A = float(max(round(wanted_A[name] * share), 10, -(-below_A // 1)))
            wanted_A[name] = min(wanted_A[name], fuse_A)
        own_A = None
        if explicit < 0.15:
            room_A = fuse_A if fuse_A is not None else below_A + 16.0
            own_A = fallback_A[name] = below_A + round((room_A - below_A) * more)
        node.config = EnergyNodeConfig(
            fuse_limit_A=fuse_A,
            phase_count=node.config.phase_count,
            enhance_external_schedule=node.config.enhance_external_schedule,
            fallback_limit_A=own_A,
        )


def _permanent(random: Random, tree: dict[str, _Node]) -> SourceConfig:
    """A power that the whole site never may exceed, well above what all fall back to."""
    fallbacks = (
        n.config.fallback_limit_A for n in tree.values() if not isinstance(n.config, EnergyManagerConfig)
    )
    power_W = sum(f or 0.0 for f in fallbacks) * 690.0 + random.choice((11_000.0, 22_000.0, 43_000.0))
    limits = LimitsReq(total_power_W=NumberWithSource(power_W, "contract"))
    entry = ScheduleReqEntry(timestamp=ALWAYS, limits_to_root=limits, limits_to_leaves=LimitsReq())
    return SourceConfig(name="contract", limits=ExternalLimits(schedule_import=(entry,)))


def _host(random: Random, tree: dict[str, _Node], order: list[str]) -> dict[str, Controller]:
    """Who runs where: what begins no process of its own goes with its parent, or with a stranger."""
    own_panel = random.choice((0.0, 0.4, 0.8, 1.0))
    own_evse = random.choice((0.0, 0.0, 0.0, 0.3, 1.0))
    host: dict[str, str] = {ROOT: ROOT}
    begun = [ROOT]
    for name in order[1:]:
        evse = isinstance(tree[name].config, EvseManagerConfig)
        if random.random() < (own_evse if evse else own_panel):
            host[name] = name
            begun.append(name)
        elif not evse and random.random() < 0.1:
            host[name] = random.choice(begun)
        else:
            host[name] = host[tree[name].parent or ROOT]
    hosted: dict[str, list[str]] = {}
    for name in order:
        hosted.setdefault(host[name], []).append(name)
    return {
        name: Controller(name=name, listen=None, modules=tuple(modules)) for name, modules in hosted.items()
    }


def _depth_first(tree: dict[str, _Node], name: str) -> list[str]:
    return [name, *(below for child in tree[name].children for below in _depth_first(tree, child))]


def _kind(config: ModuleConfig) -> Literal["EnergyManager", "EnergyNode", "EvseManager"]:
    if isinstance(config, EvseManagerConfig):
        return "EvseManager"
    return "EnergyNode" if isinstance(config, EnergyNodeConfig) else "EnergyManager"
