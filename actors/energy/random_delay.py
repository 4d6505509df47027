"""What a source allowed before goes on to hold for a random while, so that not all sites of a grid take more
at the same moment (Great Britain: up to 600 s, Electric Vehicles (Smart Charge Points) Regulations 2021).

What it allows now holds beside that, so what is lower holds at once: only a raise is delayed.
"""

from __future__ import annotations

import zlib

from actors.energy.types import ExternalLimits

DELAY_MAX_S = 600.0
HELD_MAX = 8
"""Former limits that are held at a time; of more, those that end first are let go."""


class RandomDelay:
    """Of one source. Times are monotonic seconds."""

    def __init__(self, name: str, most_s: float) -> None:
        self._name = name
        self._most_s = most_s
        self._held: list[tuple[float, ExternalLimits]] = []

    def note(self, now_s: float, before: ExternalLimits | None, after: ExternalLimits | None) -> None:
        """What the source allows has changed."""
        if before is None or before == after:
            return
        self._held.append((now_s + self._drawn_s(now_s), before))
        self._held.sort(key=lambda held: held[0])
        del self._held[:-HELD_MAX]

    def tick(self, now_s: float) -> bool:
        """Let go what was held long enough; whether there was any."""
        left = [held for held in self._held if now_s < held[0]]
        over = len(left) < len(self._held)
        self._held = left
        return over

    def cancel(self) -> bool:
        """Let all go; whether there was any."""
        held, self._held = self._held, []
        return bool(held)

    def held(self) -> list[ExternalLimits]:
        """Limits that go on to hold."""
        return [limits for _, limits in self._held]

    def due_s(self) -> float | None:
        """When something is let go next."""
        return self._held[0][0] if self._held else None

    def ends_s(self) -> float | None:
        """When all is let go."""
        return self._held[-1][0] if self._held else None

    def _drawn_s(self, now_s: float) -> float:
        """As good as random, without a source of random numbers: no two sites change at the same nanosecond
        since their machines were started."""
        return zlib.crc32(f"{self._name} {now_s!r}".encode()) / 2**32 * self._most_s
