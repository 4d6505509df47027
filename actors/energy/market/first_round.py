"""The first round: minimum currents, all or nothing, and first slices, in depth-first order.

What an EVSE finds at its turn depends on all before it, so this round is not a formula. But where
the first purchases of all fit together (and no power in between could change a phase count), each
finds what it wants, and the order does not matter: those columns are taken at once. The other
columns are walked EVSE by EVSE (turns.py).

A minimum that is refused here is refused for good: what is left only shrinks, and with it the
phase counts that may be tried; the smallest of them was tried already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.energy.market.arrays import Bools, Counts, Floats
from actors.energy.market.limits import Extra
from actors.energy.market.phases import PhaseChoices, PhaseReason
from actors.energy.market.tiers import Tier
from actors.energy.market.turns import CRUMB, Desk, buy_in_turn


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
    for column in np.flatnonzero(~certain).tolist():
        _one_by_one(counter, column, bought)
    bought.tried = bought.phases.copy()
    bought.phases[bought.held < CRUMB] = 0
    bought.phases[~counter.ampere] = 0
    bought.reasons[bought.phases == 0] = PhaseReason.NOTHING
    return bought


def _all_at_once(counter: Counter) -> tuple[FirstPurchases, Bools]:
    """What everyone would buy alone, and the columns in which it all fits together."""
    tier, choices = counter.tier, counter.choices
    offer_A = tier.offers(counter.own_A, counter.shared_A)
    offer_grid_W = tier.offers(counter.own_grid_W, counter.shared_grid_W)
    offer_W = offer_grid_W / counter.to_grid
    classes = choices.classes(offer_W)
    phases = choices.pick(choices.counts, classes)
    reasons = choices.pick(choices.reasons, classes).copy()

    def affordable(count: Counts) -> Floats:
        return np.minimum(offer_A, offer_W / (count * counter.volts))

    has_minimum = counter.min_A > 0.0
    current = affordable(phases)
    falls_back = has_minimum & (current + CRUMB < counter.min_A) & (choices.fallback > 0)
    if falls_back.any():
        phases = np.where(falls_back, choices.fallback, phases)
        reasons[falls_back] = PhaseReason.FALLBACK
        current = affordable(phases)
    refused = counter.ampere & has_minimum & (current + CRUMB < counter.min_A)
    first_A = np.where(has_minimum, counter.min_A, np.minimum(current, counter.slice_A))
    held = np.where(counter.ampere & ~refused, first_A, 0.0)
    held[counter.watt] = np.minimum(offer_W, counter.slice_W)[counter.watt]
    held[held < CRUMB] = 0.0

    grid_W = held * np.where(counter.ampere, phases * counter.volts, 1.0) * counter.to_grid
    certain = np.ones(len(held), dtype=np.bool_)
    certain[list(counter.extras)] = False
    left_grid_W = counter.shared_grid_W.copy()
    for stage in tier.stages:
        certain &= (stage.sums(held) <= counter.shared_A[:, stage.groups]).all(axis=1)
        left_grid_W[:, stage.groups] -= stage.sums(grid_W)
    certain &= (left_grid_W >= 0.0).all(axis=1)
    if choices.depends.any():
        worst_W = tier.offers(counter.own_grid_W, left_grid_W) / counter.to_grid
        certain &= ((choices.classes(worst_W) == classes) | ~choices.depends).all(axis=1)
    return FirstPurchases(held, phases.copy(), phases, reasons, refused, classes), certain


def _one_by_one(counter: Counter, column: int, bought: FirstPurchases) -> None:
    """One column, in turn; overwrites its row of `bought`."""
    left_A = counter.shared_A[column].tolist()
    left_grid_W = counter.shared_grid_W[column].tolist()
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
    purchases = buy_in_turn(desk, buyers.tolist(), shared, left_A, left_grid_W)
    if purchases:
        held, phases, reasons, refused, classes, _ = zip(*purchases, strict=True)
        bought.held[column, buyers] = held
        bought.phases[column, buyers] = phases
        bought.reasons[column, buyers] = reasons
        bought.refused[column, buyers] = refused
        bought.classes[column, buyers] = classes
