"""What people do at a site: cars come, pause, take more or less and go; limits are set and cleared."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from actors.simulation.plan import (
    Appetite,
    Ask,
    Car,
    ClearLimit,
    Plug,
    SetLimit,
    Unplug,
    Workload,
)
from actors.simulation.streams import stream
from actors.site import EnergyNodeConfig, EvseManagerConfig, Site

QUIET_S = 40.0
"""So long before all is mended the last limit with an end has ended."""
MOST_LIMITS = 200
"""Of one node in a run."""


def draw_workload(seed: int, site: Site, hurt_s: float, *, schedules: bool) -> Iterator[Workload]:
    """All that people do until `hurt_s`; not in order."""
    how_busy = stream(seed, "workload")
    stay_s = 10 ** how_busy.uniform(1.3, 2.7)
    limit_gap_s = how_busy.choice((1e9, 300.0, 120.0, 60.0))
    for module in site.modules.values():
        random = stream(seed, "workload", module.id)
        if isinstance(module.config, EvseManagerConfig):
            yield from _visits(random, module.id, module.config, hurt_s, stay_s)
        else:
            yield from _limits(random, site, module.id, hurt_s, limit_gap_s, schedules)


def draw_car(random: Random, config: EvseManagerConfig) -> Car:
    """A car: most take all that they may for as long as they may."""
    settle_s = config.settle_time_s
    exact, share, meter = random.random() < 0.6, random.random(), random.uniform(0.5, 1.0)
    behaviour, lags, phases = random.random(), random.random() < 0.4, random.choice((3, 3, 3, 1))
    current_A = random.choice((16.0, 32.0, 32.0, 63.0, 20.0))
    return Car(
        max_current_A=1000.0 if config.charge_mode == "DC" else current_A,
        phases=phases,
        reaction_s=settle_s if exact else settle_s * share,
        surges=behaviour < 0.35,
        share=share * 0.5 if behaviour < 0.3 else 1.0,
        meter=meter if behaviour > 0.6 else 1.0,
        meter_lags=lags,
    )


def provoke(random: Random, site: Site, at_s: float) -> list[Workload]:
    """Somebody wants more, or makes room that others take, just now."""
    evses = [(m.id, m.config) for m in site.modules.values() if isinstance(m.config, EvseManagerConfig)]
    happenings: list[Workload] = []
    for _ in range(random.choice((1, 1, 2, 4))):
        name, config = random.choice(evses)
        when_s = at_s + random.random() * 2.0
        kind = random.random()
        if kind < 0.5:
            happenings.append(Plug(at_s=when_s, evse=name, car=draw_car(random, config)))
        elif kind < 0.7:
            happenings.append(Unplug(at_s=when_s, evse=name))
        elif kind < 0.85:
            happenings.append(Ask(at_s=when_s, evse=name, asks=random.random() < 0.6))
        else:
            happenings.append(Appetite(at_s=when_s, evse=name, share=random.choice((0.0, 0.3, 1.0, 1.0))))
    return happenings


def _visits(
    random: Random, evse: str, config: EvseManagerConfig, hurt_s: float, stay_s: float
) -> Iterator[Workload]:
    at_s = random.uniform(0.0, 5.0) if random.random() < 0.7 else random.expovariate(1.0 / stay_s)
    while at_s < hurt_s:
        yield Plug(at_s=at_s, evse=evse, car=draw_car(random, config))
        end_s = at_s + random.expovariate(1.0 / (2.0 * stay_s))
        at_s += random.expovariate(2.0 / stay_s)
        while at_s < end_s:
            if random.random() < 0.4:
                yield Ask(at_s=at_s, evse=evse, asks=False)
                yield Ask(at_s=at_s + random.choice((0.2, 2.0, 8.0, 40.0)), evse=evse, asks=True)
            else:
                yield Appetite(at_s=at_s, evse=evse, share=random.choice((0.0, 0.2, 1.0, 1.0)))
            at_s += random.expovariate(2.0 / stay_s)
        yield Unplug(at_s=end_s, evse=evse)
        at_s = end_s + random.choice((0.3, 2.0, random.expovariate(1.0 / stay_s)))


def _limits(
    random: Random, site: Site, node: str, hurt_s: float, gap_s: float, schedules: bool
) -> Iterator[Workload]:
    config = site.modules[node].config
    fuse_A = (config.fuse_limit_A or 64.0) if isinstance(config, EnergyNodeConfig) else 100.0
    at_s = random.expovariate(1.0 / gap_s)
    for _ in range(MOST_LIMITS):
        if at_s >= hurt_s - QUIET_S:
            return
        via = random.choice((node, node, site.root))
        limit_A = round(random.uniform(0.0, 1.1) * fuse_A, 1)
        kind, ends_s = random.random(), random.uniform(5.0, 120.0)
        later = ((random.uniform(2.0, 20.0), limit_A),) if schedules and kind < 0.2 else ()
        for_s = ends_s if random.random() < 0.5 and at_s + 1.3 * ends_s < hurt_s - QUIET_S else None
        if kind < 0.15:
            yield ClearLimit(at_s=at_s, node=node, via=via)
        elif kind > 0.8:
            yield SetLimit(at_s=at_s, node=node, via=via, power_W=limit_A * 690.0, for_s=for_s)
        else:
            current_A = limit_A if not later else round(random.random() * fuse_A, 1)
            yield SetLimit(at_s=at_s, node=node, via=via, current_A=current_A, later=later, for_s=for_s)
        at_s += random.expovariate(1.0 / gap_s)
