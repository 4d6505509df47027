"""Tiers: the EVSEs of one priority, and the limits that they share.

Lower priorities are served first and each until it wants no more. Within a tier a node that only
one EVSE can reach is no more than a limit of that EVSE; nodes that the same EVSEs share are one
group. Groups are ranges of the tier's EVSEs, and two of them are nested or apart:

    EVSE      0    1    2    3    4
    stage 0   [────]         [────]      two panels
    stage 1   [─────────────────────]    the root

So groups of one stage can be worked on at once, inner stages before outer ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Floats, Ints, T, first_of_each, once, repeated, row_sums

if TYPE_CHECKING:
    from actors.energy.market.tree import Shape


@dataclass(frozen=True)
class Stage:
    """Groups that do not overlap: group `groups[i]` holds EVSEs first[i] … first[i] + length[i] - 1."""

    groups: Ints
    first: Ints
    length: Ints
    starts: Ints
    """Where in `cells` the EVSEs of each group begin."""

    def prepare(self) -> None:
        """As Shape.prepare."""
        _ = self.cells, self.alike

    @cached_property
    def size(self) -> int:
        """How many EVSEs are in its groups."""
        return int(self.starts[-1] + self.length[-1])

    @cached_property
    def cells(self) -> slice | Ints:
        """The EVSEs of all its groups, in order; a slice where they stand together."""
        first = int(self.first[0])
        if int(self.first[-1] - self.starts[-1]) == first:
            return slice(first, first + self.size)
        return np.arange(self.size, dtype=np.intp) + np.repeat(self.first - self.starts, self.length)

    @cached_property
    def alike(self) -> int:
        """The size of its groups; 0 where they differ."""
        lengths = set(self.length.tolist())
        return lengths.pop() if len(lengths) == 1 else 0

    def sums(self, values: Floats) -> Floats:
        """Sum over each group: (columns, EVSEs) to (columns, groups)."""
        values = values[:, self.cells]
        if self.alike:
            return row_sums(values.reshape(len(values), len(self.groups), self.alike))
        return np.add.reduceat(values, self.starts, axis=1)

    def lower(self, offers: Floats, values: Floats) -> None:
        """No EVSE is offered more than its group: (columns, EVSEs), in place, and (columns, groups)."""
        if self.alike and isinstance(self.cells, slice):
            here = offers[:, self.cells].reshape(len(offers), len(self.groups), self.alike)  # a view
            np.minimum(here, values[:, :, np.newaxis], out=here)
        else:
            offers[:, self.cells] = np.minimum(offers[:, self.cells], self.spread(values))

    def spread(self, values: Floats) -> Floats:
        """A group's value for each of its EVSEs: (columns, groups) to (columns, members)."""
        return np.repeat(values, self.alike or self.length, axis=1)


class Lanes(NamedTuple):
    """The outermost groups but for the one that all share (lanes.py): EVSEs first[i] … first[i] +
    length[i] - 1. `groups` are those of each EVSE by stage, one more than there are where it has none."""

    first: Ints
    length: Ints
    groups: list[Ints]


