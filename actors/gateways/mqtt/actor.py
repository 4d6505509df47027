"""MqttGateway: the actor between the tree and a broker.

What the site tells goes out when it changes; all of it goes out anew on each connection, since the broker may
have lost it. What is asked of it is dealt with at the desk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from actors import clock
from actors.energy.messages import ModuleStatus, OptimizerStatus, Outcome
from actors.energy.types import valid_for_s
from actors.gateways.gathering import Below, Gathering
from actors.gateways.mqtt.desk import Desk
from actors.gateways.mqtt.everest_api import HEARTBEAT_S
from actors.gateways.mqtt.home_assistant import announcements
from actors.gateways.mqtt.telemetry import capabilities, telemetry
from actors.gateways.mqtt.topics import Topics
from actors.handle import Handle
from actors.loop import Loop, LoopActor
from actors.mqtt.broker import Broker, BrokerError
from actors.mqtt.message import Arrived
from actors.site import MqttLink
from actors.tree_actor import Tick
from actors.wiring import GatewayStatus

LOG = logging.getLogger("amptree.mqtt")

ONLINE, OFFLINE = b"online", b"offline"
BEGIN_AGAIN_S = 10.0
"""Between two trials to make a client of the broker."""
SAID_EACH_S = 60.0
"""Between two lines of the log about the same trouble."""


class Up(Struct, frozen=True):
    """The connection stands."""


class Down(Struct, frozen=True):
    """The connection is lost, or was not had."""

    why: str


class Seen(Struct, frozen=True):
    """How the site is."""

    modules: tuple[ModuleStatus, ...]
    optimizer: OptimizerStatus | None


class MqttGateway(LoopActor):
    """One gateway of one controller."""

    def __init__(
        self,
        loop: Loop,
        gateway: MqttLink,
        below: Below,
        handle: Handle,
        show: Callable[[GatewayStatus], None],
    ) -> None:
        super().__init__(loop)
        self.gateway = gateway
        self._site = below.site
        self._below = below
        self._handle = handle
        self._show = show
        config = gateway.config
        discovery_prefix = config.discovery_prefix if config.home_assistant else None
        self._topics = Topics(self._site, config.topic_prefix, gateway.id, discovery_prefix)
        self._modules = below.modules
        now_s = clock.steady_s()
        self._desk = Desk(gateway, below, self._topics, self._answer, self._announce, now_s)
        self._broker: Broker | None = None
        self._begin_due_s = 0.0
        self._up = False
        self._told = "not connected yet"
        self._said: tuple[str, float] = ("", 0.0)
        self._sent: dict[str, tuple[bytes, float]] = {}
        """What was told last, and when."""
        self._beats = 0
        self._beat_due_s = self._publish_due_s = self._dropped_due_s = 0.0

    # --- the actor -----------------------------------------------------------------------------------

    def on_wake(self) -> None:
        """Deal with what waits."""
        for event in self._handle.take():
            match event:
                case Tick():
                    self._tick(clock.steady_s())
                case Up():
                    self._is_up()
                case Down(why):
                    self._is_down(why)
                case Seen(modules, optimizer):
                    self._publish(modules, optimizer)
                case Outcome():
                    self._desk.done(event)
                case _:
                    pass
            self._desk.work(clock.steady_s())
        self._show(self._status())

    def on_stop(self) -> None:
        """End in good order."""
        self._end()

    def on_failure(self, *_: object) -> None:
        """This life is over; another will begin."""
        self._end()

    def _end(self) -> None:
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def _status(self) -> GatewayStatus:
        return GatewayStatus(
            id=self.gateway.id,
            kind=self.gateway.kind,
            controller=self._below.controller,
            ok=self._up,
            told=self._told,
            received=self._desk.intake.received,
            refused=self._desk.refused + self._desk.intake.lost,
        )

    # --- the connection ------------------------------------------------------------------------------

    def _tick(self, now_s: float) -> None:
        if self._broker is not None and not self._broker.running():
            self._end()
            self._is_down("its client has ended")
        if self._broker is None and now_s >= self._begin_due_s:
            self._begin_due_s = now_s + BEGIN_AGAIN_S
            self._begin()
        if not self._up:
            return
        if now_s >= self._beat_due_s:
            self._beat_due_s = now_s + HEARTBEAT_S
            self._beat()
        if now_s >= self._publish_due_s:
            self._publish_due_s = now_s + self.gateway.config.publish_interval_s
            self._below.ask(self._seen, ("status", self.gateway.id))

    def _begin(self) -> None:
        config = self.gateway.config
        try:
            self._broker = Broker(
                config,
                config.client_id or f"amptree-{self._site.name}-{self.gateway.id}",
                Path(self._site.path).parent,
                (self._topics.availability, OFFLINE),
                self._topics.filters(self._modules, accept_limits=config.accept_limits),
                on_message=self._arrived,
                on_up=lambda: self._hear(Up()),
                on_down=lambda why: self._hear(Down(why)),
            )
        except BrokerError as error:
            self._is_down(str(error))
            return
        self._broker.start()

    def _hear(self, event: Up | Down) -> None:
        """On the client's thread."""
        self._handle.tell(event)

    def _arrived(self, message: Arrived) -> None:
        """On the client's thread."""
        self._desk.intake.put(message)
        self._handle.tell(Arrived, key="arrived")

    def _seen(self, gathering: Gathering) -> None:
        """On a node's thread."""
        self._handle.tell(Seen(gathering.modules(), gathering.optimizer()), key="seen")

    def _is_up(self) -> None:
        if self._broker is None:
            return  # told by the client before
        self._up = True
        self._told = f"connected with {self._broker.address}"
        self._said = ("", 0.0)
        LOG.info("%s is connected with %s", self.gateway.id, self._broker.address)
        self._sent.clear()
        self._beat_due_s = self._publish_due_s = 0.0
        self._send(self._topics.availability, ONLINE, qos=1, retain=True)
        self._send(self._topics.ready_beacon, b"{}")
        for module_id in self._modules:
            content = msgspec.json.encode(capabilities(self._site, module_id))
            self._send(self._topics.limits_api(module_id, "capabilities"), content, retain=True)
        self._announce()

    def _is_down(self, why: str) -> None:
        now_s = clock.steady_s()
        self._up = False
        self._told = f"not connected with {self.gateway.config.address()}: {why}"
        if self._said[0] != why or now_s >= self._said[1] + SAID_EACH_S:
            self._said = (why, now_s)
            LOG.warning("%s is %s; the site goes on without it", self.gateway.id, self._told)

    def _announce(self) -> None:
        if self.gateway.config.home_assistant:
            for topic, content in announcements(self._site, self.gateway, self._topics, self._modules):
                self._send(topic, content, retain=True)

    def _send(self, topic: str, content: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        return self._broker is not None and self._broker.publish(topic, content, qos=qos, retain=retain)

    def _answer(self, topic: str, content: bytes, correlation: bytes | None) -> bool:
        broker = self._broker
        return broker is not None and broker.publish(topic, content, qos=1, correlation=correlation)

    # --- telling -------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """EVerest's API: we are there."""
        content = str(self._beats).encode()
        self._beats = (self._beats + 1) % 2**64
        for module_id in self._modules:
            self._send(self._topics.limits_api(module_id, "heartbeat"), content)

    def _publish(self, modules: tuple[ModuleStatus, ...], optimizer: OptimizerStatus | None) -> None:
        if not self._up:
            return
        now = clock.now()
        renew_s = valid_for_s(self._site.manager_config()) / 3
        for topic, content in telemetry(self._site, self._topics, modules, optimizer, now.wall_us).items():
            before, at_s = self._sent.get(topic, (b"", 0.0))
            renewed = topic.endswith("/enforced_limits") and now.mono_s >= at_s + renew_s
            if (content != before or renewed) and self._send(topic, content, retain=True):
                self._sent[topic] = content, now.mono_s
