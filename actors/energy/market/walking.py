"""The walk over a request: who is where in the tree, and what is another object than before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import is_, is_not
from typing import Any, NamedTuple

from actors.energy.market.arrays import in_order
from actors.energy.market.errors import DoubtError, RequestError, joined
from actors.energy.market.tree import Shape
from actors.energy.types import EnergyFlowRequest, NodeType

MOST_LEVELS = 200
MOST_NODES = 1_000_000
WANTED_BY_DEFAULT = 5
"""The tier of an EVSE that names no priority."""

Nodes = Sequence[EnergyFlowRequest]


class _Walk:
    """All nodes in depth-first order.

    Types are looked at of all at the end; only where these are wrong, a `careful` walk looks at them as it
    goes, and tells where the fault is."""

    def __init__(self, request: EnergyFlowRequest, *, careful: bool = False) -> None:
        self.nodes: list[EnergyFlowRequest] = []
        self.parent: list[int] = []
        self.depth: list[int] = []
        self.size: list[int] = []
        self._careful = careful
        self._visit([request], -1, 0)

    def _visit(self, children: Nodes, above: int, depth: int) -> None:
        """The children of a node, and all below them."""
        count = len(children)
        if self._careful:
            self._check(children, above, depth)
        elif depth >= MOST_LEVELS or len(self.nodes) + count > MOST_NODES:
            raise DoubtError
        below = [child.children for child in children]
        if below.count(()) == count:  # as most are: leaves
            self.nodes += children
            self.parent += [above] * count
            self.depth += [depth] * count
            self.size += [1] * count
            return
        for child, grandchildren in zip(children, below, strict=True):
            here = len(self.nodes)
            self.nodes.append(child)
            self.parent.append(above)
            self.depth.append(depth)
            self.size.append(1)
            if type(grandchildren) not in (tuple, list) and not self._careful:
                raise DoubtError
            if grandchildren:
                self._visit(grandchildren, here, depth + 1)
                self.size[here] = len(self.nodes) - here

    def _check(self, children: Sequence[Any], above: int, depth: int) -> None:
        """What the walk itself relies on."""
        fault, place = None, 0
        for k, child in enumerate(children):
            if type(child) is not EnergyFlowRequest:
                fault, place = f"is a {type(child).__name__}, not an EnergyFlowRequest", k
            elif not isinstance(child.children, (tuple, list)):
                fault, place = "has no tuple of children", k
            if fault is not None:
                break
        if fault is None and depth >= MOST_LEVELS:
            fault = f"the tree has more than {MOST_LEVELS} levels"
        elif fault is None and len(self.nodes) + len(children) > MOST_NODES:
            fault = f"the tree has more than {MOST_NODES} nodes"
        if fault is not None:
            path = "" if above < 0 else joined(path_of(above, self.parent), f"children[{place}]")
            raise RequestError(path, fault)


def _walked(request: EnergyFlowRequest) -> _Walk:
    try:
        found = _Walk(request)
        if set(map(type, found.nodes)) == {EnergyFlowRequest}:
            return found
    except (DoubtError, AttributeError, TypeError):
        pass
    return _Walk(request, careful=True)


def walk(request: EnergyFlowRequest) -> tuple[list[EnergyFlowRequest], Shape]:
    """Nodes in depth-first order, and the tree's shape; RequestError with the path of a fault."""
    found = _walked(request)
    nodes, parent = found.nodes, found.parent
    names, kinds = check_names(nodes, range(len(nodes)), parent)
    evse = NodeType.Evse  # a call, each time that it is asked for
    evses = [i for i, kind in enumerate(kinds) if kind is evse]
    uuids = list(in_order(names, evses))
    priorities = _priorities(nodes, evses, parent)
    if len(set(uuids)) < len(uuids):
        seen: set[str] = set()
        for i, uuid in zip(evses, uuids, strict=True):
            if uuid in seen:
                raise RequestError(joined(path_of(i, parent), "uuid"), f"two EVSEs are called {uuid!r}")
            seen.add(uuid)
    return nodes, Shape(parent, found.depth, evses, uuids, priorities, found.size)


def check_names(nodes: Nodes, places: Iterable[int], parent: list[int]) -> tuple[list[str], list[NodeType]]:
    """Every node has a uuid and a type; `nodes` are those of `places` in the tree."""
    uuids, kinds = [node.uuid for node in nodes], [node.node_type for node in nodes]
    if set(map(type, uuids)) <= {str} and set(map(type, kinds)) <= {NodeType}:
        return uuids, kinds
    for i, node in zip(places, nodes, strict=True):
        if not isinstance(node.uuid, str):
            raise RequestError(path_of(i, parent), "has no uuid")
        if not isinstance(node.node_type, NodeType):
            raise RequestError(path_of(i, parent), "has no node_type")
    return uuids, kinds  # of types that are derived from these


