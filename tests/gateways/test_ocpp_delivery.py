"""Modules have their limits: told until they confirm, and again when they have lost them."""

from __future__ import annotations

from typing import Any

from actors.energy.external import ClearLimits, Heartbeat, SetLimits, ShortLimits, SourceStatus, short_form
from actors.energy.messages import Command, Instant, ModuleStatus, Outcome
from actors.gateways.gathering import Below
from actors.gateways.ocpp.delivery import AGAIN_S, ANSWER_TIMEOUT_S, COMMANDS_MAX, LISTEN_S, Delivery
from actors.gateways.ocpp.smart_charging import Wanted
from actors.handle import Handle
from tests.gateways.ocpp_sites import BEGIN_US, site

TEN = Wanted(short_form(ShortLimits(ac_max_current_A=10), "ocpp"))
SIX = Wanted(short_form(ShortLimits(ac_max_current_A=6), "ocpp"))
NOTHING = Wanted(None)
WATTS = Wanted(short_form(ShortLimits(total_power_W=4200), "dso"))


class Root(Handle):
    """Takes commands, and does nothing."""

    def __init__(self) -> None:
        super().__init__("root")
        self.commands: list[Command] = []

    def tell(self, message: Any, key: object = None, after: object = None, *, urgent: bool = False) -> bool:
        assert isinstance(message, Command)
        self.commands.append(message)
        return True


class Bench:
    def __init__(self) -> None:
        made = site("2.0.1")
        self.root = Root()
        self.delivery = Delivery(
            "ocpp", Below(made, "root", dict.fromkeys(made.modules, self.root)), heard_for_s=40
        )
        self.s = 100.0

    def work(self, after_s: float = 0.0) -> list[Command]:
        """What is told then."""
        self.s += after_s
        self.root.commands.clear()
        self.delivery.work(Instant(self.s, BEGIN_US + int(self.s * 1e6)))
        return list(self.root.commands)

    def done(self, command: Command, error: str | None = None) -> None:
        self.delivery.done(Outcome(id=command.id, origin="root", error=error), self.s)

    def see(self, source: str, state: Any, wanted: Wanted = NOTHING, module: str = "one") -> None:
        sources = (SourceStatus(name=source, state=state, limits=wanted.limits),)
        self.delivery.see([ModuleStatus(id=module, kind="x", controller="x", sources=sources)])


def test_limits_are_told_once_and_again_only_when_they_change() -> None:
    bench = Bench()
    bench.delivery.want("one", "ocpp", TEN)
    (command,) = bench.work()
    assert (command.target, command.event) == ("one", SetLimits(source="ocpp", limits=TEN.limits))  # type: ignore[arg-type]
    assert bench.work(1) == []
    assert not bench.delivery.settled()
    bench.done(command)
    assert bench.delivery.settled()
    bench.see("ocpp", "set", TEN)
    assert bench.work(60) == []
    bench.delivery.want("one", "ocpp", NOTHING)
    (command,) = bench.work()
    assert command.event == ClearLimits(source="ocpp")


def test_a_module_that_has_lost_its_limits_is_told_again() -> None:
    bench = Bench()
    bench.delivery.want("one", "ocpp", TEN)
    (command,) = bench.work()
    bench.done(command)
    bench.delivery.see([ModuleStatus(id="one", kind="x", controller="x")])
    assert bench.work(AGAIN_S - 1) == []  # what it told may be older than what it was told
    assert len(bench.work(1)) == 1


def test_nothing_is_cleared_where_nothing_is_set_and_what_an_earlier_life_left_is() -> None:
    bench = Bench()
    bench.delivery.want("one", "ocpp", NOTHING)
    assert bench.work() == []
    assert not bench.delivery.settled()
    bench.delivery.see([ModuleStatus(id="one", kind="x", controller="x")])
    assert bench.work(1) == []
    assert bench.delivery.settled()
    bench.see("ocpp", "set", TEN)
    assert [c.event for c in bench.work(60)] == [ClearLimits(source="ocpp")]


def test_a_module_that_is_silent_is_not_taken_to_have_lost_them() -> None:
    bench = Bench()
    bench.delivery.want("one", "ocpp", TEN)
    (command,) = bench.work()
    bench.done(command)
    bench.delivery.see([ModuleStatus(id="one", kind="x", controller="x", alive=False)])
    assert bench.work(AGAIN_S) == []


def test_limits_that_somebody_else_set_are_set_back() -> None:
    bench = Bench()
    bench.delivery.want("one", "ocpp", TEN)
    (command,) = bench.work()
    bench.done(command)
    bench.see("ocpp", "set", SIX)
    assert len(bench.work(AGAIN_S)) == 1


