"""Clocks that are wrong within bounds: rates off by up to RHO, any offset, wall clocks that jump.

A steady clock is a line of pieces, each with a rate of its own. All pieces are drawn up front, so
true time and the clock's time are turned into each other exactly, also for times that are still to come.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from random import Random

from actors.energy.messages import Instant

RHO = 0.1
"""Rates are within 1 - RHO and 1 + RHO of true time."""
SHORTEST_PIECE_S = 5.0
LONGEST_PIECE_S = 400.0
"""True seconds for which a rate holds."""
WALL_BEGIN_US = 1_900_000_000_000_000


class Clock:
    """A steady clock of its own rate; true time is in seconds since the run began."""

    def __init__(self, pieces: list[tuple[float, float]], begin_s: float = 0.0) -> None:
        """`pieces`: from which true second on each rate holds; the first from 0."""
        self.rates = [rate for _, rate in pieces]
        self._true_s = [true_s for true_s, _ in pieces]
        self._own_s = [begin_s]
        for (start_s, rate), (end_s, _) in pairwise(pieces):
            self._own_s.append(self._own_s[-1] + (end_s - start_s) * rate)
        self._at = 0
        self._from_s = self._until_s = -1.0

    def own_s(self, true_s: float) -> float:
        """What it shows at a true time, which never is before 0."""
        if not self._from_s <= true_s < self._until_s:
            self._at = bisect_right(self._true_s, true_s) - 1
            self._from_s = self._true_s[self._at]
            later = self._at + 1
            self._until_s = self._true_s[later] if later < len(self._true_s) else math.inf
        at = self._at
        return self._own_s[at] + (true_s - self._from_s) * self.rates[at]

    def begin_anew(self, true_s: float) -> None:
        """Its machine restarts: it shows 0 at `true_s`, which may be yet to come."""
        was_s = self.own_s(true_s)
        self._own_s = [own_s - was_s for own_s in self._own_s]
        self._from_s = self._until_s = -1.0

    def true_s(self, own_s: float) -> float:
        """At which true time it shows this; rounding may be a hair off."""
        at, pieces_s = self._at, self._own_s
        later = at + 1
        if own_s < pieces_s[at] or (later < len(pieces_s) and own_s >= pieces_s[later]):
            at = max(0, bisect_right(pieces_s, own_s) - 1)
        return self._true_s[at] + (own_s - self._own_s[at]) / self.rates[at]


class WallClock:
    """Civil time, which somebody may set."""

    def __init__(self, off_us: int = 0) -> None:
        self._off_us = WALL_BEGIN_US + off_us

    def jump(self, by_s: float) -> None:
        """It is set by somebody."""
        self._off_us += round(by_s * 1e6)

    def correct(self) -> None:
        """It is set to true civil time."""
        self._off_us = WALL_BEGIN_US

    def wall_us(self, true_s: float) -> int:
        """Microseconds since the epoch, as it shows them."""
        return self._off_us + int(true_s * 1e6)


class ProcessClocks:
    """The two clocks that a process reads; set them here only."""

    def __init__(self, steady: Clock, wall: WallClock) -> None:
        self.steady = steady
        self.wall = wall
        self._read_s = -1.0
        self._instant = Instant(0.0, 0)
        """As read at `_read_s`: modules of a process do much in one instant."""

    def now(self, true_s: float) -> Instant:
        """This instant on both."""
        if true_s != self._read_s:
            self._read_s = true_s
            self._instant = Instant(self.steady.own_s(true_s), self.wall.wall_us(true_s))
        return self._instant

    def begin_anew(self, true_s: float) -> None:
        """Their machine restarts."""
        self._read_s = -1.0
        self.steady.begin_anew(true_s)

    def jump_wall(self, by_s: float) -> None:
        """Civil time is set by somebody."""
        self._read_s = -1.0
        self.wall.jump(by_s)

    def correct_wall(self) -> None:
        """Civil time is set to the true one."""
        self._read_s = -1.0
        self.wall.correct()


def draw_clock(random: Random, until_s: float, lean: float = 0.0) -> Clock:
    """A clock up to `until_s` of true time and beyond; often at the bounds of what is assumed.

    One that leans (1.0 to the fast side, -1.0 to the slow one) is at that bound all the time.
    """
    if lean:
        return Clock([(0.0, 1.0 + lean * RHO)], begin_s=random.uniform(0.0, 1e6))
    fixed = random.random() < 0.4
    pieces, true_s = [(0.0, _rate(random))], 0.0
    while not fixed and true_s < until_s:
        true_s += random.uniform(SHORTEST_PIECE_S, LONGEST_PIECE_S)
        pieces.append((true_s, _rate(random)))
    return Clock(pieces, begin_s=random.uniform(0.0, 1e6))


def _rate(random: Random) -> float:
    drawn = random.random()
    if drawn < 0.3:
        return 1.0 - RHO
    if drawn < 0.6:
        return 1.0 + RHO
    return random.uniform(1.0 - RHO, 1.0 + RHO)
