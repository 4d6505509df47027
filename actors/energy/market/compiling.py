"""Compiling: a request validated and turned into numbers.

One walk over the tree, in depth-first order. A fault is raised where it is noticed, with the path
from there on; each level above puts its part in front, so that the good case builds no paths. What
stood in the tree before, as the very same object, is taken over as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.energy.market.entries import Direction, fallback_of, instant, row_of
from actors.energy.market.errors import RequestError, joined
from actors.energy.market.setpoints import frequency_of, target_of
from actors.energy.market.tree import NO_TIMETABLE, CompiledTree, NodeTargets, Shape, Timetable
from actors.energy.types import EnergyFlowRequest, NodeType, ScheduleReqEntry

MOST_LEVELS = 200
MOST_NODES = 1_000_000
MOST_ENTRIES = 20_000
"""Entries of one schedule."""
LEAST_EFFICIENCY = 1e-9
"""Of a whole path; below it a watt at the end of the path is no longer told from none."""
WANTED_BY_DEFAULT = 5
"""The tier of an EVSE that names no priority."""


def compile_tree(request: EnergyFlowRequest, before: CompiledTree | None = None) -> CompiledTree:
    """Validate a request and turn it into numbers; RequestError with the path of the first fault.

    `before` is a tree compiled earlier: its parts serve again where they are the same objects.
    """
    nodes, parent, depth, place = _walk(request)
    reader = _Reader(before)
    imports: list[Timetable] = []
    exports: list[Timetable] = []
    targets: list[NodeTargets] = []
    times: set[int] = set()
    fallbacks: dict[int, tuple[float, float]] = {}
    for i, node in enumerate(nodes):
        try:
            one, other = reader.timetables(i, node)
            if node.schedule_setpoints:
                targets.append(_targets(i, node))
                times.update(targets[-1].starts_us.tolist())
            if node.fallback_A is not None or node.fallback_W is not None:
                fallbacks[i] = fallback_of(node)
        except RequestError as error:
            raise error.below(_path_of(i, parent, place)) from None
        except (AttributeError, TypeError) as error:  # built in Python, of other types
            raise RequestError(_path_of(i, parent, place), f"is malformed: {error}") from None
        imports.append(one)
        exports.append(other)
        if one is not NO_TIMETABLE:
            times.update(one.times_us)
        if other is not NO_TIMETABLE:
            times.update(other.times_us)
    shape = _shape_of(nodes, parent, depth, place, before)
    timetables: dict[Direction, list[Timetable]] = {"import": imports, "export": exports}
    for direction, tables in timetables.items():
        if any(row.efficiency != 1.0 for table in tables for row in table.rows):
            _check_efficiencies(direction, tables, parent, place)
    return CompiledTree(
        request=request,
        nodes=nodes,
        shape=shape,
        timetables=timetables,
        targets=targets,
        times_us=sorted(times),
        fallbacks={i: both for i, both in fallbacks.items() if any(both)},
    )


def _walk(
    request: EnergyFlowRequest,
) -> tuple[list[EnergyFlowRequest], list[int], list[int], list[int]]:
    """Nodes in depth-first order with each one's parent, depth and place among its siblings."""
    nodes: list[EnergyFlowRequest] = []
    parents: list[int] = []
    depths: list[int] = []
    places: list[int] = []
    waiting: list[tuple[EnergyFlowRequest, int, int, int]] = [(request, -1, 0, 0)]
    while waiting:
        node, parent, depth, place = waiting.pop()
        here = len(nodes)
        nodes.append(node)
        parents.append(parent)
        depths.append(depth)
        places.append(place)
        _check_node(node, here, parents, places, depth)
        children = node.children
        if children:
            waiting.extend((children[k], here, depth + 1, k) for k in range(len(children) - 1, -1, -1))
    return nodes, parents, depths, places


def _check_node(node: Any, here: int, parents: list[int], places: list[int], depth: int) -> None:
    fault = None
    if not isinstance(node, EnergyFlowRequest):
        fault = f"is a {type(node).__name__}, not an EnergyFlowRequest"
    elif not isinstance(node.uuid, str):
        fault = "has no uuid"
    elif not isinstance(node.node_type, NodeType):
        fault = "has no node_type"
    elif not isinstance(node.children, (tuple, list)):
        fault = "has no tuple of children"
    elif depth >= MOST_LEVELS:
        fault = f"the tree has more than {MOST_LEVELS} levels"
    elif here >= MOST_NODES:
        fault = f"the tree has more than {MOST_NODES} nodes"
    if fault is not None:
        raise RequestError(_path_of(here, parents, places), fault)


def _path_of(node: int, parent: list[int], place: list[int]) -> str:
    steps = []
    while parent[node] >= 0:
        steps.append(f"children[{place[node]}]")
        node = parent[node]
    return ".".join(reversed(steps))


def priority_of(node: EnergyFlowRequest) -> int:
    """The tier of an EVSE; RequestError at the field."""
    priority = node.priority
    if priority is None:
        return WANTED_BY_DEFAULT
    if not isinstance(priority, int) or isinstance(priority, bool) or not 0 <= priority < 2**31:
        raise RequestError("priority", f"must be a whole number, 0 or more, is {priority!r}")
    return priority


