"""Two wires in one process, over real sockets."""

from __future__ import annotations

import logging
import math
import threading
from pathlib import Path

import pytest

from tests.transport.conftest import MakeWire
from tests.transport.helpers import (
    Inbox,
    Measured,
    Ping,
    RawDealer,
    Stranger,
    dropped,
    keys,
    make_registry,
    wait_until,
)
from transport import Delivery, Wire
from transport.frames import VERSION, join
from transport.outbox import Outbox


@pytest.fixture(params=["tcp", "ipc"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "tcp://127.0.0.1:*" if request.param == "tcp" else f"ipc://{tmp_path}/links"


def test_messages_go_both_ways_with_who_sent_them_and_for_whom(make_wire: MakeWire, address: str) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    at_parent, at_child = Inbox(), Inbox()
    links = parent.listen(address, at_parent, name="links")
    up = child.connect(links.address, at_child, name="parent", peer="root")

    assert up.send(Ping(1), source="floor_1", target="energy_root")
    came = at_parent.get()
    assert came == Delivery(
        port_name="links", peer="level_1", identity="level_1", source="floor_1", target="energy_root",
        kind="ping", message=Ping(1), size=came.size,
    )  # fmt: skip
    assert links.send(Ping(2), source="energy_root", target="floor_1", peer=came.peer)
    answer = at_child.get()
    assert (answer.peer, answer.target, answer.message) == ("root", "floor_1", Ping(2))

    wait_until(lambda: parent.counters()["links"].sent == 1)  # counted just after it has left
    counters = parent.counters()["links"]
    assert (counters.received, counters.peers, counters.waiting) == (1, 1, 0)
    assert counters.received_B == came.size
    assert not any(counters.dropped.values())


def test_ports_can_be_opened_and_used_before_the_wire_is_started(make_wire: MakeWire) -> None:
    parent, child = make_wire("root", start=False), make_wire("level_1", start=False)
    inbox = Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    assert child.connect(links.address, Inbox(), name="parent", peer="root").send(Ping(1))
    child.start()
    parent.start()
    assert inbox.number() == 1


def test_a_burst_far_above_the_high_water_mark_arrives_whole_and_in_order(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    at_parent, at_child = Inbox(), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", at_parent, name="links")
    up = child.connect(links.address, at_child, name="parent", peer="root")
    text = "x" * 500
    assert all(up.send(Ping(number, text)) for number in range(3000))
    assert [at_parent.number() for _ in range(3000)] == list(range(3000))
    assert all(links.send(Ping(number, text), peer="level_1") for number in range(3000))
    assert [at_child.number() for _ in range(3000)] == list(range(3000))
    assert parent.counters()["links"].lost == child.counters()["parent"].lost == 0


def test_a_message_is_sent_as_it_was_when_send_was_called(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    inbox = Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    numbers = [1]
    child.connect(links.address, Inbox(), name="parent", peer="root").send(Measured(more=numbers))
    numbers.append(2)
    assert inbox.get().message == Measured(more=[1])


def test_newest_state_replaces_older_state_that_has_not_left(make_wire: MakeWire) -> None:
    child = make_wire("level_1", start=False)
    parent, inbox = make_wire("root"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    up = child.connect(links.address, Inbox(), name="parent", peer="root")
    for number in range(100):
        assert up.send(Ping(number), key=("report", number % 2))
    assert up.send(Ping(100))
    child.start()
    assert inbox.get_until(100) == [98, 99, 100]
    assert child.counters()["parent"].replaced == 98


def test_unknown_peers_are_unroutable(make_wire: MakeWire) -> None:
    parent = make_wire("root")
    links = parent.listen("tcp://127.0.0.1:*", Inbox(), name="links")
    assert not links.send(Ping(1), peer="nobody")
    assert dropped(parent, "links", "unroutable") == 1


def test_a_full_outbox_refuses_and_counts(make_wire: MakeWire) -> None:
    child = make_wire("level_1")
    up = child.connect("tcp://127.0.0.1:9", Inbox(), name="parent", peer="root")  # nobody is there
    up.outbox = Outbox(shared=False, items_max=10)
    assert [up.send(Ping(number)) for number in range(12)] == [True] * 10 + [False] * 2
    assert dropped(child, "parent", "full") == 2
    assert child.counters()["parent"].waiting == 10


def test_a_peer_that_does_not_read_delays_no_other(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("reads")
    at_parent, at_child = Inbox(), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", at_parent, name="links")
    deaf_wire = make_wire("deaf")
    release = threading.Event()

    def hang(_: Delivery) -> None:
        release.wait(5)

    deaf_wire.connect(links.address, hang, name="parent", peer="root").send(Ping(0))
    assert at_parent.get().peer == "deaf"
    text = "x" * 50_000
    while links.send(Ping(0, text), peer="deaf"):
        pass
    assert dropped(parent, "links", "full") == 1
    child.connect(links.address, at_child, name="parent", peer="root").send(Ping(1))
    assert at_parent.get().peer == "reads"
    assert links.send(Ping(2), peer="reads")
    assert at_child.number() == 2
    assert parent.counters()["links"].waiting > 0
    release.set()


def test_what_is_too_big_is_not_sent(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    inbox = Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    up = child.connect(links.address, Inbox(), name="parent", peer="root")
    assert not up.send(Ping(1, "x" * (1 << 20)))
    assert up.send(Ping(2, "x" * ((1 << 20) - 100)))
    assert inbox.number() == 2
    assert dropped(child, "parent", "too_big") == 1


def test_a_port_may_be_opened_for_larger_messages(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    inbox = Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links", message_max_B=4 << 20)
    up = child.connect(links.address, Inbox(), name="parent", peer="root", message_max_B=4 << 20)
    assert up.send(Ping(1, "x" * (3 << 20)))
    assert inbox.number() == 1


def test_a_peer_with_a_larger_bound_loses_its_message_and_nothing_else(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    inbox = Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    up = child.connect(links.address, Inbox(), name="parent", peer="root", message_max_B=4 << 20)
    assert up.send(Ping(1))
    assert inbox.number() == 1
    assert up.send(Ping(2, "x" * (3 << 20)))
    wait_until(lambda: up.send(Ping(3), key="again") and not inbox.is_empty())
    assert inbox.number() == 3
    assert parent.counters()["links"].lost >= 1


def test_numbers_that_are_not_finite_are_our_own_fault_and_stay_here(make_wire: MakeWire) -> None:
    child = make_wire("level_1")
    up = child.connect("tcp://127.0.0.1:9", Inbox(), name="parent", peer="root")
    assert not up.send(Measured(math.nan))
    assert not up.send(Measured(more={"limits": [math.inf]}))
    assert dropped(child, "parent", "not_finite") == 2


def test_mistakes_of_the_caller_are_exceptions(make_wire: MakeWire) -> None:
    wire = make_wire("root")
    links = wire.listen("tcp://127.0.0.1:*", Inbox(), name="links")
    with pytest.raises(ValueError, match="needs a peer"):
        links.send(Ping(1))
    with pytest.raises(TypeError, match="not registered"):
        links.send(Stranger(), peer="a")
    with pytest.raises(ValueError, match="0 to 128 characters"):
        links.send(Ping(1), peer="a", target="x" * 129)
    with pytest.raises(ValueError, match="two ports named 'links'"):
        wire.listen("tcp://127.0.0.1:*", Inbox(), name="links")
    with pytest.raises(ValueError, match="not 1 to 67108864 bytes"):
        wire.listen("tcp://127.0.0.1:*", Inbox(), name="huge", message_max_B=1 << 40)
    with pytest.raises(RuntimeError, match="already started"):
        wire.start()
    with pytest.raises(ValueError, match="name of a wire"):
        Wire(name="", registry=make_registry(), keys=keys("root"))


def test_an_exception_in_on_message_is_logged_and_the_next_message_comes(
    make_wire: MakeWire, caplog: pytest.LogCaptureFixture
) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    inbox = Inbox()

    def fussy(delivery: Delivery) -> None:
        inbox(delivery)
        if delivery.message == Ping(1):
            raise ZeroDivisionError("one is too many")

    links = parent.listen("tcp://127.0.0.1:*", fussy, name="links")
    up = child.connect(links.address, Inbox(), name="parent", peer="root")
    with caplog.at_level(logging.WARNING, "amptree.transport"):
        up.send(Ping(1))
        up.send(Ping(2))
        assert inbox.get_until(2) == [1, 2]
    assert parent.counters()["links"].handler_errors == 1
    assert "on_message failed for 'ping' of 'level_1'" in caplog.text
    assert "one is too many" in caplog.text


def test_on_message_may_answer_at_once(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    inbox = Inbox()

    def answer(delivery: Delivery) -> None:
        links.send(delivery.message, peer=delivery.peer, target=delivery.source)

    links = parent.listen("tcp://127.0.0.1:*", answer, name="links")
    up = child.connect(links.address, inbox, name="parent", peer="root")
    for number in range(200):
        up.send(Ping(number))
        assert inbox.number() == number


def test_a_raw_peer_with_another_version_is_counted(make_wire: MakeWire, raw_dealer: RawDealer) -> None:
    parent = make_wire("root")
    links = parent.listen("tcp://127.0.0.1:*", Inbox(), name="links")
    raw_dealer(links.address).send(join(bytes([0x91, VERSION + 1]), b"\x80"))
    wait_until(lambda: dropped(parent, "links", "version") == 1)
