"""Changing the phases that a contactor connects, within a session.

    steady ──other count wanted──► pausing: nothing may flow; the control pilot says so
    pausing ──current gone──► the contactor is told the new count
    pausing ──it is closed that way, and the delay is over──► steady
    pausing ──it is not, long after──► stuck: as it is closed, until the car has gone

Without a car, the count changes at once. A new life of an EvseManager takes the contactor over as
it finds it, and where nothing is wanted it stays as it was commanded last; one that is found
otherwise moved by itself, or is still about to move, and charging pauses until it is back. The
caller keeps power within its limit for the larger of the phases that are connected and those that
are commanded, so that less comes before, more after.
"""

from __future__ import annotations

from actors.energy.messages import Reading

GONE_A = 0.5
"""Current below which a contactor may open or change."""
STUCK_S = 60.0
"""Hardware that has not changed phases so long after the delay is left as it is."""


class PhaseSwitch:
    """The sequence; `commanded` is what the contactor shall connect."""

    def __init__(self, phases: int, delay_s: float) -> None:
        self.commanded = phases
        self.stuck = False
        self._fresh = True
        self._delay_s = delay_s
        self._target: int | None = None
        self._since_s = 0.0

    def step(self, now_s: float, wanted: int | None, reading: Reading) -> bool:
        """Advance; returns whether charging must pause now. `wanted` None: as they are."""
        closed = reading.closed_phases
        if self._fresh or self.stuck:
            self.commanded, self._fresh = closed, False
        if not reading.plugged_in:
            self.commanded, self._target, self.stuck = wanted or closed, None, False
            return False
        if self._target is None:
            wanted = self.commanded if wanted is None else wanted
            if self.stuck or wanted == self.commanded == closed:
                return False
            self._target, self._since_s = wanted, now_s
        if max(map(abs, reading.currents_A)) < GONE_A:
            self.commanded = self._target
        if closed == self.commanded == self._target and now_s >= self._since_s + self._delay_s:
            self._target = None
            return False
        if now_s >= self._since_s + self._delay_s + STUCK_S:
            self.commanded, self._target, self.stuck = closed, None, True
            return False
        return True

    def due_s(self) -> float | None:
        """When to step again at the latest; None when nothing is under way."""
        return None if self._target is None else self._since_s + self._delay_s
