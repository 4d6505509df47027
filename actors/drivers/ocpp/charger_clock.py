"""The time that a charger is told, and what its own clock shows.

A limit is told with its end on the charger's wall clock, so that it ends no later wherever it was held up.
It must not end late:

- What a charger is told as the time never goes back, whatever becomes of this machine's wall clock: a
  charger's clock that was set back would let what it holds last longer.
- A charger's clock may be behind. A message of its that bears a time was stamped before it came in, so
  that time less ours is at most how far its clock is ahead of ours. What it is told begins so much earlier.
- A clock that is ahead is not made up for: it may be set right at any moment. What such a charger is told
  is over sooner, or at once: then it stays at its default until somebody sets its clock.

So a limit ends no later than it should unless a charger's clock is set back, by others than us, or has lost
more than GUARD_S since it was told the time and has not sent any since. Times are microseconds of the wall
clock, and monotonic seconds.
"""

from __future__ import annotations

from collections import deque

GUARD_S = 2.0
"""A charger's clock may be so much behind what it was told, as that was under way, until it shows a time."""
BELIEVED_S = 300.0
"""How long a time that it has shown counts."""
SHOWN_MAX = 16
FAR_S = 100 * 365 * 86_400.0
"""Further away is no time of a clock's."""
AHEAD_S = 10.0
"""More is told to whoever keeps the site running."""


class SiteClock:
    """The time that all chargers of a controller are told."""

    def __init__(self) -> None:
        self._last_us, self._last_s = 0, 0.0

    def now_us(self, mono_s: float, wall_us: int) -> int:
        """The wall clock, unless that went back."""
        goes_on_us = self._last_us + round((mono_s - self._last_s) * 1e6)
        self._last_us, self._last_s = max(wall_us, goes_on_us), mono_s
        return self._last_us


class ChargerClock:
    """One charger's."""

    def __init__(self) -> None:
        self._shown: deque[tuple[float, float]] = deque(maxlen=SHOWN_MAX)

    def shows(self, mono_s: float, charger_us: int, site_us: int) -> None:
        """A message that came in now bears this time."""
        ahead_s = (charger_us - site_us) / 1e6
        if abs(ahead_s) < FAR_S:
            self._shown.append((mono_s, ahead_s))

    def ahead_s(self, mono_s: float) -> float | None:
        """At least so much it is ahead of ours; None where it has shown no time lately."""
        lately = [ahead_s for shown_s, ahead_s in self._shown if shown_s > mono_s - BELIEVED_S]
        return max(lately, default=None)

    def begin_us(self, mono_s: float, site_us: int) -> int:
        """What its clock shows now, or earlier."""
        ahead_s = self.ahead_s(mono_s)
        return site_us + round(min(0.0, -GUARD_S if ahead_s is None else ahead_s) * 1e6)
