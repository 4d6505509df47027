"""Where messages of the actors go: to an actor of this process, over a link, to hardware, to a client.

A message that comes over a link is taken only from the controller that hosts its sender, which its key
tells, and only from the sender's neighbour in the tree. A report may speak of the sender's own subtree
only: what a controller says of another's modules would else reach the market with the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

from actors import identities
from actors.drivers import Driver
from actors.energy.external import SavedSources
from actors.energy.fixed_load import MeterReading, MeterTrouble
from actors.energy.messages import Actuate, Command, Grant, Outcome, Reading, Report
from actors.energy.request_checks import NOT_HEARD
from actors.handle import Handle
from actors.market_runner import Sessions
from actors.site import Site
from actors.state import StateFolder
from transport import Delivery, Port

LOG = logging.getLogger("amptree.links")


class Commander(Protocol):
    """Tells modules something for somebody outside."""

    def outcome(self, outcome: Outcome) -> None:
        """A command came to its end, perhaps one of its own."""


class Switchboard:
    """Routes for all actors of one process."""

    def __init__(
        self, site: Site, controller: str, handles: Mapping[str, Handle], state: StateFolder
    ) -> None:
        self._site = site
        self._controller = controller
        self._handles = handles
        self._state = state
        self.links_down: Port | None = None
        self.links_up: dict[str, Port] = {}
        self.drivers: dict[str, Driver] = {}
        self.gateways: list[Commander] = []
        self.let_go: Callable[[], None] = lambda: None
        """What the calling thread said until now goes out, and does not wait until its turn is over."""
        self._below: dict[str, frozenset[str]] = {}
        self.strangers = 0
        """Messages over links that were not from whom they should be."""

    def to_parent(self, module_id: str, message: Report | Outcome) -> None:
        """Up the tree."""
        parent = self._site.modules[module_id].parent
        if parent is None:
            return  # an outcome that went astray: the root has nobody above it
        if not self._tell(parent, message, module_id):
            port = self.links_up[self._site.controller_of(parent).name]
            key, after = _keys(message, module_id)
            port.send(message, target=parent, source=module_id, key=key, after=after)

    def to_child(self, module_id: str, child: str, message: Grant | Command) -> None:
        """Down one branch."""
        if not self._tell(child, message, module_id) and self.links_down is not None:
            peer = identities.controller(self._site.controller_of(child).name)
            key, _ = _keys(message, module_id, child)
            self.links_down.send(message, target=child, source=module_id, peer=peer, key=key)

    def to_driver(self, module_id: str, message: Actuate) -> None:
        """To the hardware of an EVSE."""
        self.drivers[module_id].actuate(module_id, message)

    def to_gateway(self, message: Outcome) -> None:
        """To whoever asked: each knows its own commands."""
        for gateway in self.gateways:
            gateway.outcome(message)

    def save(self, module_id: str, sources: SavedSources) -> bool:
        """Keep over a restart; whether that could be done."""
        self.let_go()
        return self._state.save(module_id, sources)

    def keep_epoch(self, module_id: str, epoch: int) -> str | None:
        """Put a node's epoch on stable storage; returns why that could not be done."""
        self.let_go()
        return self._state.keep_epoch(module_id, epoch)

    def load_sessions(self, module_id: str) -> Sessions:
        """What a market kept of each EVSE's session."""
        return self._state.load_sessions(module_id)

    def keep_sessions(self, module_id: str, sessions: Sessions) -> bool:
        """Keep them over a restart; whether that could be done."""
        return self._state.keep_sessions(module_id, sessions)

    def from_hardware(self, evse_id: str, reading: Reading) -> None:
        """A driver read its hardware."""
        self._handles[evse_id].tell(reading, key="reading")

    def from_meter(self, node: str, reading: MeterReading | MeterTrouble) -> None:
        """A driver read a node's meter, or could not."""
        self._handles[node].tell(reading, key=type(reading).__name__)

    def from_link(self, delivery: Delivery) -> None:
        """A message came over a link."""
        message, source, target = delivery.message, delivery.source, delivery.target
        if target not in self._handles or not self._neighbours(delivery):
            self.strangers += 1
            LOG.debug(
                "from %s: %s from %r for %r: not its place", delivery.peer, delivery.kind, source, target
            )
            return
        self._handles[target].tell(message, *_keys(message, source), urgent=_is_urgent(message))

    def _neighbours(self, delivery: Delivery) -> bool:
        source, modules = delivery.source, self._site.modules
        if source not in modules:
            return False
        if delivery.identity != identities.controller(self._site.controller_of(source).name):
            return False
        match delivery.message:
            case Report() as report:
                return modules[source].parent == delivery.target and self._speaks_for_itself(report, source)
            case Outcome():
                return modules[source].parent == delivery.target
            case Grant() | Command():
                return modules[delivery.target].parent == source
            case _:
                return False

    def _speaks_for_itself(self, report: Report, source: str) -> bool:
        if report.child != source or (report.wants is not None and report.wants.uuid != source):
            return False
        below = self._below.get(source)
        if below is None:
            below = self._below[source] = frozenset(self._site.subtree(source))
        return _names_each_once(report, below)

    def _tell(self, target: str, message: Any, source: str) -> bool:
        """Whether the target is of this process; a dead one has been told too."""
        handle = self._handles.get(target)
        if handle is None:
            return False
        handle.tell(message, *_keys(message, source), urgent=_is_urgent(message))
        return True


def _names_each_once(report: Report, below: frozenset[str]) -> bool:
    """Whether what is wanted and how it stands is told of modules of `below` only, of none twice."""
    wanted: set[str] = set()
    left = [] if report.wants is None else [report.wants]
    while left:
        request = left.pop()
        name = request.uuid.removesuffix(NOT_HEARD)
        if name in wanted or name not in below:
            return False
        wanted.add(name)
        left.extend(request.children)
    told = [status.id for status in report.status]
    return len(set(told)) == len(told) and below.issuperset(told)


def _is_urgent(message: Any) -> bool:
    """Whatever comes from above may lower a limit: it overtakes what comes from below."""
    return isinstance(message, _FROM_ABOVE)


_FROM_ABOVE = (Grant, Command)


def _keys(message: Any, *names: str) -> tuple[Hashable, Hashable]:
    """Newer state replaces older; commands and outcomes are each delivered. A report without what was
    told before (`wants`, `status`) does not replace one with it, nor overtake it: the older would be
    dropped as late."""
    match message:
        case Grant():
            return ("grant", *names), None
        case Report() if message.status:
            return ("report", *names), None
        case Report():
            return ("short report", *names), ("report", *names)
        case _:
            return None, None
