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
from actors.energy.messages import Command, ModuleStatus, OptimizerStatus, Outcome
from actors.handle import INBOX_MAX, Handle
from actors.site import Site
from actors.tree_actor import StatusAnswer, StatusQuery
from actors.wiring import Load, SourceReply, SourceRequest, StatusReply, StatusRequest
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
    ) -> None:
        """`counters` are those of all ports of this process, by name."""
        self._site = site
        self._controller = controller
        self._handles = handles
        self._counters = counters
        self._tops = [m for m in handles if site.modules[m].parent not in handles]
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
        top = next((t for t in self._tops if request.target in self._site.subtree(t)), None)
        if top is None:
            known = request.target in self._site.modules or request.target in self._site.elsewhere
            error = (
                f"{request.target} is not below controller {self._controller}"
                if known
                else f"no module {request.target!r} in site {self._site.name}"
            )
            self._send(SourceReply(id=request.id, error=error, not_here=True), peer)
            return
        command_id = f"{peer}:{request.id}"  # clients choose their ids, so they may choose the same
        with self._lock:
            self._pending[command_id] = peer
            while len(self._pending) > PENDING_MAX:
                self._pending.popitem(last=False)
        self._handles[top].tell(
            Command(id=command_id, origin=top, target=request.target, event=request.event), urgent=True
        )

    def _ask_status(self, request: StatusRequest, peer: str) -> None:
        gathering = _Gathering(len(self._tops))

        def gather(answer: StatusAnswer) -> None:
            if gathering.add(answer):
                self._send(
                    StatusReply(
                        id=request.id,
                        site=self._site.name,
                        controller=self._controller,
                        modules=gathering.modules(self._site),
                        optimizer=gathering.optimizer(),
                        load=self._load(),
                    ),
                    peer,
                )

        for top in self._tops:
            query = StatusQuery(gather, request.with_request, request.with_reasons)
            # A client that asks again has given up what it asked before.
            if not self._handles[top].tell(query, key=("status", peer)):
                gather(StatusAnswer((_dead(self._site, self._controller, top),)))

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


class _Gathering:
    def __init__(self, expected: int) -> None:
        self._lock = threading.Lock()
        self._expected = expected
        self._answers: list[StatusAnswer] = []

    def add(self, answer: StatusAnswer) -> bool:
        """Whether this was the last."""
        with self._lock:
            self._answers.append(answer)
            return len(self._answers) == self._expected

    def modules(self, site: Site) -> tuple[ModuleStatus, ...]:
        order = {module: position for position, module in enumerate(site.modules)}
        found = [status for answer in self._answers for status in answer.modules]
        return tuple(sorted(found, key=lambda status: order.get(status.id, len(order))))

    def optimizer(self) -> OptimizerStatus | None:
        return next((a.optimizer for a in self._answers if a.optimizer is not None), None)


def _client_id(command_id: str) -> str:
    return command_id.rpartition(":")[2]


def _dead(site: Site, controller: str, module_id: str) -> ModuleStatus:
    return ModuleStatus(
        id=module_id,
        kind=site.modules[module_id].kind,
        controller=controller,
        alive=False,
        note="its actor has died",
    )
