"""Coincidences that hardly ever come up by themselves: where one margin after another is gone.

Margins cover each other up. A parent counts with what a child told last for longer than any grant lasts,
islands begin before grants end, what is urgent is told at once. So each spot takes the others away: a
link fails just after the one message that matters, or carries it late and what follows in time, and
somebody comes who wants the room. Cars take all that they get and come down as late as they may.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from actors.simulation import tight_hardware, tight_lives
from actors.simulation.network import Quality
from actors.simulation.plan import (
    ClearLimit,
    Crash,
    Cut,
    Detour,
    DiskFails,
    Knobs,
    SetLimit,
    Weather,
)
from actors.simulation.spot import (
    GRANT_INTERVALS,
    JUST_BEFORE_S,
    LONGEST_INTERVALS,
    LONGEST_SETTLE_S,
    Happenings,
    Spot,
)
from actors.site import EvseManagerConfig, Site

TIGHT_RUNS = 0.5
"""Share of the runs that have tight spots."""


def draw_tight_spots(
    random: Random, site: Site, links: tuple[str, ...], hurt_s: float, knobs: Knobs
) -> Happenings:
    """One after the other, in half of the runs; `links` are those between processes."""
    interval_s = float(site.manager_config().update_interval)
    happenings: Happenings = []
    if (random.random() >= TIGHT_RUNS and not knobs.tight) or not links:
        return happenings
    kinds = [spot for spot in SPOTS if not knobs.spots or spot.__name__ in knobs.spots]
    tall = [link for link in links if _is_tall(site, link)]
    at_s = random.uniform(0.0, 30.0)
    while at_s < hurt_s:
        link = random.choice(tall if tall and random.random() < 0.5 else links)
        inside, others = _rivals(site, link)
        spot = Spot(
            site=site,
            link=link,
            at_s=at_s,
            interval_s=interval_s,
            may_lose_state=knobs.lost_state,
            inside=tuple(inside),
            others=tuple(others),
        )
        drawn = random.choice(kinds)(random, spot) if inside else []
        happenings += drawn
        ends_s = max((h.at_s for h in drawn), default=at_s)
        at_s = ends_s + random.random() * (LONGEST_SETTLE_S + LONGEST_INTERVALS * interval_s)
    return happenings


# --- nobody is left to tell --------------------------------------------------------------------------


def orphan(random: Random, spot: Spot) -> Happenings:
    """A car comes to an EVSE that has told long since that it has little. It is granted much, which nobody
    hears of, since its link and perhaps its process fail, and others want the room."""
    interval_s = spot.interval_s
    come_s = spot.at_s + random.uniform(1.0, 1.3) * (LONGEST_SETTLE_S + LONGEST_INTERVALS * interval_s)
    for_s = spot.outlasts_s
    return [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        *spot.come(random, spot.inside, come_s),
        Cut(
            at_s=come_s - JUST_BEFORE_S,
            link=spot.link,
            direction="up",
            for_s=for_s,
            after_messages=random.choice((1, 1, 1, 2, 3)),
        ),
        *_dies(random, spot, come_s, for_s),
        *spot.come(random, spot.others, come_s + random.random() * for_s),
    ]


def heirs(random: Random, spot: Spot) -> Happenings:
    """Others go, and what they had is granted on to who is there, which nobody hears of."""
    interval_s, for_s = spot.interval_s, spot.outlasts_s
    go_s = spot.at_s + 1.3 * LONGEST_SETTLE_S + random.uniform(3.0, 6.0) * interval_s
    return [
        *spot.come(random, spot.others, spot.at_s),
        *spot.come(random, spot.inside, spot.at_s + random.uniform(0.0, 3.0)),
        *spot.leave(spot.others, go_s),
        Cut(
            at_s=go_s - JUST_BEFORE_S,
            link=spot.link,
            direction="up",
            for_s=for_s,
            after_messages=random.choice((0, 0, 0, 1)),
        ),
        *_dies(random, spot, go_s, for_s),
        *spot.come(random, spot.others, go_s + random.uniform(0.2, 1.0) * for_s),
    ]


def _dies(random: Random, spot: Spot, granted_s: float, for_s: float) -> Happenings:
    """Who was granted something dies: at once, just before that ends, or not; it may hear no more before."""
    kind, interval_s = random.random(), spot.interval_s
    happenings: Happenings = []
    if random.random() < 0.5:
        deaf_s = granted_s + random.uniform(0.3, 1.0) * interval_s
        happenings.append(Cut(at_s=deaf_s, link=spot.link, direction="down", for_s=for_s))
    if kind < 0.4:
        after_s = 0.05 + random.choice((0.3, 1.0, 2.0)) * random.random() * interval_s
        happenings.append(Crash(at_s=granted_s + after_s, process=spot.below, for_s=for_s))
    elif kind < 0.8:
        after_s = random.uniform(3.0, GRANT_INTERVALS) * interval_s
        happenings.append(Crash(at_s=granted_s + after_s, process=spot.below, for_s=for_s))
    return happenings


def heirless(random: Random, spot: Spot) -> Happenings:
    """A car charges by what a former life told its hardware; the new one hears of nobody."""
    dies_s = spot.at_s + 2.0 + random.uniform(2.0, 4.0) * spot.interval_s
    for_s = LONGEST_SETTLE_S + 30.0 * spot.interval_s
    return [
        *spot.leave(spot.others, spot.at_s),
        *spot.come(random, spot.inside, spot.at_s),
        Cut(at_s=dies_s - JUST_BEFORE_S, link=spot.link, direction="both", for_s=for_s),
        Crash(at_s=dies_s, process=spot.below, for_s=random.choice((0.05, 1.0)) * random.random()),
        *spot.come(random, spot.others, dies_s + random.random() * for_s / 2.0),
    ]


# --- what was granted before comes late --------------------------------------------------------------


def revenants(random: Random, spot: Spot) -> Happenings:
    """Both ends of a link die while its messages are late: what a former life has granted to the only car
    comes when the next life has many to share among."""
    at_s, interval_s = spot.at_s, spot.interval_s
    dies_s = at_s + random.uniform(0.5, 5.0) * interval_s
    born_s = at_s + random.random() * (dies_s - at_s)
    back_s = 10 ** random.uniform(-1.5, 0.0)
    lost = spot.may_lose_state and random.random() < 0.3
    quality = Quality(longest_s=0.05, stray=0.4, stray_s=random.uniform(3.0, 10.0) * interval_s)
    happenings: Happenings = [
        *spot.leave(spot.others, at_s),
        *spot.come(random, spot.inside, at_s),
        Weather(at_s=at_s, link=spot.link, quality=quality, for_s=20.0 * interval_s),
        Crash(at_s=born_s, process=spot.below, for_s=min(back_s, 0.2 * interval_s)),
        Crash(at_s=dies_s, process=spot.above, for_s=back_s, loses_state=lost),
        *spot.come(random, spot.others, dies_s + 2.0 * random.random() * interval_s),
    ]
    if random.random() < 0.3:
        happenings.append(DiskFails(at_s=born_s, process=spot.above, for_s=dies_s - born_s))
    if random.random() < 0.3:
        again_s = dies_s + random.random() * 5.0 * interval_s
        process = random.choice((spot.above, spot.below))
        happenings.append(Crash(at_s=again_s, process=process, for_s=back_s))
    return happenings


def late_raise(random: Random, spot: Spot) -> Happenings:
    """The only car is granted all, and that is late. Meanwhile its parent has died, or others have come,
    and the room is divided anew, of which it may not hear either."""
    interval_s, site = spot.interval_s, spot.site
    come_s = spot.at_s + 1.3 * LONGEST_SETTLE_S + random.uniform(2.0, 4.0) * interval_s
    lasts_s = random.choice((0.2, 0.4, interval_s)) * random.uniform(0.7, 1.3)
    late_s = lasts_s + random.uniform(1.0, 8.0) * interval_s
    again_s, back_s = come_s + lasts_s * random.uniform(0.8, 1.2), 10 ** random.uniform(-1.5, -0.3)
    happenings: Happenings = [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        *spot.come(random, spot.inside, come_s),
        *spot.come(random, spot.others, again_s + random.uniform(0.1, 2.0) * interval_s),
    ]
    late, deaf, new, dies = (random.random() < 0.5 for _ in range(4))
    links = _links_below(site, spot.link) if late else (spot.link,)
    for link in links:
        happenings.append(
            Detour(at_s=come_s - 1.0, link=link, direction="down", for_s=1.0 + lasts_s, late_s=late_s)
        )
        if new:
            below = site.controller_of(link).name
            happenings.append(Crash(at_s=come_s - random.uniform(0.3, 0.9), process=below, for_s=0.01))
    if deaf:
        happenings.append(
            Cut(
                at_s=again_s,
                link=spot.link,
                direction="down",
                for_s=late_s,
                after_messages=random.choice((0, 0, 1)),
            )
        )
    if dies:
        lost = spot.may_lose_state and random.random() < 0.3
        happenings.append(Crash(at_s=again_s, process=spot.above, for_s=back_s, loses_state=lost))
        if random.random() < 0.3:
            happenings += [
                DiskFails(at_s=spot.at_s, process=spot.above, for_s=again_s - spot.at_s),
                Crash(at_s=come_s - 2.0 - interval_s, process=spot.above, for_s=back_s),
            ]
    return happenings


def obedient(random: Random, spot: Spot) -> Happenings:
    """Somebody holds much and draws little, by a limit of his own. Its parent dies, finds out, and is not
    heard any more; the limit ends."""
    interval_s = spot.interval_s
    limited_s = spot.at_s + 2.0 + random.uniform(1.0, 3.0) * interval_s
    dies_s = limited_s + 1.25 * spot.settle_s() + random.random() * interval_s
    cleared_s = dies_s + random.uniform(1.0, 4.0) * interval_s
    return [
        *spot.leave(spot.others, spot.at_s),
        *spot.come(random, spot.inside, spot.at_s),
        Cut(at_s=limited_s - JUST_BEFORE_S, link=spot.link, direction="down", for_s=dies_s - limited_s),
        SetLimit(at_s=limited_s, node=spot.link, via=spot.link, source="spot", current_A=8.0),
        Crash(at_s=dies_s, process=spot.above, for_s=0.05),
        Cut(
            at_s=dies_s + JUST_BEFORE_S,
            link=spot.link,
            direction="down",
            for_s=20.0 * interval_s,
            after_messages=random.choice((1, 1, 2)),
        ),
        *spot.come(random, spot.others, dies_s + random.random() * interval_s),
        ClearLimit(at_s=cleared_s, node=spot.link, via=spot.link, source="spot"),
    ]


def reboots(random: Random, spot: Spot) -> Happenings:
    """A machine restarts twice, and what was granted to its life in between comes when the clock shows that
    time again."""
    interval_s, at_s = spot.interval_s, spot.at_s
    come_s = at_s + random.uniform(1.0, 4.0) * interval_s
    lasts_s = random.choice((0.2, 0.4, interval_s)) * random.uniform(0.7, 1.3)
    late_s = come_s - at_s + lasts_s + random.uniform(0.2, 3.0) * interval_s
    for_s = spot.outlasts_s
    return [
        *spot.leave((*spot.inside, *spot.others), at_s),
        Crash(at_s=at_s, process=spot.below, for_s=0.05, reboots=True),
        *spot.come(random, spot.inside, come_s),
        Detour(at_s=come_s - 0.5, link=spot.link, direction="down", for_s=0.5 + lasts_s, late_s=late_s),
        Crash(at_s=come_s + lasts_s, process=spot.below, for_s=0.05, reboots=True),
        Cut(
            at_s=come_s + lasts_s + random.choice((-JUST_BEFORE_S, random.random() * interval_s)),
            link=spot.link,
            direction="up",
            for_s=for_s,
        ),
        *spot.come(random, spot.others, come_s + random.random() * for_s),
    ]


SPOTS: tuple[Callable[[Random, Spot], Happenings], ...] = (
    orphan,
    orphan,
    heirs,
    heirless,
    revenants,
    late_raise,
    late_raise,
    late_raise,
    obedient,
    reboots,
    tight_hardware.deaf_hardware,
    tight_hardware.late_reading,
    tight_hardware.second_life,
    tight_hardware.former_reading,
    tight_lives.former_report,
    tight_lives.half_told,
    tight_lives.sleeper,
    tight_lives.two_managers,
)
"""All kinds, those that find most more than once."""
KINDS = tuple(dict.fromkeys(spot.__name__ for spot in SPOTS))


def _rivals(site: Site, link: str) -> tuple[list[str], list[str]]:
    """The EVSEs below a link, and those beside it below the same parent."""
    parent = site.modules[link].parent
    assert parent is not None
    evses = [m for m in site.subtree(parent) if isinstance(site.modules[m].config, EvseManagerConfig)]
    inside = {*site.subtree(link)}
    return [e for e in evses if e in inside], [e for e in evses if e not in inside]


def _is_tall(site: Site, link: str) -> bool:
    """Whether there is another link to an EVSE right below: three processes in a row."""
    below = site.controller_of(link)
    return any(
        isinstance(site.modules[child].config, EvseManagerConfig) and site.controller_of(child) is not below
        for child in site.modules[link].children
    )


def _links_below(site: Site, link: str) -> tuple[str, ...]:
    """All links from the same parent to other processes."""
    parent = site.modules[link].parent
    assert parent is not None
    above = site.controller_of(parent).name
    return tuple(c for c in site.modules[parent].children if site.controller_of(c).name != above)
