"""The compiled tree: a request as numbers, kept between runs.

Nodes and EVSEs are numbered in depth-first order, so all EVSEs below a node are a range, and
whatever holds along a path is pushed from a level of the tree to the next in one step. Each
schedule entry of the tree is a row of a table; a slot only says which row holds at which node.
Nothing of a slot is in here, so a tree can be used until the request changes. A part whose request
is the same object as before is not read again, and while nobody comes or goes the shape stays.

Plain numbers (lists) serve small trees, arrays large ones; arrays are made when first asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from actors.energy.market.arrays import Floats, Ints
from actors.energy.market.entries import EMPTY, Direction, Row
from actors.energy.market.setpoints import Target
from actors.energy.market.tiers import Tier, tiers_of
from actors.energy.types import EnergyFlowRequest, ScheduleReqEntry, ScheduleSetpointEntry


@dataclass(frozen=True)
class Timetable:
    """One node's schedule, sorted by time: which row holds from when on."""

    times_us: list[int]
    rows: list[Row]
    entries: list[ScheduleReqEntry | None]

    def at(self, time_us: int) -> int:
        """Index of what holds: the last stamped at or before, else the first."""
        return max(bisect_right(self.times_us, time_us) - 1, 0)


NO_TIMETABLE = Timetable([0], [EMPTY], [None])
"""Of an empty schedule."""


@dataclass(frozen=True)
class Schedules:
    """All timetables of one direction as arrays.

    `columns[field]` has one value a row. Node i's rows start at `first_row[i]`, sorted by time;
    `starts` lists the nodes that have more than one row.
    """

    columns: dict[str, Floats]
    entries: list[ScheduleReqEntry | None]
    first_row: Ints
    starts: list[tuple[int, Ints]]

    def rows_at(self, slots_us: Ints) -> Ints:
        """The row that holds in each slot at each node: (slots, nodes)."""
        rows = np.repeat(self.first_row[np.newaxis, :], len(slots_us), axis=0)
        for node, starts_us in self.starts:
            rows[:, node] += np.maximum(np.searchsorted(starts_us, slots_us, side="right") - 1, 0)
        return rows


def _as_arrays(timetables: list[Timetable]) -> Schedules:
    counts = np.array([len(each.rows) for each in timetables], dtype=np.intp)
    table = np.array([row for each in timetables for row in each.rows], dtype=np.float64)
    return Schedules(
        columns={field: np.ascontiguousarray(table[:, i]) for i, field in enumerate(Row._fields)},
        entries=[entry for each in timetables for entry in each.entries],
        first_row=np.cumsum(counts) - counts,
        starts=[
            (i, np.array(timetables[i].times_us, dtype=np.intp)) for i in np.flatnonzero(counts > 1).tolist()
        ],
    )


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
class Shape:
    """Who is where in the tree; the same object while nobody comes or goes."""

    parent: list[int]
    """-1 of the root."""
    depth: list[int]
    evses: list[int]
    """Their nodes."""
    uuids: list[str]
    """Of the EVSEs."""
    priorities: list[int]
    first: list[int]
    end: list[int]
    """The EVSEs at or below node i are first[i] … end[i] - 1."""

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The number of each EVSE."""
        return {uuid: number for number, uuid in enumerate(self.uuids)}

    @cached_property
    def parent_array(self) -> Ints:
        """`parent` as an array."""
        return np.array(self.parent, dtype=np.intp)

    @cached_property
    def levels(self) -> list[Ints]:
        """Nodes of each level of the tree, the root's first."""
        depths = np.array(self.depth, dtype=np.intp)
        return [np.flatnonzero(depths == level) for level in range(int(depths.max()) + 1)]

    @cached_property
    def ranges(self) -> tuple[Ints, Ints]:
        """`first` and `end` as arrays."""
        return np.array(self.first, dtype=np.intp), np.array(self.end, dtype=np.intp)

    @cached_property
    def evse_array(self) -> Ints:
        """`evses` as an array."""
        return np.array(self.evses, dtype=np.intp)

    @cached_property
    def priority_array(self) -> Ints:
        """`priorities` as an array."""
        return np.array(self.priorities, dtype=np.intp)

    @cached_property
    def families(self) -> list[tuple[Ints, Ints, Ints]]:
        """Of each level below the root: its nodes, where in it each parent's children start, and those
        parents. Children of one parent stand together, as nodes are in depth-first order."""
        found = []
        for level in self.levels[1:]:
            above = self.parent_array[level]
            first = np.flatnonzero(np.diff(above, prepend=-1))
            found.append((level, first, above[first]))
        return found

    @cached_property
    def tiers(self) -> tuple[Tier, ...]:
        """The EVSEs by priority, the one that is served first at the front."""
        return tiers_of(self)

    @cached_property
    def paths(self) -> list[list[int]]:
        """Of each EVSE: its nodes, its own first, the root last."""
        found = []
        for node in self.evses:
            path = [node]
            while self.parent[path[-1]] >= 0:
                path.append(self.parent[path[-1]])
            found.append(path)
        return found


@dataclass(frozen=True)
class CompiledTree:
    """A request as numbers; see the module's docstring."""

    request: EnergyFlowRequest
    nodes: list[EnergyFlowRequest]
    shape: Shape
    timetables: dict[Direction, list[Timetable]]
    targets: list[NodeTargets]
    times_us: list[int]
    """Every timestamp of every schedule, sorted, without doubles."""
    fallbacks: dict[int, tuple[float, float]]
    """Ampere and watt (at the root side) of the nodes that have a fallback."""

    @property
    def parent(self) -> Ints:
        """Of each node; -1 of the root."""
        return self.shape.parent_array

    @property
    def levels(self) -> list[Ints]:
        """Nodes of each level of the tree, the root's first."""
        return self.shape.levels

    @property
    def families(self) -> list[tuple[Ints, Ints, Ints]]:
        """See Shape."""
        return self.shape.families

    @property
    def first_evse(self) -> Ints:
        """The first EVSE at or below each node."""
        return self.shape.ranges[0]

    @property
    def end_evse(self) -> Ints:
        """One past the last EVSE at or below each node."""
        return self.shape.ranges[1]

    @property
    def evse_node(self) -> Ints:
        """The node of each EVSE."""
        return self.shape.evse_array

    @property
    def uuids(self) -> list[str]:
        """Of the EVSEs."""
        return self.shape.uuids

    @property
    def number_of(self) -> dict[str, int]:
        """The number of each EVSE."""
        return self.shape.number_of

    @property
    def priorities(self) -> Ints:
        """The tier of each EVSE."""
        return self.shape.priority_array

    @cached_property
    def starts_us(self) -> Ints:
        """`times_us` as an array."""
        return np.array(self.times_us, dtype=np.intp)

    @cached_property
    def schedules(self) -> dict[Direction, Schedules]:
        """The timetables as arrays."""
        return {direction: _as_arrays(each) for direction, each in self.timetables.items()}

    def path(self, node: int) -> Iterator[int]:
        """The nodes from `node` up to the root."""
        while node >= 0:
            yield node
            node = self.shape.parent[node]
