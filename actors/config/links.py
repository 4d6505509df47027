"""The tree that the links span: one root, one parent each, no cycle.

A link may be named by the parent, by the child, or by both. Children stand in the order in which
their parent lists them, then those that only name their parent, in the order of the file.
"""

from __future__ import annotations

from msgspec import Struct

from actors.config.faults import Faults, did_you_mean
from actors.config.grammar import Entry, Link, Modules, misspelled_kind

MAX_DEPTH = 100


class Tree(Struct, frozen=True, kw_only=True):
    """Who supplies whom; `order` is depth-first, parents before children."""

    root: str
    parent: dict[str, str]
    children: dict[str, list[str]]
    order: tuple[str, ...]


def build_tree(modules: Modules, faults: Faults) -> Tree | None:
    """The tree, or None where the links do not span one; why not is among the faults."""
    links = _Links(modules, faults)
    root = links.find_root()
    links.follow_down()
    links.follow_up()
    links.find_orphans()
    links.find_cycles()
    if root is None or links.faulty:
        return None
    children: dict[str, list[str]] = {module_id: [] for module_id in modules.ours}
    for child, parent in links.parent.items():
        children[parent].append(child)
    order: list[str] = []
    below = [(root, 0)]
    while below:
        module_id, depth = below.pop()
        if depth > MAX_DEPTH:
            links.fault(modules.ours[module_id].path, f"more than {MAX_DEPTH} levels below the root")
            return None
        order.append(module_id)
        below += [(child, depth + 1) for child in reversed(children[module_id])]
    return Tree(root=root, parent=links.parent, children=children, order=tuple(order))


class _Links:
    def __init__(self, modules: Modules, faults: Faults) -> None:
        self.parent: dict[str, str] = {}
        self.faulty = False
        self._modules = modules
        self._ours = modules.ours
        self._faults = faults
        self._explained: set[str] = set()  # has no parent, for a reason that is told already

    def fault(self, path: tuple[str | int, ...], message: str) -> None:
        self.faulty = True
        self._faults.add(path, message)

    def find_root(self) -> str | None:
        managers = [entry for entry in self._ours.values() if entry.kind == "EnergyManager"]
        for entry in managers[1:]:
            self.fault(entry.path, f"a second EnergyManager; the root is {managers[0].id} already")
        if not managers:
            self.fault(self._modules.path, "no EnergyManager; one module must be the root of the tree")
            return None
        return managers[0].id

    def follow_down(self) -> None:
        for entry in self._ours.values():
            for link in entry.down:
                child = self._find(link, "child")
                if child is None:
                    continue
                if child.kind == "EnergyManager":
                    self.fault(link.path, f"{child.id} is an EnergyManager; the root stands below no module")
                elif child.id not in self.parent:
                    self.parent[child.id] = entry.id
                elif self.parent[child.id] == entry.id:
                    self.fault(link.path, f"duplicate name: {child.id} is listed twice")
                else:
                    self.fault(link.path, f"{child.id} has two parents: {self.parent[child.id]} lists it too")

    def follow_up(self) -> None:
        for entry in self._ours.values():
            for link in entry.up[1:]:
                self.fault(link.path, f"{entry.id} names two parents: {entry.up[0].target} and {link.target}")
            for link in entry.up[:1]:
                parent = self._find(link, "parent")
                if parent is None or parent.kind == "EvseManager":
                    self._explained.add(entry.id)
                if parent is None:
                    continue
                if parent.kind == "EvseManager":
                    self.fault(link.path, f"{parent.id} is an EvseManager; it can be no parent")
                elif (listed_by := self.parent.setdefault(entry.id, parent.id)) != parent.id:
                    self.fault(link.path, f"{entry.id} names {parent.id}, but {listed_by} lists it")

    def find_orphans(self) -> None:
        for entry in self._ours.values():
            if entry.kind == "EnergyManager" or entry.id in self.parent or entry.id in self._explained:
                continue
            self.fault(entry.path, "has no parent; list it in the energy_trunk of its node")

    def find_cycles(self) -> None:
        sound: set[str] = set()
        for start in self._ours:
            path: dict[str, None] = {}
            current: str | None = start
            while current is not None and current not in sound and current not in path:
                path[current] = None
                current = self.parent.get(current)
            if current is not None and current in path:
                members = list(path)[list(path).index(current) :]
                circle = " -> ".join((*members[:10], *(["…"] if len(members) > 10 else []), current))
                self.fault(self._ours[current].path, f"a cycle: {circle}")
            sound.update(path)

    def _find(self, link: Link, role: str) -> Entry | None:
        """The module that a link names; None where it is not ours, with a fault where it should be."""
        if link.target in self._ours:
            return self._ours[link.target]
        beside = self._modules.gateways.get(link.target) or self._modules.chargers.get(link.target)
        if beside is not None:
            told = f"{beside.id} is of kind {beside.kind}, which is no part of the energy tree"
            self.fault(link.path, told)
            return None
        if link.target not in self._modules.strangers:
            remedy = did_you_mean(link.target, self._ours)
            self.fault(link.path, f'missing {role}: no module "{link.target}" in this file{remedy}')
            return None
        kind = self._modules.strangers[link.target]
        if remedy := misspelled_kind(kind):
            self.fault((*self._modules.path, link.target, "module"), f'unknown kind "{kind}"{remedy}')
        elif role == "parent":
            self.fault(link.path, f"{link.target} is a {kind}, which is no part of the energy tree")
        return None
