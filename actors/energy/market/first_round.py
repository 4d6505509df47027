"""The first round: minimum currents, all or nothing, and first slices, in depth-first order.

What an EVSE finds at its turn depends on all before it, so this round is not a formula. But where
the first purchases of all fit together (and no power in between could change a phase count), each
finds what it wants, and the order does not matter: those columns are taken at once. The other
columns are gone through in order: panels side by side (lanes.py) as far as these do not meet, and what
is left over EVSE by EVSE (turns.py).

A minimum that is refused here is refused for good: what is left only shrinks, and with it the
phase counts that may be tried; the smallest of them was tried already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.energy.market.arrays import Bools, Counts, Floats, Ints, all_of, once
from actors.energy.market.lanes import before_in_order, buy_side_by_side, left_after
from actors.energy.market.limits import Extra
from actors.energy.market.phases import BELOW, PhaseChoices, PhaseReason
from actors.energy.market.tiers import Tier
from actors.energy.market.turns import CRUMB, Desk, buy_in_turn, buy_minimums_in_turn


@dataclass(frozen=True)
class Counter:
    """What one tier can buy in one direction: (columns, EVSEs), or (columns, groups) if shared."""

    tier: Tier
    ampere: Bools
    """Who trades current."""
    watt: Bools
    """Who trades power only."""
    own_A: Floats
    own_grid_W: Floats
    shared_A: Floats
    shared_grid_W: Floats
    extras: dict[int, list[tuple[Extra, float, float]]]
    """Of a column: limits on some of a node's EVSEs, with the ampere and grid watt left of each."""
    in_watts: bool
    """Whether any limit is."""
    to_grid: Floats
    min_A: Floats
    choices: PhaseChoices
    slice_A: float
    slice_W: float
    volts: float


@dataclass
class FirstPurchases:
    """`held` is ampere or watt; `phases` is 0 where no current was bought, `tried` tells it anyway."""

    held: Floats
    phases: Counts
    tried: Counts
    reasons: Counts
    refused: Bools
    classes: Counts


def buy_first(counter: Counter) -> FirstPurchases:
    """The first round of one tier and direction."""
    bought, certain = _all_at_once(counter)
    in_order = np.ones(len(certain), dtype=np.bool_)
    in_order[list(counter.extras)] = False
    side_by_side = np.flatnonzero(~certain & in_order)
    if not len(side_by_side):
        pass
    elif not counter.in_watts and not counter.extras and all_of(once(counter.min_A) >= CRUMB):
        _minimums(counter, side_by_side, bought)
    else:
        until = buy_side_by_side(counter, side_by_side, bought)
        for column, position in zip(side_by_side.tolist(), until.tolist(), strict=True):
            if position < len(counter.tier.members):
                _one_by_one(counter, column, bought, position)
    for column in counter.extras:
        _one_by_one(counter, column, bought, 0)
    bought.tried = bought.phases
    bought.phases = np.where((bought.held >= CRUMB) & counter.ampere, bought.tried, np.int8(0))
    bought.reasons[bought.phases == 0] = PhaseReason.NOTHING
    return bought


def _all_at_once(counter: Counter) -> tuple[FirstPurchases, Bools]:
    """What everyone would buy alone, and the columns in which it all fits together."""
    tier, choices, min_A = counter.tier, counter.choices, once(counter.min_A)
    offer_A = tier.offers(counter.own_A, counter.shared_A)
    offer_W = np.full((1, 1), np.inf)
    if counter.in_watts:
        offer_W = tier.offers(counter.own_grid_W, counter.shared_grid_W) / once(counter.to_grid)
    classes = np.full((1, 1), BELOW, dtype=np.int8)
    if choices.any_depends:
        classes = choices.classes(offer_W)
    phases = choices.pick(choices.counts, classes)
    reasons = choices.pick(choices.reasons, classes).copy()

    def affordable(count: Counts) -> Floats:
        return np.minimum(offer_A, offer_W / (count * counter.volts)) if counter.in_watts else offer_A

    has_minimum = min_A > 0.0
    current = affordable(phases)
    too_little = has_minimum & (current + CRUMB < min_A)
    if choices.any_depends:
        falls_back = too_little & (choices.fallback > 0)
        phases = np.where(falls_back, choices.fallback, phases)
        reasons[falls_back] = PhaseReason.FALLBACK
        current = affordable(phases)
        too_little = has_minimum & (current + CRUMB < min_A)
    refused = counter.ampere & too_little
    first_A = (
        min_A if has_minimum.all() else np.where(has_minimum, min_A, np.minimum(current, counter.slice_A))
    )
    held = np.where(counter.ampere & ~refused, first_A, 0.0)
    if once(counter.watt).any():
        held = np.where(counter.watt, np.minimum(offer_W, counter.slice_W), held)
    held[held < CRUMB] = 0.0

    certain = np.ones(len(held), dtype=np.bool_)
    certain[list(counter.extras)] = False
    for stage in tier.stages:
        certain &= (stage.sums(held) <= counter.shared_A[:, stage.groups]).all(axis=1)
    if counter.in_watts:
        grid_W = held * np.where(counter.ampere, phases * counter.volts, 1.0) * once(counter.to_grid)
        left_grid_W = counter.shared_grid_W.copy()
        for stage in tier.stages:
            left_grid_W[:, stage.groups] -= stage.sums(grid_W)
        certain &= (left_grid_W >= 0.0).all(axis=1)
        if choices.any_depends:
            worst_W = tier.offers(counter.own_grid_W, left_grid_W) / once(counter.to_grid)
            certain &= ((choices.classes(worst_W) == classes) | ~choices.depends).all(axis=1)
    classes = np.broadcast_to(classes, held.shape).copy()
    return FirstPurchases(held, phases.copy(), phases, reasons, refused, classes), certain


