"""Rounds where limits cross: setpoints that only some of the EVSEs below a node heed.

Then the sets of EVSEs that share a limit are no longer nested, and no order of the limits is the
right one beforehand. So limits are used up one by one, the one whose turn comes first at first;
those it stops count with what they hold when the next one is sought. This is for one column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.energy.market.rounds import SLACK, Positions, fill
from actors.energy.market.tree import Floats, Ints


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
    held, caps, steps = positions.held[column], positions.caps[column], positions.steps[column]
    grid_W, stopped_by = positions.grid_W[column], positions.stopped_by[column]
    waiting = list(limits)
    while waiting:
        first: tuple[tuple[float, int], SharedLimit, Floats] | None = None
        still_waiting = []
        for limit in waiting:
            ended = _used_up(limit, held, caps, steps, grid_W)
            if ended is None:
                continue  # caps only shrink: it will never be reached
            still_waiting.append(limit)
            if first is None or ended[0] < first[0]:
                first = (ended[0], limit, ended[1])
        if first is None:
            break
        _, limit, amounts = first
        stops = limit.members[amounts < caps[limit.members] - SLACK]
        stopped_by[stops] = limit.number
        caps[limit.members] = np.minimum(caps[limit.members], amounts)
        waiting = [each for each in still_waiting if each is not limit]


def _used_up(
    limit: SharedLimit, held: Floats, caps: Floats, steps: Floats, grid_W: Floats
) -> tuple[tuple[float, int], Floats] | None:
    """When a limit is used up (round, EVSE) and what its EVSEs hold then; None if never."""
    members = limit.members
    factor = grid_W[members] if limit.is_power else np.ones(len(members))
    if (caps[members] * factor).sum() <= limit.limit:
        return None
    whole = np.zeros(1, dtype=np.intp), np.array([len(members)], dtype=np.intp)
    sold = fill(
        np.array([limit.limit]),
        *whole,
        held[members] * factor,
        caps[members] * factor,
        steps[members] * factor,
    )
    buyers = np.flatnonzero(sold.in_last_round > SLACK)
    last = int(members[buyers[-1]]) if len(buyers) else -1
    return (float(sold.full_rounds[0]), last), sold.amounts / factor
