"""What profiles allow at an instant, and over time.

A layer is one purpose, or TxProfile with TxDefaultProfile beneath: profiles in the order in which they count.
The first that has a period at the instant holds; a gap in it lets the next one through. Across layers the
lowest limit and the lowest number of phases count. Limits in ampere and in watt are held beside each other,
since one is none of the other until it is known how many phases are used."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from msgspec import Struct

from actors.energy.charging_profiles.profile import (
    FOREVER_S,
    STATION,
    STATION_EVSE,
    Period,
    Profile,
    Purpose,
    Transaction,
    Unit,
)

MAX_STEPS = 300
"""Of a composite schedule; what is later is not told."""
MAX_LOOKS = 10_000
"""Instants that are looked at for one: many may be alike."""

Layers = Sequence[Sequence[Profile]]


class Held(Struct, frozen=True):
    """What may be drawn; None: no limit."""

    limit_A: float | None = None
    """Per phase."""
    limit_W: float | None = None
    phases: int | None = None

    def any(self) -> bool:
        """Whether it limits anything."""
        return self != Held()

    def amperes(self, wiring: Wiring) -> float | None:
        """Both limits as one per phase: never more than either allows on so many phases."""
        watts = None if self.limit_W is None else self.limit_W / (wiring.voltage_V * self.used(wiring))
        return lowest(self.limit_A, watts)

    def watts(self, wiring: Wiring) -> float | None:
        """Both limits as one in all."""
        watts = None if self.limit_A is None else self.limit_A * wiring.voltage_V * self.used(wiring)
        return lowest(self.limit_W, watts)

    def used(self, wiring: Wiring) -> int:
        """Phases that count for the conversion: all that are wired unless fewer are allowed."""
        return wiring.phases if self.phases is None else min(self.phases, wiring.phases)


class Wiring(Struct, frozen=True):
    """What turns amperes into watts."""

    voltage_V: float
    """Between a phase and neutral."""
    phases: int


class Step(Struct, frozen=True):
    """From `start_s` on, until the next step."""

    start_s: int
    held: Held


class Place(Struct, frozen=True):
    """Layers that count at a module, and where Relative ones begin."""

    layers: Layers
    relative_s: int | None = None


NOTHING = Held()


def lowest(*limits: float | None) -> float | None:
    """Of limits of which some are none."""
    return min((limit for limit in limits if limit is not None), default=None)


def at_station(profiles: Iterable[Profile], purposes: Sequence[Purpose] = STATION) -> Place:
    """What limits the station as a whole, of these purposes."""
    found = list(profiles)
    return Place([_by_level(p for p in found if p.purpose == purpose) for purpose in purposes])


def at_evse(profiles: Iterable[Profile], evse: int, transaction: Transaction | None) -> Place:
    """What limits an EVSE beside the station: nothing without a transaction."""
    if transaction is None:
        return Place([])
    own = [p for p in profiles if p.evse in (evse, STATION_EVSE)]
    of_it = (p for p in own if p.purpose == "TxProfile" and p.transaction in (None, transaction.id))
    default = (p for p in own if p.purpose == "TxDefaultProfile")
    return Place([[*_by_level(of_it), *_by_level(default)]], transaction.started_s)


def _by_level(profiles: Iterable[Profile]) -> list[Profile]:
    """Highest level first; of equals the EVSE's own before the station's."""
    return sorted(profiles, key=lambda p: (-p.stack_level, p.evse == STATION_EVSE))


def hold_at(place: Place, at_s: int) -> tuple[Held, int]:
    """What holds at an instant, and until when at least it stays so."""
    held, until_s = NOTHING, FOREVER_S
    for layer in place.layers:
        for profile in layer:
            period, period_until_s = period_at(profile, at_s, place.relative_s)
            until_s = min(until_s, period_until_s)
            if period is not None:
                held = both(held, _of(profile, period))
                break
    return held, until_s


def both(one: Held, other: Held) -> Held:
    """What two allow together."""
    phases = min((p for p in (one.phases, other.phases) if p is not None), default=None)
    return Held(lowest(one.limit_A, other.limit_A), lowest(one.limit_W, other.limit_W), phases)


def _of(profile: Profile, period: Period) -> Held:
    if profile.unit == "A":
        return Held(period.limit, None, period.phases)
    return Held(None, period.limit, period.phases)


def period_at(profile: Profile, at_s: int, relative_s: int | None) -> tuple[Period | None, int]:
    """The period of a profile that holds at an instant, if any, and until when at least that stays so."""
    if profile.valid_from_s is not None and at_s < profile.valid_from_s:
        return None, profile.valid_from_s
    valid_to_s = FOREVER_S if profile.valid_to_s is None else profile.valid_to_s
    start_s = relative_s if profile.kind == "Relative" else profile.start_s
    if at_s >= valid_to_s or start_s is None:
        return None, FOREVER_S
    if at_s < start_s:
        return None, min(start_s, valid_to_s)
    again_s, each_s = FOREVER_S, profile.recurs_each_s()
    if each_s is not None:
        start_s += (at_s - start_s) // each_s * each_s
        again_s = start_s + each_s
    end_s = again_s if profile.duration_s is None else min(again_s, start_s + profile.duration_s)
    if at_s >= end_s:
        return None, min(again_s, valid_to_s)
    after = bisect_right(profile.periods, at_s - start_s, key=lambda period: period.start_s)
    if after < len(profile.periods):
        end_s = min(end_s, start_s + profile.periods[after].start_s)
    return profile.periods[after - 1], min(end_s, valid_to_s)


def steps(place: Place, from_s: int, to_s: int, most: int = MAX_STEPS) -> tuple[list[Step], int]:
    """What holds from an instant on, and until when that is told: `to_s`, unless there are too many steps."""
    found: list[Step] = []
    at_s = from_s
    for _ in range(MAX_LOOKS):
        if at_s >= to_s:
            return found, to_s
        held, until_s = hold_at(place, at_s)
        if not found or found[-1].held != held:
            if len(found) == most:
                break
            found.append(Step(at_s, held))
        at_s = until_s
    return found, at_s


class Composed(Struct, frozen=True):
    """A step of a composite schedule."""

    start_s: int
    """Since the schedule's begin."""
    limit: float
    phases: int | None


def compose(
    places: Sequence[tuple[Place, Wiring]], unit: Unit, rating: float, from_s: int, duration_s: int
) -> tuple[list[Composed], int]:
    """The composite schedule of a module: the lowest of all places on its way to the root, and of its rating
    (in the unit); and its duration, which is shorter where there are too many steps. The last wiring is its
    own."""
    wiring = places[-1][1]
    found: list[Composed] = []
    at_s, to_s = from_s, from_s + duration_s
    for _ in range(MAX_LOOKS):
        if at_s >= to_s:
            return found, duration_s
        until_s, all_of = to_s, NOTHING
        limits: list[float | None] = [rating]
        for place, of in places:
            held, held_until_s = hold_at(place, at_s)
            until_s = min(until_s, held_until_s)
            all_of = both(all_of, held)
            limits.append(held.amperes(of) if unit == "A" else held.watts(of))
        if unit == "W" and all_of.limit_A is not None:
            limits.append(all_of.limit_A * wiring.voltage_V * all_of.used(wiring))
        limit = lowest(*limits)
        assert limit is not None
        phases = None if all_of.phases is None else all_of.used(wiring)
        if not found or (found[-1].limit, found[-1].phases) != (limit, phases):
            if len(found) == MAX_STEPS:
                break
            found.append(Composed(at_s - from_s, limit, phases))
        at_s = until_s
    return found, at_s - from_s