def _shape_of(
    nodes: list[EnergyFlowRequest],
    parent: list[int],
    depth: list[int],
    place: list[int],
    before: CompiledTree | None,
) -> Shape:
    evses = [i for i, node in enumerate(nodes) if node.node_type is NodeType.Evse]
    uuids = [nodes[i].uuid for i in evses]
    priorities = []
    for i in evses:
        try:
            priorities.append(priority_of(nodes[i]))
        except RequestError as error:
            raise error.below(_path_of(i, parent, place)) from None
    if before is not None:
        old = before.shape
        if (
            old.parent == parent
            and old.evses == evses
            and old.uuids == uuids
            and old.priorities == priorities
        ):
            return old
    if len(set(uuids)) < len(uuids):
        seen: set[str] = set()
        for i, uuid in zip(evses, uuids, strict=True):
            if uuid in seen:
                raise RequestError(
                    joined(_path_of(i, parent, place), "uuid"), f"two EVSEs are called {uuid!r}"
                )
            seen.add(uuid)
    first, end = _ranges(nodes, parent)
    return Shape(parent, depth, evses, uuids, priorities, first, end)


def _ranges(nodes: list[EnergyFlowRequest], parent: list[int]) -> tuple[list[int], list[int]]:
    """First EVSE at or below each node, and one past the last: a child's end is its parent's at least."""
    first, count = [], 0
    for node in nodes:
        first.append(count)
        count += node.node_type is NodeType.Evse
    end = [begin + (node.node_type is NodeType.Evse) for begin, node in zip(first, nodes, strict=True)]
    for i in range(len(parent) - 1, 0, -1):
        if end[i] > end[parent[i]]:
            end[parent[i]] = end[i]
    return first, end


class _Reader:
    """Reads the schedules of nodes, unless they stood in the tree before."""

    def __init__(self, before: CompiledTree | None):
        self._before = before
        self._places: dict[int, int] | None = None
        self._instants: dict[str, int] = {}

    def timetables(self, place: int, node: EnergyFlowRequest) -> tuple[Timetable, Timetable]:
        """Import and export of the node at a place in depth-first order."""
        before = self._before
        if before is not None:
            if place >= len(before.nodes) or before.nodes[place] is not node:
                place = self._place_of(node, before)
            if place >= 0:
                return before.timetables["import"][place], before.timetables["export"][place]
        return self._read(node.schedule_import, "import"), self._read(node.schedule_export, "export")

    def _place_of(self, node: EnergyFlowRequest, before: CompiledTree) -> int:
        """Where the very same node stood; -1 for nowhere."""
        if self._places is None:
            self._places = {id(each): i for i, each in enumerate(before.nodes)}
        return self._places.get(id(node), -1)

    def _read(self, schedule: tuple[ScheduleReqEntry, ...], direction: Direction) -> Timetable:
        if not schedule:
            return NO_TIMETABLE
        name = f"schedule_{direction}"
        _check_length(schedule, name)
        stamped = []
        for i, entry in enumerate(schedule):
            try:
                stamped.append((self._instant(entry.timestamp), i, row_of(entry, direction)))
            except RequestError as error:
                raise error.below(f"{name}[{i}]") from None
        stamped.sort()
        return Timetable(
            times_us=[time for time, _, _ in stamped],
            rows=[row for _, _, row in stamped],
            entries=[schedule[i] for _, i, _ in stamped],
        )

    def _instant(self, text: str) -> int:
        """As most entries of a tree start together, each text is parsed once."""
        try:
            return self._instants[text]
        except (KeyError, TypeError):
            time = instant(text)
            self._instants[text] = time
            return time


def _check_length(schedule: tuple[object, ...], name: str) -> None:
    if len(schedule) > MOST_ENTRIES:
        raise RequestError(name, f"must have at most {MOST_ENTRIES} entries, has {len(schedule)}")


def _targets(index: int, node: EnergyFlowRequest) -> NodeTargets:
    _check_length(node.schedule_setpoints, "schedule_setpoints")
    frequency_Hz = frequency_of(node)
    stamped = []
    for i, entry in enumerate(node.schedule_setpoints):
        try:
            time = instant(entry.timestamp)
            try:
                stamped.append((time, i, target_of(entry.setpoint, frequency_Hz)))
            except RequestError as error:
                raise error.below("setpoint") from None
        except RequestError as error:
            raise error.below(f"schedule_setpoints[{i}]") from None
    stamped.sort(key=lambda each: each[:2])
    return NodeTargets(
        node=index,
        starts_us=np.array([time for time, _, _ in stamped], dtype=np.intp),
        targets=[target for _, _, target in stamped],
        entries=[node.schedule_setpoints[i] for _, i, _ in stamped],
    )


def _check_efficiencies(
    direction: Direction, tables: list[Timetable], parent: list[int], place: list[int]
) -> None:
    """The product of a path's worst efficiencies must still tell a watt from none."""
    worst = [min(row.efficiency for row in table.rows) for table in tables]
    for node in range(len(parent)):
        if parent[node] >= 0:
            worst[node] *= worst[parent[node]]
        if worst[node] < LEAST_EFFICIENCY:
            path = joined(_path_of(node, parent, place), f"schedule_{direction}")
            raise RequestError(path, f"the efficiencies down to here multiply to {worst[node]:g}")
