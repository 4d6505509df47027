"""Changes: which EVSEs' results may differ from those of a run before.

A result is a value, and the name of what stopped it. The value is compared; the name stays the same
where the same limits did the stopping: the entries on the path say the same, and limits above are used
up where they were. Where that is not told so easily, the result counts as changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Bools, Ints, any_of, once
from actors.energy.market.outcome import Outcome
from actors.energy.market.trading import Trades
from actors.energy.market.tree import Shape
from actors.energy.market.walking import same_limits


def changed_evses(now: Outcome, before: Outcome) -> Ints:
    """Their numbers, ascending."""
    count = len(now.tree.uuids)
    if (
        now.tree.shape is not before.tree.shape
        or now.config != before.config
        or now.slots.active_column != before.slots.active_column
        or now.slots.times_us.tobytes() != before.slots.times_us.tobytes()
        or now.slots.columns_us.tobytes() != before.slots.columns_us.tobytes()
        or any(
            each.sale.ahead is not None or each.limits.extras
            for run in (now, before)
            for each in (run.trades[direction] for direction in run.directions)
        )
    ):
        return np.arange(count)
    shape, nodes = now.tree.shape, _other_limits(now, before)
    differs = np.zeros(count, dtype=np.bool_)
    evses = shape.number_at[nodes]
    differs[evses[evses >= 0]] = True
    above = [nodes[shape.size_array[nodes] > 1]]
    for direction in max(now.directions, before.directions, key=len):
        trades, old = now.trades[direction], before.trades[direction]
        _mark(
            differs,
            (now.taking_part(direction), before.taking_part(direction)),
            (trades.phases, old.phases),
            (trades.stopped_by, old.stopped_by),
        )
        for each in (trades, old):
            if any_of(once(each.refused)):
                differs |= once(each.refused).any(axis=0)
        shares_differ = np.zeros(count, dtype=np.bool_)
        _mark(shares_differ, (trades.current_A, old.current_A), (trades.grid_W, old.grid_W))
        if any_of(shares_differ) or _other_for_sale(trades, old, shape.inner):
            differs |= shares_differ
            above.append(shape.inner[_differ(now.used_up(direction), before.used_up(direction))])
    for some in above:
        if len(some):
            differs |= _below(shape, some)
    return np.flatnonzero(differs)


def _mark(differs: Bools, *pairs: tuple[NDArray[Any], NDArray[Any]]) -> None:
    """Where one differs from the other in any column."""
    for one, other in pairs:
        if one is not other:  # as what nobody has
            differs |= _differ(one, other)


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
        one is not other and any_of(once(one).take(nodes, axis=1) != once(other).take(nodes, axis=1))
        for one, other in pairs
    )


def _other_limits(now: Outcome, before: Outcome) -> Ints:
    """Nodes that say something else of themselves."""
    if now.tree is before.tree:
        return np.zeros(0, dtype=np.intp)
    changed = now.tree.changed
    if changed is not None and changed.since is before.tree.nodes:
        return np.array(changed.nodes, dtype=np.intp)
    pairs = zip(now.tree.nodes, before.tree.nodes, strict=True)
    return np.flatnonzero([not same_limits(one, other) for one, other in pairs])


def _below(shape: Shape, inner: Ints) -> Bools:
    """EVSEs at or below any of some inner nodes."""
    first, end = shape.ranges
    marks = np.zeros(len(shape.evses) + 1, dtype=np.intp)
    np.add.at(marks, first[inner], 1)
    np.add.at(marks, end[inner], -1)
    return np.asarray(np.cumsum(marks[:-1]) > 0)
