"""Tight nodes: those whose import limit is below the sum of what their children's fallbacks are.

Such a limit cannot be kept when nobody hears anything. So that it is not exceeded by more than it
must be, nobody below may have more than its fallback, and the limit is shared as any other:

    root, 20 A ──┬── car, fallback 6 A: 6 A, though 20 A would be there for it alone
                 ├── idle, idle, idle, fallback 6 A each
                 └── without a fallback: nothing

A child's fallback is no less than the sum of those below it. A child that is capped at just that
sum is tight, too; one that has more to give shares it as usual, and keeps what fallbacks.py says.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actors.energy.market.arrays import Bools, Floats
from actors.energy.market.limits import PathLimits, TightNodes
from actors.energy.market.tree import CompiledTree

KEPT_SLACK = 1e-9
"""Of a limit and of 1 A or W: by how much fallbacks may exceed it, as sums are rounded."""


def cap_at_fallbacks(tree: CompiledTree, limits: PathLimits) -> PathLimits:
    """Import limits, lowered to fallbacks below tight nodes."""
    if not tree.fallbacks:
        return limits
    fallback_A, fallback_grid_W = fallbacks_of(tree, limits)
    node_A, tight_A, capped_A = _capped(tree, limits.node_A, fallback_A)
    node_grid_W, tight_W, capped_W = _capped(tree, limits.node_grid_W, fallback_grid_W)
    if not tight_A.any() and not tight_W.any():
        return limits
    return replace(
        limits,
        node_A=node_A,
        node_grid_W=node_grid_W,
        maybe_in_watts=True,
        tight=TightNodes(tight_A, tight_W, capped_A, capped_W),
    )


def fallbacks_of(tree: CompiledTree, limits: PathLimits) -> tuple[Floats, Floats]:
    """The fallbacks of all nodes, in ampere and grid watt: (columns, nodes)."""
    amounts = np.zeros((2, len(tree.nodes)))
    amounts[:, list(tree.fallbacks)] = np.array(list(tree.fallbacks.values())).T
    return np.broadcast_to(amounts[0], limits.node_A.shape), amounts[1] * limits.to_grid


def counted_below(tree: CompiledTree, own: Floats, fallbacks: Floats) -> Floats:
    """What each node sells: to its own EVSE, and what it counts for its children."""
    below = own.copy()
    for level, starts, parents in reversed(tree.families):
        counted = np.maximum(below[:, level], fallbacks[:, level])
        below[:, parents] += np.add.reduceat(counted, starts, axis=1)
    return below


def _capped(tree: CompiledTree, limits: Floats, fallbacks: Floats) -> tuple[Floats, Bools, Bools]:
    """Limits, lowered; where nodes are tight; where a node's limit is its fallback."""
    least = counted_below(tree, np.zeros_like(limits), fallbacks)
    most = np.maximum(fallbacks, least)
    tight = _is_above(least, limits)
    if not tight.any():
        return limits, tight, tight
    limits, capped, below_tight = limits.copy(), np.zeros_like(tight), np.zeros_like(tight)
    for level in tree.levels[1:]:
        parent = tree.parent[level]
        cap = np.where(tight[:, parent], most[:, level], np.inf)
        capped[:, level] = cap < limits[:, level]
        limits[:, level] = np.minimum(limits[:, level], cap)
        below_tight[:, level] = below_tight[:, parent] | tight[:, parent]
        here_least, here = least[:, level], limits[:, level]
        tight[:, level] = _is_above(here_least, here) | (
            below_tight[:, level] & ~_is_above(here, here_least) & (here_least > 0.0)
        )
    return limits, tight, capped


def _is_above(values: Floats, others: Floats) -> Bools:
    """By more than sums are rounded."""
    slack = KEPT_SLACK * (1.0 + np.where(np.isfinite(others), others, 0.0))
    return np.asarray(values > others + slack)