def test_what_is_refused_or_not_answered_is_tried_again_after_a_while_and_said() -> None:
    bench = Bench()
    bench.delivery.want("one", "ocpp", TEN)
    (command,) = bench.work()
    bench.done(command, "no room")
    assert "no room" in bench.delivery.trouble
    assert bench.work(AGAIN_S - 1) == []
    (command,) = bench.work(1)
    assert bench.work(ANSWER_TIMEOUT_S - 1) == []
    (command,) = bench.work(1)
    assert "no answer" in bench.delivery.trouble
    bench.done(command)
    assert bench.delivery.trouble == ""


def test_newer_limits_wait_for_the_answer_to_the_older_ones() -> None:
    bench = Bench()
    bench.delivery.want("one", "ocpp", TEN)
    (command,) = bench.work()
    bench.delivery.want("one", "ocpp", SIX)
    assert bench.work(1) == []
    bench.done(command)
    (command,) = bench.work()
    assert command.event == SetLimits(source="ocpp", limits=SIX.limits)  # type: ignore[arg-type]


def test_so_many_commands_are_under_way_at_a_time() -> None:
    bench = Bench()
    for number in range(COMMANDS_MAX + 9):
        bench.delivery.want("one", f"source {number}", TEN)
    commands = bench.work()
    assert len(commands) == COMMANDS_MAX
    for command in commands:
        bench.done(command)
    assert len(bench.work()) == 9


def test_a_source_that_listens_hears_of_the_csms_while_it_is_heard() -> None:
    bench = Bench()
    bench.delivery.listen("root", "ocpp_offline")
    assert bench.work() == []
    bench.delivery.heard(bench.s)
    assert [c.event for c in bench.work()] == [Heartbeat(source="ocpp_offline")]
    assert bench.work(LISTEN_S) == []  # not heard since
    bench.delivery.heard(bench.s)
    assert [c.event for c in bench.work()] == [Heartbeat(source="ocpp_offline")]


def test_a_failsafe_is_left_when_the_csms_is_heard_again() -> None:
    bench = Bench()
    bench.delivery.listen("root", "ocpp_offline")
    bench.see("ocpp_offline", "failsafe", TEN, "root")
    assert bench.work(1) == []
    bench.delivery.heard(bench.s)
    events = [c.event for c in bench.work(1)]
    assert events == [Heartbeat(source="ocpp_offline"), ClearLimits(source="ocpp_offline")]


def test_the_grid_operators_limit_goes_only_while_the_csms_is_heard() -> None:
    bench = Bench()
    bench.delivery.listen("root", "dso")
    bench.delivery.want("root", "dso", WATTS, listens=True)
    assert bench.work() == []
    bench.delivery.heard(bench.s)
    heartbeat, limit = bench.work()
    assert heartbeat.event == Heartbeat(source="dso")
    assert isinstance(limit.event, SetLimits)
    bench.done(limit)
    bench.see("dso", "limited", WATTS, "root")
    assert bench.work(10) == []
    # After a failsafe what still stands is set anew, as soon as the CSMS is heard.
    bench.delivery.silent()
    bench.see("dso", "failsafe", WATTS, "root")
    assert bench.work(200) == []
    bench.delivery.heard(bench.s)
    assert [type(c.event) for c in bench.work(1)] == [Heartbeat, SetLimits]


def test_a_limit_that_was_lifted_is_not_lifted_again_to_end_a_failsafe() -> None:
    bench = Bench()
    bench.delivery.listen("root", "dso")
    bench.delivery.want("root", "dso", NOTHING, listens=True)
    bench.delivery.heard(bench.s)
    _, clear = bench.work()
    assert clear.event == ClearLimits(source="dso")
    bench.done(clear)
    bench.see("dso", "failsafe", WATTS, "root")
    bench.s += 200
    bench.delivery.heard(bench.s)
    assert [c.event for c in bench.work(1)] == [Heartbeat(source="dso")]


def test_a_limit_ends_when_its_profile_does() -> None:
    bench = Bench()
    bench.delivery.heard(bench.s)
    ends_s = BEGIN_US // 1_000_000 + 130
    bench.delivery.want("root", "dso", Wanted(WATTS.limits, ends_s), listens=True)
    (limit,) = bench.work()
    assert isinstance(limit.event, SetLimits)
    assert limit.event.for_s == 30
    bench.done(limit)
    bench.delivery.heard(bench.s + 31)
    bench.see("dso", "unlimited/controlled", NOTHING, "root")
    assert bench.work(31) == []
