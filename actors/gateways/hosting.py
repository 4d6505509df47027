"""The gateways of a controller: begun, begun again when they die, and ended.

They are no part of the tree. Whatever becomes of one of them is nothing that the controller would end for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pykka

from actors.energy.messages import Outcome
from actors.gateways.gathering import Below
from actors.handle import Handle
from actors.loop import Loop
from actors.site import Gateway, MqttLink, OcppLink
from actors.state import StateFolder
from actors.tree_actor import Tick
from actors.wiring import GatewayStatus

LOG = logging.getLogger("amptree.gateways")

REVIVE_S = 5.0
"""Between two lives of a gateway."""
TICK_S = 0.1


class HostedGateway:
    """One gateway, through all its lives. `tick` and `end` are the controller's; the rest is for any."""

    def __init__(self, gateway: Gateway, below: Below, state: StateFolder) -> None:
        self._gateway = gateway
        self._below = below
        self._state = state
        self._handle = Handle(gateway.id)
        self._loop = Loop(gateway.id)
        self._tick_due_s = self._begin_due_s = 0.0
        self.status = GatewayStatus(
            id=gateway.id, kind=gateway.kind, controller=below.controller, told="not begun yet"
        )

    def tick(self, now_s: float) -> None:
        """Wake it when it is due; begin it where it is dead."""
        if now_s < self._tick_due_s:
            return
        self._tick_due_s = now_s + TICK_S
        if self._handle.alive():
            self._handle.tell(Tick(), key="tick")
        elif now_s >= self._begin_due_s:
            if self._begin_due_s:
                LOG.error("gateway %s died and begins anew; the site went on without it", self._gateway.id)
            self._begin_due_s = now_s + REVIVE_S
            self._begin()

    def _begin(self) -> None:
        if not self._loop.running():
            self._loop = Loop(self._gateway.id)
            self._loop.start()
        try:
            self._handle.attach(self._actor())
        except Exception:  # whatever is wrong with it, the site goes on; it is tried again
            LOG.exception("gateway %s cannot be begun; the site goes on without it", self._gateway.id)

    def _actor(self) -> pykka.ActorRef[Any]:
        # Imported where they are needed: a site without them shall not pay for them, in each controller.
        match self._gateway:
            case MqttLink() as link:
                from actors.gateways.mqtt.actor import MqttGateway

                return MqttGateway.start(self._loop, link, self._below, self._handle, self._show)
            case OcppLink() as link:
                from actors.gateways.ocpp.actor import OcppGateway

                return OcppGateway.start(self._loop, link, self._below, self._handle, self._show, self._state)

    def _show(self, status: GatewayStatus) -> None:
        self.status = status

    def outcome(self, outcome: Outcome) -> None:
        """A command came to its end; perhaps one of its own."""
        if outcome.id.startswith(f"{self._gateway.id}:"):
            self._handle.tell(outcome)

    def end(self) -> Callable[[float], Any]:
        """Tell it to end; what is returned waits for that, at most so many seconds."""
        ended = self._handle.end()

        def wait(timeout_s: float) -> None:
            if not ended(timeout_s):
                LOG.warning("gateway %s did not end", self._gateway.id)
            self._loop.stop()

        return wait
