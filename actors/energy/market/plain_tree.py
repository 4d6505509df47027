"""The tree of a small request in plain numbers: read node by node, and kept between runs.

What each node says is read once for each object that says it. Arrays of the same request are made only
for who asks for a forecast or a reason that plain numbers do not tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from actors.energy.market.compiling import DIRECTIONS, check_path_efficiencies, compile_tree, is_session_over
from actors.energy.market.entries import NO_FALLBACK, SILENT, Direction, Steps, fallback_of, steps_of
from actors.energy.market.errors import RequestError
from actors.energy.market.reading import look_carefully
from actors.energy.market.tree import CompiledTree, Shape
from actors.energy.market.walking import changed_nodes, path_of, same_limits, walk
from actors.energy.packing import packed
from actors.energy.types import EnergyFlowRequest, PackedSchedule, Schedule

MOST_EVSES = 40
"""Of a small tree; beyond, arrays are about as fast."""


@dataclass(frozen=True)
class PlainTree:
    """A small request as numbers; the attributes that CompiledTree has, too, are the same."""

    request: EnergyFlowRequest
    nodes: list[EnergyFlowRequest]
    shape: Shape
    said: dict[Direction, list[Steps]]
    fallbacks: dict[int, tuple[float, float]]
    session_over: list[bool]
    last_compiled: list[CompiledTree] = field(default_factory=list)
    """Of it or of one before; that of the next is made of it."""

    @property
    def uuids(self) -> list[str]:
        """Of the EVSEs."""
        return self.shape.uuids

    @property
    def number_of(self) -> dict[str, int]:
        """The number of each EVSE."""
        return self.shape.number_of

    def holder(self, direction: Direction, node: int) -> PackedSchedule | None:
        """What a node says in its own words; None where it says nothing."""
        said = self.nodes[node]
        schedule = said.schedule_import if direction == "import" else said.schedule_export
        if not isinstance(schedule, PackedSchedule):
            schedule = packed(schedule)
        return schedule if isinstance(schedule, PackedSchedule) else None

    @cached_property
    def times_us(self) -> list[int]:
        """Every timestamp of every schedule, sorted, without doubles."""
        starts = {starts_us for each in self.said.values() for starts_us, _, _ in each}
        return sorted(set().union(*starts))

    @cached_property
    def compiled(self) -> CompiledTree:
        """The same as arrays."""
        before = self.last_compiled[-1] if self.last_compiled else None
        tree = compile_tree(self.request, before)
        self.last_compiled[:] = [tree]
        return tree


AnyTree = CompiledTree | PlainTree


def read_tree(request: EnergyFlowRequest, before: AnyTree | None = None) -> AnyTree:
    """Validate a request and turn it into numbers; RequestError with the path of the first fault.

    Of `before`, a tree read earlier, that serves again which is the same object. Large trees, and those with
    setpoints, are compiled to arrays at once.
    """
    if before is None:
        return _read(request)
    if before.request is request:
        return before
    if isinstance(before, CompiledTree):
        tree = compile_tree(request, before)
        return tree if tree.targets or len(tree.uuids) > MOST_EVSES else _read(request)
    return _renewed(request, before) or _read(request)


def _read(request: EnergyFlowRequest) -> AnyTree:
    nodes, shape = walk(request)
    if len(shape.evses) > MOST_EVSES or any(node.schedule_setpoints for node in nodes):
        return compile_tree(request, walked=(nodes, shape))
    said: dict[Direction, list[Steps]] = {direction: [SILENT] * len(nodes) for direction in DIRECTIONS}
    tree = PlainTree(request, nodes, shape, said, {}, [False] * len(shape.evses))
    _read_into(tree, range(len(nodes)))
    return tree


def _renewed(request: EnergyFlowRequest, before: PlainTree) -> PlainTree | None:
    """The tree before, with some nodes changed; None where its shape has, or setpoints came."""
    replaced = changed_nodes(request, before.request, before.shape)
    if replaced is None or any(node.schedule_setpoints for node in replaced.nodes):
        return None
    nodes = before.nodes.copy()
    for i, node, _ in zip(*replaced, strict=True):
        nodes[i] = node
    said = {direction: each.copy() for direction, each in before.said.items()}
    tree = replace(
        before,
        request=request,
        nodes=nodes,
        said=said,
        fallbacks=before.fallbacks.copy(),
        session_over=before.session_over.copy(),
    )
    places = [i for i, node, old in zip(*replaced, strict=True) if not same_limits(node, old)]
    if places:
        _read_into(tree, places, before.nodes)
    return tree


def _read_into(tree: PlainTree, places: Iterable[int], before: list[EnergyFlowRequest] | None = None) -> None:
    """What some nodes say; `before` are the nodes whose sayings are there already."""
    shape, nodes, place_of = tree.shape, tree.nodes, tree.shape.place_of
    imports, exports = tree.said["import"], tree.said["export"]
    for i in places:
        node = nodes[i]
        try:
            if before is None or node.schedule_import != before[i].schedule_import:
                imports[i] = _said(node, node.schedule_import, "import")
            if before is None or node.schedule_export != before[i].schedule_export:
                exports[i] = _said(node, node.schedule_export, "export")
            fallback = NO_FALLBACK
            if node.fallback_A is not None or node.fallback_W is not None:
                fallback = fallback_of(node)
        except RequestError as error:
            raise error.below(path_of(i, shape.parent)) from None
        except (AttributeError, TypeError) as error:  # built in Python, of other types
            raise RequestError(path_of(i, shape.parent), f"is malformed: {error}") from None
        if fallback != NO_FALLBACK:
            tree.fallbacks[i] = fallback
        elif i in tree.fallbacks:
            del tree.fallbacks[i]
        if i in place_of:
            tree.session_over[place_of[i]] = is_session_over(node)
    for direction, said in tree.said.items():
        worst = [each.worst for each in said]
        if min(worst) < 1.0:
            check_path_efficiencies(worst, shape, direction)


def _said(node: EnergyFlowRequest, schedule: Schedule, direction: Direction) -> Steps:
    if not isinstance(schedule, PackedSchedule):
        if type(schedule) in (tuple, list) and not schedule:
            return SILENT
        schedule = packed(schedule)
    steps = steps_of(schedule, direction) if isinstance(schedule, PackedSchedule) else None
    if steps is None:
        look_carefully(node, direction)
        raise RequestError(f"schedule_{direction}", "cannot be read")
    return steps
