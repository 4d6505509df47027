"""What a child tells its parent of what it wants: all of it, what has changed, or nothing new.

A request goes up with every report, and mostly it is the same as before. So a grant says which report's
request the parent knows (`Grant.knows_s`, the report's `t_child_s`), and a child that has read that tells
only the nodes that have changed since, or nothing. Reports may be lost, repeated and overtaken, so changes
are counted from what the parent surely knows, each time anew and all of them: whoever knows that request,
or any that was told after it, comes by them to the newest. All is told at the beginning, while nothing is
granted, when the tree has other nodes than before, and each WHOLE_EVERY reports for good measure; a parent
that has restarted says that it knows nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from operator import is_

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.messages import Report
from actors.energy.packing import packed
from actors.energy.types import EnergyFlowRequest, PackedSchedule, Schedule

WHOLE_EVERY = 10
"""Reports."""
STEPS_MAX = 16
"""Told requests that are remembered; further back all is told."""


class Told(Struct, frozen=True):
    """What goes into a report."""

    wants: EnergyFlowRequest | None = None
    changes: tuple[EnergyFlowRequest, ...] = ()
    since_s: float | None = None


class _Step(Struct, frozen=True):
    stamp_s: float
    request: EnergyFlowRequest
    changed: frozenset[str] | None
    """Nodes that differ from the step before; None when it has other nodes."""


NOTHING_NEW = Told()


class Telling:
    """The child's side."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque(maxlen=STEPS_MAX)
        self._known_s: float | None = None
        self._left = 0
        """Reports until all is told again."""

    def known(self, stamp_s: float | None) -> bool:
        """A grant says what the parent knows; returns whether it has forgotten what it knew."""
        while self._steps and (stamp_s is None or self._steps[0].stamp_s < stamp_s):
            self._steps.popleft()
        known = bool(self._steps) and self._steps[0].stamp_s == stamp_s
        forgotten = not known and self._known_s is not None
        self._known_s = stamp_s if known else None
        return forgotten

    def forget(self) -> None:
        """Nothing is granted: the parent may not be there."""
        self._known_s = None

    def tell(self, stamp_s: float, request: EnergyFlowRequest, *, urgent: bool) -> Told:
        """What to say of a request in the report of `stamp_s`."""
        last = self._steps[-1] if self._steps else None
        changed = None if last is None else _changed(last.request, request)
        self._left -= 1
        if self._known_s is None or self._left < 0:
            told = Told(request)
        elif not changed and changed is not None and len(self._steps) == 1:
            return NOTHING_NEW
        else:
            told = self._changes(request, changed)
        self._steps.append(_Step(stamp_s, request, changed))
        if told.wants is None:
            return told
        self._left = WHOLE_EVERY
        return Told(replace(request, priority_request=True)) if urgent else told

    def _changes(self, request: EnergyFlowRequest, changed: frozenset[str] | None) -> Told:
        names = changed
        for step in list(self._steps)[1:]:
            names = None if names is None or step.changed is None else names | step.changed
        if names is None:
            return Told(request)
        nodes = tuple(replace(node, children=()) for node in _nodes(request) if node.uuid in names)
        return Told(changes=nodes, since_s=self._known_s)


def _changed(one: EnergyFlowRequest, other: EnergyFlowRequest) -> frozenset[str] | None:
    """Names of nodes that differ, what is below them apart; None when there are others than before."""
    names: set[str] = set()
    pairs = [(one, other)]
    while pairs:
        before, now = pairs.pop()
        if before is now:
            continue
        if before.uuid != now.uuid or len(before.children) != len(now.children):
            return None
        if replace(before, children=()) != replace(now, children=()):
            names.add(now.uuid)
        pairs.extend(zip(before.children, now.children, strict=True))
    return frozenset(names)


def _nodes(request: EnergyFlowRequest) -> Iterator[EnergyFlowRequest]:
    waiting = [request]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children)


class Asked:
    """The parent's side: what a child has asked for in its present life."""

    def __init__(self) -> None:
        self.request: EnergyFlowRequest | None = None
        self.stamp_s: float | None = None
        """`t_child_s` of the report that told so."""

    def is_older_than(self, report: Report) -> bool:
        """Whether a report tells something that was told later."""
        tells = report.wants is not None or report.since_s is not None
        return tells and (self.stamp_s is None or self.stamp_s < report.t_child_s)

    def hear(self, report: Report) -> bool:
        """Take what a report tells; False when it tells nothing, or changes of what is not known."""
        before, asked = self.request, report.wants
        if asked is None:
            if (
                before is None
                or report.since_s is None
                or self.stamp_s is None
                or report.since_s > self.stamp_s
            ):
                return False
            asked = with_changes(before, report.changes)
        else:
            if asked.priority_request:
                # How urgent it was is over with the hearing; what is asked for is the same as before then.
                asked = replace(asked, priority_request=None)
            if before is not None:
                asked = kept_where_equal(before, asked)
        self.request, self.stamp_s = asked, report.t_child_s
        return True


def with_changes(request: EnergyFlowRequest, changes: tuple[EnergyFlowRequest, ...]) -> EnergyFlowRequest:
    """A request with some of its nodes as told anew. What is not changed stays the very
    same object, and so is what was worked out of it."""
    return _with(request, {node.uuid: node for node in changes})


def _with(node: EnergyFlowRequest, changes: Mapping[str, EnergyFlowRequest]) -> EnergyFlowRequest:
    children = tuple([_with(child, changes) for child in node.children])
    told = changes.get(node.uuid)
    if told is not None:
        return replace(told, children=children)
    if all(map(is_, children, node.children)):
        return node
    return replace(node, children=children)


def kept_where_equal(before: EnergyFlowRequest, now: EnergyFlowRequest) -> EnergyFlowRequest:
    """A request that was told whole, with the objects of the one before for what is equal."""
    if now is before or now == before:
        return before
    if not before.children:
        return now
    old = {child.uuid: child for child in before.children}
    children = tuple(
        [kept_where_equal(old[child.uuid], child) if child.uuid in old else child for child in now.children]
    )
    return replace(now, children=children)


def asks_alike(one: EnergyFlowRequest, other: EnergyFlowRequest) -> bool:
    """Whether the market would give the same: timestamps, states and flags of urgency apart."""
    if one is other:
        return True
    if (one.uuid, len(one.children)) != (other.uuid, len(other.children)):
        return False
    return (
        _limits_alike(one.schedule_import, other.schedule_import)
        and _limits_alike(one.schedule_export, other.schedule_export)
        and (one.fallback_A, one.fallback_W) == (other.fallback_A, other.fallback_W)
        and all(map(asks_alike, one.children, other.children))
    )


def _limits_alike(one: Schedule, other: Schedule) -> bool:
    one, other = packed(one), packed(other)
    if isinstance(one, PackedSchedule) and isinstance(other, PackedSchedule):
        return one.values == other.values and _but_times(one) == _but_times(other)
    return one == other


def _but_times(schedule: PackedSchedule) -> PackedSchedule:
    return replace(schedule, times_us=b"", prices=())
