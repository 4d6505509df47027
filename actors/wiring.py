"""Which messages cross between processes, and by which names."""

from __future__ import annotations

from msgspec import Struct

from actors.energy.external import SourceEvent
from actors.energy.messages import Command, Grant, ModuleStatus, OptimizerStatus, Outcome, Report
from actors.plant.messages import register_plant_messages
from transport import Registry

MESSAGE_MAX_B = 16 * 1024 * 1024
"""A report, or the status, of some thousand EVSEs."""
CLIENT_TIMEOUT_S = 10.0
"""How long a client of the control socket waits for an answer."""


class StatusRequest(Struct, frozen=True, kw_only=True):
    """Asks a controller for all that it knows."""

    id: str
    with_request: bool = False
    """Also the last request of the market, which may be large."""
    with_reasons: bool = True
    """Also why each EVSE gets what it gets, and the forecast: which takes long where EVSEs are many."""


class Load(Struct, frozen=True, kw_only=True):
    """How full the queues of a controller are, and were since it began."""

    inbox_most: int
    """Unread messages: the most that an actor ever had."""
    inbox_max: int
    """The bound of that."""
    inbox_refused: int
    """Messages that actors did not take: the inbox was full, or the actor dead."""
    outbox_waiting: int
    """Messages that wait now, at the port where most do."""
    outbox_most: int
    """The most that ever waited at a port."""
    outbox_max: int
    """The bound of that."""
    message_largest_B: int = 0
    """The body of the largest message that was ever sent."""
    message_max_B: int = MESSAGE_MAX_B
    """The bound of that."""
    dropped: dict[str, int]
    """Messages that did not go through, by reason, of all ports; reasons of which there are none are left
    out."""


class GatewayStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a link with the outside world is."""

    id: str
    kind: str
    controller: str
    ok: bool = False
    told: str = ""
    """Whom it is connected with, or why not."""
    received: int = 0
    """Messages, since it began."""
    refused: int = 0
    """Of these, answered with an error or dropped."""


class StatusReply(Struct, frozen=True, kw_only=True):
    """Every module that the controller hosts, and all below these."""

    id: str
    site: str
    controller: str
    modules: tuple[ModuleStatus, ...]
    optimizer: OptimizerStatus | None = None
    load: Load | None = None
    gateways: tuple[GatewayStatus, ...] = ()


class SourceRequest(Struct, frozen=True, kw_only=True):
    """Sets, clears or renews an external limit at a module."""

    id: str
    target: str
    event: SourceEvent


class SourceReply(Struct, frozen=True, kw_only=True):
    """What became of it."""

    id: str
    error: str | None = None
    warning: str | None = None
    not_here: bool = False
    """The module is not below this controller: another may know it."""


def tree_registry() -> Registry:
    """What travels on the links between controllers, on control sockets and to the plant."""
    registry = Registry()
    register_plant_messages(registry)
    registry.add(Report, "report")
    registry.add(Grant, "grant")
    registry.add(Command, "command")
    registry.add(Outcome, "outcome")
    registry.add(StatusRequest, "status_request")
    registry.add(StatusReply, "status_reply")
    registry.add(SourceRequest, "source_request")
    registry.add(SourceReply, "source_reply")
    return registry
