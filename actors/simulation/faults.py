"""What goes wrong in a run, drawn up front and biased to where things get tight.

How long a fault lasts is mostly about as long as something else takes: until a child counts as silent,
a grant ends on the slowest or fastest clock, a car has settled. When it ends, another one is likely.
"""

from __future__ import annotations

import math
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from actors.simulation.clocks import RHO
from actors.simulation.loads import draw_loads, happen_alone
from actors.simulation.network import DRIVER, Direction, draw_quality
from actors.simulation.plan import (
    Clog,
    Crash,
    Cut,
    DiskFails,
    Fault,
    GiveBack,
    JumpWall,
    Knobs,
    Leave,
    Pause,
    Plan,
    Rebirth,
    RestartHardware,
    Weather,
    Workload,
)
from actors.simulation.sites import draw_site
from actors.simulation.spot import LONGEST_SETTLE_S
from actors.simulation.streams import pick_weighted, stream
from actors.simulation.tight_spots import draw_tight_spots
from actors.simulation.workload import draw_workload, provoke
from actors.site import EvseManagerConfig, Site

SHORTEST_RUN_S = 60.0
FEWEST_INTERVALS = 40.0
"""Things go wrong for so many intervals, or up to ten times as many: grants, silence and most faults are
counted in intervals, so a run of slow controllers shows as much as one of fast ones."""
MOST_HAPPENINGS = 20_000
"""Of a run."""
CALM_RUNS = 0.6
"""Share of the runs with tight spots in which nothing else happens."""
GIVING_RUNS = 0.15
"""Share of the runs in which some modules say that they give back."""
MENDED_S = 95.0
"""What is judged after all is mended is judged within this, unless state was lost."""

_KINDS = (
    ("crash", 5.0),
    ("pause", 3.0),
    ("cut", 5.0),
    ("clog", 2.0),
    ("weather", 1.0),
    ("driver cut", 2.0),
    ("driver clog", 1.0),
    ("rebirth", 1.5),
    ("hardware", 1.5),
    ("leave", 1.0),
    ("disk", 0.4),
    ("wall", 0.7),
)


class Targets(Struct, frozen=True):
    """What faults can strike."""

    processes: tuple[str, ...]
    modules: tuple[str, ...]
    links: tuple[str, ...]
    """Between processes."""
    drivers: tuple[str, ...]
    interval_s: float


def targets_of(site: Site) -> Targets:
    """Everything at a site that can fail."""
    host = {module: c.name for c in site.controllers.values() for module in c.modules}
    modules = tuple(site.modules)
    return Targets(
        processes=tuple(site.controllers),
        modules=modules,
        links=tuple(
            m.id for m in site.modules.values() if m.parent is not None and host[m.id] != host[m.parent]
        ),
        drivers=tuple(
            f"{m.id}{DRIVER}" for m in site.modules.values() if isinstance(m.config, EvseManagerConfig)
        ),
        interval_s=float(site.manager_config().update_interval),
    )


def draw_plan(seed: int, knobs: Knobs) -> Plan:
    """The whole run of a seed."""
    site = draw_site(seed, knobs)
    targets = targets_of(site)
    random = stream(seed, "faults")
    hurt_s = max(SHORTEST_RUN_S, FEWEST_INTERVALS * targets.interval_s * 10 ** random.random())
    if knobs.hurt_s is not None:
        hurt_s = knobs.hurt_s
    qualities = {
        link: draw_quality(stream(seed, "quality", link), between_processes=not link.endswith(DRIVER))
        for link in (*targets.links, *targets.drivers)
    }
    spots = draw_tight_spots(stream(seed, "tight spots"), site, targets.links, hurt_s, knobs)
    calm = knobs.tight or (bool(spots) and random.random() < CALM_RUNS)
    if calm:
        qualities = {}
    calm = calm or happen_alone(seed, site)
    jumps = random.random() < 0.5
    happenings: list[Workload | Fault] = []
    if not calm:
        happenings += draw_workload(seed, site, hurt_s, schedules=not jumps)
    gap_s = 10 ** random.uniform(0.7, 2.1)
    at_s = random.expovariate(1.0 / gap_s)
    while not calm and at_s < hurt_s and len(happenings) < MOST_HAPPENINGS:
        happenings += _scenario(random, site, targets, at_s, knobs, jumps)
        at_s += random.expovariate(1.0 / gap_s)
    happenings += spots
    happenings += draw_loads(seed, site, hurt_s)
    happenings += _givers(stream(seed, "gives back"), targets.modules, hurt_s)
    happenings = sorted((h for h in happenings if h.at_s < hurt_s), key=lambda h: h.at_s)
    return Plan(
        seed=seed,
        site=site,
        hurt_s=hurt_s,
        mended_s=MENDED_S,
        happenings=tuple(happenings[:MOST_HAPPENINGS]),
        qualities=qualities,
    )


