"""MqttGateway: the actor between the tree and a broker.

Each message of a topic waits until the one before has its answer, and only so many commands a second go
to the tree: whatever is sent, a node has time for its own work. What the site tells goes out when it
changes; all of it goes out anew on each connection, since the broker may have lost it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from actors import clock
from actors.energy.messages import Command, ModuleStatus, OptimizerStatus, Outcome
from actors.energy.types import valid_for_s
from actors.gateways.gathering import Below, Gathering
from actors.gateways.mqtt import topics as names
from actors.gateways.mqtt.broker import Broker, BrokerError
from actors.gateways.mqtt.home_assistant import announcements
from actors.gateways.mqtt.intake import Arrived, Intake
from actors.gateways.mqtt.requests import (
    EVEREST_API,
    AskError,
    Nothing,
    Reader,
    Renew,
    Reply,
    Tell,
)
from actors.gateways.mqtt.telemetry import capabilities, telemetry
from actors.gateways.mqtt.topics import Topics, Way
from actors.handle import WAKE, Handle
from actors.loop import Loop, LoopActor
from actors.site import Gateway
from actors.tree_actor import Tick
from actors.wiring import GatewayStatus

LOG = logging.getLogger("amptree.mqtt")

ONLINE, OFFLINE = b"online", b"offline"
HEARTBEAT_S = 1.0
"""Between two heartbeats of EVerest's API."""
COMMUNICATION_CHECK_S = 5
"""How often EVerest's clients say that they are there, where nothing else is declared."""
COMMANDS_EACH_S = 50.0
"""Commands to the tree, on average; and at once after a pause."""
ANSWER_TIMEOUT_S = 10.0
"""For a module to carry out a command."""
TURNS_MAX = 100
"""Messages of one wake-up; then others of the actor's have their turn."""
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


class _Pending(Struct):
    message: Arrived
    way: Way
    target: str
    told: str
    until_s: float


