"""The first round, side by side: what in turn is only needed within a panel.

Who buys in one panel leaves the others as much as before but for what their common limits have left,
those of the outermost group. As long as these have more left than a buyer finds in its own panel, they
decide nothing. So a panel is a lane, and all lanes go on together, in all columns, EVSE after EVSE:

    lane 0    EVSE 0   EVSE 1   EVSE 2
    lane 1    EVSE 3   EVSE 4
    lane 2    EVSE 5                          an EVSE that is in no panel is a lane of its own
              step 0   step 1   step 2

Afterwards it is looked up from where on the common limits would have had a say: from there it is done
again in turn (turns.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Bools, Floats, Ints, T, looked_up, once, repeated
from actors.energy.market.entries import MOST_PHASES
from actors.energy.market.phases import PhaseReason
from actors.energy.market.tiers import Tier
from actors.energy.market.turns import CRUMB

if TYPE_CHECKING:
    from actors.energy.market.first_round import Counter, FirstPurchases

LEAST_AT_ONCE = 40
"""Buyers in a step; fewer are sooner done one by one."""


def buy_side_by_side(counter: Counter, columns: Ints, bought: FirstPurchases) -> Ints:
    """Overwrite some columns of `bought`; the position in each from which on they are to be done again."""
    lanes, evses = counter.tier.lanes, len(counter.tier.members)
    if len(columns) * evses < LEAST_AT_ONCE * int(lanes.length.max(initial=1)):
        return np.zeros(len(columns), dtype=np.intp)
    longest_first = np.argsort(-lanes.length, kind="stable")
    first, length = lanes.first[longest_first], lanes.length[longest_first]
    steps = [first[: np.count_nonzero(length > step)] + step for step in range(int(length.max(initial=0)))]
    round_ = _Round(counter, columns, np.concatenate([*steps, _NOBODY]))
    end = 0
    for step in steps:
        begin, end = end, end + len(step)
        round_.buy(slice(begin, end))
    return round_.note(bought)


_NOBODY = np.zeros(0, dtype=np.intp)


class _Round:
    """Arrays are (columns, EVSEs), and EVSEs in the order of the steps: those of a step stand together."""

    def __init__(self, counter: Counter, columns: Ints, order: Ints) -> None:
        self._counter = counter
        self._columns = columns
        self._order = order
        self._place = np.argsort(order)  # of each EVSE in it
        shape = len(columns), len(order)
        no_limit = np.full((len(columns), 1), np.inf)  # of an EVSE that is in no group of a stage
        self._left_A = np.hstack([counter.shared_A[columns], no_limit])
        self._left_grid_W = np.hstack([counter.shared_grid_W[columns], no_limit])
        self._most_A, self._most_grid_W = no_limit, no_limit  # what all share, before anybody buys
        if counter.tier.stages:
            common = counter.tier.stages[-1].groups
            self._most_A, self._most_grid_W = self._left_A[:, common], self._left_grid_W[:, common]
        self._groups = [groups[order] for groups in counter.tier.lanes.groups]
        choices = counter.choices
        self._own_A, self._own_grid_W = self._laid_out(counter.own_A), self._laid_out(counter.own_grid_W)
        self._to_grid, self._min_A = self._laid_out(counter.to_grid), self._laid_out(counter.min_A)
        self._ampere, self._watt = self._laid_out(counter.ampere), self._laid_out(counter.watt)
        self._below_W, self._above_W = self._laid_out(choices.below_W), self._laid_out(choices.above_W)
        self._fallback = self._laid_out(choices.fallback)
        self._counts = [self._laid_out(of_class) for of_class in choices.counts]
        self._has_minimum, self._takes_part = self._min_A > 0.0, self._ampere | self._watt
        self._some_watt = bool(once(counter.watt).any())
        self._offer_A, self._offer_grid_W, self._power_grid_W = (np.empty(shape) for _ in range(3))
        self._held = np.empty(shape)
        self._refused, self._falls_back = (np.zeros(shape, dtype=np.bool_) for _ in range(2))
        self._phases, self._classes = (np.empty(shape, dtype=np.int8) for _ in range(2))

    def _here(self, values: NDArray[T]) -> NDArray[T]:
        """Of the columns; one row where it is the same in all."""
        values = once(values)
        return values if len(values) in (1, len(self._columns)) else values[self._columns]

    def _laid_out(self, values: NDArray[T]) -> NDArray[T]:
        return repeated(np.take(self._here(values), self._order, axis=1), len(self._columns))

    def _put_back(self, values: NDArray[T]) -> NDArray[T]:
        """In the order of the EVSEs."""
        return np.take(values, self._place, axis=1)

    def buy(self, step: slice) -> None:
        """One EVSE of each lane, all columns."""
        counter, here = self._counter, np.s_[:, step]
        groups = [looked_up(stage_groups[step]) for stage_groups in self._groups]
        offer_A, grid_W = np.minimum(self._own_A[here], self._most_A), self._own_grid_W[here]
        grid_W = np.minimum(grid_W, self._most_grid_W)
        for each in groups:
            np.minimum(offer_A, self._left_A[:, each], out=offer_A)
            np.minimum(grid_W, self._left_grid_W[:, each], out=grid_W)
        self._offer_A[here], self._offer_grid_W[here] = offer_A, grid_W
        to_grid, ampere, min_A, has_minimum = (
            self._to_grid[here],
            self._ampere[here],
            self._min_A[here],
            self._has_minimum[here],
        )
        offer_W = grid_W / to_grid
        between, above = offer_W >= self._below_W[here], offer_W >= self._above_W[here]
        first, second, third = (of_class[here] for of_class in self._counts)
        phases = np.where(above, third, np.where(between, second, first))
        volts = phases * counter.volts
        affordable = np.minimum(offer_A, offer_W / volts)
        too_little = (affordable + CRUMB < min_A) & ampere
        if too_little.any():
            falls_back = np.logical_and(too_little, self._fallback[here] > 0, out=self._falls_back[here])
            phases = np.where(falls_back, self._fallback[here], phases)
            volts = phases * counter.volts
            affordable = np.minimum(offer_A, offer_W / volts)
            too_little = (affordable + CRUMB < min_A) & has_minimum & ampere
            self._refused[here] = too_little
        held = np.where(has_minimum, min_A, np.minimum(affordable, counter.slice_A))
        per_unit_W = volts
        if self._some_watt:
            watt = self._watt[here]
            held = np.where(watt, np.minimum(offer_W, counter.slice_W), held)
            per_unit_W = np.where(watt, 1.0, volts)
        held *= ~too_little & (held >= CRUMB) & self._takes_part[here]
        power_grid_W = held * per_unit_W * to_grid
        self._held[here], self._phases[here], self._power_grid_W[here] = held, phases, power_grid_W
        np.add(between, above, out=self._classes[here], dtype=np.int8, casting="unsafe")
        for each in groups:
            self._left_A[:, each] -= held
            self._left_grid_W[:, each] -= power_grid_W

    def note(self, bought: FirstPurchases) -> Ints:
        """Overwrite the columns; the first position in each where what all share decides."""
        self._held, self._power_grid_W = self._put_back(self._held), self._put_back(self._power_grid_W)
        bought.held[self._columns] = self._held
        bought.phases[self._columns] = self._put_back(self._phases)
        bought.refused[self._columns] = self._put_back(self._refused)
        classes, choices = self._put_back(self._classes), self._counter.choices
        bought.classes[self._columns] = classes
        reasons = choices.pick([self._here(of_class) for of_class in choices.reasons], classes)
        falls_back = self._put_back(self._falls_back)
        bought.reasons[self._columns] = np.where(falls_back, np.int8(PhaseReason.FALLBACK), reasons)
        return self._sure_until()

    def _sure_until(self) -> Ints:
        """The first position, column by column, where what all share had less left than was offered, and
        less than makes no difference."""
        counter, columns = self._counter, self._columns
        evses = self._held.shape[1]
        if not counter.tier.stages:
            return np.full(len(columns), evses, dtype=np.intp)
        choices, to_grid = counter.choices, self._here(counter.to_grid)
        enough_A = np.maximum(self._here(counter.min_A), counter.slice_A) + CRUMB
        enough_W = np.maximum(MOST_PHASES * counter.volts * enough_A, counter.slice_W)
        for threshold_W in (self._here(choices.below_W), self._here(choices.above_W)):
            enough_W = np.where(np.isfinite(threshold_W), np.maximum(threshold_W, enough_W), enough_W)
        pairs = (
            (self._most_A, self._held, np.minimum(self._put_back(self._offer_A), enough_A)),
            (
                self._most_grid_W,
                self._power_grid_W,
                np.minimum(self._put_back(self._offer_grid_W), enough_W * to_grid),
            ),
        )
        decides = np.zeros((len(columns), evses), dtype=np.bool_)
        for most, sold, offered in pairs:
            before = np.cumsum(sold, axis=1) - sold
            decides |= most - before < offered
        return np.where(decides.any(axis=1), decides.argmax(axis=1), evses)


def left_after(tier: Tier, shared: Floats, sold: Floats, until: Ints) -> Floats:
    """What groups have left, (columns, groups), when EVSEs before a position of each column have bought."""
    sold = sold * before_in_order(until, sold.shape[1])
    left = shared.copy()
    for stage in tier.stages:
        left[:, stage.groups] -= stage.sums(sold)
    return left


def before_in_order(until: Ints, evses: int) -> Bools:
    """The EVSEs before a position of each column: (columns, EVSEs)."""
    return np.asarray(np.arange(evses) < until[:, np.newaxis])
