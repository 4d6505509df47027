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

from actors.energy.market.arrays import Bools, Counts, Floats, Ints, all_of, any_of, once, repeated, same_rows
from actors.energy.market.entries import Direction
from actors.energy.market.heeding import Heeded
from actors.energy.market.timetables import said_by_nobody
from actors.energy.market.tree import CompiledTree, Shape
from actors.energy.packing import LEAST_AMPERE, LEAST_PHASES, MOST_PHASES

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


class OnPaths:
    """What is seldom asked for, worked out at the first time: (columns, EVSEs), `rows` (columns, nodes)."""

    def __init__(
        self, work_out: Callable[[str], NDArray[Any]], found: dict[str, NDArray[Any]] | None = None
    ) -> None:
        self._work_out = work_out
        self._found = found or {}

    def __getitem__(self, field: str) -> NDArray[Any]:
        if field not in self._found:
            self._found[field] = self._work_out(field)
        return self._found[field]

    def part(self, columns: slice) -> OnPaths:
        """Of some columns."""
        return OnPaths(lambda field: self[field][columns])


@dataclass(frozen=True)
class PathLimits:
    """One direction. Of nodes: what each allows. Of EVSEs: the smallest or largest on the path."""

    direction: Direction
    shape: Shape
    node_A: Floats
    node_grid_W: Floats
    to_grid: Floats
    """Of nodes: grid watts for each watt at the node's root side."""
    extras: list[Extra]
    on_paths: OnPaths
    """What schedules say otherwise of paths: the properties below."""
    tight: TightNodes | None = None
    """None where no node is."""
    maybe_in_watts: bool = True
    """False where surely no limit is in watts."""

    @property
    def evse_to_grid(self) -> Floats:
        """Of EVSEs, `to_grid`."""
        return self.on_paths["evse_to_grid"]

    @property
    def min_A(self) -> Floats:
        """0 where there is none."""
        return self.on_paths["min_A"]

    @property
    def max_phases(self) -> Counts:
        """The smallest on the path."""
        return self.on_paths["max_phases"]

    @property
    def min_phases(self) -> Counts:
        """The largest on the path; 0: none given."""
        return self.on_paths["min_phases"]

    @property
    def own_max_phases(self) -> Counts:
        """What the EVSE itself says."""
        return self.on_paths["own_max_phases"]

    @property
    def active_phases(self) -> Counts:
        """As the EVSE reports; 0: not reported."""
        return self.on_paths["active_phases"]

    @property
    def may_switch(self) -> Bools:
        """Whether the EVSE changes phases while it charges."""
        return self.on_paths["may_switch"]

    @property
    def rows(self) -> Ints:
        """Of nodes: which row of the schedules' table holds, for naming sources."""
        return self.on_paths["rows"]

    @cached_property
    def path_A(self) -> Floats:
        """Ampere, with the extras."""
        return self._path(self.node_A, [(each, each.limit_A) for each in self.extras])

    @cached_property
    def path_grid_W(self) -> Floats:
        """Grid watts, likewise."""
        return self._path(self.node_grid_W, [(each, each.limit_grid_W) for each in self.extras])

    def _path(self, node_limits: Floats, extras: list[tuple[Extra, float]]) -> Floats:
        path = repeated(along_paths(self.shape, once(node_limits), np.minimum), len(node_limits))
        if extras:
            path = path.copy()
        for extra, limit in extras:
            path[extra.column, extra.members] = np.minimum(path[extra.column, extra.members], limit)
        return path

    # Whether there is a limit, or one of 0, is asked of all EVSEs in every run, how much it is, seldom.

    @cached_property
    def in_A(self) -> Bools:
        """Where a limit in ampere is on the path: (columns, EVSEs)."""
        return np.isfinite(self.path_A) if self.extras else self._limited(self.node_A)

    @cached_property
    def in_W(self) -> Bools:
        """Where one in watts is, likewise."""
        if not self.maybe_in_watts:
            return self._everywhere(False)
        return np.isfinite(self.path_grid_W) if self.extras else self._limited(self.node_grid_W)

    @cached_property
    def open(self) -> Bools:
        """Where neither the current nor the power that limits allow is 0: (columns, EVSEs)."""
        if self.extras:
            return (self.path_A > 0.0) & (self.path_grid_W > 0.0)
        node_A, node_grid_W = once(self.node_A), once(self.node_grid_W)
        closed = node_A <= 0.0
        if self.maybe_in_watts:
            closed = closed | (node_grid_W <= 0.0)
        if not any_of(closed):
            return self._everywhere(True)
        if all_of(closed[:, 0]):  # the root, so all
            return self._everywhere(False)
        closed = self._on_any_path(closed)
        return repeated(~once(closed), len(self.node_A))

    def _limited(self, node_limits: Floats) -> Bools:
        """Where any node on the path has a limit."""
        node_limits = once(node_limits)
        if all_of(node_limits[:, 0] < np.inf):  # the root, so all
            return self._everywhere(True)
        return self._on_any_path(node_limits < np.inf)

    def _everywhere(self, holds: bool) -> Bools:
        return same_rows(holds, (len(self.node_A), len(self.shape.evses)), np.bool_)

    def _on_any_path(self, holds: Bools) -> Bools:
        """Where something holds of any node on the path."""
        if not any_of(holds):
            return self._everywhere(False)
        found = along_paths(self.shape, holds, np.maximum)
        return self._everywhere(True) if all_of(found) else repeated(found, len(self.node_A))

    @cached_property
    def in_watts(self) -> bool:
        """Whether any limit is in watts."""
        return self.maybe_in_watts and any_of(once(self.in_W))

    def part(self, columns: slice) -> PathLimits:
        """Of some columns."""
        numbers = range(len(self.node_A))[columns]
        tight = self.tight
        return replace(
            self,
            node_A=self.node_A[columns],
            node_grid_W=self.node_grid_W[columns],
            to_grid=self.to_grid[columns],
            extras=[
                replace(each, column=numbers.index(each.column))
                for each in self.extras
                if each.column in numbers
            ],
            on_paths=self.on_paths.part(columns),
            tight=tight and TightNodes(*(getattr(tight, each.name)[columns] for each in fields(tight))),
        )


