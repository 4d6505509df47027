"""Selling to everyone together: what a site is mostly like, in a few steps.

Where everyone who takes part buys current and has a minimum, and of all limits that several share only the
one of all stops anybody, nothing depends on turns but who gets the last slice. So that limit is used up as
if it were the only one, and afterwards the others are looked at: as nobody gives anything back, one that
has something left in the end had so all along, in the first round, too. Where any has not, or anything else
is not as simple, nothing is sold here, and the tier is sold in rounds (trading.py).
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import (
    Bools,
    Floats,
    all_of,
    any_of,
    once,
    repeated,
    row_sums,
    same_rows,
)
from actors.energy.market.filling import fill_rows
from actors.energy.market.first_round import Counter, FirstPurchases
from actors.energy.market.phases import BELOW
from actors.energy.market.rounds import OWN, SLACK, limit_number
from actors.energy.market.turns import CRUMB


class Sold(NamedTuple):
    """What a tier bought in all rounds: (columns, EVSEs)."""

    first: FirstPurchases
    current_A: Floats
    grid_W: Floats | None
    """None where no limit is in watts."""
    stopped_by: NDArray[np.int32]
    """See rounds.Positions."""


def sell_together(counter: Counter) -> Sold | None:
    """What the EVSEs of a tier buy; None where it has to be sold in rounds."""
    stages = counter.tier.stages
    if counter.in_watts or counter.extras or not stages:
        return None
    buys, held_A, caps_A = once(counter.ampere), once(counter.min_A), once(counter.own_A)
    everybody = all_of(buys)
    if not everybody:
        held_A, caps_A = np.where(buys, held_A, CRUMB), np.where(buys, caps_A, CRUMB)
    if not (all_of(held_A >= CRUMB) and all_of(held_A <= caps_A)):
        return None
    if not everybody:
        held_A, caps_A = held_A * buys, caps_A * buys
    limits_A, group = once(counter.shared_A), int(stages[-1].groups[0])
    common_A, wanted_A = limits_A[:, group], row_sums(caps_A)
    if max(wanted_A.tolist()) == inf or any_of(row_sums(held_A) > common_A):
        return None
    bought_A = _use_up(common_A, held_A, caps_A, counter.slice_A, wanted_A > common_A)
    for stage in stages[:-1]:
        most_A = limits_A.take(stage.groups, axis=1)
        if not all_of(stage.sums(bought_A) < most_A * (1.0 - SLACK) - SLACK):
            return None
    columns = len(counter.own_A)
    stopped_by = _stopped_by(int(limit_number(group, is_power=False)), bought_A < caps_A - SLACK, columns)
    first = _minimums_bought(counter, held_A, None if everybody else buys)
    return Sold(first, repeated(bought_A, columns), None, stopped_by)


def _use_up(common_A: Floats, held_A: Floats, caps_A: Floats, slice_A: float, exceeded: Bools) -> Floats:
    """What everyone gets of what all share, alone, where that is `exceeded`; elsewhere their caps."""
    if not any_of(exceeded):
        return caps_A
    columns = len(exceeded)
    held_A, caps_A = repeated(held_A, columns), repeated(caps_A, columns)
    if len(common_A) < columns:
        common_A = np.repeat(common_A, columns)
    if all_of(exceeded):
        bought_A = fill_rows(common_A, held_A, caps_A, slice_A)
    else:
        bought_A = caps_A.copy()
        bought_A[exceeded] = fill_rows(common_A[exceeded], held_A[exceeded], caps_A[exceeded], slice_A)
    return np.minimum(bought_A, caps_A, out=bought_A)


def _stopped_by(number: int, stops: Bools, columns: int) -> NDArray[np.int32]:
    """Who is stopped by the limit of all, or else by what is its own."""
    if all_of(stops):
        return same_rows(number, (columns, stops.shape[1]), np.int32)
    return repeated(stops * np.int32(number - OWN) + np.int32(OWN), columns)


def _minimums_bought(counter: Counter, held: Floats, buys: Bools | None) -> FirstPurchases:
    """Everyone who buys (None: all do) has bought its minimum: `held`, as `buys` one row where it is the same
    in all columns."""
    columns, evses = len(counter.own_A), held.shape[1]
    counts, reasons = once(counter.choices.counts[BELOW]), once(counter.choices.reasons[BELOW])
    return FirstPurchases(
        held=repeated(held, columns),
        phases=repeated(counts if buys is None else counts * buys, columns),
        tried=repeated(counts, columns),
        reasons=repeated(reasons if buys is None else reasons * buys, columns),
        refused=same_rows(False, (columns, evses), np.bool_),
        classes=same_rows(BELOW, (columns, evses), np.int8),
    )
