"""Cars by chance: the visits of a story, in order of time.

Each EVSE has a random stream of its own, seeded by the story's seed and its name, so that adding an
EVSE changes nothing at the others. The streams do not depend on how the charging goes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from random import Random

import msgspec

from actors.energy.modules import EvseManagerConfig
from actors.plant.catalogue import CATALOGUE, Car
from actors.plant.story import Arrivals, Story, Visit

DC_ENERGY = 10.0
"""A car wants so many times more at a DC EVSE, else it would be gone within seconds."""
SPREAD = (0.5, 1.5)
"""A stay, and a gap at an EVSE, is evenly drawn between these multiples of its mean."""


def visits(story: Story, evses: Mapping[str, EvseManagerConfig]) -> Iterator[Visit]:
    """All visits, those written and those drawn, by time; endless unless the story ends."""
    streams = [iter(sorted(story.cars, key=lambda visit: visit.at_s))]
    if story.arrivals is not None:
        streams += _drawn(story.seed, story.arrivals, evses)
    for visit in heapq.merge(*streams, key=lambda visit: visit.at_s):
        if story.end_s is not None and visit.at_s >= story.end_s:
            return
        yield visit


def _drawn(seed: int, arrivals: Arrivals, evses: Mapping[str, EvseManagerConfig]) -> list[Iterator[Visit]]:
    charging = {evse: _kinds(arrivals, evses[evse]) for evse in arrivals.evses}
    served = {evse: kinds for evse, kinds in charging.items() if kinds}
    if not served:
        return []
    if arrivals.gap_of == "site":
        return [_over_all(Random(f"{seed}"), arrivals, served, evses)]
    return [
        _at_evse(Random(f"{seed}/{evse}"), arrivals, evse, kinds, evses[evse])
        for evse, kinds in served.items()
    ]


def _kinds(arrivals: Arrivals, config: EvseManagerConfig) -> list[Car]:
    kinds = [CATALOGUE[name] for name in arrivals.kinds or CATALOGUE]
    return [kind for kind in kinds if config.charge_mode == "AC" or kind.max_power_W is not None]


def _at_evse(
    random: Random, arrivals: Arrivals, evse: str, kinds: list[Car], config: EvseManagerConfig
) -> Iterator[Visit]:
    at_s = random.uniform(arrivals.first_after_s, arrivals.first_within_s)
    while True:
        visit = _visit(random, arrivals, evse, kinds, config, at_s)
        yield visit
        assert visit.stay_s is not None
        at_s += visit.stay_s + arrivals.gap_s * random.uniform(*SPREAD)


def _over_all(
    random: Random,
    arrivals: Arrivals,
    served: Mapping[str, list[Car]],
    evses: Mapping[str, EvseManagerConfig],
) -> Iterator[Visit]:
    at_s = random.uniform(arrivals.first_after_s, arrivals.first_within_s)
    free_at_s = dict.fromkeys(served, 0.0)
    while True:
        free = [evse for evse, free_s in free_at_s.items() if free_s <= at_s]
        if free:  # else the car drives on
            evse = random.choice(free)
            visit = _visit(random, arrivals, evse, served[evse], evses[evse], at_s)
            assert visit.stay_s is not None
            free_at_s[evse] = at_s + visit.stay_s
            yield visit
        at_s += random.expovariate(1.0 / arrivals.gap_s)


def _visit(
    random: Random, arrivals: Arrivals, evse: str, kinds: list[Car], config: EvseManagerConfig, at_s: float
) -> Visit:
    kind = random.choice(kinds)
    energy_kWh = random.uniform(arrivals.min_energy_kWh, arrivals.max_energy_kWh)
    if config.charge_mode == "DC":
        energy_kWh *= DC_ENERGY
    soc_percent = random.uniform(20.0, 70.0)
    given = {
        "evse": evse,
        "at_s": at_s,
        "stay_s": arrivals.stay_s * random.uniform(*SPREAD),
        "soc_percent": soc_percent,
        "target_percent": min(100.0, soc_percent + 100.0 * energy_kWh / kind.battery_kWh),
    }
    return Visit(**{**msgspec.structs.asdict(kind), **given})
