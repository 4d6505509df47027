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

from actors.energy.market.arrays import Bools, Floats, Ints
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
    round_ = _Round(counter, columns, bought)
    longest_first = np.argsort(-lanes.length, kind="stable")
    first, length = lanes.first[longest_first], lanes.length[longest_first]
    for step in range(int(length.max(initial=0))):
        round_.buy(first[: np.count_nonzero(length > step)] + step)
    return round_.sure_until()


class _Round:
    def __init__(self, counter: Counter, columns: Ints, bought: FirstPurchases) -> None:
        self._counter = counter
        self._columns = columns[:, np.newaxis]
        self._bought = bought
        shape = len(columns), len(counter.tier.members)
        no_limit = np.full((len(columns), 1), np.inf)  # of an EVSE that is in no group of a stage
        self._left_A = np.hstack([counter.shared_A[columns], no_limit])
        self._left_grid_W = np.hstack([counter.shared_grid_W[columns], no_limit])
        self._most_A, self._most_grid_W = no_limit, no_limit  # what all share, before anybody buys
        if counter.tier.stages:
            common = counter.tier.stages[-1].groups
            self._most_A, self._most_grid_W = self._left_A[:, common], self._left_grid_W[:, common]
        self._offer_A, self._offer_grid_W = np.empty(shape), np.empty(shape)
        self._power_grid_W = np.zeros(shape)
        self._rows = np.arange(len(columns))[:, np.newaxis]
        self._counts, self._reasons = (
            np.stack([of_class[columns] for of_class in each])
            for each in (counter.choices.counts, counter.choices.reasons)
        )

    def buy(self, evses: Ints) -> None:
        """One EVSE of each lane, all columns."""
        counter, choices, bought = self._counter, self._counter.choices, self._bought
        at = self._columns, evses
        offer_A = np.minimum(counter.own_A[at], self._most_A)
        grid_W = np.minimum(counter.own_grid_W[at], self._most_grid_W)
        groups = [stage_groups[evses] for stage_groups in counter.tier.lanes.groups]
        for each in groups:
            offer_A = np.minimum(offer_A, self._left_A[:, each])
            grid_W = np.minimum(grid_W, self._left_grid_W[:, each])
        self._offer_A[:, evses], self._offer_grid_W[:, evses] = offer_A, grid_W
        to_grid, ampere, watt, min_A = (
            counter.to_grid[at],
            counter.ampere[at],
            counter.watt[at],
            counter.min_A[at],
        )
        offer_W = grid_W / to_grid
        classes = (offer_W >= choices.below_W[at]).astype(np.int8) + (offer_W >= choices.above_W[at])
        phases = self._counts[classes, self._rows, evses]
        reasons = self._reasons[classes, self._rows, evses]
        affordable = np.minimum(offer_A, offer_W / (phases * counter.volts))
        falls_back = (affordable + CRUMB < min_A) & (choices.fallback[at] > 0) & ampere
        if falls_back.any():
            phases = np.where(falls_back, choices.fallback[at], phases)
            reasons[falls_back] = PhaseReason.FALLBACK
            affordable = np.minimum(offer_A, offer_W / (phases * counter.volts))
        refused = (affordable + CRUMB < min_A) & (min_A > 0.0) & ampere
        held = np.where(min_A > 0.0, min_A, np.minimum(affordable, counter.slice_A))
        held = np.where(watt, np.minimum(offer_W, counter.slice_W), held)
        held[refused | (held < CRUMB) | ~(ampere | watt)] = 0.0
        bought.held[at], bought.phases[at], bought.reasons[at] = held, phases, reasons
        bought.refused[at], bought.classes[at] = refused, classes
        power_grid_W = held * np.where(watt, 1.0, phases * counter.volts) * to_grid
        self._power_grid_W[:, evses] = power_grid_W
        for each in groups:
            self._left_A[:, each] -= held
            self._left_grid_W[:, each] -= power_grid_W

    def sure_until(self) -> Ints:
        """The first position, column by column, where what all share had less left than was offered, and
        less than makes no difference."""
        counter, columns = self._counter, self._columns[:, 0]
        evses = self._offer_A.shape[1]
        if not counter.tier.stages:
            return np.full(len(columns), evses, dtype=np.intp)
        choices, to_grid = counter.choices, counter.to_grid[columns]
        enough_A = np.maximum(counter.min_A[columns], counter.slice_A) + CRUMB
        enough_W = np.maximum(MOST_PHASES * counter.volts * enough_A, counter.slice_W)
        for threshold_W in (choices.below_W[columns], choices.above_W[columns]):
            enough_W = np.where(np.isfinite(threshold_W), np.maximum(threshold_W, enough_W), enough_W)
        pairs = (
            (self._most_A, self._bought.held[columns], np.minimum(self._offer_A, enough_A)),
            (
                self._most_grid_W,
                self._power_grid_W,
                np.minimum(self._offer_grid_W, enough_W * to_grid),
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
