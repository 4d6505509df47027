"""What cars must leave free of a fuse for a load that is measured there, and from when on.

A load that rises cannot be foreseen, so the fuse may be over for a while. But what a node *knows* of the
load it keeps free, once all that it had granted before has surely ended, and cars have come down. That
takes `reach_s`, as with a limit that drops (checker.py): 10 update intervals, stretched by the drift of
clocks, 4 more, as a grant may answer a report that was late by so much, and the settle time with a tenth.
A node knows of a load

    whatever it is   when a life of the node begins: the declared load counts, and none is ever more; a meter
                     is believed only when it has said something new in that life
    what is shown    when it hears a reading that shows more than all cars may draw
    whatever it is   when the meter was silent for `timeout_s`, or has said the same for `frozen_s`
    whatever it is   `known_s` after it was there, at the latest

and from then on keeps free what the load has been since at least. Of the last: a reading that does not
show a rise is heard up to `lag_s` after it. A frozen meter repeats it for `frozen_s`; then the declared
load counts. If the meter comes back just before, such a reading may have been judged last, and counts until
a later one is judged, for UNSTEADY_S; then the declared load counts. The node's clock may be slow. So

    known_s = lag_s + (frozen_s + max(UNSTEADY_S, timeout_s)) / (1 - RHO),     T = known_s + reach_s

No fuse is over later than T after its load has risen, and none is over by more than the load has risen
within T. Mostly it takes one reading, two update intervals and the settle time: T is what holds where cars
never stand still, reports are lost and the meter fails just then. No fuse is ever over by more than the
declared load without the margin, as cars are never granted more than the fuse without the margin.
"""

from __future__ import annotations

from actors.energy.fixed_load import UNSTEADY_S, MeterConfig
from actors.simulation.clocks import RHO

CRUMB_A = 1e-6


class MeteredFuse:
    """Of one node; true seconds, ampere in the phase with most."""

    def __init__(self, fuse_A: float, declared_A: float, meter: MeterConfig, reach_s: float) -> None:
        self.fuse_A = fuse_A
        self.declared_A = declared_A
        self.meter = meter
        self.load_A = 0.0
        """As it is,"""
        self.changed_s = 0.0
        """since then."""
        self._reach_s = reach_s
        self.known_s = meter.lag_s + (meter.frozen_s + max(UNSTEADY_S, meter.timeout_s)) / (1.0 - RHO)
        """After so long the load that was there since is known at the latest."""
        self._kept_A = 0.0
        """What must be free now."""
        self._coming: list[tuple[float, float]] = []
        """From when on how much must be free, by time, and each more than those before."""

    def may_A(self, now_s: float) -> float:
        """What cars may draw."""
        while self._coming and self._coming[0][0] <= now_s:
            self._kept_A = max(self._kept_A, self._coming.pop(0)[1])
        return self.fuse_A - max(self._kept_A, min(self.meter.margin_A, self.declared_A))

    def becomes(self, now_s: float, load_A: float) -> float | None:
        """The load is so much from now on; returns when that must be free, if it is more than before."""
        assert load_A <= self.declared_A + CRUMB_A, f"a load of {load_A} A, {self.declared_A} A are declared"
        before_A, self.load_A, self.changed_s = self.load_A, load_A, now_s
        if load_A < before_A:
            self._kept_A = min(self._kept_A, load_A)
            self._coming = [entry for entry in self._coming if entry[1] < load_A] + [
                (at_s, load_A) for at_s, amount_A in self._coming if amount_A >= load_A
            ][:1]
        return self._keep(now_s + self.known_s + self._reach_s, load_A)

    def knows(self, now_s: float, least_A: float) -> float | None:
        """The node knows now that the load is so much or more; returns when that must be free, if there is
        anything new in it."""
        return self._keep(now_s + self._reach_s, min(least_A, self.load_A))

    def _keep(self, from_s: float, load_A: float) -> float | None:
        earlier = [entry for entry in self._coming if entry[0] <= from_s]
        most_A = max(self._kept_A, earlier[-1][1] if earlier else 0.0)
        if load_A <= most_A + CRUMB_A:
            return None
        later = [entry for entry in self._coming if entry[0] > from_s and entry[1] > load_A]
        self._coming = [*earlier, (from_s, load_A), *later]
        return from_s
