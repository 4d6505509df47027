"""What a charger's wall clock shows, as far as its messages tell.

A charger ends a limit by its own wall clock, so that is what the end is told in. Whose clock is right plays
no part, only how the charger's goes on:

    a message that bears the time `stamp` came in at our `at`; its clock showed no less then

since it was stamped before. Later, at `now`, it shows no less than `stamp + (now - at) / STRETCH`, however
slow it runs. So a limit that is told to end at that, and the time that it has left, ends no later than
`STRETCH` allows; how long the message was under way only makes it end earlier. The newest stamp counts, not
the best: a clock may have been set back.

Seconds: ours monotonic, the charger's since 1970.
"""

from __future__ import annotations

from actors.energy.ledger import STRETCH

FRESH_S = 30.0
"""An older stamp tells nothing."""
SET_S = 2.0
"""A clock that shows so much less than it should was set back, or its message was late."""


class ChargerClock:
    """One charger's."""

    def __init__(self) -> None:
        self._stamp_s = self._at_s = 0.0
        self._known = False

    def shows(self, at_s: float, stamp_s: float) -> bool:
        """A message that came in now bears this time; False: the clock may have been set back."""
        expected_s = self._stamp_s + (at_s - self._at_s)
        goes_on = not self._known or stamp_s >= expected_s - SET_S
        self._stamp_s, self._at_s, self._known = stamp_s, at_s, True
        return goes_on

    def forget(self) -> None:
        """Nothing is known of it any more."""
        self._known = False

    def shown_s(self, now_s: float) -> float | None:
        """What it shows now, or less; None while nothing is known of it."""
        if not self._known or now_s > self._at_s + FRESH_S:
            return None
        return self._stamp_s + (now_s - self._at_s) / STRETCH
