"""Links between processes, and between a driver and its hardware.

A link between processes loses, repeats, delays and reorders; so does what hardware says, but what it
is told keeps its order. Both may be cut in one or both directions, or clogged: nothing for a while, then
all at once. Every message draws the same count of random numbers, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

from msgspec import Struct

Direction = Literal["up", "down", "both"]
WAYS: tuple[Literal["up"], Literal["down"]] = ("up", "down")
DRIVER = "#driver"
"""Ends the name of a link between an EVSE's module and its hardware."""
SPREAD_S = 0.01
"""All that a clog held back arrives within this."""
LEFTOVER_S = 0.2
"""What is under way when all is mended arrives within this, or never."""


class Quality(Struct, frozen=True, kw_only=True):
    """How a link treats its messages."""

    loss: float = 0.0
    repeat: float = 0.0
    shortest_s: float = 0.0005
    longest_s: float = 0.02
    stray: float = 0.0
    """Share of messages (and of repeats) that take up to `stray_s` instead."""
    stray_s: float = 0.0


GOOD = Quality()


class Link:
    """One direction of a link; times are true seconds."""

    def __init__(self, random: Random, quality: Quality, *, in_order: bool, mended_s: float) -> None:
        self.quality = quality
        self._base = quality
        self._draw = random.random
        self._in_order = in_order
        self._mended_s = mended_s
        self._cut_until_s = 0.0
        self._clogged_until_s = 0.0
        self._weather_until_s = 0.0
        self._detour = (0.0, 0.0)
        self._last_s = 0.0
        self._traps: list[tuple[int, Callable[[], None]]] = []
        """What begins when so many more messages were sent."""

    def cut(self, until_s: float, after: int = 0) -> None:
        """Nothing passes until then, once so many more have passed."""
        if after:
            self._traps.append((after, lambda: self.cut(until_s)))
        else:
            self._cut_until_s = max(self._cut_until_s, min(until_s, self._mended_s))

    def clog(self, until_s: float, after: int = 0) -> None:
        """All that is sent until then arrives then, once so many more have passed."""
        if after:
            self._traps.append((after, lambda: self.clog(until_s)))
        else:
            self._clogged_until_s = max(self._clogged_until_s, min(until_s, self._mended_s))

    def detour(self, until_s: float, late_s: float) -> None:
        """What is sent until then arrives so much later."""
        self._detour = (min(until_s, self._mended_s), late_s)

    def weather(self, quality: Quality, until_s: float) -> None:
        """Another quality for a while."""
        self.quality, self._weather_until_s = quality, until_s

    def arrivals(self, now_s: float) -> tuple[float, ...]:
        """When a message that is sent now arrives: never, once or twice."""
        draw = self._draw
        lost, twice, first, second, spread = draw(), draw(), draw(), draw(), draw()
        if now_s >= self._mended_s:
            self.quality = GOOD
        elif now_s >= self._weather_until_s:
            self.quality = self._base
        quality = self.quality
        if self._traps:
            self._count()
        if lost < quality.loss or now_s < self._cut_until_s:
            return ()
        if now_s < self._clogged_until_s:
            at_s = self._clogged_until_s + spread * SPREAD_S
        else:
            at_s = now_s + self._delay_s(first)
        if now_s < self._detour[0]:
            at_s += self._detour[1]
        if self._in_order:
            at_s = max(at_s, self._last_s)
            if not self._arrives(at_s):
                return ()
            self._last_s = at_s
            return (at_s,)
        if twice >= quality.repeat:
            return (at_s,) if quality is GOOD or self._arrives(at_s) else ()
        return tuple(t for t in (at_s, at_s + self._delay_s(second)) if self._arrives(t))

    def _count(self) -> None:
        due = [begin for left, begin in self._traps if left == 0]
        self._traps = [(left - 1, begin) for left, begin in self._traps if left > 0]
        for begin in due:
            begin()

    def _arrives(self, at_s: float) -> bool:
        return self.quality is GOOD or at_s <= self._mended_s + LEFTOVER_S

    def _delay_s(self, drawn: float) -> float:
        quality = self.quality
        if drawn < quality.stray:
            return quality.shortest_s + drawn / quality.stray * quality.stray_s
        share = (drawn - quality.stray) / (1.0 - quality.stray)
        return quality.shortest_s + share * (quality.longest_s - quality.shortest_s)


def draw_quality(random: Random, *, between_processes: bool) -> Quality:
    """A link as it is found on a site: most are good, some are hardly one."""
    kind = random.random()
    loss, repeat = random.uniform(0.0, 0.3), random.uniform(0.0, 0.5)
    longest_s = 10 ** random.uniform(-2.5, 0.5)
    stray, stray_s = random.uniform(0.0, 0.05), random.choice((2.0, 10.0, 60.0, 200.0))
    if kind < 0.4:
        return GOOD
    if not between_processes:
        return Quality(
            loss=loss / 2, longest_s=min(longest_s, 1.5), stray=stray / 4, stray_s=min(stray_s, 10.0)
        )
    if kind < 0.6:
        return Quality(loss=loss / 4, longest_s=longest_s)
    return Quality(loss=loss, repeat=repeat, longest_s=longest_s, stray=stray, stray_s=stray_s)
