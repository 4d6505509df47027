"""Tight spots between two lives of a process, or on both sides of a moment in which it stands still."""

from __future__ import annotations

from random import Random

from actors.simulation.network import DRIVER, Direction
from actors.simulation.plan import Clog, Crash, Cut, Detour, Fault, Pause, RestartHardware
from actors.simulation.spot import (
    GRANT_INTERVALS,
    JUST_BEFORE_S,
    LONGEST_INTERVALS,
    LONGEST_SETTLE_S,
    Happenings,
    Spot,
)

UP_OR_DOWN: tuple[Direction, ...] = ("up", "down")


def former_report(random: Random, spot: Spot) -> Happenings:
    """What a process told when nothing flowed below it is heard when its next life holds all that there is,
    and mostly is not heard itself."""
    interval_s = spot.interval_s
    told_s = spot.at_s + 1.2 * LONGEST_SETTLE_S + random.uniform(1.0, 3.0) * interval_s
    window_s = random.uniform(0.5, 2.5) * interval_s
    come_s = told_s + random.uniform(0.2, 1.2) * window_s
    dies_s = max(told_s + 0.1, come_s + random.uniform(-1.0, 4.0) * interval_s)
    late_s = dies_s - told_s + random.uniform(0.2, 8.0) * interval_s
    happenings: Happenings = [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        Detour(at_s=told_s, link=spot.link, direction="up", for_s=window_s, late_s=late_s),
        *spot.come(random, spot.inside, come_s),
        *spot.come(random, spot.others, told_s + late_s + random.uniform(-1.0, 1.0) * interval_s),
    ]
    if random.random() < 0.8:
        happenings.append(_crash(random, spot.below, dies_s, random.choice((0.05, 0.5 * interval_s))))
    if random.random() < 0.3:
        again_s = dies_s + random.uniform(0.3, 3.0) * interval_s
        happenings.append(_crash(random, random.choice((spot.below, spot.above)), again_s))
    if random.random() < 0.7:
        directions: tuple[Direction, ...] = ("up", "up", "both", "down")
        happenings.append(_silence(random, spot, dies_s + 2.0 * random.random() * interval_s, directions))
    return happenings


def half_told(random: Random, spot: Spot) -> Happenings:
    """A process stands still in the midst of handing down. What it had still to say comes when those who
    heard the rest have died, gone, or fallen silent, and others have come."""
    interval_s = spot.interval_s
    come_s = spot.at_s + random.choice((0.0, 1.2)) * LONGEST_SETTLE_S + random.uniform(1.0, 4.0) * interval_s
    stops_s = come_s - JUST_BEFORE_S + random.choice((0.0, 0.0, 2.0)) * random.random() * interval_s
    intervals_s = [n * interval_s for n in (4.0, GRANT_INTERVALS, LONGEST_INTERVALS, 20.0)]
    for_s = random.choice((1.0, LONGEST_SETTLE_S, *intervals_s)) * random.uniform(0.8, 1.2)
    first, then = random.choice(((spot.inside, spot.others), (spot.others, spot.inside)))
    happenings: Happenings = [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        *spot.come(random, first, come_s),
        Pause(at_s=stops_s, process=spot.above, for_s=for_s, after_effects=random.randint(0, 12)),
    ]
    if random.random() < 0.5:
        back_s = random.choice((0.05, 0.5 * interval_s))
        happenings.append(_crash(random, spot.below, come_s + random.random() * for_s, back_s))
    if random.random() < 0.4:
        happenings.append(_silence(random, spot, come_s + random.random() * for_s, UP_OR_DOWN))
    if random.random() < 0.3:
        lost = spot.may_lose_state and random.random() < 0.3
        again_s = come_s + for_s + 2.0 * random.random() * interval_s
        happenings.append(Crash(at_s=again_s, process=spot.above, for_s=0.05, loses_state=lost))
    if random.random() < 0.3:
        happenings += spot.leave(first, come_s + for_s * random.uniform(0.5, 1.1))
    return [*happenings, *spot.come(random, then, come_s + for_s * random.uniform(0.3, 1.3))]