def path_limits(
    tree: CompiledTree, columns_us: Ints, direction: Direction, heeded: list[Heeded]
) -> PathLimits:
    """What `direction` allows in the given columns.

    What is the same in all columns is worked out once, and repeated without a copy (`repeated`)."""
    said = _Said(tree, columns_us, direction)
    shape, count = tree.shape, len(columns_us)
    to_grid, evse_to_grid = said.to_grid(tree)
    node_A, node_grid_W = said["max_A"], said["max_W"]
    converts = not said.nobody("efficiency")
    if converts:
        node_grid_W = node_grid_W * to_grid
    extras = []
    if heeded:
        node_A, node_grid_W = repeated(node_A, count).copy(), repeated(node_grid_W, count).copy()
        extras = _apply_targets(heeded, direction, node_A, node_grid_W, repeated(to_grid, count))
    return PathLimits(
        direction=direction,
        shape=shape,
        node_A=repeated(node_A, count),
        node_grid_W=repeated(node_grid_W, count),
        to_grid=repeated(to_grid, count),
        extras=extras,
        on_paths=OnPaths(said.on_paths, {"evse_to_grid": repeated(evse_to_grid, count)}),
        maybe_in_watts=bool(heeded) or not said.nobody("max_W"),
    )


_PICKS: dict[str, tuple[Callable[..., Any], int]] = {
    "min_A": (np.maximum, LEAST_AMPERE),
    "max_phases": (np.minimum, MOST_PHASES),
    "min_phases": (np.maximum, LEAST_PHASES),
}
"""Which of the values on a path counts, and packing's number of the field."""
_OWN = {"own_max_phases": "max_phases", "active_phases": "active_phases", "may_switch": "may_switch"}
"""Fields that only an EVSE itself has a say in."""


class _Said:
    """What nodes say in some columns: (columns, nodes), or (1, nodes) where it is the same in all."""

    def __init__(self, tree: CompiledTree, columns_us: Ints, direction: Direction) -> None:
        self._shape = tree.shape
        self._columns_us = columns_us
        self._direction = direction
        self._schedules = tree.schedules[direction]

    @cached_property
    def _rows(self) -> Ints:
        return self._schedules.rows_at(self._columns_us)

    def __getitem__(self, field: str) -> NDArray[Any]:
        schedules = self._schedules
        return (
            schedules.held_always(field) if schedules.is_steady(field) else schedules.held(field, self._rows)
        )

    def nobody(self, field: str) -> bool:
        """Whether no node says anything."""
        return self._schedules[field] is None

    def on_paths(self, name: str) -> NDArray[Any]:
        """See OnPaths."""
        count = len(self._columns_us)
        if name == "rows":
            return repeated(self._rows, count)
        return repeated(self.own(_OWN[name]) if name in _OWN else self.along_paths(name), count)

    def own(self, field: str) -> NDArray[Any]:
        """Of EVSEs, what they say themselves."""
        if self._schedules.is_steady(field):
            return self._schedules.held_by(self._shape.evse_array, field)
        return np.take(self[field], self._shape.evse_array, axis=1)

    def along_paths(self, field: str) -> NDArray[Any]:
        """Of EVSEs, which of the values on the path counts."""
        pick, number = _PICKS[field]
        if not self._schedules.is_said_above(self._shape.inner, number):
            return self.own(field)
        return self._worked_out("path", field, lambda said: along_paths(self._shape, said, pick))

    def to_grid(self, tree: CompiledTree) -> tuple[Floats, Floats]:
        """Of nodes and of EVSEs: see PathLimits."""
        if self.nobody("efficiency"):
            counts = len(self._shape.parent), len(self._shape.evses)
            return said_by_nobody("efficiency", counts[0]), said_by_nobody("efficiency", counts[1])
        of_nodes = self._worked_out("grid", "efficiency", lambda said: _to_grid(tree, said, self._direction))
        evses = self._shape.evse_array
        return of_nodes, self._worked_out("EVSE's grid", "efficiency", lambda _: of_nodes[:, evses])

    def _worked_out(
        self, what: str, field: str, work_out: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> NDArray[Any]:
        """Of what is said: once, where it is the same in all columns."""
        if not self._schedules.is_steady(field):
            return work_out(self[field])
        return self._schedules.lasting(what, field, lambda: work_out(self[field]))


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
    if not len(shape.inner) or (pick is np.minimum and not own.any()):
        return own
    inner = np.take(values, shape.inner, axis=1)
    if pick is np.maximum and not inner.any():
        return own
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
