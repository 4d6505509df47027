"""What is asked of the site over a broker, and its answers.

Each message of a topic waits until the one before has its answer, and only so many commands a second go
to the tree: whatever is sent, a node has time for its own work.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from actors.energy.messages import Command, Outcome
from actors.gateways.gathering import Below
from actors.gateways.mqtt import topics as names
from actors.gateways.mqtt.everest_api import reply
from actors.gateways.mqtt.intake import Intake
from actors.gateways.mqtt.requests import AskError, Nothing, Reader, Renew, Reply, Tell
from actors.gateways.mqtt.topics import Topics, Way
from actors.mqtt.message import Arrived
from actors.site import MqttLink

COMMANDS_EACH_S = 50.0
"""Commands to the tree, on average; and at once after a pause."""
ANSWER_TIMEOUT_S = 10.0
"""For a module to carry out a command."""
DROPPED_EACH_S = 1.0
"""Between two answers that tell of messages that were dropped."""


Answer = Callable[[str, bytes, bytes | None], bool]
"""Publishes to a topic, with the correlation data of what is answered; whether it was taken."""


class _Pending(Struct):
    message: Arrived
    way: Way
    target: str
    told: str
    until_s: float


class Desk:
    """Of one life of a gateway. All but `intake` is the actor's."""

    def __init__(
        self,
        gateway: MqttLink,
        below: Below,
        topics: Topics,
        answer: Answer,
        announce: Callable[[], None],
        now_s: float,
    ) -> None:
        self.intake = Intake()
        self.refused = 0
        """Messages that were answered with an error."""
        self._gateway = gateway
        self._below = below
        self._topics = topics
        self._answer_to = answer
        self._announce = announce
        self._reader = Reader(below.site, below.modules, topics)
        self._life = secrets.token_hex(8)
        self._count = 0
        self._pending: dict[str, _Pending] = {}
        self._busy: set[str] = set()
        self._tokens = COMMANDS_EACH_S
        self._tokens_s = self._dropped_due_s = now_s

    def work(self, now_s: float) -> None:
        """Take what came in, as much as there is room for; give up what had no answer for long."""
        self._give_up(now_s)
        self._tokens = min(COMMANDS_EACH_S, self._tokens + (now_s - self._tokens_s) * COMMANDS_EACH_S)
        self._tokens_s = now_s
        while self._tokens >= 1.0 and (message := self.intake.take(self._busy)) is not None:
            self._tokens -= 1.0
            self._deal(now_s, message)
        if now_s >= self._dropped_due_s:
            self._dropped_due_s = now_s + DROPPED_EACH_S
            for topic, count in self.intake.dropped().items():
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
                command_id = f"{self._gateway.id}:{self._life}:{self._count}"
                until_s = now_s + ANSWER_TIMEOUT_S
                self._pending[command_id] = _Pending(message, way, target, told, until_s)
                self._busy.add(message.topic)
                top, handle = found
                handle.tell(Command(id=command_id, origin=top, target=target, event=event), urgent=True)
            case Reply(what, name, reply_to):
                content = reply(self._below, self._gateway, what, name)
                if content is not None:
                    self._answer_to(reply_to, content, message.correlation)
            case Renew():
                self._announce()
            case Nothing(""):
                pass
            case Nothing(told):
                self._answer(way, message.topic, message=message, told=told, quiet=True)

    def done(self, outcome: Outcome) -> None:
        """A command came to its end."""
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
        self.refused += 1
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
            self._answer_to(self._topics.answers(way), content, None)
        reply_to = None if message is None else message.reply_to
        if message is not None and reply_to is not None and self._topics.fault_of_reply(reply_to) is None:
            self._answer_to(reply_to, content, message.correlation)
