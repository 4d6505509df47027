"""The compiled tree: a request as numbers, kept between runs.

Nodes and EVSEs are numbered in depth-first order, so all EVSEs below a node are a range, and
whatever holds along a path is pushed from a level of the tree to the next in one step. Each
schedule entry of the tree is a row of a table; a slot only says which row holds at which node.
Nothing of a slot is in here, so a tree can be used until the request changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.entries import Direction
from actors.energy.market.setpoints import Target
from actors.energy.types import EnergyFlowRequest, ScheduleReqEntry, ScheduleSetpointEntry

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Schedules:
    """All schedules of one kind: rows of the table, and when they hold.

    `columns[field]` has one value a row. Node i's rows start at `first_row[i]` (row 0 stands for
    an empty schedule), sorted by time; `starts` lists the nodes that have more than one row.
    """

    columns: dict[str, Floats]
    entries: list[ScheduleReqEntry | None]
    first_row: Ints
    row_count: Ints
    starts: list[tuple[int, Ints]]

    def rows_at(self, slots_us: Ints) -> Ints:
        """The row that holds in each slot at each node: (slots, nodes)."""
        rows = np.repeat(self.first_row[np.newaxis, :], len(slots_us), axis=0)
        for node, starts_us in self.starts:
            rows[:, node] += np.maximum(np.searchsorted(starts_us, slots_us, side="right") - 1, 0)
        return rows


@dataclass(frozen=True)
class NodeTargets:
    """The setpoints of one node: what holds from each start on, None where nothing is asked."""

    node: int
    starts_us: Ints
    targets: list[Target | None]
    entries: list[ScheduleSetpointEntry]

    def held_at(self, slots_us: Ints) -> Ints:
        """Index of the entry that holds in each slot."""
        return np.maximum(np.searchsorted(self.starts_us, slots_us, side="right") - 1, 0)


@dataclass(frozen=True)
class CompiledTree:
    """A request as numbers; see the module's docstring."""

    request: EnergyFlowRequest
    nodes: list[EnergyFlowRequest]
    parent: Ints
    levels: list[Ints]
    """Nodes of each level of the tree, the root's first."""
    first_evse: Ints
    end_evse: Ints
    """The EVSEs at or below node i are first_evse[i] … end_evse[i] - 1."""
    evse_node: Ints
    uuids: list[str]
    number_of: dict[str, int]
    priorities: Ints
    schedules: dict[Direction, Schedules]
    targets: list[NodeTargets]
    starts_us: Ints
    """Every timestamp of every schedule, sorted, without doubles."""
    fallbacks: dict[int, tuple[float, float]]
    """Ampere and watt (at the root side) of the nodes that have a fallback."""

    @cached_property
    def families(self) -> list[tuple[Ints, Ints, Ints]]:
        """Of each level below the root: its nodes, where in it each parent's children start, and those
        parents. Children of one parent stand together, as nodes are in depth-first order."""
        found = []
        for level in self.levels[1:]:
            above = self.parent[level]
            first = np.flatnonzero(np.diff(above, prepend=-1))
            found.append((level, first, above[first]))
        return found

    def path(self, node: int) -> Iterator[int]:
        """The nodes from `node` up to the root."""
        while node >= 0:
            yield node
            node = int(self.parent[node])
