"""The compiled tree: a request as numbers, kept between runs.

Nodes and EVSEs are numbered in depth-first order, so all EVSEs below a node are a range, and
whatever holds along a path is pushed from a level of the tree to the next in one step. Nothing of
a slot is in here, so a tree can be used until the request changes. A part whose request is the same
object as before is not read again, and while nobody comes or goes the shape stays.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from actors.energy.market.arrays import Bools, Ints, first_of_each, whole_numbers
from actors.energy.market.entries import Direction
from actors.energy.market.patched import Patched
from actors.energy.market.setpoints import Target
from actors.energy.market.tiers import Tier, tiers_of
from actors.energy.market.timetables import Timetables
from actors.energy.types import EnergyFlowRequest, ScheduleSetpointEntry

MOST_REMEMBERED = 100
"""Groups of EVSEs for which the nodes above them are."""


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
    size: list[int]
    """Nodes at or below node i: they are i … i + size[i] - 1."""

    def prepare(self) -> None:
        """Work out now what arrays of a large tree will be asked about."""
        _ = self.ranges, self.inner, self.evses_last
        for tier in self.tiers:
            for stage in tier.stages:
                stage.prepare()

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The number of each EVSE."""
        return {uuid: number for number, uuid in enumerate(self.uuids)}

    @cached_property
    def parent_array(self) -> Ints:
        """`parent` as an array."""
        return whole_numbers(self.parent)

    @cached_property
    def size_array(self) -> Ints:
        """`size` as an array."""
        return whole_numbers(self.size)

    @cached_property
    def levels(self) -> list[Ints]:
        """Nodes of each level of the tree, the root's first."""
        depths = np.array(self.depth, dtype=np.intp)
        return [np.flatnonzero(depths == level) for level in range(int(depths.max()) + 1)]

    @cached_property
    def ranges(self) -> tuple[Ints, Ints]:
        """The EVSEs at or below node i are first[i] … end[i] - 1."""
        upto = np.zeros(len(self.parent) + 1, dtype=np.intp)
        upto[self.evse_array + 1] = 1
        np.cumsum(upto, out=upto)
        return upto[:-1], upto[np.arange(len(self.parent)) + self.size_array]

    @cached_property
    def place_of(self) -> dict[int, int]:
        """The number of the EVSE that a node is."""
        return {node: number for number, node in enumerate(self.evses)}

    @cached_property
    def _ranges(self) -> list[tuple[int, int]]:
        """See `ranges`; of a small tree."""
        is_evse = [0] * (len(self.parent) + 1)
        for node in self.evses:
            is_evse[node + 1] = 1
        upto = list(accumulate(is_evse))
        return [(upto[node], upto[node + size]) for node, size in enumerate(self.size)]

    def spans(self, priority: int) -> list[tuple[int, int]]:
        """Of each node of a small tree: the EVSEs of one priority at or below it, from the first of them to
        one past the last, as they are numbered among themselves."""
        if priority not in self._spans:
            members = [evse for evse, other in enumerate(self.priorities) if other == priority]
            self._spans[priority] = self._ranges_among(members)
        return self._spans[priority]

    def _ranges_among(self, members: Sequence[int]) -> list[tuple[int, int]]:
        if len(members) == len(self.evses):
            return self._ranges
        return [(bisect_left(members, first), bisect_left(members, end)) for first, end in self._ranges]

    @cached_property
    def _spans(self) -> dict[int, list[tuple[int, int]]]:
        return {}

    def reached_by(self, buyers: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """From the leaves of a small tree to its root, the nodes above some of its EVSEs: each with the
        positions in `buyers` of the first that is below it, and of one past the last."""
        found = self._reached.get(buyers)
        if found is None:
            if len(self._reached) >= MOST_REMEMBERED:
                self._reached.clear()
            places = self._ranges_among(buyers)
            found = [(node, low, high) for node, (low, high) in enumerate(places) if low < high][::-1]
            self._reached[buyers] = found
        return found

    @cached_property
    def _reached(self) -> dict[tuple[int, ...], list[tuple[int, int, int]]]:
        return {}

    @cached_property
    def inner(self) -> Ints:
        """The nodes that have children."""
        return np.flatnonzero(self.size_array > 1)

    @cached_property
    def inner_levels(self) -> list[tuple[Ints, Ints]]:
        """Level by level below the root's: positions of nodes in `inner`, and those of their parents."""
        place = np.zeros(len(self.parent), dtype=np.intp)
        place[self.inner] = np.arange(len(self.inner))
        inner = self.inner.tolist()
        depth = np.array([self.depth[node] for node in inner], dtype=np.intp)
        above = place[self.parent_array[self.inner]]
        levels = (np.flatnonzero(depth == level) for level in range(1, int(depth.max(initial=0)) + 1))
        return [(here, above[here]) for here in levels]

    @cached_property
    def above_evse(self) -> Ints:
        """Of each EVSE, the position of its parent in `inner`; its own where it is the root."""
        return np.searchsorted(self.inner, np.maximum(self.parent_array[self.evse_array], 0))

    @cached_property
    def number_at(self) -> Ints:
        """The number of the EVSE that a node is; -1 of others."""
        numbers = np.full(len(self.parent), -1, dtype=np.intp)
        numbers[self.evse_array] = np.arange(len(self.evses))
        return numbers

    @cached_property
    def evses_last(self) -> Ints:
        """All nodes, EVSEs after the others: so those that say the same kind of things stand together."""
        return np.concatenate([np.flatnonzero(self.number_at < 0), self.evse_array])

    @cached_property
    def evse_array(self) -> Ints:
        """`evses` as an array."""
        return whole_numbers(self.evses)

    @cached_property
    def priority_array(self) -> Ints:
        """`priorities` as an array."""
        return whole_numbers(self.priorities)

    @cached_property
    def families(self) -> list[tuple[Ints, Ints, Ints]]:
        """Of each level below the root: its nodes, where in it each parent's children start, and those
        parents. Children of one parent stand together, as nodes are in depth-first order."""
        found = []
        for level in self.levels[1:]:
            above = self.parent_array[level]
            first = first_of_each(above)
            found.append((level, first, above[first]))
        return found

    @cached_property
    def tiers(self) -> tuple[Tier, ...]:
        """The EVSEs by priority, the one that is served first at the front."""
        return tiers_of(self)

    @cached_property
    def tier_of(self) -> Ints:
        """Of each EVSE, which of `tiers` it is in."""
        return np.searchsorted([tier.priority for tier in self.tiers], self.priority_array)

    @cached_property
    def shared_by(self) -> dict[tuple[int, int], set[int] | None]:
        """By priority and number of a limit, as far as they were asked for: see Outcome.shared_by."""
        return {}

    @cached_property
    def own_nodes(self) -> list[tuple[Ints, Bools]]:
        """The nodes that EVSEs have for themselves in their tiers: a first of each, where it has one, a
        second, and so on."""
        count = np.zeros(len(self.evses), dtype=np.intp)
        begin = np.zeros(len(self.evses), dtype=np.intp)
        own: list[Ints] = []
        for tier in self.tiers:
            evses = tier.members[tier.own_members]
            begin[evses] = tier.own_starts + sum(map(len, own))
            count[evses] = np.diff(tier.own_starts, append=len(tier.own_nodes))
            own.append(tier.own_nodes)
        nodes = np.concatenate([*own, [0]])
        return [
            (nodes[np.where(count > k, begin + k, -1)], count > k) for k in range(int(count.max(initial=0)))
        ]

    @cached_property
    def paths(self) -> list[list[int]]:
        """Of each EVSE of a small tree: its nodes, its own first, the root last."""
        found: list[list[int]] = []
        for node, above in enumerate(self.parent):
            found.append([node, *found[above]] if above >= 0 else [node])
        return [found[node] for node in self.evses]


@dataclass(frozen=True)
class Changed:
    """Since the tree with the nodes `since`: the nodes that say something else of themselves."""

    since: Patched[EnergyFlowRequest]
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class CompiledTree:
    """A request as numbers; see the module's docstring."""

    request: EnergyFlowRequest
    nodes: Patched[EnergyFlowRequest]
    shape: Shape
    schedules: dict[Direction, Timetables]
    targets: list[NodeTargets]
    times_us: list[int]
    """Every timestamp of every schedule, sorted, without doubles."""
    fallbacks: dict[int, tuple[float, float]]
    """Ampere and watt (at the root side) of the nodes that have a fallback."""
    session_over: Bools
    """Of each EVSE: whether its charging session is over."""
    changed: Changed | None = None

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

    def path(self, node: int) -> Iterator[int]:
        """The nodes from `node` up to the root."""
        while node >= 0:
            yield node
            node = self.shape.parent[node]
