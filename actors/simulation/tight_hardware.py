"""Tight spots between an EVSE and its hardware."""

from __future__ import annotations

from random import Random

from actors.simulation.network import DRIVER
from actors.simulation.plan import Ask, Clog, Cut, Detour, Fault, Pause, RestartHardware
from actors.simulation.spot import (
    GRANT_INTERVALS,
    JUST_BEFORE_S,
    LONGEST_INTERVALS,
    LONGEST_SETTLE_S,
    Happenings,
    Spot,
    config_of,
)


def deaf_hardware(random: Random, spot: Spot) -> Happenings:
    """Hardware that charges hears nothing any more and says nothing, and others want the room."""
    evse = random.choice(spot.inside)
    deaf_s = spot.at_s + 2.0 + random.uniform(2.0, 4.0) * spot.interval_s
    for_s = 2.0 * LONGEST_SETTLE_S + LONGEST_INTERVALS * spot.interval_s
    return [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        *spot.come(random, (evse,), spot.at_s + 1.0),
        Cut(at_s=deaf_s, link=f"{evse}{DRIVER}", direction=random.choice(("both", "down")), for_s=for_s),
        *spot.come(random, (*spot.others, *spot.inside), deaf_s + random.random() * for_s / 2.0)[:-1],
    ]


def late_reading(random: Random, spot: Spot) -> Happenings:
    """The car pauses for a moment, and that its contactor was open is heard of long after."""
    evse = random.choice(spot.inside)
    driver, settle_s = f"{evse}{DRIVER}", config_of(spot.site, evse).settle_time_s
    pauses_s = spot.at_s + 3.0 + random.uniform(2.0, 4.0) * spot.interval_s
    happenings: Happenings = [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        *spot.come(random, (evse,), spot.at_s + 1.0),
        Ask(at_s=pauses_s, evse=evse, asks=False),
        Ask(at_s=pauses_s + random.uniform(0.1, 0.3), evse=evse, asks=True),
    ]
    if random.random() < 0.5:
        # It comes when all that the hardware was told has run out.
        over_s = GRANT_INTERVALS * spot.interval_s * random.choice((1.11, 1.22, 1.36))
        for_s = over_s + settle_s * random.random()
        come_s = pauses_s + random.random() * over_s
        happenings.append(Clog(at_s=pauses_s - JUST_BEFORE_S, link=driver, direction="up", for_s=for_s))
    else:
        # It comes when the hardware was told something else, and silent for a while.
        come_s = pauses_s + 0.6
        silent_s = come_s + random.choice((0.5, 1.0, 2.0))
        late_s = silent_s - pauses_s + random.uniform(5.5, 8.0)
        happenings += [
            Detour(at_s=pauses_s - JUST_BEFORE_S, link=driver, direction="up", for_s=0.5, late_s=late_s),
            Cut(at_s=silent_s, link=driver, direction="up", for_s=12.0),
        ]
    return [*happenings, *spot.come(random, spot.rivals(evse), come_s)]


def second_life(random: Random, spot: Spot) -> Happenings:
    """What an EVSE was granted reaches its hardware when that is over and others have the room: its process
    stands still in the middle of a step, or their link does. The hardware restarts before and meanwhile, and
    its clock, which begins anew each time, shows again what the limit answers."""
    evse, interval_s = random.choice(spot.inside), spot.interval_s
    young_s = random.uniform(0.3, 3.0) * interval_s
    come_s = spot.at_s + young_s + random.random() * interval_s
    for_s = LONGEST_SETTLE_S + random.choice((0.5, 1.0, 1.0)) * LONGEST_INTERVALS * interval_s
    again_s = come_s + for_s - young_s * random.uniform(0.9, 3.0)
    process, stop_s, after = spot.site.controller_of(evse).name, come_s - JUST_BEFORE_S, random.randint(1, 12)
    late: Fault = Pause(at_s=stop_s, process=process, for_s=for_s, after_effects=after)
    if random.random() < 0.3:
        late = Clog(
            at_s=stop_s, link=f"{evse}{DRIVER}", direction="down", for_s=for_s, after_messages=after % 3
        )
    return [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        RestartHardware(at_s=spot.at_s, evse=evse, for_s=0.05, opens=random.random() < 0.5),
        *spot.come(random, (evse,), come_s),
        late,
        RestartHardware(at_s=max(again_s, come_s), evse=evse, for_s=0.05, opens=random.random() < 0.5),
        *spot.come(random, spot.rivals(evse), come_s + random.random() * for_s),
    ]


def former_reading(random: Random, spot: Spot) -> Happenings:
    """The car pauses for a moment, its hardware restarts, and the car charges on. That its contactor was open
    is heard of when others have come, and it is about to come down."""
    evse, interval_s = random.choice(spot.inside), spot.interval_s
    driver, settle_s = f"{evse}{DRIVER}", config_of(spot.site, evse).settle_time_s
    pauses_s = spot.at_s + 4.0 + random.uniform(2.0, 6.0) * interval_s
    goes_on_s = pauses_s + random.uniform(0.6, 1.0)
    come_s = goes_on_s + random.uniform(0.5, 3.0) + random.choice((0.0, 1.0)) * random.random() * interval_s
    late_s = come_s - pauses_s + random.random() * settle_s
    return [
        *spot.leave((*spot.inside, *spot.others), spot.at_s),
        *spot.come(random, (evse,), spot.at_s + 1.0),
        Ask(at_s=pauses_s, evse=evse, asks=False),
        Detour(at_s=pauses_s - JUST_BEFORE_S, link=driver, direction="up", for_s=0.4, late_s=late_s),
        RestartHardware(at_s=pauses_s + 0.5, evse=evse, for_s=0.01, opens=random.random() < 0.5),
        Ask(at_s=goes_on_s, evse=evse, asks=True),
        *spot.come(random, spot.rivals(evse), come_s),
    ]
