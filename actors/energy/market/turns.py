"""The first round, EVSE by EVSE: everyone buys in turn of what those before have left.

Plain numbers throughout. Buyers are positions in the lists of a Desk; limits that buyers share are
positions in `left_A` and `left_grid_W`, and `shared[i]` names those of buyer i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from actors.energy.market.phases import PhaseReason

CRUMB = 1e-7
"""Ampere or watt: less than this is nothing."""


@dataclass
class Desk:
    """What the buyers of a tier may buy, one value each."""

    watt: Sequence[bool]
    """Who trades power only."""
    own_A: Sequence[float]
    own_grid_W: Sequence[float]
    to_grid: Sequence[float]
    min_A: Sequence[float]
    counts: Sequence[Sequence[int]]
    """Phases, by class of the power; see phases.py."""
    reasons: Sequence[Sequence[int]]
    fallback: Sequence[int]
    below_W: Sequence[float]
    above_W: Sequence[float]
    slice_A: float
    slice_W: float
    volts: float


class Purchase(NamedTuple):
    """The first of a buyer: ampere or watt held, and on how many phases, whether bought or refused."""

    held: float
    phases: int
    reason: int
    refused: bool
    power_class: int
    per_unit_W: float
    """Grid watts of a unit held."""


def buy_in_turn(
    desk: Desk,
    buyers: Sequence[int],
    shared: Sequence[Sequence[int]],
    left_A: list[float],
    left_grid_W: list[float],
) -> list[Purchase]:
    """One round; what is left is lowered in place."""
    purchases = []
    for i in buyers:
        offer_A, grid_W = desk.own_A[i], desk.own_grid_W[i]
        for limit in shared[i]:
            if left_A[limit] < offer_A:
                offer_A = left_A[limit]
            if left_grid_W[limit] < grid_W:
                grid_W = left_grid_W[limit]
        purchase = _buy(desk, i, offer_A, grid_W / desk.to_grid[i])
        purchases.append(purchase)
        if purchase.held > 0.0:
            power_W = purchase.held * purchase.per_unit_W
            for limit in shared[i]:
                left_A[limit] -= purchase.held
                left_grid_W[limit] -= power_W
    return purchases


def buy_minimums_in_turn(
    own_A: Sequence[float], min_A: Sequence[float], shared: Sequence[Sequence[int]], left_A: list[float]
) -> list[bool]:
    """The same round where everyone buys current, has a minimum, and nothing is limited in watts: whether
    each is refused. As nothing but the minimum is asked for, it is a third of the work."""
    refused = []
    for offer_A, least_A, limits in zip(own_A, min_A, shared, strict=True):
        for limit in limits:
            if left_A[limit] < offer_A:
                offer_A = left_A[limit]
        if offer_A + CRUMB < least_A:
            refused.append(True)
            continue
        refused.append(False)
        for limit in limits:
            left_A[limit] -= least_A
    return refused


def _buy(desk: Desk, i: int, offer_A: float, offer_W: float) -> Purchase:
    power_class = (offer_W >= desk.below_W[i]) + (offer_W >= desk.above_W[i])
    count, reason = desk.counts[power_class][i], desk.reasons[power_class][i]
    if desk.watt[i]:
        held = min(offer_W, desk.slice_W)
        return Purchase(0.0 if held < CRUMB else held, count, reason, False, power_class, desk.to_grid[i])
    affordable = min(offer_A, offer_W / (count * desk.volts))
    refused = False
    held = desk.min_A[i]
    if held <= 0.0:
        held = min(affordable, desk.slice_A)
    else:
        if affordable + CRUMB < held and desk.fallback[i]:
            count, reason = desk.fallback[i], PhaseReason.FALLBACK
            affordable = min(offer_A, offer_W / (count * desk.volts))
        refused = affordable + CRUMB < held
    if refused or held < CRUMB:
        held = 0.0
    return Purchase(held, count, reason, refused, power_class, count * desk.volts * desk.to_grid[i])
