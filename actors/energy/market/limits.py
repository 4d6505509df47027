"""What limits allow on every path, slot by slot, before anything is sold.

Power is counted where the tree meets the grid. A node with efficiency e turns p watt at its
leaves into p / e at its root side when importing and p * e when exporting, so one watt at the
root side of a node is `to_grid` watt there, with to_grid the product over the node's ancestors.
In grid watts a node's limit binds the plain sum over its EVSEs, whatever lies between:

    root ──[e = 0.9]── panel ──[e = 0.95]── EVSE     the EVSE's 900 W are 1000 W at the root;
                                                     its own 0.95 is in its own limit.

All arrays are (columns, nodes) or (columns, EVSEs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Bools, Counts, Floats, Ints, once, repeated
from actors.energy.market.entries import Direction, Row
from actors.energy.market.heeding import Heeded
from actors.energy.market.tree import CompiledTree, Shape

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Extra:
    """A setpoint that only some of the EVSEs below its node heed: a limit on those alone."""

    column: int
    node: int
    members: Ints
    limit_A: float
    limit_grid_W: float


@dataclass(frozen=True)
class TightNodes:
    """Nodes that cannot keep the fallbacks below them (tight.py), and whose limit is their fallback."""

    tight_A: Bools
    tight_W: Bools
    capped_A: Bools
    capped_W: Bools


@dataclass(frozen=True)
class PathLimits:
    """One direction. Of nodes: what each allows. Of EVSEs: the smallest or largest on the path."""

    direction: Direction
    node_A: Floats
    node_grid_W: Floats
    to_grid: Floats
    """Of nodes: grid watts for each watt at the node's root side."""
    extras: list[Extra]
    path_A: Floats
    path_grid_W: Floats
    evse_to_grid: Floats
    min_A: Floats
    max_phases: Counts
    min_phases: Counts
    own_max_phases: Counts
    active_phases: Counts
    may_switch: Bools
    rows: Ints
    """Which row of the schedules' table holds: for naming sources."""
    tight: TightNodes | None = None
    """None where no node is."""

    @property
    def open(self) -> Bools:
        """Where neither the current nor the power that limits allow is 0: (columns, EVSEs)."""
        may = (once(self.path_A) > 0.0) & (once(self.path_grid_W) > 0.0)
        return repeated(np.asarray(may), len(self.path_A))

    def part(self, columns: slice) -> PathLimits:
        """Of some columns; there must be no extras."""
        assert not self.extras, "extras are of a column by its number"
        own: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        arrays: dict[str, Any] = {n: a[columns] for n, a in own.items() if isinstance(a, np.ndarray)}
        return replace(self, **arrays)

    @cached_property
    def in_watts(self) -> bool:
        """Whether any limit is in watts."""
        return bool(np.isfinite(once(self.path_grid_W)).any())


def path_limits(
    tree: CompiledTree, columns_us: Ints, direction: Direction, heeded: list[Heeded]
) -> PathLimits:
    """What `direction` allows in the given columns.

    What is the same in all columns is worked out once, and repeated without a copy (`repeated`)."""
    schedules, shape = tree.schedules[direction], tree.shape
    rows = schedules.rows_at(columns_us)
    at = {field: schedules.held(field, rows) for field in Row._fields}
    to_grid = _to_grid(tree, at["efficiency"], direction)
    node_A, node_grid_W = at["max_A"], at["max_W"]
    if len(to_grid) > 1 or not (to_grid == 1.0).all():
        node_grid_W = node_grid_W * to_grid
    count = len(columns_us)
    extras = []
    if heeded:
        node_A, node_grid_W = repeated(node_A, count).copy(), repeated(node_grid_W, count).copy()
        extras = _apply_targets(heeded, direction, node_A, node_grid_W, repeated(to_grid, count))
    evse = shape.evse_array

    def on_path(field: str, values: NDArray[T], pick: Callable[..., Any]) -> NDArray[T]:
        if schedules[field] is None and not heeded:  # nobody says anything
            return repeated(values[:, evse], count)
        return repeated(along_paths(shape, values, pick), count)

    path_A = on_path("max_A", node_A, np.minimum)
    path_grid_W = on_path("max_W", node_grid_W, np.minimum)
    if extras:
        path_A, path_grid_W = path_A.copy(), path_grid_W.copy()
    for extra in extras:
        members = (extra.column, extra.members)
        path_A[members] = np.minimum(path_A[members], extra.limit_A)
        path_grid_W[members] = np.minimum(path_grid_W[members], extra.limit_grid_W)

    def of_evses(values: NDArray[T]) -> NDArray[T]:
        return repeated(np.take(values, evse, axis=1), count)

    return PathLimits(
        direction=direction,
        node_A=repeated(node_A, count),
        node_grid_W=repeated(node_grid_W, count),
        to_grid=repeated(to_grid, count),
        extras=extras,
        path_A=path_A,
        path_grid_W=path_grid_W,
        evse_to_grid=of_evses(to_grid),
        own_max_phases=of_evses(at["max_phases"]),
        active_phases=of_evses(at["active_phases"]),
        may_switch=of_evses(at["may_switch"]),
        min_A=on_path("min_A", at["min_A"], np.maximum),
        max_phases=on_path("max_phases", at["max_phases"], np.minimum),
        min_phases=on_path("min_phases", at["min_phases"], np.maximum),
        rows=repeated(rows, count),
    )


def _to_grid(tree: CompiledTree, efficiency: Floats, direction: Direction) -> Floats:
    factor = np.ones_like(efficiency)
    if efficiency.min() < 1.0:
        for level in tree.levels[1:]:
            above = tree.parent[level]
            if direction == "import":
                factor[:, level] = factor[:, above] / efficiency[:, above]
            else:
                factor[:, level] = factor[:, above] * efficiency[:, above]
    return factor


def along_paths(shape: Shape, values: NDArray[T], pick: Callable[..., Any]) -> NDArray[T]:
    """Of each EVSE the smallest or largest value of its path: (columns, nodes) to (columns, EVSEs)."""
    own = np.take(values, shape.evse_array, axis=1)
    if not len(shape.inner):
        return own
    inner = np.take(values, shape.inner, axis=1)
    for here, above in shape.inner_levels:
        inner[:, here] = pick(inner[:, here], inner[:, above])
    return np.asarray(pick(own, np.take(inner, shape.above_evse, axis=1)))


def _apply_targets(
    heeded: list[Heeded],
    direction: Direction,
    node_A: Floats,
    node_grid_W: Floats,
    to_grid: Floats,
) -> list[Extra]:
    """Setpoints that all EVSEs below heed lower the node's limits; the others become extras."""
    extras = []
    for each in heeded:
        cap_A, cap_W = each.caps(direction)
        cell = (each.column, each.node)
        cap_grid_W = cap_W * float(to_grid[cell])
        if each.members is None:
            node_A[cell] = min(node_A[cell], cap_A)
            node_grid_W[cell] = min(node_grid_W[cell], cap_grid_W)
        else:
            extras.append(Extra(each.column, each.node, each.members, cap_A, cap_grid_W))
    return extras