def _givers(random: Random, modules: tuple[str, ...], hurt_s: float) -> list[GiveBack]:
    """Some modules that give back, in some runs."""
    if random.random() >= GIVING_RUNS:
        return []
    some = random.sample(modules[1:], k=random.randint(1, len(modules) - 1))
    return [
        GiveBack(at_s=random.random(), module=m, current_A=random.uniform(1.0, 40.0), for_s=hurt_s)
        for m in some
    ]


def _scenario(
    random: Random, site: Site, targets: Targets, at_s: float, knobs: Knobs, jumps: bool
) -> list[Workload | Fault]:
    """A fault, what provokes it, and perhaps another when it ends."""
    happenings: list[Workload | Fault] = []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3))):
        fault = _fault(random, targets, at_s, knobs)
        if isinstance(fault, JumpWall) and not jumps:
            continue
        happenings.append(fault)
        end_s = at_s + getattr(fault, "for_s", 0.0)
        if random.random() < 0.5:
            happenings += provoke(random, site, at_s + random.expovariate(0.3))
        if random.random() < 0.6:
            happenings += provoke(random, site, max(at_s, end_s + random.uniform(-3.0, 3.0)))
        if random.random() < 0.4:
            happenings += provoke(random, site, at_s + how_long_s(random, targets.interval_s))
        at_s = max(at_s, random.choice((at_s, end_s)) + random.choice((0.0, -0.3, 0.05, 1.0, 3.0)))
        if random.random() < 0.3:
            at_s = at_s + random.random() * targets.interval_s
    return happenings


def _fault(random: Random, targets: Targets, at_s: float, knobs: Knobs) -> Fault:
    kind = pick_weighted(random, _KINDS)
    for_s = how_long_s(random, targets.interval_s)
    process, module = random.choice(targets.processes), random.choice(targets.modules)
    link = random.choice(targets.links or targets.drivers)
    driver = random.choice(targets.drivers)
    direction: Direction = random.choice(("both", "both", "up", "down"))
    after = random.randint(0, 6) if random.random() < 0.5 else None
    if random.random() < 0.5 and kind in ("crash", "leave"):
        for_s = min(for_s, random.uniform(0.05, 4.0))
    if random.random() < 0.25 and kind in ("cut", "crash", "driver cut"):
        for_s *= 1.5  # all that others may wait for is over before it ends
    match kind:
        case "crash":
            lost = knobs.lost_state and random.random() < 0.04
            reboots = random.random() < 0.2
            return Crash(
                at_s=at_s,
                process=process,
                for_s=for_s,
                after_effects=after,
                loses_state=lost,
                reboots=reboots,
            )
        case "pause":
            return Pause(at_s=at_s, process=process, for_s=for_s, after_effects=after)
        case "clog":
            return Clog(at_s=at_s, link=link, direction=direction, for_s=for_s)
        case "weather":
            quality = replace(
                draw_quality(random, between_processes=True), loss=random.choice((0.1, 0.3, 0.9))
            )
            return Weather(at_s=at_s, link=link, quality=quality, for_s=for_s)
        case "driver cut":
            return Cut(at_s=at_s, link=driver, direction=direction, for_s=for_s)
        case "driver clog":
            return Clog(at_s=at_s, link=driver, direction=direction, for_s=for_s)
        case "rebirth":
            return Rebirth(at_s=at_s, module=module)
        case "hardware":
            evse, back_s = (
                driver.removesuffix(DRIVER),
                random.choice((0.0, 1.0, 4.0, for_s)) * random.random(),
            )
            return RestartHardware(at_s=at_s, evse=evse, for_s=back_s, opens=random.random() < 0.6)
        case "leave":
            return Leave(at_s=at_s, process=process, for_s=for_s)
        case "disk":
            return DiskFails(at_s=at_s, process=process, for_s=for_s)
        case "wall":
            by_s = random.choice((-1.0, 1.0)) * 10 ** random.uniform(-1.0, 6.0)
            return JumpWall(at_s=at_s, process=process, by_s=by_s)
        case _:
            return Cut(at_s=at_s, link=link, direction=direction, for_s=for_s)


def how_long_s(random: Random, interval_s: float) -> float:
    """A time that is short, or about as long as something else takes, or any."""
    kind = random.random()
    short_s = 10 ** random.uniform(-1.5, 1.0)
    intervals = random.choice((3.0, 4.0, 10.0, 14.0, 14.0))
    stretch = random.choice((1.0, 1.0 / (1.0 - RHO), 1.0 + RHO, (1.0 + RHO) / (1.0 - RHO)))
    settle_s = random.choice((0.0, 5.0, 11.0, LONGEST_SETTLE_S)) * random.choice((1.0, 1.0 + RHO))
    off_s = random.choice((-1.0, 1.0)) * 10 ** random.uniform(-2.0, math.log10(interval_s + 2.0))
    other_s = random.uniform(1.0, 90.0)
    if kind < 0.25:
        return short_s
    if kind < 0.75:
        return max(0.05, intervals * interval_s * stretch + settle_s + off_s)
    return other_s
