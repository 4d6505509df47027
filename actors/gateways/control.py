"""The control socket of a controller: what `amptree status` and `amptree limit` talk to.

Operators and readers may ask for the status, operators alone may change anything.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

from msgspec import Struct

from actors import identities
from actors.energy.messages import Command, Outcome
from actors.gateways.gathering import Below, Gathering
from actors.handle import INBOX_MAX, Handle
from actors.site import Site
from actors.wiring import GatewayStatus, Load, SourceReply, SourceRequest, StatusReply, StatusRequest
from transport import OUTBOX_MAX, Delivery, Port, PortCounters

LOG = logging.getLogger("amptree.control")

PENDING_MAX = 256
"""Requests that wait for an answer; the oldest is dropped, and its client times out."""


class ControlGateway:
    """Answers clients. `on_message` is called on the I/O thread, answers come from the actors'."""

    def __init__(
        self,
        site: Site,
        controller: str,
        handles: Mapping[str, Handle],
        counters: Callable[[], Mapping[str, PortCounters]] = dict,
        gateways: Callable[[], tuple[GatewayStatus, ...]] = tuple,
    ) -> None:
        """`counters` are those of all ports of this process, by name; `gateways` tells how the others are."""
        self._site = site
        self._controller = controller
        self._handles = handles
        self._counters = counters
        self._gateways = gateways
        self._below = Below(site, controller, handles)
        self._lock = threading.Lock()
        self._pending: OrderedDict[str, str] = OrderedDict()
        self.port: Port | None = None

    def on_message(self, delivery: Delivery) -> None:
        """A client asks."""
        match delivery.message:
            case StatusRequest() as request:
                self._ask_status(request, delivery.peer)
            case SourceRequest() as request if not identities.is_operator(delivery.identity):
                error = f"{delivery.identity} may only read: setting limits needs the key of an operator"
                self._send(SourceReply(id=request.id, error=error), delivery.peer)
            case SourceRequest() as request:
                self._pass_on(request, delivery.peer)
            case _:
                LOG.warning("%s: %s is nothing for a control socket", delivery.peer, delivery.kind)

    def outcome(self, outcome: Outcome) -> None:
        """A command came to its end."""
        with self._lock:
            peer = self._pending.pop(outcome.id, None)
        if peer is not None:
            reply = SourceReply(id=_client_id(outcome.id), error=outcome.error, warning=outcome.warning)
            self._send(reply, peer)

    def _pass_on(self, request: SourceRequest, peer: str) -> None:
        found = self._below.top_of(request.target)
        if found is None:
            known = request.target in self._site.modules or request.target in self._site.elsewhere
            error = (
                f"{request.target} is not below controller {self._controller}"
                if known
                else f"no module {request.target!r} in site {self._site.name}"
            )
            self._send(SourceReply(id=request.id, error=error, not_here=True), peer)
            return
        top, handle = found
        command_id = f"{peer}:{request.id}"  # clients choose their ids, so they may choose the same
        with self._lock:
            self._pending[command_id] = peer
            while len(self._pending) > PENDING_MAX:
                self._pending.popitem(last=False)
        command = Command(id=command_id, origin=top, target=request.target, event=request.event)
        handle.tell(command, urgent=True)

    def _ask_status(self, request: StatusRequest, peer: str) -> None:
        def answer(gathering: Gathering) -> None:
            self._send(
                StatusReply(
                    id=request.id,
                    site=self._site.name,
                    controller=self._controller,
                    modules=gathering.modules(),
                    optimizer=gathering.optimizer(),
                    load=self._load(),
                    gateways=self._gateways(),
                ),
                peer,
            )

        # A client that asks again has given up what it asked before.
        self._below.ask(
            answer,
            ("status", peer),
            with_request=request.with_request,
            with_reasons=request.with_reasons,
        )

    def _load(self) -> Load:
        ports = self._counters().values()
        dropped = sum((Counter(port.dropped) for port in ports), Counter[str]())
        return Load(
            inbox_most=max((handle.most for handle in self._handles.values()), default=0),
            inbox_max=INBOX_MAX,
            inbox_refused=sum(handle.refused for handle in self._handles.values()),
            outbox_waiting=max((port.waiting for port in ports), default=0),
            outbox_most=max((port.waiting_most for port in ports), default=0),
            outbox_max=OUTBOX_MAX,
            message_largest_B=max((port.largest_B for port in ports), default=0),
            dropped={reason: count for reason, count in dropped.items() if count},
        )

    def _send(self, message: Struct, peer: str) -> None:
        if self.port is not None:
            self.port.send(message, target="", source=self._controller, peer=peer)


def _client_id(command_id: str) -> str:
    return command_id.rpartition(":")[2]
