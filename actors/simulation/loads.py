"""Fixed loads of panels, meters that measure them, and what loads do and meters suffer in a run.

All is drawn from random streams of its own: a site without loads, and all that happens there, is as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from random import Random

from msgspec.structs import replace

from actors.config.digest import site_digest
from actors.energy.fixed_load import UNSTEADY_S
from actors.simulation.plan import Fault, Knobs, Load, MeterFails, MeterFault, Workload
from actors.simulation.streams import stream
from actors.simulation.tight_loads import draw_tight_loads
from actors.site import EnergyNodeConfig, EvseManagerConfig, MeterConfig, Module, Site

METERED_RUNS = 0.125
"""Share of the drawn runs in which some panels have fixed loads and meters."""
MOST_LOADED = 3
"""Panels with a load of their own."""
MOST_CHANGES = 1000
"""Of one load in a run."""
FEWEST_A = 2.0
TIGHT_LOADS = 0.6
"""Share of the meters at which loads rise just when it is seen late."""
ALONE_RUNS = 0.5
"""Share of the runs with meters in which such loads are all that happens."""


def draw_meters(seed: int, site: Site, knobs: Knobs) -> Site:
    """A drawn site, in some runs with fixed loads and meters. What a load takes is mostly not added to its
    fuse, so that cars have more of it than is declared only while the load is lower; to those above it is."""
    random = stream(seed, "fixed loads")
    share = knobs.meters
    if share is None:
        share = 0.0 if knobs.tight else METERED_RUNS
    panels = {m.id: fuse_A for m in site.modules.values() if (fuse_A := _fuse_A(m)) is not None}
    if random.random() >= share or not panels:
        return site
    own_A: dict[str, float] = {}
    meters: dict[str, MeterConfig] = {}
    at_root = sorted(name for name in panels if site.modules[name].parent == site.root)
    some = at_root if at_root and random.random() < 0.5 else sorted(panels)
    for name in random.sample(some, k=min(len(some), random.randint(1, MOST_LOADED))):
        own_A[name] = float(max(FEWEST_A, round(panels[name] * random.uniform(0.2, 0.9))))
        if random.random() < 0.85:
            meters[name] = _meter(random)
    modules = dict(site.modules)
    for name, module in modules.items():
        load_A = sum(own_A.get(below, 0.0) for below in site.subtree(name))
        if load_A == 0.0 or not isinstance(module.config, EnergyNodeConfig):
            continue
        config = module.config
        if config.fuse_limit_A is not None:
            added_A = own_A.get(name, 0.0) * random.choice((0.0, 0.0, 0.5, 1.0))
            least_A = load_A + site.fallback_A(name)
            fuse_A = config.fuse_limit_A + load_A - own_A.get(name, 0.0) + added_A
            config = replace(config, fuse_limit_A=float(math.ceil(max(fuse_A, least_A))))
        if name in own_A:
            config = replace(config, fixed_load_A=load_A)
        modules[name] = replace(module, config=config, meter=meters.get(name))
    digest = site_digest(modules.values(), site.controllers.values())
    return replace(site, modules=modules, digest=digest)


def _meter(random: Random) -> MeterConfig:
    return MeterConfig(
        timeout_s=random.choice((5.0, 10.0, 10.0, 30.0)),
        frozen_s=random.choice((15.0, 60.0, 60.0, 240.0)),
        lag_s=random.choice((0.0, 0.5, 0.5, 2.0)),
        hold_s=random.choice((5.0, 15.0, 15.0, 40.0)),
        margin_A=random.choice((0.0, 0.5, 1.0, 1.0, 3.0)),
    )


def _fuse_A(module: Module) -> float | None:
    return module.config.fuse_limit_A if isinstance(module.config, EnergyNodeConfig) else None


def own_load_A(site: Site, name: str) -> float:
    """The most that else than cars draws at a node itself, without what is declared below it."""
    if isinstance(site.modules[name].config, EvseManagerConfig):
        return 0.0
    below_A = sum(site.fixed_load_A(child) for child in site.modules[name].children)
    return site.fixed_load_A(name) - below_A


def happen_alone(seed: int, site: Site) -> bool:
    """Whether nothing else happens in a run."""
    return any(m.meter is not None for m in site.modules.values()) and (
        stream(seed, "loads alone").random() < ALONE_RUNS
    )


def draw_loads(seed: int, site: Site, hurt_s: float) -> Iterator[Workload | Fault]:
    """What loads do below fuses that are measured, and what meters suffer; not in order."""
    metered = [m.id for m in site.modules.values() if m.meter is not None]
    measured = {below for node in metered for below in site.subtree(node)}
    interval_s = float(site.manager_config().update_interval)
    tight: set[str] = set()
    for name in metered:
        random = stream(seed, "tight loads", name)
        loaded = max(site.subtree(name), key=lambda below: own_load_A(site, below))
        if (random.random() < TIGHT_LOADS or happen_alone(seed, site)) and loaded not in tight:
            tight.add(loaded)
            yield from draw_tight_loads(random, site, name, loaded, own_load_A(site, loaded), hurt_s)
    for name, module in site.modules.items():
        own_A = own_load_A(site, name)
        if name in measured and own_A > 0.0 and name not in tight:
            meters = [site.modules[m].meter or MeterConfig() for m in site.path_to_root(name) if m in metered]
            moments_s = tuple(_moments_s(meters, interval_s))
            yield from _changes(stream(seed, "load", name), name, own_A, hurt_s, moments_s)
        if module.meter is not None:
            yield from _failures(stream(seed, "meter fails", name), name, module.meter, hurt_s)


def _moments_s(meters: Iterable[MeterConfig], interval_s: float) -> Iterator[float]:
    """How long something else takes: a load that lasts for just that is most likely to be forgotten."""
    for meter in meters:
        yield from (meter.hold_s, meter.lag_s + 1.0, meter.timeout_s, meter.frozen_s)
    yield from (interval_s, 3.0 * interval_s, 10.0 * interval_s, 14.0 * interval_s, UNSTEADY_S)


def _changes(
    random: Random, node: str, most_A: float, hurt_s: float, moments_s: tuple[float, ...]
) -> Iterator[Load]:
    """It is always there, or goes up and down, at once or in small steps."""
    kind = random.choice(("steady", "falls", "rises once", "steps", "steps", "ramps", "pulses"))
    gap_s = 10 ** random.uniform(0.5, 2.0)
    level_A = most_A * random.choice((0.0, 0.2, random.random(), 1.0))
    if kind == "rises once":
        level_A *= 0.5
    at_s = 0.0
    for number in range(MOST_CHANGES):
        yield Load(at_s=at_s, node=node, current_A=level_A)
        if kind == "steady" or (kind == "rises once" and number):
            return
        drawn_A = most_A * random.choice((0.0, 1.0, random.random(), random.random()))
        lasts_s = random.choice(
            (random.expovariate(1.0 / gap_s), random.choice(moments_s) * random.uniform(0.8, 1.3))
        )
        if kind == "rises once":
            drawn_A, lasts_s = random.uniform(level_A, most_A), random.random() * hurt_s
        elif kind == "falls":
            drawn_A = level_A * random.random()
        elif kind == "ramps":
            drawn_A, lasts_s = (
                min(most_A, max(0.0, level_A + random.uniform(-2.0, 2.0))),
                random.uniform(0.3, 3.0),
            )
        elif kind == "pulses":
            drawn_A = most_A * random.uniform(0.7, 1.0) if number % 2 else most_A * random.uniform(0.0, 0.3)
        at_s, level_A = at_s + lasts_s + 0.01, drawn_A
        if at_s >= hurt_s:
            return


def _failures(random: Random, node: str, meter: MeterConfig, hurt_s: float) -> Iterator[MeterFails]:
    """In half of the runs; for a moment, or about as long as it takes to be found out, or for long."""
    if random.random() < 0.5:
        return
    kinds: tuple[MeterFault, ...] = ("silent", "silent", "frozen", "frozen", "absurd", "less")
    at_s = random.uniform(5.0, 60.0)
    for _ in range(MOST_CHANGES):
        if at_s >= hurt_s:
            return
        noticed_s = random.choice((meter.timeout_s, meter.frozen_s))
        for_s = random.choice(
            (random.uniform(0.5, 5.0), noticed_s * random.uniform(0.7, 1.3), noticed_s + 60.0)
        )
        yield MeterFails(at_s=at_s, node=node, how=random.choice(kinds), for_s=for_s)
        at_s += for_s + random.choice((random.random() * 5.0, random.expovariate(1.0 / 60.0)))