def sleeper(random: Random, spot: Spot) -> Happenings:
    """Who was granted much stands still before it has handed that on, or told its hardware, and goes on
    about when that is over."""
    interval_s = spot.interval_s
    come_s = spot.at_s + 1.2 * LONGEST_SETTLE_S + random.uniform(1.0, 4.0) * interval_s
    intervals_s = [n * interval_s for n in (4.0, 8.0, GRANT_INTERVALS, 12.0, LONGEST_INTERVALS)]
    for_s = random.choice((LONGEST_SETTLE_S, *intervals_s)) * random.uniform(0.9, 1.15)
    happenings: Happenings = [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        *spot.come(random, spot.inside, come_s),
        Pause(
            at_s=come_s - JUST_BEFORE_S,
            process=spot.below,
            for_s=for_s,
            after_effects=random.randint(1, 16),
        ),
    ]
    if random.random() < 0.5:
        happenings.append(
            Clog(
                at_s=come_s + random.random() * interval_s,
                link=spot.link,
                direction=random.choice((*UP_OR_DOWN, "both")),
                for_s=for_s * random.uniform(0.5, 1.1),
            )
        )
    if random.random() < 0.3:
        happenings.append(Crash(at_s=come_s + random.random() * for_s, process=spot.above, for_s=0.05))
    if random.random() < 0.3:
        happenings.append(_crash(random, spot.below, come_s + for_s + 0.3 * random.random()))
    return [*happenings, *spot.come(random, spot.others, come_s + random.random() * for_s)]


def two_managers(random: Random, spot: Spot) -> Happenings:
    """An EVSE's process dies, mostly twice, while what its first life told the hardware is under way, and the
    hardware may restart, too."""
    evse, interval_s = random.choice(spot.inside), spot.interval_s
    driver, process = f"{evse}{DRIVER}", spot.site.controller_of(evse).name
    come_s = spot.at_s + random.uniform(1.0, 4.0) * interval_s + random.choice((0.0, LONGEST_SETTLE_S))
    for_s = random.choice((2.0, 5.0, 9.0, 11.0)) * interval_s * random.uniform(0.8, 1.2)
    late_s, passed = come_s + random.uniform(-0.01, 1.0) * interval_s, random.choice((0, 0, 1, 2))
    happenings: Happenings = [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        *spot.come(random, (evse,), come_s),
        Clog(at_s=late_s, link=driver, direction="down", for_s=for_s, after_messages=passed),
    ]
    if random.random() < 0.5:
        up_s, lasts_s = come_s + random.random() * interval_s, random.uniform(0.5, 1.2) * for_s
        readings: Fault = Clog(at_s=up_s, link=driver, direction="up", for_s=lasts_s)
        if random.random() < 0.5:
            window_s = random.random() * interval_s
            readings = Detour(at_s=up_s - 0.5, link=driver, direction="up", for_s=window_s, late_s=lasts_s)
        happenings.append(readings)
    dies_s = come_s + random.random() * interval_s
    for _ in range(random.choice((1, 2, 2))):
        happenings.append(_crash(random, process, dies_s, random.choice((0.05, 0.05, 0.5 * interval_s))))
        dies_s += random.uniform(0.2, 4.0) * interval_s
    if random.random() < 0.5:
        again_s, opens = come_s + random.random() * for_s, random.random() < 0.5
        happenings.append(RestartHardware(at_s=again_s, evse=evse, for_s=0.05, opens=opens))
    return [*happenings, *spot.come(random, spot.rivals(evse), come_s + random.uniform(0.2, 1.2) * for_s)]


def _crash(random: Random, process: str, at_s: float, for_s: float = 0.05) -> Crash:
    """It may be its machine that restarts."""
    return Crash(at_s=at_s, process=process, for_s=for_s, reboots=random.random() < 0.5)


def _silence(random: Random, spot: Spot, at_s: float, directions: tuple[Direction, ...]) -> Cut:
    return Cut(
        at_s=at_s,
        link=spot.link,
        direction=random.choice(directions),
        for_s=spot.outlasts_s,
        after_messages=random.choice((0, 0, 1, 2)),
    )
