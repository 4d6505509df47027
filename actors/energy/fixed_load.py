"""What else than its EVSEs draws at a node: declared at worst, and measured where there is a meter.

    load = meter - what the EVSEs below say that they draw, phase by phase; the highest phase counts

Both sides of that are true only for their own moment: an EVSE's report comes after its current has changed,
the meter shows it at once. So a reading is judged when all EVSEs have told what they drew after it, and only
if what they told has not changed meanwhile, nor since the meter began to say just that, as it may be frozen:
that is a *sample*. What cannot wait is what no car can explain: a meter above the sum of all exposures. So a
reading above the fuse counts at once, since exposures and the load that is counted with are together never
more than the fuse, but for the moment after a load has risen.

    counted = the highest sample of the last `hold_s`, or the last one of all, or what no car can explain
              since then, + `margin_A`
    no reading for `timeout_s`, the same one for `frozen_s`, less than the cars draw,
    no sample for `UNSTEADY_S`, none yet: the declared load counts

A load that rises counts at once, one that falls after `hold_s`, or after as long as cars may have paused
between two tellings, if that is longer. Phases of cars are taken for those of the meter: a one-phase car on
another than it tells can hide as much load there (docs/safety.md).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Annotated

from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Currents = tuple[float, float, float]

STEADY_A = 1.0
"""Cars whose currents change by no more did not change."""
LESS_A, LESS_PART = 3.0, 0.1
"""A meter that shows so much less than the cars draw is wrong: ampere, and part of it; all phases together,
as a car's first phase need not be the meter's."""
READING_S = 2.0
"""What the hardware of an EVSE shows of its current was so long before at most."""
UNSTEADY_S = 120.0
STEP_A = 0.5
"""The load is counted in steps of this, rounded up, so that it does not change with every reading."""
NOT_YET = "its meter has not told enough yet"
BELIEVABLE_A = 1e6
"""More no meter shows at all; where there is a fuse, more than"""
BELIEVABLE_FUSES = 20.0
"""times that is no current, but a wrong unit: the fuse would be gone."""
TOGETHER_S = 0.1
"""Readings that come so soon after another count as one, each phase with its highest."""
MOST_READINGS = 1000
"""That are remembered."""


class MeterConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A meter at a node's feeder: all that flows there, cars and load."""

    driver: str = "plant"
    timeout_s: Positive = 10.0
    """Silent for longer, and the declared load counts."""
    frozen_s: Positive = 60.0
    """Likewise, when it says the same for longer."""
    lag_s: NotNegative = 0.5
    """What it shows is so old at most, or the mean of so long."""
    hold_s: Positive = 15.0
    """A load that falls counts so long as it was."""
    margin_A: NotNegative = 1.0
    """Counted beside what is measured."""


class MeterReading(Struct, frozen=True, kw_only=True):
    """What a meter shows, in ampere per phase; positive flows from the grid."""

    currents_A: Currents
    t_meter_s: float | None = None
    """The meter's own clock, or anything else that goes on while it measures; None: it has none."""


class MeterTrouble(Struct, frozen=True, kw_only=True):
    """Why a driver has no reading for now, in a few words."""

    why: str