def _priorities(nodes: Nodes, evses: list[int], parent: list[int]) -> list[int]:
    given = [nodes[i].priority for i in evses]
    if set(map(type, given)) <= {int} and all(0 <= each < 2**31 for each in set(given)):  # type: ignore[operator]
        return given  # type: ignore[return-value]
    found = []
    for i in evses:
        try:
            found.append(priority_of(nodes[i]))
        except RequestError as error:
            raise error.below(path_of(i, parent)) from None
    return found


def priority_of(node: EnergyFlowRequest) -> int:
    """The tier of an EVSE; RequestError at the field."""
    priority = node.priority
    if priority is None:
        return WANTED_BY_DEFAULT
    if not isinstance(priority, int) or isinstance(priority, bool) or not 0 <= priority < 2**31:
        raise RequestError("priority", f"must be a whole number, 0 or more, is {priority!r}")
    return priority


def path_of(node: int, parent: list[int]) -> str:
    """Where a node stands in the request."""
    steps = []
    while parent[node] >= 0:
        steps.append(f"children[{parent[:node].count(parent[node])}]")
        node = parent[node]
    return ".".join(reversed(steps))


class Replaced(NamedTuple):
    """Nodes that are other objects than before, in depth-first order: their numbers, and both objects."""

    places: Sequence[int] = ()
    nodes: Nodes = ()
    before: Nodes = ()


def changed_nodes(request: EnergyFlowRequest, before: EnergyFlowRequest, shape: Shape) -> Replaced | None:
    """The nodes that are other objects than in the request `before`, which has that shape; None where the
    shape is another, or is told in values of other types: then the walk finds out."""
    if request is before:
        return Replaced()
    size = shape.size
    found: list[tuple[int, EnergyFlowRequest, EnergyFlowRequest]] = []

    def visit(here: int, node: EnergyFlowRequest, old: EnergyFlowRequest) -> None:
        found.append((here, node, old))
        children, were = node.children, old.children
        if children is were:
            return
        if len(children) != len(were):
            raise DoubtError
        child_at = here + 1
        if size[here] == len(were) + 1:  # leaves
            for k in compress(range(len(were)), map(is_not, children, were)):
                visit(child_at + k, children[k], were[k])
            return
        for child, was in zip(children, were, strict=True):
            if child is not was:
                visit(child_at, child, was)
            child_at += size[child_at]

    try:
        visit(0, request, before)
        replaced = Replaced(*zip(*found, strict=True))
        return replaced if _are_called_alike(replaced) else None
    except (DoubtError, AttributeError, TypeError):
        return None


def _are_called_alike(replaced: Replaced) -> bool:
    """Whether nodes that took the places of others have their names, types and priorities; all at once."""
    _, nodes, before = replaced
    uuids, kinds = [node.uuid for node in nodes], [node.node_type for node in nodes]
    given, gave = [node.priority for node in nodes], [node.priority for node in before]
    return (
        set(map(type, nodes)) == {EnergyFlowRequest}
        and set(map(type, uuids)) == {str}
        and uuids == [node.uuid for node in before]
        and all(map(is_, kinds, [node.node_type for node in before]))
        and given == gave
        and all(map(is_, map(type, given), map(type, gave)))
    )


def differing(one: Sequence[object], other: Sequence[object]) -> list[int]:
    """Where two sequences differ, of which much is one and the same object."""
    pairs = enumerate(zip(one, other, strict=True))
    return [i for i, (this, that) in pairs if this is not that and this != that]


def same_limits(one: EnergyFlowRequest, other: EnergyFlowRequest) -> bool:
    """Whether two nodes say the same of themselves, whatever their children say."""
    return one is other or (
        one.schedule_import == other.schedule_import
        and one.schedule_export == other.schedule_export
        and same_but_for_schedules(one, other)
    )


def same_but_for_schedules(one: EnergyFlowRequest, other: EnergyFlowRequest) -> bool:
    """The same, whatever their schedules of import and export say."""
    return (
        one.schedule_setpoints == other.schedule_setpoints
        and one.fallback_A == other.fallback_A
        and one.fallback_W == other.fallback_W
        and one.evse_state is other.evse_state
        and one.energy_usage_root == other.energy_usage_root
        and one.energy_usage_leaves == other.energy_usage_leaves
    )
