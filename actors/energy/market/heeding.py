"""Which EVSEs heed which setpoint: those for which it is the best on their path.

The rule of the setpoints is in setpoints.py. Where all EVSEs below a node agree, the setpoint
acts as a limit of the node; where some have a better one, it binds only the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from actors.energy.market.arrays import Ints
from actors.energy.market.entries import Direction
from actors.energy.market.setpoints import Target
from actors.energy.market.tree import CompiledTree


@dataclass(frozen=True)
class Heeded:
    """A setpoint in one column and who heeds it: EVSE numbers, or None for all below the node."""

    column: int
    node: int
    target: Target
    members: Ints | None

    def caps(self, direction: Direction) -> tuple[float, float]:
        """Ampere and watt (at the node's root side) that it leaves to a direction; inf is no cap."""
        return caps_of(self.target, direction)


def caps_of(target: Target, direction: Direction) -> tuple[float, float]:
    """Ampere and watt that a setpoint leaves to a direction; inf where it sets no cap."""
    sign = 1.0 if direction == "import" else -1.0
    if target.current_A is not None:
        return max(sign * target.current_A, 0.0), inf
    assert target.power_W is not None
    return inf, max(sign * target.power_W, 0.0)


def heeded_targets(tree: CompiledTree, columns_us: Ints) -> list[Heeded]:
    """All setpoints that anyone heeds, in all columns."""
    if not tree.targets:
        return []
    held = [(each.node, each.targets, each.held_at(columns_us).tolist()) for each in tree.targets]
    found = []
    for column in range(len(columns_us)):
        here = {node: target for node, targets, at in held if (target := targets[at[column]]) is not None}
        if here:
            found += _heeded_in(tree, column, here)
    return found


def _heeded_in(tree: CompiledTree, column: int, here: dict[int, Target]) -> list[Heeded]:
    best = np.full(len(tree.nodes), inf)
    for node, target in here.items():
        best[node] = target.priority
    for level in tree.levels[1:]:
        best[level] = np.minimum(best[level], best[tree.parent[level]])
    of_evse = best[tree.evse_node]
    found = []
    for node, target in here.items():
        first, end = int(tree.first_evse[node]), int(tree.end_evse[node])
        heeds = of_evse[first:end] == target.priority
        if heeds.all():
            found.append(Heeded(column, node, target, None))
        elif heeds.any():
            found.append(Heeded(column, node, target, first + np.flatnonzero(heeds)))
    return found
