"""Tight spots of a fuse that is measured: cars take all that a load leaves; it rises when that is seen late.

The cars' reports are lost, cars never stand still, the meter fails, the node dies, or nothing of it. The load
stays for longer than what was granted before, or for longer than it may be unknown at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from msgspec.structs import replace

from actors.energy.fixed_load import UNSTEADY_S, MeterConfig
from actors.simulation.network import DRIVER
from actors.simulation.plan import (
    Appetite,
    Crash,
    Cut,
    Detour,
    Fault,
    Load,
    MeterFails,
    MeterFault,
    Plug,
    Workload,
)
from actors.simulation.spot import JUST_BEFORE_S, LONGEST_INTERVALS, LONGEST_SETTLE_S, config_of
from actors.simulation.workload import draw_car
from actors.site import EvseManagerConfig, Site

MOST_SPOTS = 100


def draw_tight_loads(
    random: Random, site: Site, node: str, loaded: str, most_A: float, hurt_s: float
) -> Iterator[Workload | Fault]:
    """One after the other at a metered node; the load is that of `loaded`, there or below."""
    meter = site.modules[node].meter or MeterConfig()
    interval_s = float(site.manager_config().update_interval)
    evses = [m for m in site.subtree(node) if isinstance(site.modules[m].config, EvseManagerConfig)]
    links = [m for m in site.subtree(node)[1:] if site.controller_of(m) is not site.controller_of(node)]
    links += [f"{evse}{DRIVER}" for evse in evses]
    at_s = random.uniform(0.0, 20.0)
    for _ in range(MOST_SPOTS):
        if at_s >= hurt_s or not evses:
            return
        low_A = most_A * random.choice((0.0, 0.1, 0.3)) * random.random()
        high_A = most_A * random.choice((1.0, 1.0, 0.6))
        yield Load(at_s=at_s, node=loaded, current_A=low_A)
        for evse in evses:
            config = config_of(site, evse)
            car = replace(draw_car(random, config), reaction_s=config.settle_time_s, share=1.0, meter=1.0)
            yield Plug(at_s=at_s + random.random(), evse=evse, car=car)
        waits_s = 1.2 * LONGEST_SETTLE_S + random.uniform(3.0, 8.0) * interval_s + meter.hold_s
        rise_s = at_s + waits_s
        reach_s = LONGEST_SETTLE_S + LONGEST_INTERVALS * 1.3 * interval_s
        noticed_s = random.choice((0.0, meter.hold_s, meter.timeout_s, meter.frozen_s, 1.6 * UNSTEADY_S))
        lasts_s = (reach_s + noticed_s) * random.uniform(1.0, 1.3)
        yield Load(at_s=rise_s, node=loaded, current_A=high_A)
        begin_s = rise_s + random.choice(
            (-JUST_BEFORE_S, -2.0, random.random() * 3.0, random.random() * interval_s)
        )
        yield from _trouble(random, site, node, meter, evses, links, begin_s, lasts_s)
        at_s = rise_s + lasts_s


def _trouble(
    random: Random,
    site: Site,
    node: str,
    meter: MeterConfig,
    evses: list[str],
    links: list[str],
    begin_s: float,
    lasts_s: float,
) -> Iterator[Workload | Fault]:
    """Why a rise is seen late."""
    kind = random.choice(
        ("none", "deaf", "late", "late", "restless", "restless", "silent", "frozen", "restarts")
    )
    for_s = lasts_s * random.choice((0.5, 1.0, 1.0))
    if kind == "deaf":
        for link in links:
            yield Cut(at_s=begin_s, link=link, direction="up", for_s=for_s)
    elif kind == "late":
        late_s = meter.hold_s * random.uniform(0.5, 2.0)
        for link in links:
            yield Detour(at_s=begin_s, link=link, direction="up", for_s=lasts_s, late_s=late_s)
        some, at_s = random.sample(evses, k=random.randint(1, len(evses))), begin_s
        while at_s < begin_s + lasts_s:
            for evse in some:
                yield Appetite(at_s=at_s, evse=evse, share=random.choice((0.0, 0.3, 1.0)))
            at_s += late_s * random.uniform(0.5, 2.0)
        for evse in some:
            yield Appetite(at_s=at_s, evse=evse, share=1.0)
    elif kind == "restless":
        some, at_s = random.sample(evses, k=random.randint(1, len(evses))), begin_s
        while at_s < begin_s + for_s:
            yield Appetite(
                at_s=at_s, evse=random.choice(some), share=random.choice((1.0, 1.0, 0.9, 0.7, 0.5))
            )
            at_s += random.uniform(0.5, 3.0)
        for evse in some:
            yield Appetite(at_s=at_s, evse=evse, share=1.0)
    elif kind in ("silent", "frozen"):
        how: MeterFault = "silent" if kind == "silent" else "frozen"
        noticed_s = meter.timeout_s if kind == "silent" else meter.frozen_s
        yield MeterFails(at_s=begin_s, node=node, how=how, for_s=random.choice((for_s, for_s, noticed_s)))
    elif kind == "restarts":
        process = site.controller_of(node).name
        yield Crash(at_s=begin_s, process=process, for_s=random.choice((0.05, 2.0)))