def _minimums(counter: Counter, columns: Ints, bought: FirstPurchases) -> None:
    """Columns in which only minimum currents are bought; overwrites their rows of `bought`.

    Until a limit is exceeded for the first time, all get theirs; who is left with less than its minimum
    then is refused. Only the others are asked in turn."""
    tier, evses = counter.tier, len(counter.tier.members)
    own_A, min_A, shared_A = counter.own_A[columns], counter.min_A[columns], counter.shared_A[columns]
    wanted_A = bought.held[columns]
    exceeded = np.zeros(wanted_A.shape, dtype=np.bool_)
    upto = np.zeros((len(columns), evses + 1))
    np.cumsum(wanted_A, axis=1, out=upto[:, 1:])
    for stage in tier.stages:
        sold = upto[:, 1:][:, stage.cells] - stage.spread(upto[:, stage.first])
        exceeded[:, stage.cells] |= sold > stage.spread(shared_A[:, stage.groups]) + CRUMB
    until = np.where(exceeded.any(axis=1), exceeded.argmax(axis=1), evses)
    left_A = left_after(tier, shared_A, wanted_A, until)
    served = before_in_order(until, evses)
    asked = ~served & (wanted_A > 0.0) & (tier.offers(own_A, left_A) + CRUMB >= min_A)
    bought.refused[columns] |= ~served & counter.ampere[columns]
    bought.held[columns] = np.where(served, wanted_A, 0.0)
    for i, column in enumerate(columns.tolist()):
        buyers = np.flatnonzero(asked[i])
        shared = [tier.groups_of[each] for each in buyers.tolist()]
        least_A = min_A[i, buyers]
        refused = np.array(
            buy_minimums_in_turn(own_A[i, buyers].tolist(), least_A.tolist(), shared, left_A[i].tolist()),
            dtype=np.bool_,
        )
        bought.held[column, buyers] = np.where(refused, 0.0, least_A)
        bought.refused[column, buyers] = refused


def _one_by_one(counter: Counter, column: int, bought: FirstPurchases, begin: int) -> None:
    """One column, in turn from a position on; overwrites its row of `bought` from there."""
    at, until = np.s_[column : column + 1], np.array([begin])
    held, ampere = bought.held[at], counter.ampere[at]
    per_unit = np.where(ampere, bought.phases[at] * counter.volts, 1.0)
    grid_W = held * per_unit * counter.to_grid[at]
    left_A = left_after(counter.tier, counter.shared_A[at], held, until)[0].tolist()
    left_grid_W = left_after(counter.tier, counter.shared_grid_W[at], grid_W, until)[0].tolist()
    shared = counter.tier.groups_of
    if column in counter.extras:
        shared = [list(groups) for groups in shared]
        position_of = {evse: i for i, evse in enumerate(counter.tier.members.tolist())}
        for extra, extra_A, extra_grid_W in counter.extras[column]:
            for evse in extra.members.tolist():
                if evse in position_of:
                    shared[position_of[evse]].append(len(left_A))
            left_A.append(extra_A)
            left_grid_W.append(extra_grid_W)
    choices = counter.choices
    desk = Desk(
        watt=counter.watt[column].tolist(),
        own_A=counter.own_A[column].tolist(),
        own_grid_W=counter.own_grid_W[column].tolist(),
        to_grid=counter.to_grid[column].tolist(),
        min_A=counter.min_A[column].tolist(),
        counts=[each[column].tolist() for each in choices.counts],
        reasons=[each[column].tolist() for each in choices.reasons],
        fallback=choices.fallback[column].tolist(),
        below_W=choices.below_W[column].tolist(),
        above_W=choices.above_W[column].tolist(),
        slice_A=counter.slice_A,
        slice_W=counter.slice_W,
        volts=counter.volts,
    )
    buyers = np.flatnonzero(counter.ampere[column] | counter.watt[column])
    buyers = buyers[buyers >= begin]
    purchases = buy_in_turn(desk, buyers.tolist(), shared, left_A, left_grid_W)
    if purchases:
        amounts, phases, reasons, refused, classes, _ = zip(*purchases, strict=True)
        bought.held[column, buyers] = amounts
        bought.phases[column, buyers] = phases
        bought.reasons[column, buyers] = reasons
        bought.refused[column, buyers] = refused
        bought.classes[column, buyers] = classes
