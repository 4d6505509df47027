"""Changes: which EVSEs' results may differ from those of a run before.

A result is a value, and the name of what stopped it. The value is compared; the name stays the same
where the same limits did the stopping: the entries on the path say the same, and limits above are used
up where they were. Where that is not told so easily, the result counts as changed.
"""

from __future__ import annotations

import numpy as np

from actors.energy.market.arrays import Bools, Counts, Ints, once
from actors.energy.market.entries import Direction
from actors.energy.market.outcome import USED_UP_A, USED_UP_W, Outcome
from actors.energy.market.walking import same_limits


def changed_evses(now: Outcome, before: Outcome) -> Ints:
    """Their numbers, ascending."""
    everyone = np.arange(len(now.tree.uuids))
    if (
        now.tree.shape is not before.tree.shape
        or now.config != before.config
        or now.slots.active_column != before.slots.active_column
        or not np.array_equal(now.slots.times_us, before.slots.times_us)
        or any(
            each.sale.ahead is not None or each.limits.extras
            for run in (now, before)
            for each in run.trades.values()
        )
    ):
        return everyone
    nodes = _other_limits(now, before)
    differs = np.zeros(len(everyone), dtype=np.bool_)
    for direction, trades in now.trades.items():
        old = before.trades[direction]
        pairs = (
            (trades.current_A, old.current_A),
            (trades.grid_W, old.grid_W),
            (trades.phases, old.phases),
            (trades.stopped_by, old.stopped_by),
            (now.taking_part(direction), before.taking_part(direction)),
        )
        for one, other in pairs:
            differs |= (once(one) != once(other)).any(axis=0)
        differs |= once(trades.refused).any(axis=0) | once(old.refused).any(axis=0)
        nodes[now.tree.shape.inner] |= (_used_up(now, direction) != _used_up(before, direction)).any(axis=0)
    return np.flatnonzero(differs | _below(now, nodes))


def _other_limits(now: Outcome, before: Outcome) -> Bools:
    """Nodes that say something else of themselves."""
    found = np.zeros(len(now.tree.nodes), dtype=np.bool_)
    if now.tree is before.tree:
        return found
    changed = now.tree.changed
    if changed is not None and changed.since is before.tree.nodes:
        found[list(changed.nodes)] = True
    else:
        pairs = zip(now.tree.nodes, before.tree.nodes, strict=True)
        found[:] = [not same_limits(one, other) for one, other in pairs]
    return found


def _used_up(outcome: Outcome, direction: Direction) -> Counts:
    """Which limits of inner nodes have nothing left: (columns, inner nodes), 2 for ampere, 1 for watt."""
    inner = outcome.tree.shape.inner
    in_A = once(outcome.left(direction, "A", inner)) <= USED_UP_A
    in_W = once(outcome.left(direction, "W", inner)) <= USED_UP_W
    return in_A * np.int8(2) + in_W


def _below(outcome: Outcome, nodes: Bools) -> Bools:
    """EVSEs at or below any of some nodes."""
    first, end = outcome.tree.shape.ranges
    marks = np.zeros(len(outcome.tree.uuids) + 1, dtype=np.intp)
    np.add.at(marks, first[nodes], 1)
    np.add.at(marks, end[nodes], -1)
    return np.asarray(np.cumsum(marks[:-1]) > 0)