class MqttGateway(LoopActor):
    """One gateway of one controller."""

    def __init__(
        self,
        loop: Loop,
        gateway: Gateway,
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
        self._reader = Reader(self._site, self._modules, self._topics)
        self._intake = Intake()
        self._broker: Broker | None = None
        self._begin_due_s = 0.0
        self._up = False
        self._told = "not connected yet"
        self._said: tuple[str, float] = ("", 0.0)
        self._refused = 0
        self._life = secrets.token_hex(8)
        self._count = 0
        self._pending: dict[str, _Pending] = {}
        self._busy: set[str] = set()
        self._tokens = COMMANDS_EACH_S
        self._tokens_s = clock.steady_s()
        self._sent: dict[str, tuple[bytes, float]] = {}
        """What was told last, and when."""
        self._beats = 0
        self._beat_due_s = self._publish_due_s = self._dropped_due_s = 0.0

    # --- the actor -----------------------------------------------------------------------------------

    def on_receive(self, message: Any) -> None:
        """Deal with what waits."""
        assert message == WAKE, f"{self.gateway.id} takes messages through its handle only, not {message!r}"
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
                    self._done(event)
                case _:
                    pass
            self._work(clock.steady_s())
        self._show(self._status())

    def on_stop(self) -> None:
        """End in good order."""
        self._end()

    def on_failure(self, *_: object) -> None:
        """This life is over; another will begin."""
        self._end()

    def _end(self) -> None:
        if self._broker is not None:
            self._broker.stop(self._topics.availability, OFFLINE)
            self._broker = None

    def _status(self) -> GatewayStatus:
        return GatewayStatus(
            id=self.gateway.id,
            kind=self.gateway.kind,
            controller=self._below.controller,
            ok=self._up,
            told=self._told,
            received=self._intake.received,
            refused=self._refused + self._intake.lost,
        )

    # --- the connection ------------------------------------------------------------------------------

    def _tick(self, now_s: float) -> None:
        if self._broker is not None and not self._broker.running():
            self._end()
            self._is_down("its client has ended")
        if self._broker is None and now_s >= self._begin_due_s:
            self._begin_due_s = now_s + BEGIN_AGAIN_S
            self._begin()
        self._give_up(now_s)
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
        self._intake.put(message)
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
        where = f"{self.gateway.config.host}:{self.gateway.config.port_in_use()}"
        self._told = f"not connected with {where}: {why}"
        if self._said[0] != why or now_s >= self._said[1] + SAID_EACH_S:
            self._said = (why, now_s)
            LOG.warning("%s is %s; the site goes on without it", self.gateway.id, self._told)

    def _announce(self) -> None:
        if self.gateway.config.home_assistant:
            for topic, content in announcements(self._site, self.gateway, self._topics, self._modules):
                self._send(topic, content, retain=True)

    def _send(
        self,
        topic: str,
        content: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> bool:
        if self._broker is None:
            return False
        return self._broker.publish(topic, content, qos=qos, retain=retain, correlation=correlation)

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

    # --- being told ----------------------------------------------------------------------------------

    def _work(self, now_s: float) -> None:
        """Take what came in, as much as there is room for."""
        self._tokens = min(COMMANDS_EACH_S, self._tokens + (now_s - self._tokens_s) * COMMANDS_EACH_S)
        self._tokens_s = now_s
        for _ in range(TURNS_MAX):
            if self._tokens < 1.0 or (message := self._intake.take(self._busy)) is None:
                break
            self._tokens -= 1.0
            self._deal(now_s, message)
        if now_s >= self._dropped_due_s:
            self._dropped_due_s = now_s + 1.0
            for topic, count in self._intake.dropped().items():
                if (way := self._topics.way_in(topic)) is not None:
                    error = f"too many messages: {count} were dropped, the newest were kept"
                    self._answer(way, topic, error=error)

    def _deal(self, now_s: float, message: Arrived) -> None:
        way = self._topics.way_in(message.topic)
        if way is None:
            return
        try:
            ask = self._reader.read(way, message)
        except AskError as error:
            self._refuse(way, message, str(error))
            return
        match ask:
            case Tell(target, event, told):
                found = self._below.top_of(target)
                assert found is not None, f"{target} is not below this controller"
                self._count += 1
                command_id = f"{self.gateway.id}:{self._life}:{self._count}"
                until_s = now_s + ANSWER_TIMEOUT_S
                self._pending[command_id] = _Pending(message, way, target, told, until_s)
                self._busy.add(message.topic)
                top, handle = found
                handle.tell(Command(id=command_id, origin=top, target=target, event=event))
            case Reply(what, name, reply_to):
                content = self._reply(what, name)
                if content is not None:
                    self._send(reply_to, content, qos=1, correlation=message.correlation)
            case Renew():
                self._announce()
            case Nothing(""):
                pass
            case Nothing(told):
                self._answer(way, message.topic, message=message, told=told, quiet=True)

    def _reply(self, what: str, name: str) -> bytes | None:
        if what == names.GET_CAPABILITIES:
            return msgspec.json.encode(capabilities(self._site, name))
        apis = [api for module_id in self._modules for api in self._apis(module_id)]
        if what == names.QUERY:
            apis = [api for api in apis if api["type"] == name]
        return msgspec.json.encode({"apis": apis}) if apis else None

    def _apis(self, module_id: str) -> list[dict[str, Any]]:
        """What of EVerest's API a module has, as its clients ask for it."""
        module = self._site.modules[module_id]
        declared = next((s for s in module.sources if s.name == EVEREST_API), None)
        check_s = None if declared is None else declared.heartbeat_timeout_s
        if declared is not None and declared.grid is not None:
            check_s = declared.grid.heartbeat_timeout_s
        monitoring = {
            "heartbeat_period_ms": int(HEARTBEAT_S * 1000),
            "communication_check_period_s": max(1, int(check_s or COMMUNICATION_CHECK_S)),
        }
        kinds = [names.LIMITS_API] if self.gateway.config.accept_limits else []
        kinds += [names.EVSE_API] if module.kind == "EvseManager" else []
        return [
            {
                "module_id": module_id,
                "type": kind,
                "version": names.API_VERSION,
                "communication_monitoring": monitoring,
            }
            for kind in kinds
        ]

    def _done(self, outcome: Outcome) -> None:
        pending = self._pending.pop(outcome.id, None)
        if pending is None:
            return
        message = pending.message
        self._busy.discard(message.topic)
        if outcome.error is not None:
            self._refuse(pending.way, message, outcome.error)
            return
        # Signs of life come again and again: of them only what fails is worth a word.
        quiet = pending.way.verb in (names.CHECK, "heartbeat")
        self._answer(
            pending.way,
            message.topic,
            message=message,
            told=pending.told,
            warning=outcome.warning,
            quiet=quiet,
        )

    def _give_up(self, now_s: float) -> None:
        for command_id, pending in list(self._pending.items()):
            if now_s >= pending.until_s:
                del self._pending[command_id]
                self._busy.discard(pending.message.topic)
                told = f"no answer from {pending.target} within {ANSWER_TIMEOUT_S:g} s; it may be done or not"
                self._refuse(pending.way, pending.message, told)

    def _refuse(self, way: Way, message: Arrived, error: str) -> None:
        self._refused += 1
        self._answer(way, message.topic, message=message, error=error)

    def _answer(
        self,
        way: Way,
        topic: str,
        *,
        message: Arrived | None = None,
        told: str | None = None,
        error: str | None = None,
        warning: str | None = None,
        quiet: bool = False,
    ) -> None:
        """What became of a message, on the module's result topic; where MQTT 5 names another, there too."""
        if way.verb == names.HOME_ASSISTANT:
            return
        answer: dict[str, Any] = {"topic": topic, "ok": error is None}
        answer |= {k: v for k, v in (("told", told), ("error", error), ("warning", warning)) if v is not None}
        content = msgspec.json.encode(answer)
        if not quiet:
            self._send(self._topics.answers(way), content, qos=1)
        reply_to = None if message is None else message.reply_to
        if message is not None and reply_to is not None and self._topics.fault_of_reply(reply_to) is None:
            self._send(reply_to, content, qos=1, correlation=message.correlation)