@dataclass(frozen=True)
class Tier:
    """The EVSEs of one priority (`members`, in depth-first order); positions are within them."""

    priority: int
    count: int
    """Of all EVSEs of the tree."""
    members: Ints
    own_nodes: Ints
    own_starts: Ints
    own_members: Ints
    group_nodes: Ints
    group_starts: Ints
    stages: list[Stage]

    def group_length(self, group: int) -> int:
        """How many nodes a group has."""
        ends = [*self.group_starts[1:].tolist(), len(self.group_nodes)]
        return int(ends[group] - self.group_starts[group])

    @cached_property
    def whole(self) -> bool:
        """Whether it is all EVSEs of the tree."""
        return len(self.members) == self.count

    def of(self, values: NDArray[T]) -> NDArray[T]:
        """Values of its members: (columns, EVSEs) to (columns, members)."""
        if self.whole:
            return values
        return repeated(once(values).take(self.members, axis=1), len(values))

    def own(self, node_limits: Floats) -> Floats:
        """The smallest limit of the nodes that an EVSE has for itself: (columns, members)."""
        count, node_limits = len(node_limits), once(node_limits)
        if len(self.own_nodes) == len(self.members) == len(self.own_members):
            return repeated(node_limits.take(self.own_nodes, axis=1), count)
        limits = np.full((node_limits.shape[0], len(self.members)), np.inf)
        if len(self.own_nodes):
            limits[:, self.own_members] = np.minimum.reduceat(
                node_limits[:, self.own_nodes], self.own_starts, axis=1
            )
        return repeated(limits, count)

    def shared(self, node_limits: Floats) -> Floats:
        """The smallest limit of each group's nodes: (columns, groups)."""
        if not len(self.group_nodes):
            return np.empty((node_limits.shape[0], 0))
        if len(self.group_starts) == len(self.group_nodes):
            return node_limits.take(self.group_nodes, axis=1)
        return np.minimum.reduceat(node_limits[:, self.group_nodes], self.group_starts, axis=1)

    def offers(self, own: Floats, shared: Floats) -> Floats:
        """The smallest on each EVSE's path of its own limits and its groups'."""
        offers = own.copy()
        for stage in self.stages:
            stage.lower(offers, shared[:, stage.groups])
        return offers

    @cached_property
    def lanes(self) -> Lanes:
        """See Lanes."""
        count, none = len(self.members), len(self.group_starts)
        lane, groups = np.arange(-count, 0), []
        for stage in self.stages[:-1]:
            of_stage = np.full(count, none, dtype=np.intp)
            of_stage[stage.cells] = np.repeat(stage.groups, stage.length)
            groups.append(of_stage)
            lane = np.where(of_stage < none, of_stage, lane)
        first = first_of_each(lane)
        return Lanes(first, np.diff(first, append=count), groups)

    @cached_property
    def groups_of(self) -> list[list[int]]:
        """The groups of each EVSE, the innermost first."""
        found: list[list[int]] = [[] for _ in self.members]
        for stage in self.stages:
            for group, first, length in zip(
                stage.groups.tolist(), stage.first.tolist(), stage.length.tolist(), strict=True
            ):
                for i in range(first, first + length):
                    found[i].append(group)
        return found


def tiers_of(shape: Shape) -> tuple[Tier, ...]:
    """All tiers, the one that is served first at the front."""
    priorities = sorted(set(shape.priorities))
    return tuple(_tier(shape, priority, alone=len(priorities) == 1) for priority in priorities)


def _tier(shape: Shape, priority: int, *, alone: bool) -> Tier:
    if alone:
        members, (first, end) = np.arange(len(shape.evses), dtype=np.intp), shape.ranges
    else:
        members = np.flatnonzero(shape.priority_array == priority)
        first, end = (np.searchsorted(members, each) for each in shape.ranges)
    count = end - first
    own = np.flatnonzero(count == 1)  # those of one EVSE stand together, as nodes are in depth-first order
    own_starts = first_of_each(first[own])
    shared = np.flatnonzero(count > 1)
    key = first[shared] * (len(members) + 1) + end[shared]
    order = np.argsort(key, kind="stable")
    group_starts = first_of_each(key[order])
    group = np.zeros(len(order), dtype=np.intp)
    group[order[group_starts]] = 1
    group[order] = np.cumsum(group[order]) - 1
    outermost = shared[order][group_starts]
    return Tier(
        priority=priority,
        count=len(shape.evses),
        members=members,
        own_nodes=own,
        own_starts=own_starts,
        own_members=first[own[own_starts]],
        group_nodes=shared[order],
        group_starts=group_starts,
        stages=_stages(shape, shared, group, first[outermost], count[outermost]),
    )


def _stages(shape: Shape, shared: Ints, group: Ints, first: Ints, count: Ints) -> list[Stage]:
    """Groups by height: one that holds no other has height 0."""
    heights = [0] * len(first)
    group_of = dict(zip(shared.tolist(), group.tolist(), strict=True))
    for node, here in reversed(group_of.items()):  # children come before their parents
        above = group_of.get(shape.parent[node])
        if above is not None and above != here:
            heights[above] = max(heights[above], heights[here] + 1)
    height = np.array(heights, dtype=np.intp)
    stages = []
    for level in range(max(heights, default=-1) + 1):
        groups = np.flatnonzero(height == level)
        groups = groups[np.argsort(first[groups], kind="stable")]
        length = count[groups]
        stages.append(Stage(groups, first[groups], length, np.cumsum(length) - length))
    return stages
