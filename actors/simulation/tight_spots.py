"""Coincidences that hardly ever come up by themselves: where one margin after another is gone."""

from __future__ import annotations

import math
from random import Random

from msgspec.structs import replace

from actors.simulation.network import Quality
from actors.simulation.plan import Crash, Cut, DiskFails, Fault, Knobs, Plug, Unplug, Weather, Workload
from actors.simulation.workload import draw_car
from actors.site import EvseManagerConfig, Site

TIGHT_RUNS = 0.5
"""Share of the runs that have tight spots."""
LONGEST_SETTLE_S = 15.0
"""Of any EVSE of a drawn site."""


def draw_tight_spots(
    random: Random, site: Site, links: tuple[str, ...], hurt_s: float, knobs: Knobs
) -> list[Workload | Fault]:
    """Some of them, in half of the runs; `links` are those between processes."""
    interval_s = float(site.manager_config().update_interval)
    happenings: list[Workload | Fault] = []
    at_s = random.uniform(0.0, 60.0) if random.random() < TIGHT_RUNS and links else math.inf
    while at_s < hurt_s:
        make = random.choice((_orphan, _revenants))
        happenings += make(random, site, random.choice(links), at_s, interval_s, knobs)
        at_s += random.uniform(10.0, 60.0)
    return happenings


def _orphan(
    random: Random, site: Site, link: str, at_s: float, interval_s: float, knobs: Knobs
) -> list[Workload | Fault]:
    """A car comes to an EVSE that has told long since that it has little. It is granted much, which nobody
    hears of, since its link and soon its process fail, and others want the room."""
    come_s = at_s + random.uniform(1.0, 1.3) * (LONGEST_SETTLE_S + 14.0 * interval_s)
    cut_s = come_s + random.choice((0.05, 0.1, 0.3, interval_s)) * random.uniform(0.5, 1.0)
    dies_s = cut_s + random.choice((0.3, 1.0, 2.0)) * random.random() * interval_s
    for_s = LONGEST_SETTLE_S + 20.0 * interval_s
    inside, others = _rivals(site, link)
    return [
        *(Unplug(at_s=at_s, evse=evse) for evse in (*inside, *others)),
        *(_late_car(random, site, evse, come_s) for evse in inside),
        Cut(at_s=cut_s, link=link, direction="up", for_s=for_s),
        Crash(at_s=dies_s, process=site.controller_of(link).name, for_s=for_s),
        *(_late_car(random, site, evse, dies_s + random.random() * for_s) for evse in others),
    ]


def _revenants(
    random: Random, site: Site, link: str, at_s: float, interval_s: float, knobs: Knobs
) -> list[Workload | Fault]:
    """Both ends of a link die while its messages are late: what a former life has granted to the only car
    comes when the next life has many to share among."""
    parent = site.modules[link].parent
    assert parent is not None
    dies_s = at_s + random.uniform(0.5, 5.0) * interval_s
    born_s = at_s + random.random() * (dies_s - at_s)
    back_s = 10 ** random.uniform(-1.5, 0.0)
    lost = knobs.lost_state and random.random() < 0.3
    quality = Quality(longest_s=0.05, stray=0.4, stray_s=random.uniform(3.0, 10.0) * interval_s)
    above, below = site.controller_of(parent).name, site.controller_of(link).name
    inside, others = _rivals(site, link)
    happenings: list[Workload | Fault] = [
        *(Unplug(at_s=at_s, evse=evse) for evse in others),
        *(_late_car(random, site, evse, at_s) for evse in inside),
        Weather(at_s=at_s, link=link, quality=quality, for_s=20.0 * interval_s),
        Crash(at_s=born_s, process=below, for_s=min(back_s, 0.2 * interval_s)),
        Crash(at_s=dies_s, process=above, for_s=back_s, loses_state=lost),
        *(_late_car(random, site, evse, dies_s + 2.0 * random.random() * interval_s) for evse in others),
    ]
    if random.random() < 0.3:
        happenings.append(DiskFails(at_s=born_s, process=above, for_s=dies_s - born_s))
    if random.random() < 0.3:
        again_s = dies_s + random.random() * 5.0 * interval_s
        happenings.append(Crash(at_s=again_s, process=random.choice((above, below)), for_s=back_s))
    return happenings


def _rivals(site: Site, link: str) -> tuple[list[str], list[str]]:
    """The EVSEs below a link, and those beside it below the same parent."""
    parent = site.modules[link].parent
    assert parent is not None
    evses = [m for m in site.subtree(parent) if isinstance(site.modules[m].config, EvseManagerConfig)]
    inside = {*site.subtree(link)}
    return [e for e in evses if e in inside], [e for e in evses if e not in inside]


def _late_car(random: Random, site: Site, evse: str, at_s: float) -> Plug:
    """One that takes all it gets, and the whole settle time to take less."""
    config = site.modules[evse].config
    assert isinstance(config, EvseManagerConfig)
    car = replace(draw_car(random, config), reaction_s=config.settle_time_s, share=1.0)
    return Plug(at_s=at_s, evse=evse, car=car)