class FixedLoad:
    """The fixed load of one node. Times are monotonic seconds; `update` after whatever was told."""

    def __init__(
        self, declared_A: float, meter: MeterConfig | None, now_s: float, fuse_A: float | None = None
    ) -> None:
        """`declared_A` is the most that it may draw, `fuse_A` the fuse there; ampere per phase."""
        self._declared_A = declared_A
        self._believable_A = BELIEVABLE_A if fuse_A is None else min(BELIEVABLE_A, BELIEVABLE_FUSES * fuse_A)
        self.meter = meter
        self.counted_A = declared_A
        """Taken out of what is handed out."""
        self.fault = "" if meter is None else NOT_YET
        """Why the declared load counts although there is a meter."""
        self._trouble = ""
        """Why there was no reading of late."""
        self.due_s = math.inf
        self._last: MeterReading | None = None
        self._heard_s = self._changed_s = now_s
        self._readings: deque[tuple[float, float, Currents]] = deque(maxlen=MOST_READINGS)
        """Not judged yet: when it was heard, since when the meter says just that, and what."""
        self._cars: deque[tuple[float, Currents]] = deque([(-math.inf, (0.0, 0.0, 0.0))], MOST_READINGS)
        """From when on they said that."""
        self._told_s = now_s
        """Since when all of them have told what they draw."""
        self._unseen: deque[tuple[float, float]] = deque([(now_s, 0.0)], MOST_READINGS)
        """For how long before they told something, at that moment, they may have drawn something else."""
        self._samples: deque[tuple[float, float]] = deque()
        """With the highest first, as those that are older and lower count no more."""
        self._sample_A = 0.0
        self._sampled_s = -math.inf
        self._first_s = -math.inf
        """When the first sample was read since nothing was known."""
        self._least_s, self._least_A = -math.inf, 0.0
        """What the load was at least, and when, since the last sample; no older one takes it back."""
        self._shows_less = False
        self._moves = False
        """Whether it has said something else than what was heard first: it may be frozen since before."""

    def hear(self, now_s: float, reading: MeterReading, most_A: float) -> None:
        """Take a reading; `most_A` is all that the cars may draw at most, per phase."""
        if self.meter is None:
            return
        if not all(abs(current_A) <= self._believable_A for current_A in reading.currents_A):
            shown = ", ".join(f"{current_A:.6g}" for current_A in reading.currents_A)
            self.hear_trouble(MeterTrouble(why=f"it shows {shown} A, which cannot be"))
            return
        self._trouble = ""
        if reading != self._last:
            self._moves = self._moves or self._last is not None
            self._last, self._changed_s = reading, now_s
        self._heard_s = now_s
        if self._readings and now_s < self._readings[-1][0] + TOGETHER_S:
            at_s, since_s, others_A = self._readings.pop()
            self._readings.append((at_s, since_s, _highest(others_A, reading.currents_A)))
        elif self._moves:
            self._readings.append((now_s, self._changed_s, reading.currents_A))
        if now_s < self._changed_s + self.meter.frozen_s:  # else cars that come down would look like load
            at_least_A = max(reading.currents_A) - most_A
            self._note(now_s, at_least_A)
            if at_least_A > self._least_A:
                self._least_s, self._least_A = now_s, at_least_A

    def hear_trouble(self, trouble: MeterTrouble) -> None:
        """Take why there is no reading."""
        self._trouble = trouble.why

    def note_cars(self, now_s: float, currents_A: Currents, told_s: float) -> None:
        """What all EVSEs below say that they draw together, each of them surely since `told_s`."""
        if self.meter is not None:
            if told_s > self._told_s:
                self._unseen.append((now_s, now_s - self._told_s))
            self._told_s = told_s
            if currents_A != self._cars[-1][1]:
                self._cars.append((now_s, currents_A))

    def update(self, now_s: float) -> bool:
        """Work out what counts now; whether it has risen."""
        if self.meter is None:
            return False
        while self._readings and self._told_s >= self._readings[0][0] + READING_S:
            self._judge(*self._readings.popleft())
        if self._is_mute(now_s):
            self._readings.clear()
            self._sampled_s = -math.inf  # what was measured before says nothing of what is after
        self._forget(now_s)
        before_A, self.fault = self.counted_A, self._fault(now_s)
        measured_A = max(self._sample_A, self._least_A, self._samples[0][1] if self._samples else 0.0)
        self.counted_A = math.ceil((measured_A + self.meter.margin_A) / STEP_A - 1e-9) * STEP_A
        if self.fault:
            self.counted_A = max(self._declared_A, self.counted_A if self._samples else 0.0)
        self.due_s = self._due_s(now_s)
        return self.counted_A > before_A

    def text(self) -> str:
        """For the operator; nothing where there is no load."""
        if self.meter is None:
            return f"{self._declared_A:g} A are kept for its fixed load" if self._declared_A else ""
        how = f"{self.fault}: {self._trouble}" if self.fault and self._trouble else self.fault or "measured"
        return f"{self.counted_A:g} A are kept for its fixed load ({how})"

    def _judge(self, at_s: float, since_s: float, shown_A: Currents) -> None:
        """A reading, now that all have told of later. Where cars have changed since it says just that, it may
        be frozen: what they draw more now would be less load."""
        assert self.meter is not None
        while len(self._cars) > 1 and self._cars[1][0] <= since_s - self.meter.lag_s:
            self._cars.popleft()
        around = [currents_A for _, currents_A in self._cars]
        low = [min(each) for each in zip(*around, strict=True)]
        high = [max(each) for each in zip(*around, strict=True)]
        if any(most_A - least_A > STEADY_A for least_A, most_A in zip(low, high, strict=True)):
            return
        self._shows_less = sum(shown_A) < sum(low) * (1.0 - LESS_PART) - LESS_A
        if self._sampled_s == -math.inf:
            self._first_s = at_s
        self._sampled_s = at_s
        if at_s >= self._least_s:
            self._least_A = 0.0
        self._sample_A = max(0.0, *(shown - cars for shown, cars in zip(shown_A, low, strict=True)))
        self._note(at_s, self._sample_A)

    def _forget(self, now_s: float) -> None:
        """Samples count for `hold_s`, and until one that was read so much later was judged: a car that paused
        and went on unseen between two tellings makes all readings of meanwhile show less."""
        assert self.meter is not None
        while len(self._unseen) > 1 and self._unseen[0][0] < self._sampled_s:
            self._unseen.popleft()
        over_s = now_s - self.meter.hold_s
        if self._sampled_s > -math.inf:
            over_s = min(over_s, self._sampled_s - max(self.meter.hold_s, self._unseen_s()))
        while self._samples and self._samples[0][0] < over_s:
            self._samples.popleft()

    def _unseen_s(self) -> float:
        """For how long cars may have paused unseen, as far as it matters to what is judged."""
        return max(for_s for _, for_s in self._unseen)

    def _note(self, at_s: float, load_A: float) -> None:
        if load_A <= 0.0:
            return
        while self._samples and self._samples[-1][1] <= load_A:
            self._samples.pop()
        self._samples.append((at_s, load_A))

    def _fault(self, now_s: float) -> str:
        assert self.meter is not None
        if self._last is None:
            return NOT_YET
        if now_s >= self._heard_s + self.meter.timeout_s:
            return f"its meter is silent for {self.meter.timeout_s:g} s or more"
        if now_s >= self._changed_s + self.meter.frozen_s:
            return f"its meter shows the same for {self.meter.frozen_s:g} s or more"
        if self._shows_less:
            return "its meter shows less than the cars draw"
        if self._sampled_s == -math.inf or self._sampled_s < self._first_s + self._unseen_s():
            return NOT_YET  # all that was judged may be of one pause
        if now_s >= self._sampled_s + UNSTEADY_S:
            return f"the cars' currents never stood still for {UNSTEADY_S:g} s"
        return ""

    def _is_mute(self, now_s: float) -> bool:
        assert self.meter is not None
        return now_s >= min(self._heard_s + self.meter.timeout_s, self._changed_s + self.meter.frozen_s)

    def _due_s(self, now_s: float) -> float:
        """When something else may count, if nothing is heard."""
        assert self.meter is not None
        moments_s = [self._sampled_s + UNSTEADY_S]
        if self._last is not None:
            moments_s += [self._heard_s + self.meter.timeout_s, self._changed_s + self.meter.frozen_s]
        if self._samples:
            moments_s.append(self._samples[0][0] + self.meter.hold_s + 1e-3)
        return min((at_s for at_s in moments_s if at_s > now_s), default=math.inf)


def _highest(one: Currents, other: Currents) -> Currents:
    return (max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2]))
