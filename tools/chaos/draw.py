"""A story by chance: faults of all kinds, about as long as something else takes.

Lengths gather around what the protocol waits for (a grant's end, a settle time), and when a fault ends,
another one is often near: that is where rules are tight.
"""

from __future__ import annotations

from random import Random

from actors.energy.lease import longest_grant_s
from actors.site import Site
from tools.chaos.hosts import PLANT
from tools.chaos.story import (
    AnyFault,
    Cut,
    Disturb,
    FillDisk,
    Kill,
    Limit,
    Pause,
    Stop,
    Story,
    WallClock,
    Way,
)

LONGEST_PAUSE_S = 60.0
LONGEST_DELAY_S = 40.0
GAP_S = 9.0
"""Mean, from one fault's beginning to the next one's."""
DEATHS_APART_S = 20.0
"""Between two deaths of one controller: more would be a crash loop, which a supervisor ends."""
FIRST_S = 3.0
LAST_S = 5.0
"""Before the end, nothing begins."""
KINDS = (
    ("kill", 4),
    ("restart", 2),
    ("stop", 1),
    ("pause", 4),
    ("cut", 4),
    ("cut one way", 4),
    ("delay", 3),
    ("weather", 3),
    ("disk", 1),
    ("wall", 2),
    ("limit", 3),
)


def draw_story(site: Site, seed: int, for_s: float, calm_s: float, *, disks: bool = True) -> Story:
    """The same story for the same site and seed. Without `disks` no disk is filled."""
    random = Random(f"{seed}")
    faults: list[AnyFault] = []
    dead_until_s = dict.fromkeys(site.controllers, 0.0)
    at_s = FIRST_S + random.expovariate(1.0 / GAP_S)
    kinds = [kind for kind in KINDS if disks or kind[0] != "disk"]
    while at_s < for_s - LAST_S:
        (kind,) = random.choices([k for k, _ in kinds], [weight for _, weight in kinds])
        length_s = min(_length_s(random, site), for_s - at_s)
        part = random.choice(list(site.controllers))
        if kind in ("kill", "restart", "stop"):
            if dead_until_s[part] > at_s:
                at_s += random.expovariate(1.0 / GAP_S)
                continue
            dead_until_s[part] = at_s + DEATHS_APART_S + (0.0 if kind == "restart" else length_s)
        faults.append(_fault(random, site, kind, round(at_s, 1), round(length_s, 1) or 0.1, part))
        # Often the next one comes just when this one ends.
        at_s += length_s if random.random() < 0.2 else random.expovariate(1.0 / GAP_S)
    faults = [f for f in faults if f.at_s + (f.for_s or 0.0) <= for_s]
    return Story(
        story=f"drawn from seed {seed}",
        seed=seed,
        cars="changing",
        for_s=for_s,
        calm_s=calm_s,
        faults=tuple(sorted(faults, key=lambda fault: fault.at_s)),
    )


def _length_s(random: Random, site: Site) -> float:
    interval_s = site.manager_config().update_interval
    grant_s = longest_grant_s(site.manager_config())
    around_s = random.choice([interval_s, 3.0, 5 * interval_s, grant_s, 1.3 * grant_s, 20.0, LONGEST_PAUSE_S])
    return min(LONGEST_PAUSE_S, max(0.2, around_s * random.uniform(0.6, 1.3)))


def _fault(random: Random, site: Site, kind: str, at_s: float, for_s: float, part: str) -> AnyFault:
    match kind:
        case "kill":
            return Kill(kill=part, at_s=at_s, for_s=for_s)
        case "restart":
            return Kill(kill=part, at_s=at_s)
        case "stop":
            return Stop(stop=part, at_s=at_s, for_s=for_s)
        case "pause":
            return Pause(pause=part, at_s=at_s, for_s=for_s)
        case "cut":
            first, second = _link(random, site)
            return Cut(cut=((first, second), (second, first)), at_s=at_s, for_s=for_s)
        case "cut one way":
            return Cut(cut=(_link(random, site),), at_s=at_s, for_s=for_s)
        case "delay":
            return _delay(random, _link(random, site), at_s, for_s)
        case "weather":
            return _weather(random, _link(random, site), at_s, for_s)
        case "disk":
            return FillDisk(fill_disk=part, at_s=at_s, for_s=for_s)
        case "wall":
            ahead_s = random.choice([-1.0, 1.0]) * random.choice([3600.0, 61.0, 7200.0, 2.0])
            return WallClock(wall_clock=part, ahead_s=ahead_s, at_s=at_s, for_s=for_s)
    nodes = [m.id for m in site.modules.values() if m.children]
    current_A = float(random.choice([0, 16, 32, 50, 80]))
    return Limit(limit=random.choice(nodes), current_A=current_A, at_s=at_s, for_s=for_s)


def _delay(random: Random, way: Way, at_s: float, for_s: float) -> Disturb:
    low_s = random.uniform(0.0, LONGEST_DELAY_S)
    high_s = min(LONGEST_DELAY_S, low_s + random.choice([0.0, 1.0, 10.0]))
    reorder = PLANT not in way and random.random() < 0.5
    ways = (way, way[::-1]) if random.random() < 0.5 else (way,)
    return Disturb(
        disturb=ways,
        min_delay_s=round(low_s, 1),
        max_delay_s=round(high_s, 1),
        reorder=reorder,
        at_s=at_s,
        for_s=for_s,
    )


def _weather(random: Random, way: Way, at_s: float, for_s: float) -> Disturb:
    orderly = PLANT in way
    return Disturb(
        disturb=(way, way[::-1]),
        loss=round(random.uniform(0.0, 0.5), 2),
        repeat=round(random.uniform(0.0, 0.5), 2),
        damage=round(random.uniform(0.0, 0.2), 2),
        max_delay_s=random.choice([0.0, 0.2, 2.0]),
        reorder=not orderly and random.random() < 0.7,
        at_s=at_s,
        for_s=for_s,
    )


def _link(random: Random, site: Site) -> Way:
    """A way from a part to one that it talks to."""
    ways: list[Way] = []
    for module in site.modules.values():
        own = site.controller_of(module.id).name
        above = PLANT if not module.children else None
        if module.parent is not None and (parent := site.controller_of(module.parent).name) != own:
            ways += [(own, parent), (parent, own)]
        if above is not None:
            ways += [(own, above), (above, own)]
    return random.choice(sorted(set(ways)))
