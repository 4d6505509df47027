"""A bad network on purpose: what is lost, late, twice, overtaken and damaged, and that nothing is without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import msgspec
import pytest
from msgspec import Struct

from tests.transport.helpers import keys
from transport import Delivery, Disturbance, LinkFaults, Registry, Wire
from transport.faults import HELD_MAX
from transport.frames import encode_header, join, split
from transport.inbound import Message, open_message


class Note(Struct, frozen=True):
    """A message of the tests."""

    text: str
    number: int


def registry() -> Registry:
    made = Registry()
    made.add(Note, "note")
    return made


def frame(number: int, sender: str = "main") -> list[bytes]:
    head = encode_header(kind="note", sender=sender, source="a", target="b", sequence=number)
    return [join(head, msgspec.msgpack.encode(Note("hello", number)))]


class Sink:
    """Takes what comes through, in its order."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.broken = 0

    def take(self, frames: list[bytes]) -> None:
        parts = split(frames[0])
        message = None if parts is None else open_message(*parts, registry(), 1000)
        if isinstance(message, Message) and isinstance(message.body, Note):
            self.numbers.append(message.body.number)
        else:
            self.broken += 1


@pytest.fixture
def faults() -> LinkFaults:
    return LinkFaults(Random(1))


def disturb(faults: LinkFaults, **what: object) -> Sink:
    faults.disturb([Disturbance(**what)])  # type: ignore[arg-type]
    faults.release(0.0)
    return Sink()


def test_without_disturbances_all_comes_at_once_and_in_order(faults: LinkFaults) -> None:
    sink = Sink()
    for number in range(1, 100):
        faults.meet(0.0, frame(number), sink.take)
    assert sink.numbers == list(range(1, 100))


def test_a_cut_line_delivers_nothing_and_others_go_on(faults: LinkFaults) -> None:
    sink = disturb(faults, sender="main", loss=1.0)
    for number in range(1, 100):
        faults.meet(0.0, frame(number), sink.take)
        faults.meet(0.0, frame(1000 + number, sender="plant"), sink.take)
    assert sink.numbers == list(range(1001, 1100))
    assert faults.lost == 99


def test_late_messages_come_at_their_time_and_in_their_order(faults: LinkFaults) -> None:
    sink = disturb(faults, min_delay_s=1.0, max_delay_s=40.0)
    for number in range(1, 50):
        faults.meet(number * 0.1, frame(number), sink.take)
    faults.release(0.99)
    assert sink.numbers == []
    faults.release(45.0)
    assert sink.numbers == list(range(1, 50))


def test_reordered_messages_overtake_each_other_and_none_is_lost(faults: LinkFaults) -> None:
    sink = disturb(faults, max_delay_s=5.0, reorder=True)
    for number in range(1, 50):
        faults.meet(0.0, frame(number), sink.take)
    faults.release(5.0)
    assert sink.numbers != sorted(sink.numbers)
    assert sorted(sink.numbers) == list(range(1, 50))


def test_repeated_messages_come_twice(faults: LinkFaults) -> None:
    sink = disturb(faults, repeat=1.0)
    faults.meet(0.0, frame(7), sink.take)
    assert sink.numbers == [7, 7]


def test_a_damaged_message_is_never_a_message(faults: LinkFaults) -> None:
    sink = disturb(faults, damage=1.0)
    for number in range(1, 2000):
        faults.meet(0.0, frame(number), sink.take)
    assert sink.numbers == []
    assert sink.broken == 1999


def test_what_is_held_comes_at_once_when_the_line_is_mended(faults: LinkFaults) -> None:
    sink = disturb(faults, min_delay_s=60.0, max_delay_s=60.0)
    for number in (1, 2, 3):
        faults.meet(0.0, frame(number), sink.take)
    faults.disturb([])
    faults.meet(0.2, frame(4), sink.take)
    assert sink.numbers == [1, 2, 3, 4]


def test_what_is_held_on_one_line_stays_there_when_another_is_mended(faults: LinkFaults) -> None:
    slow = Disturbance(sender="main", min_delay_s=60.0, max_delay_s=60.0)
    faults.disturb([slow, Disturbance(sender="plant", min_delay_s=60.0, max_delay_s=60.0)])
    sink = Sink()
    faults.meet(0.0, frame(1), sink.take)
    faults.meet(0.0, frame(2, sender="plant"), sink.take)
    faults.disturb([slow])
    faults.release(1.0)
    assert sink.numbers == [2]
    faults.release(60.0)
    assert sink.numbers == [2, 1]


def test_what_is_held_is_bounded(faults: LinkFaults) -> None:
    sink = disturb(faults, min_delay_s=60.0, max_delay_s=60.0)
    for number in range(1, HELD_MAX + 100):
        faults.meet(0.0, frame(number), sink.take)
    assert faults.lost == 99
    faults.release(60.0)
    assert len(sink.numbers) == HELD_MAX


def test_the_wire_delivers_what_was_held_without_new_traffic() -> None:
    heard: list[int] = []

    def note(delivery: Delivery) -> None:
        assert isinstance(delivery.message, Note)
        heard.append(delivery.message.number)

    faults = LinkFaults(Random(1))
    faults.disturb([Disturbance(sender="level_1", min_delay_s=0.5, max_delay_s=0.5)])
    with (
        Wire(name="root", registry=registry(), keys=keys("root"), faults=faults) as parent,
        Wire(name="level_1", registry=registry(), keys=keys("level_1")) as child,
    ):
        port = parent.listen("tcp://127.0.0.1:*", note, name="links")
        link = child.connect(port.address, lambda _: None, name="up", peer="root")
        begin_s = time.monotonic()
        link.send(Note("late", 5))
        wait_until(lambda: heard == [5])
        assert time.monotonic() - begin_s >= 0.5


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.01)
