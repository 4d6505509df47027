"""Many actors on one thread: what holds for Pykka's threads holds for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from actors.controller import let_go_of_all
from actors.loop import TURNS_MAX, Inbox, Loop, LoopActor, let_go

WAIT_S = 10.0


class Noting(LoopActor):
    """Notes what it is told, and on which thread."""

    def __init__(self, loop: Loop, notes: list[Any]) -> None:
        super().__init__(loop)
        self.notes = notes

    def on_start(self) -> None:
        self.notes.append("start")

    def on_stop(self) -> None:
        self.notes.append("stop")

    def on_failure(self, *_: object) -> None:
        self.notes.append("failure")

    def on_wake(self) -> None:
        if "wakes badly" in self.notes:
            raise ValueError("on purpose")
        self.notes.append("woken")

    def on_receive(self, message: Any) -> Any:
        match message:
            case "raise":
                raise ValueError("on purpose")
            case "thread":
                return threading.get_ident()
            case threading.Event():
                assert message.wait(WAIT_S)
        self.notes.append(message)
        return message


def wake(ref: pykka.ActorRef[Any], *, urgent: bool = False) -> None:
    assert isinstance(ref.actor_inbox, Inbox)
    ref.actor_inbox.wake(urgent=urgent)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop("loop")
    loop.start()
    yield loop
    loop.stop()
    assert not loop.running()


def test_messages_come_in_order_after_the_start_and_before_the_stop(loop: Loop) -> None:
    notes: list[Any] = []
    ref = Noting.start(loop, notes)
    for number in range(100):
        ref.tell(number)
    ref.stop(timeout=WAIT_S)
    assert notes == ["start", *range(100), "stop"]
    assert not ref.is_alive()


def test_a_thousand_actors_share_one_thread(loop: Loop) -> None:
    before = threading.active_count()
    refs = [Noting.start(loop, []) for _ in range(1_000)]
    assert len({ref.ask("thread", timeout=WAIT_S) for ref in refs}) == 1
    assert threading.active_count() == before
    for ref in refs:
        ref.stop(block=False)


def test_actors_take_turns_message_by_message(loop: Loop) -> None:
    notes: list[Any] = []
    one, other = Noting.start(loop, notes), Noting.start(loop, notes)
    gate = threading.Event()
    one.tell(gate)
    for number in range(3):
        one.tell(("one", number))
        other.tell(("other", number))
    gate.set()
    other.stop(timeout=WAIT_S)
    told = [note for note in notes if isinstance(note, tuple)]
    assert told == [(name, number) for number in range(3) for name in ("one", "other")]
    one.stop(timeout=WAIT_S)


def test_an_exception_ends_one_actor_and_no_other(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    notes: list[Any] = []
    dies, lives = Noting.start(loop, notes), Noting.start(loop, [])
    with caplog.at_level(logging.CRITICAL, logger="pykka"):
        dies.tell("raise")
        dies.tell("never read")
        assert lives.ask("hello", timeout=WAIT_S) == "hello"
    assert not dies.is_alive()
    assert notes == ["start", "failure"]
    assert loop.running()
    with pytest.raises(pykka.ActorDeadError):
        dies.tell("late")
    lives.stop(timeout=WAIT_S)


def test_who_waits_for_an_answer_of_an_actor_that_ends_is_told(loop: Loop) -> None:
    ref = Noting.start(loop, [])
    gate = threading.Event()
    ref.tell(gate)
    ended = ref.stop(block=False)
    late = ref.ask("late", block=False)
    gate.set()
    assert ended.get(timeout=WAIT_S)
    with pytest.raises(pykka.ActorDeadError):
        late.get(timeout=WAIT_S)


def test_an_exception_goes_to_who_asked_and_the_actor_lives(loop: Loop) -> None:
    ref = Noting.start(loop, [])
    with pytest.raises(ValueError, match="on purpose"):
        ref.ask("raise", timeout=WAIT_S)
    assert ref.ask("hello", timeout=WAIT_S) == "hello"
    ref.stop(timeout=WAIT_S)


def test_a_loop_ends_after_what_it_was_told_to_do_and_twice_is_fine() -> None:
    loop, done = Loop("ends"), []
    loop.start()
    for number in range(10):
        loop.do(lambda number=number: done.append(number))  # type: ignore[misc]
    loop.stop()
    loop.stop()
    assert done == list(range(10))


def test_an_urgent_turn_overtakes_the_turns_of_all_actors_and_their_starts_do_too() -> None:
    loop, notes = Loop("urgent"), list[Any]()
    refs = [Noting.start(loop, notes) for _ in range(2)]
    refs[0].tell("other")
    wake(refs[1])
    wake(refs[1], urgent=True)
    refs[1].stop(block=False)
    loop.start()
    loop.stop()
    assert notes == ["start", "start", "woken", "other", "woken", "stop"]


def test_an_exception_of_one_that_is_woken_ends_its_life_too(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    notes: list[Any] = ["wakes badly"]
    dies, lives = Noting.start(loop, notes), Noting.start(loop, [])
    gate = threading.Event()
    lives.tell(gate)
    wake(dies)
    late = dies.ask("late", block=False)
    wake(dies)
    with caplog.at_level(logging.CRITICAL, logger="pykka"):
        gate.set()
        with pytest.raises(pykka.ActorDeadError):
            late.get(timeout=WAIT_S)
        assert lives.ask("hello", timeout=WAIT_S) == "hello"
    assert not dies.is_alive()
    assert notes == ["wakes badly", "start", "failure"]
    lives.stop(timeout=WAIT_S)


def test_a_loop_says_when_it_rests_and_while_it_has_much_to_do_after_some_turns() -> None:
    loop, notes = Loop("rests"), list[Any]()
    for number in range(TURNS_MAX + 1):
        loop.do(lambda number=number: notes.append(number))  # type: ignore[misc]
    loop.start(lambda: notes.append("begin"), lambda: notes.append("rest"))
    loop.stop()
    assert notes[: TURNS_MAX + 3] == ["begin", *range(TURNS_MAX), "rest", TURNS_MAX]


def test_a_loop_may_rest_after_each_turn() -> None:
    loop, notes = Loop("rests often", turns_max=1), list[Any]()
    for number in range(2):
        loop.do(lambda number=number: notes.append(number))  # type: ignore[misc]
    loop.start(rest=lambda: notes.append("rest"))
    loop.stop()
    assert notes[:4] == [0, "rest", 1, "rest"]


def test_what_is_given_other_loops_in_one_turn_is_told_them_together_after_it(loop: Loop) -> None:
    speaker, notes = Loop("speaker", turns_max=1), list[Any]()
    heard = threading.Event()

    def speak() -> None:
        loop.do(lambda: notes.append("first"))
        assert not heard.wait(0.05)
        loop.do(heard.set)
        notes.append("spoken")

    speaker.start()
    speaker.do(speak)
    assert heard.wait(WAIT_S)
    assert notes == ["spoken", "first"]
    speaker.stop()


def test_a_loop_that_goes_on_tells_others_what_it_gave_them_after_some_turns(loop: Loop) -> None:
    speaker, heard = Loop("speaker", turns_max=2), threading.Event()
    found: list[bool] = []
    speaker.do(lambda: loop.do(heard.set))
    speaker.do(lambda: found.append(heard.wait(0.05)))
    speaker.do(lambda: found.append(heard.wait(WAIT_S)))
    speaker.start()
    speaker.stop()
    assert found == [False, True]


def test_who_goes_on_for_long_in_one_turn_lets_go_before(loop: Loop) -> None:
    speaker, heard = Loop("speaker"), threading.Event()
    found: list[bool] = []

    def speak() -> None:
        loop.do(heard.set)
        let_go()
        found.append(heard.wait(WAIT_S))

    speaker.do(speak)
    speaker.start()
    speaker.stop()
    assert found == [True]


def test_an_actor_that_gives_its_own_loop_a_turn_gets_it(loop: Loop) -> None:
    heard = threading.Event()
    loop.do(lambda: loop.do(heard.set))
    assert heard.wait(WAIT_S)


def test_what_an_actor_said_before_a_market_or_a_disk_is_asked_is_out(loop: Loop) -> None:
    rung: list[str] = []

    class Wire:
        def let_go(self) -> None:
            rung.append("wire")

    wire: Any = Wire()
    speaker, heard = Loop("speaker"), threading.Event()
    found: list[bool] = []

    def speak() -> None:
        loop.do(heard.set)
        let_go_of_all(wire)
        found.append(heard.wait(WAIT_S))

    speaker.do(speak)
    speaker.start()
    speaker.stop()
    assert (found, rung) == ([True], ["wire"])
