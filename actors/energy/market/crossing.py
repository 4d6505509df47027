"""Rounds where limits cross: setpoints that only some of the EVSEs below a node heed.

Then the sets of EVSEs that share a limit are no longer nested, and no order of the limits is the
right one beforehand. So limits are used up one by one, the one whose turn comes first at first;
those it stops count with what they hold when the next one is sought. This is for one column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from actors.energy.market.arrays import Floats, Ints
from actors.energy.market.filling import fill_one
from actors.energy.market.rounds import SLACK, Positions


class When(NamedTuple):
    """When a limit is used up: in the round after `full_rounds`, at the turn of EVSE `last` (-1:
    before any). Of two that are used up by the same purchase, the one that allows less of it stops
    it, and the other has something left; so what the buyer then holds is the last word."""

    full_rounds: float
    last: int
    last_holds: float


@dataclass(frozen=True)
class SharedLimit:
    """A limit over some EVSEs (positions in their tier, ascending), in ampere or in grid watt."""

    members: Ints
    limit: float
    is_power: bool
    number: int
    """See rounds.limit_number."""


def sell_rounds_crossing(limits: list[SharedLimit], positions: Positions, column: int) -> None:
    """Narrow the caps of one column to what every EVSE gets in the end."""
    held, caps = positions.held[column], positions.caps[column]
    steps = np.broadcast_to(positions.steps, positions.caps.shape)[column]
    grid_W, stopped_by = positions.grid_W[column], positions.stopped_by[column]
    waiting: list[tuple[SharedLimit, When, Floats]] = []
    affected = limits
    while True:
        for limit in affected:
            ended = _used_up(limit, held, caps, steps, grid_W)
            if ended is not None:  # else it will never be reached, as caps only shrink
                waiting.append((limit, *ended))
        if not waiting:
            return
        first, _, amounts = min(waiting, key=lambda each: each[1])
        before = caps[first.members]
        caps[first.members] = np.minimum(before, amounts)
        stopped_by[first.members[amounts < before - SLACK]] = first.number
        narrowed = np.zeros(len(caps), dtype=np.bool_)
        narrowed[first.members] = amounts < before
        others = [each for each in waiting if each[0] is not first]
        affected = [each[0] for each in others if narrowed[each[0].members].any()]
        waiting = [each for each in others if not narrowed[each[0].members].any()]


def _used_up(
    limit: SharedLimit, held: Floats, caps: Floats, steps: Floats, grid_W: Floats
) -> tuple[When, Floats] | None:
    """When a limit is used up and what its EVSEs hold then; None if never."""
    members = limit.members
    factor = grid_W[members] if limit.is_power else np.ones(len(members))
    if (caps[members] * factor).sum() <= limit.limit:
        return None
    sold = fill_one(limit.limit, held[members] * factor, caps[members] * factor, steps[members] * factor)
    buyers = np.flatnonzero(sold.in_last_round > SLACK)
    amounts = sold.amounts / factor
    if not len(buyers):
        return When(sold.full_rounds, -1, 0.0), amounts
    last = buyers[-1]
    return When(sold.full_rounds, int(members[last]), float(amounts[last])), amounts
