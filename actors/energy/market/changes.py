"""Changes: which EVSEs' results may differ from those of a run before.

A result is a value, and the name of what stopped it. The value is compared; the name stays the same
where the same limits did the stopping: the entries on the path say the same, and limits above are used
up where they were. Where that is not told so easily, the result counts as changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Bools, Ints, once
from actors.energy.market.outcome import Outcome
from actors.energy.market.trading import Trades
from actors.energy.market.walking import same_limits


def changed_evses(now: Outcome, before: Outcome) -> Ints:
    """Their numbers, ascending."""
    everyone = np.arange(len(now.tree.uuids))
    if (
        now.tree.shape is not before.tree.shape
        or now.config != before.config
        or now.slots.active_column != before.slots.active_column
        or not np.array_equal(now.slots.times_us, before.slots.times_us)
        or not np.array_equal(now.slots.columns_us, before.slots.columns_us)
        or any(
            each.sale.ahead is not None or each.limits.extras
            for run in (now, before)
            for each in (run.trades[direction] for direction in run.directions)
        )
    ):
        return everyone
    nodes = _other_limits(now, before)
    inner = now.tree.shape.inner
    differs = np.zeros(len(everyone), dtype=np.bool_)
    for direction in max(now.directions, before.directions, key=len):
        trades, old = now.trades[direction], before.trades[direction]
        shares_differ = np.zeros(len(everyone), dtype=np.bool_)
        if trades.sold or old.sold:
            shares_differ = _differ(trades.current_A, old.current_A) | _differ(trades.grid_W, old.grid_W)
            differs |= (
                shares_differ
                | _differ(trades.phases, old.phases)
                | _differ(trades.stopped_by, old.stopped_by)
                | once(trades.refused).any(axis=0)
                | once(old.refused).any(axis=0)
            )
        differs |= _differ(now.taking_part(direction), before.taking_part(direction))
        if shares_differ.any() or _other_for_sale(trades, old, inner):
            nodes[inner] |= _differ(now.used_up(direction), before.used_up(direction))
    return np.flatnonzero(differs | _below(now, nodes))


def _differ(one: NDArray[Any], other: NDArray[Any]) -> Bools:
    """In any column."""
    found = once(one) != once(other)
    return found[0] if len(found) == 1 else np.asarray(found.any(axis=0))


def _other_for_sale(trades: Trades, old: Trades, nodes: Ints) -> bool:
    """Whether some nodes have something else for sale, or power is counted in another way there."""
    pairs = (
        (trades.sale.node_A, old.sale.node_A),
        (trades.sale.node_grid_W, old.sale.node_grid_W),
        (trades.limits.to_grid, old.limits.to_grid),
    )
    return trades.limits.in_watts != old.limits.in_watts or any(
        one is not other and bool((once(one).take(nodes, axis=1) != once(other).take(nodes, axis=1)).any())
        for one, other in pairs
    )


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


def _below(outcome: Outcome, nodes: Bools) -> Bools:
    """EVSEs at or below any of some nodes."""
    shape = outcome.tree.shape
    first, end = shape.ranges
    found = nodes[shape.evse_array]
    inner = shape.inner[nodes[shape.inner]]
    if len(inner):
        marks = np.zeros(len(found) + 1, dtype=np.intp)
        np.add.at(marks, first[inner], 1)
        np.add.at(marks, end[inner], -1)
        found |= np.cumsum(marks[:-1]) > 0
    return found
