"""Compiling: a request validated and turned into numbers.

One walk over the tree, in depth-first order. A fault is raised where it is noticed, with the path
from there on; each level above puts its part in front, so that the good case builds no paths.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.energy.market.entries import EMPTY, Direction, Row, fallback_of, instant, row_of
from actors.energy.market.errors import RequestError, joined
from actors.energy.market.setpoints import frequency_of, target_of
from actors.energy.market.tree import CompiledTree, Ints, NodeTargets, Schedules
from actors.energy.types import EnergyFlowRequest, NodeType, ScheduleReqEntry

MOST_LEVELS = 200
MOST_NODES = 1_000_000
MOST_ENTRIES = 20_000
"""Entries of one schedule."""
LEAST_EFFICIENCY = 1e-9
"""Of a whole path; below it a watt at the end of the path is no longer told from none."""
WANTED_BY_DEFAULT = 5
"""The tier of an EVSE that names no priority."""


def compile_tree(request: EnergyFlowRequest) -> CompiledTree:
    """Validate a request and turn it into numbers; RequestError with the path of the first fault."""
    nodes, parent, depth, place = _walk(request)
    evses: list[int] = []
    first_evse = np.zeros(len(nodes), dtype=np.intp)
    number_of: dict[str, int] = {}
    builder: dict[Direction, _Builder] = {"import": _Builder("import"), "export": _Builder("export")}
    targets: list[NodeTargets] = []
    starts: set[int] = set()
    priorities: list[int] = []
    fallbacks: dict[int, tuple[float, float]] = {}
    for i, node in enumerate(nodes):
        first_evse[i] = len(evses)
        try:
            if node.node_type is NodeType.Evse:
                if node.uuid in number_of:
                    raise RequestError("uuid", f"two EVSEs are called {node.uuid!r}")
                number_of[node.uuid] = len(evses)
                evses.append(i)
                priorities.append(priority_of(node))
            if node.fallback_A is not None or node.fallback_W is not None:
                fallbacks[i] = fallback_of(node)
            starts |= builder["import"].add(i, node.schedule_import)
            starts |= builder["export"].add(i, node.schedule_export)
            if node.schedule_setpoints:
                targets.append(_targets(i, node))
                starts.update(targets[-1].starts_us.tolist())
        except RequestError as error:
            raise error.below(_path_of(i, parent, place)) from None
        except (AttributeError, TypeError) as error:  # built in Python, of other types
            raise RequestError(_path_of(i, parent, place), f"is malformed: {error}") from None
    evse_node = np.array(evses, dtype=np.intp)
    depths = np.array(depth, dtype=np.intp)
    tree = CompiledTree(
        request=request,
        nodes=nodes,
        parent=np.array(parent, dtype=np.intp),
        levels=[np.flatnonzero(depths == level) for level in range(int(depths.max()) + 1)],
        first_evse=first_evse,
        end_evse=_ends(first_evse, parent, depth, evse_node),
        evse_node=evse_node,
        uuids=[nodes[i].uuid for i in evses],
        number_of=number_of,
        priorities=np.array(priorities, dtype=np.intp),
        schedules={direction: each.build() for direction, each in builder.items()},
        targets=targets,
        starts_us=np.array(sorted(starts), dtype=np.intp),
        fallbacks={i: both for i, both in fallbacks.items() if any(both)},
    )
    _check_efficiencies(tree, parent, place)
    return tree


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


class _Builder:
    """Collects the rows of one direction."""

    def __init__(self, direction: Direction):
        self.direction: Direction = direction
        self.rows: list[Row] = [EMPTY]
        self.entries: list[ScheduleReqEntry | None] = [None]
        self.first_row: list[int] = []
        self.row_count: list[int] = []
        self.starts: list[tuple[int, Ints]] = []
        self.instants: dict[str, int] = {}

    def add(self, node: int, schedule: tuple[ScheduleReqEntry, ...]) -> set[int]:
        """Rows of one node's schedule, sorted by time; returns their times."""
        if not schedule:
            self.first_row.append(0)
            self.row_count.append(1)
            return set()
        name = f"schedule_{self.direction}"
        _check_length(schedule, name)
        stamped = []
        for i, entry in enumerate(schedule):
            try:
                stamped.append((self._instant(entry.timestamp), i, row_of(entry, self.direction)))
            except RequestError as error:
                raise error.below(f"{name}[{i}]") from None
        stamped.sort()
        self.first_row.append(len(self.rows))
        self.row_count.append(len(stamped))
        self.rows.extend(row for _, _, row in stamped)
        self.entries.extend(schedule[i] for _, i, _ in stamped)
        times = [time for time, _, _ in stamped]
        if len(times) > 1:
            self.starts.append((node, np.array(times, dtype=np.intp)))
        return set(times)

    def _instant(self, text: str) -> int:
        """As most entries of a tree start together, each text is parsed once."""
        try:
            return self.instants[text]
        except (KeyError, TypeError):
            time = instant(text)
            self.instants[text] = time
            return time

    def build(self) -> Schedules:
        table = np.array(self.rows, dtype=np.float64)
        return Schedules(
            columns={field: np.ascontiguousarray(table[:, i]) for i, field in enumerate(Row._fields)},
            entries=self.entries,
            first_row=np.array(self.first_row, dtype=np.intp),
            row_count=np.array(self.row_count, dtype=np.intp),
            starts=self.starts,
        )


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


def _ends(first_evse: Ints, parent: list[int], depth: list[int], evse_node: Ints) -> Ints:
    """One past the last EVSE below each node: a child's end is its parent's at least."""
    end = first_evse.copy()
    end[evse_node] = first_evse[evse_node] + 1
    for node in range(len(parent) - 1, 0, -1):
        if end[node] > end[parent[node]]:
            end[parent[node]] = end[node]
    return end


def _check_efficiencies(tree: CompiledTree, parent: list[int], place: list[int]) -> None:
    """The product of a path's worst efficiencies must still tell a watt from none."""
    for direction, schedules in tree.schedules.items():
        efficiency = schedules.columns["efficiency"]
        if efficiency.min() == 1.0:
            continue
        worst = [
            float(efficiency[first : first + count].min())
            for first, count in zip(schedules.first_row, schedules.row_count, strict=True)
        ]
        for node in range(len(parent)):
            if parent[node] >= 0:
                worst[node] *= worst[parent[node]]
            if worst[node] < LEAST_EFFICIENCY:
                path = joined(_path_of(node, parent, place), f"schedule_{direction}")
                raise RequestError(path, f"the efficiencies down to here multiply to {worst[node]:g}")
