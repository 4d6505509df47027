"""What is asked goes to the tree one after the other, and everything is answered."""

from __future__ import annotations

import json
from typing import Any

from actors.energy.external import SetLimits
from actors.energy.messages import Command, Outcome
from actors.gateways.gathering import Below
from actors.gateways.mqtt.desk import ANSWER_TIMEOUT_S, COMMANDS_EACH_S, DROPPED_EACH_S, Desk
from actors.gateways.mqtt.intake import QUEUE_MAX
from actors.gateways.mqtt.topics import Topics
from actors.handle import Handle
from actors.mqtt.message import arrived
from actors.site import MqttLink
from tests.gateways.mqtt_sites import TEXT, site

AT = "everest/garage"


class Root(Handle):
    """Takes commands, and does nothing."""

    def __init__(self) -> None:
        super().__init__("energy_root")
        self.commands: list[Command] = []

    def tell(self, message: Any, key: object = None, after: object = None, *, urgent: bool = False) -> bool:
        assert isinstance(message, Command)
        self.commands.append(message)
        return True

    def watts(self) -> list[float]:
        """What was asked for, in order."""
        found = []
        for command in self.commands:
            assert isinstance(command.event, SetLimits)
            limit = command.event.limits.schedule_import[0].limits_to_root.total_power_W
            assert limit is not None
            found.append(limit.value)
        return found


class Office:
    """A desk and all around it."""

    def __init__(self, text: str = TEXT) -> None:
        made = site(text)
        self.root = Root()
        self.sent: list[tuple[str, Any]] = []
        self.announced = 0
        names = Topics(made, "", "mqtt", "homeassistant")
        below = Below(made, "energy_root", dict.fromkeys(made.modules, self.root))
        gateway = made.gateways["mqtt"]
        assert isinstance(gateway, MqttLink)
        self.desk = Desk(gateway, below, names, self._answer, self._announce, 0.0)

    def _answer(self, topic: str, content: bytes, correlation: bytes | None) -> bool:
        self.sent.append((topic, json.loads(content)))
        return True

    def _announce(self) -> None:
        self.announced += 1

    def put(self, what: str, content: bytes = b"", **more: Any) -> None:
        self.desk.intake.put(arrived(what, content, **more))

    def done(self, number: int, error: str | None = None) -> None:
        command = self.root.commands[number]
        self.desk.done(Outcome(id=command.id, origin=command.origin, error=error))


def test_a_command_of_a_topic_waits_for_the_outcome_of_the_one_before() -> None:
    office = Office()
    office.put(f"{AT}/ac/set_limit_watts", b"1000")
    office.put(f"{AT}/ac/set_limit_watts", b"2000")
    office.put(f"{AT}/dc/set_limit_watts", b"3000")
    office.desk.work(1.0)
    assert office.root.watts() == [1000.0, 3000.0]
    assert office.root.commands[0].target == "ac"
    assert office.sent == []
    office.done(0)
    assert office.sent[0][0] == f"{AT}/ac/result"
    assert office.sent[0][1]["ok"]
    office.desk.work(1.1)
    assert office.root.watts() == [1000.0, 3000.0, 2000.0]
    office.done(2, error="no room")
    assert office.sent[-1][1] == {"topic": f"{AT}/ac/set_limit_watts", "ok": False, "error": "no room"}
    assert office.desk.refused == 1


def test_a_module_that_does_not_answer_is_told_and_holds_up_nobody() -> None:
    office = Office()
    office.put(f"{AT}/ac/set_limit_watts", b"1000")
    office.put(f"{AT}/ac/set_limit_watts", b"2000")
    office.desk.work(0.0)
    office.desk.work(ANSWER_TIMEOUT_S - 0.1)
    assert office.root.watts() == [1000.0]
    office.desk.work(ANSWER_TIMEOUT_S)
    assert "no answer from ac within 10 s" in office.sent[0][1]["error"]
    assert office.root.watts() == [1000.0, 2000.0]
    office.done(0)  # too late
    assert len(office.sent) == 1


def test_only_so_many_commands_a_second_go_to_the_tree() -> None:
    evses = [f"e{n}" for n in range(200)]
    lines = "\n".join(f"  {e}: {{module: EvseManager, connections: {{energy_grid: floor}}}}" for e in evses)
    office = Office(TEXT + lines)
    for evse in evses:
        office.put(f"{AT}/{evse}/set_limit_watts", b"1000")
    office.desk.work(0.0)
    assert len(office.root.commands) == COMMANDS_EACH_S
    office.desk.work(0.5)
    assert len(office.root.commands) == 1.5 * COMMANDS_EACH_S
    for tenth in range(6, 60):
        office.desk.work(tenth / 10)
    assert len(office.root.commands) == 200


def test_what_was_dropped_is_told_once_in_a_while() -> None:
    office = Office()
    for n in range(100):
        office.put(f"{AT}/ac/set_limit_watts", b"%d" % n)
    office.desk.work(DROPPED_EACH_S)
    (told,) = office.sent
    assert told[0] == f"{AT}/ac/result"
    assert told[1]["error"] == f"too many messages: {100 - QUEUE_MAX} were dropped, the newest were kept"
    office.desk.work(DROPPED_EACH_S + 0.1)
    assert len(office.sent) == 1


def test_garbage_is_answered_also_where_mqtt_5_wants_it() -> None:
    office = Office()
    office.put(f"{AT}/ac/set_limit_watts", b"much", reply_to="client/answers", correlation=b"7")
    office.put(
        f"{AT}/ac/set_limit_amps", b"many", reply_to=f"{AT}/ac/set_limit_amps"
    )  # which would go on for ever
    office.desk.work(0.1)
    assert [topic for topic, _ in office.sent] == [f"{AT}/ac/result", "client/answers", f"{AT}/ac/result"]
    assert office.root.commands == []


def test_home_assistants_birth_makes_the_site_announce_itself() -> None:
    office = Office()
    office.put("homeassistant/status", b"online")
    office.put("homeassistant/status", b"x" * 300_000)
    office.desk.work(0.1)
    assert office.announced == 1
    assert office.sent == []


def test_questions_are_answered_where_they_want_it() -> None:
    office = Office()
    office.put("everest_api/query-modules/evse_manager_consumer", b'{"headers": {"replyTo": "me"}}')
    office.put("everest_api/query-modules/display_message", b'{"headers": {"replyTo": "me"}}')
    office.desk.work(0.1)
    ((topic, told),) = office.sent
    assert topic == "me"
    assert [(api["module_id"], api["version"]) for api in told["apis"]] == [("ac", 1), ("dc", 1)]
