"""Handles: references that never raise and inboxes that stay small."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from actors import handle as handle_module
from actors.handle import Handle
from actors.loop import Loop, LoopActor


class Recorder(LoopActor):
    """Takes messages while its gate is open."""

    def __init__(self, loop: Loop, handle: Handle, gate: threading.Event) -> None:
        super().__init__(loop)
        self.handle = handle
        self.gate = gate
        self.taken: list[Any] = []

    def on_wake(self) -> None:
        assert self.gate.wait(10)
        self.taken += self.handle.take()

    def on_receive(self, _: object) -> Any:
        return self.taken


class Rig:
    """One actor behind one handle."""

    def __init__(self, handle: Handle) -> None:
        self.gate = threading.Event()
        self.handle = handle
        self.loop = Loop("recorder")
        self.loop.start()
        self.ref = Recorder.start(self.loop, handle, self.gate)
        handle.attach(self.ref)

    def settle(self) -> list[Any]:
        """Open the gate and wait until all is taken."""
        self.gate.set()
        taken = self.ref.ask("what came?", timeout=10)
        assert isinstance(taken, list)
        return taken

    def stop(self) -> None:
        self.gate.set()
        self.ref.stop()
        self.loop.stop()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(Handle("one"))
    yield rig
    rig.stop()


def test_messages_arrive_in_order(rig: Rig) -> None:
    assert all(rig.handle.tell(number) for number in range(5))
    assert rig.settle() == [0, 1, 2, 3, 4]


def test_newer_state_replaces_older_state_that_is_unread(rig: Rig) -> None:
    for report in range(100):
        rig.handle.tell(("a", report), key="a")
        rig.handle.tell(("b", report), key="b")
    rig.handle.tell("command")
    taken = rig.settle()
    assert taken[-3:] == [("a", 99), ("b", 99), "command"]
    assert len(taken) <= 5  # the actor may have taken one of the first before it met the gate


def test_a_short_report_neither_replaces_nor_overtakes_a_full_one(rig: Rig) -> None:
    rig.handle.tell("first")  # the actor may take it before it meets the gate
    rig.handle.tell(("short", 1), "short", "full")
    rig.handle.tell(("full", 2), "full")
    rig.handle.tell(("short", 3), "short", "full")
    rig.handle.tell(("short", 4), "short", "full")
    assert rig.settle()[1:] == [("full", 2), ("short", 4)]


def test_what_is_urgent_overtakes_what_is_not_and_nothing_else(rig: Rig) -> None:
    rig.handle.tell("first")  # the actor may take it before it meets the gate
    rig.handle.tell("report", "report")
    rig.handle.tell("set", urgent=True)
    rig.handle.tell(("grant", 1), "grant", urgent=True)
    rig.handle.tell("clear", urgent=True)
    rig.handle.tell("newer report", "report")
    rig.handle.tell(("grant", 2), "grant", urgent=True)
    taken = rig.settle()
    assert [told for told in taken if told != "first"] == ["set", ("grant", 2), "clear", "newer report"]


def test_a_full_inbox_refuses(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle_module, "INBOX_MAX", 3)
    answers = [rig.handle.tell(number) for number in range(6)]
    assert answers == [True, True, True, False, False, False]
    assert rig.handle.refused == 3


def test_a_dead_actor_is_told_nothing_and_nobody_raises(rig: Rig) -> None:
    rig.gate.set()
    assert rig.handle.end()(10.0)
    assert rig.handle.tell("late") is False
    assert not rig.handle.alive()
    assert rig.handle.end()(10.0)  # twice is fine


def test_a_new_life_does_not_get_what_was_told_to_a_dead_one(rig: Rig) -> None:
    rig.stop()
    assert rig.handle.tell("for the old life") is False
    new = Rig(rig.handle)
    rig.handle.tell("for the new life")
    assert new.settle() == ["for the new life"]
    new.stop()


def test_a_handle_without_an_actor_refuses() -> None:
    assert Handle("nobody").tell("hello") is False
