"""Links that break and come back, doubles, and peers that throw garbage."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import msgspec
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport.conftest import MakeWire
from tests.transport.helpers import (
    Inbox,
    Ping,
    RawDealer,
    dropped,
    keys,
    make_registry,
    raw_dealers,
    wait_until,
)
from transport import Wire
from transport.counters import LOG_EVERY_S, BoundedLog
from transport.frames import encode_header, join
from transport.peers import Heard, Link, Peers


def frame(number: int, *, sequence: int = 1) -> bytes:
    header = encode_header(kind="ping", sender="raw", source="", target="", sequence=sequence)
    return join(header, msgspec.msgpack.encode(Ping(number)))


def test_a_child_that_dies_and_comes_back_works_at_once(make_wire: MakeWire) -> None:
    parent = make_wire("root")
    at_parent = Inbox()
    links = parent.listen("tcp://127.0.0.1:*", at_parent, name="links")
    for life in range(5):
        child = make_wire("level_1")
        at_child = Inbox()
        child.connect(links.address, at_child, name="parent", peer="root").send(Ping(life))
        delivery = at_parent.get()
        assert (delivery.peer, delivery.message) == ("level_1", Ping(life))
        assert links.send(Ping(100 + life), peer="level_1")
        assert at_child.number() == 100 + life
        child.stop()
    counters = parent.counters()["links"]
    assert (counters.peers, counters.peers_moved, counters.peers_doubled, counters.lost) == (1, 4, 0, 0)


def test_a_dead_peer_becomes_unroutable(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    at_parent = Inbox()
    links = parent.listen("tcp://127.0.0.1:*", at_parent, name="links")
    child.connect(links.address, Inbox(), name="parent", peer="root").send(Ping(1))
    at_parent.get()
    child.stop()
    wait_until(lambda: not links.send(Ping(2), peer="level_1"))
    assert parent.counters()["links"].peers == 0
    assert dropped(parent, "links", "unroutable") >= 2


@pytest.mark.parametrize("times", [3])
def test_a_parent_that_restarts_on_its_address_is_found_again(make_wire: MakeWire, times: int) -> None:
    child, at_child = make_wire("level_1"), Inbox()
    parent, at_parent = make_wire("root"), Inbox()
    address = parent.listen("tcp://127.0.0.1:*", at_parent, name="links").address
    up = child.connect(address, at_child, name="parent", peer="root")
    up.send(Ping(0))
    assert at_parent.number() == 0
    for life in range(1, times):
        parent.stop()
        up.send(Ping(life), key="state")
        parent, at_parent = make_wire("root"), Inbox()
        links = parent.listen(address, at_parent, name="links")

        def arrived(life: int = life, inbox: Inbox = at_parent) -> bool:
            # The first may have gone into the connection that died: a state is sent again and again.
            up.send(Ping(life), key="state")
            return not inbox.is_empty()

        wait_until(arrived)
        assert at_parent.number() == life
        assert links.send(Ping(life), peer="level_1")
        assert at_child.number() == life


def test_two_live_peers_with_one_name_are_noticed_and_the_last_heard_is_answered(
    make_wire: MakeWire, caplog: pytest.LogCaptureFixture
) -> None:
    parent, one, two = make_wire("root"), make_wire("level_1"), make_wire("level_1")
    at_parent, at_one, at_two = Inbox(), Inbox(), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", at_parent, name="links")
    up_one = one.connect(links.address, at_one, name="parent", peer="root")
    up_two = two.connect(links.address, at_two, name="parent", peer="root")
    with caplog.at_level(logging.WARNING, "amptree.transport"):
        for number, (up, at_child) in enumerate([(up_one, at_one), (up_two, at_two)] * 3):
            up.send(Ping(number))
            assert at_parent.number() == number
            links.send(Ping(number), peer="level_1")
            assert at_child.number() == number
    counters = parent.counters()["links"]
    assert (counters.peers, counters.peers_moved, counters.peers_doubled) == (1, 5, 4)
    assert caplog.text.count("two live peers have the key of 'level_1'") == 1


def test_lost_and_repeated_messages_are_counted(make_wire: MakeWire, raw_dealer: RawDealer) -> None:
    parent, inbox = make_wire("root"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    raw = raw_dealer(links.address)
    for sequence in (5, 6, 6, 10, 1, 2):
        raw.send(frame(sequence, sequence=sequence))
        inbox.get()
    counters = parent.counters()["links"]
    assert (counters.lost, counters.repeated) == (3, 1)


def test_a_message_of_a_thousand_frames_is_refused(make_wire: MakeWire, raw_dealer: RawDealer) -> None:
    parent, inbox = make_wire("root"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    raw = raw_dealer(links.address)
    raw.send_multipart([b"x"] * 1000)
    raw.send(frame(1))
    assert inbox.number() == 1
    assert dropped(parent, "links", "bad_frames") == 1


PIECE = st.binary(max_size=100) | st.sampled_from(
    [
        b"\x91" * 100_000,
        b"\x80",
        b"\x91\x02",
        b"\xdd\xff\xff\xff\xff",
        encode_header(kind="tree", sender="raw", source="", target="", sequence=1),
    ]
)
GARBAGE = st.lists(
    st.binary(max_size=100) | st.builds(join, PIECE.map(lambda piece: piece[:65535]), PIECE),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def pelted() -> Iterator[tuple[Wire, Inbox, zmq.Socket[bytes]]]:
    inbox = Inbox()
    with Wire(name="root", registry=make_registry(), keys=keys("root")) as wire, raw_dealers() as raw_dealer:
        links = wire.listen("tcp://127.0.0.1:*", inbox, name="links")
        yield wire, inbox, raw_dealer(links.address)


@settings(max_examples=300, deadline=None)
@given(garbage=GARBAGE, number=st.integers(1, 2**60))
def test_after_any_garbage_the_next_good_message_arrives(
    pelted: tuple[Wire, Inbox, zmq.Socket[bytes]], garbage: list[bytes], number: int
) -> None:
    wire, inbox, raw = pelted
    raw.send_multipart(garbage)
    raw.send(frame(number))
    came = inbox.get()
    while came.message != Ping(number):  # garbage may be a good message by chance: an empty tree is one
        came = inbox.get()
    assert wire.counters()["links"].handler_errors == 0


def test_the_log_says_each_thing_at_a_bounded_rate_and_how_much_it_kept_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 0.0
    log = BoundedLog(lambda: now_s)
    with caplog.at_level(logging.WARNING, "amptree.transport"):
        for _ in range(50):
            log.warning("a", "refused %d bytes", 7)
        log.warning("b", "another")
        now_s = LOG_EVERY_S
        log.warning("a", "refused %d bytes", 8)
    assert caplog.messages == [
        "refused 7 bytes",
        "another",
        "refused 8 bytes (and 49 more since the last line about this)",
    ]


def test_remembered_peers_are_bounded_and_the_longest_silent_goes() -> None:
    peers = Peers(peers_max=2)
    assert [peers.heard(name, name.encode(), f"key of {name}", name)[1] for name in "aba"] == [
        Heard.NEW,
        Heard.NEW,
        Heard.SAME,
    ]
    assert peers.one_too_many("b") is None
    peers.heard("c", b"c", "key of c", "c")
    assert peers.one_too_many("c") == "b"


def test_a_restarted_process_is_no_repetition() -> None:
    link = Link(b"", "key", "level_1")
    assert [link.gap(sequence) for sequence in (7, 8, 1, 2, 2, 5)] == [0, 0, 0, 0, -1, 2]
