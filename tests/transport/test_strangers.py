"""Nobody speaks without a key that is known: whatever he tries, and whatever state the authenticator is in."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import zmq

from tests.transport.conftest import MakeWire
from tests.transport.helpers import (
    WAIT_S,
    Friends,
    Inbox,
    Ping,
    dropped,
    is_turned_away,
    key_pair,
    make_registry,
    wait_until,
)
from transport import AddressError, Delivery, KeyPair, Wire, port
from transport.curve import expect, protect
from transport.frames import encode_header, join
from transport.options import SHARE_MAX
from transport.peers import Peers

Configure = Callable[[zmq.Socket[bytes]], None]


def null(socket: zmq.Socket[bytes]) -> None:
    """ZeroMQ as it comes: no security at all."""


def plain(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.PLAIN_USERNAME, b"admin")
    socket.setsockopt(zmq.PLAIN_PASSWORD, b"admin")


def unknown_key(socket: zmq.Socket[bytes]) -> None:
    protect(socket, "connect", KeyPair.new(), "")
    expect(socket, key_pair("root").public)


def wrong_server_key(socket: zmq.Socket[bytes]) -> None:
    protect(socket, "connect", key_pair("level_1"), "")
    expect(socket, KeyPair.new().public)


def public_key_without_its_secret(socket: zmq.Socket[bytes]) -> None:
    unknown_key(socket)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(key_pair("level_1").public))


STRANGERS = [null, plain, unknown_key, wrong_server_key, public_key_without_its_secret]
MESSAGE = join(
    encode_header(kind="ping", sender="level_1", source="", target="", sequence=1),
    msgspec.msgpack.encode(Ping(666)),
)


class Tries:
    """Strangers of each kind at one address: how often each was connected and turned away, and whether one
    got in."""

    def __init__(self, address: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._monitors: dict[str, zmq.Socket[bytes]] = {}
        self.turned_away = dict.fromkeys((configure.__name__ for configure in STRANGERS), 0)
        for configure in STRANGERS:
            name = configure.__name__
            one = self._sockets[name] = self._context.socket(zmq.DEALER)
            configure(one)
            one.setsockopt(zmq.RECONNECT_IVL, 20)
            one.setsockopt(zmq.HANDSHAKE_IVL, 1000)
            self._monitors[name] = one.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            one.connect(address)
            with suppress(zmq.Again):  # turned away for good by now: libzmq gives up after a wrong mechanism
                for _ in range(5):
                    one.send(MESSAGE, zmq.DONTWAIT)  # queued: it goes out as soon as somebody lets it in

    def all_turned_away(self) -> bool:
        for name, monitor in self._monitors.items():
            while monitor.poll(0):
                monitor.recv_multipart()
                self.turned_away[name] += 1
        return all(self.turned_away.values())

    def close(self) -> None:
        for name, one in self._sockets.items():
            one.disable_monitor()
            self._monitors[name].close()
            one.close(linger=0)
        self._context.term()


def nothing_came(wire: Wire) -> bool:
    """Neither taken nor dropped: who was let in would at least have been dropped."""
    counters = wire.counters()["links"]
    return (counters.received, sum(counters.dropped.values())) == (0, 0)


@contextmanager
def tries(address: str) -> Iterator[Tries]:
    made = Tries(address)
    try:
        yield made
    finally:
        made.close()


def raising(key: str) -> str | None:
    raise RuntimeError("the keyring has crashed")


def never_started(wire: Wire) -> None:
    pass


def running(wire: Wire) -> None:
    wire.start()


def stopped(wire: Wire) -> None:
    """The authenticator alone: its port listens on."""
    wire._authenticator.socket.close(linger=0)
    wire._authenticator = _Gone(wire)  # type: ignore[assignment]
    wire.start()


def hanging(wire: Wire) -> None:
    """It takes questions and answers none."""
    wire._authenticator._answer = lambda question, admitted: None  # type: ignore[method-assign]
    wire.start()


def crashed(wire: Wire) -> None:
    wire.keys.name_of = raising  # type: ignore[assignment, method-assign]
    wire.start()


class _Gone:
    """What is left of an authenticator that is closed: a socket to poll that never has anything."""

    def __init__(self, wire: Wire) -> None:
        self.socket = wire._context.socket(zmq.ROUTER)
        self.socket.bind("inproc://elsewhere")


STATES = [never_started, running, stopped, hanging, crashed]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_no_stranger_is_heard_in_any_state_of_the_authenticator(
    make_wire: MakeWire, state: Callable[[Wire], None], transport: str, tmp_path: Path
) -> None:
    parent, inbox = make_wire("root", start=False), Inbox()
    address = "tcp://127.0.0.1:*" if transport == "tcp" else f"ipc://{tmp_path}/links"
    links = parent.listen(address, inbox, name="links")
    state(parent)
    with tries(links.address) as strangers:
        wait_until(strangers.all_turned_away)
    assert nothing_came(parent)
    assert inbox.is_empty()
    if state is never_started:
        assert links.socket.poll(0, zmq.POLLIN) == 0, "nobody may wait behind the door, either"


@pytest.mark.parametrize("state", [state for state in STATES if state is not running])
def test_while_the_authenticator_does_not_work_not_even_a_good_key_is_heard(
    make_wire: MakeWire, state: Callable[[Wire], None]
) -> None:
    parent, inbox = make_wire("root", start=False), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    state(parent)
    up = make_wire("level_1").connect(links.address, Inbox(), name="parent", peer="root")
    with is_turned_away(up):
        up.send(Ping(1))
    assert nothing_came(parent)
    assert inbox.is_empty()


def test_who_comes_before_the_authenticator_has_started_gets_in_once_it_has(make_wire: MakeWire) -> None:
    parent, inbox = make_wire("root", start=False), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    up = make_wire("level_1").connect(links.address, Inbox(), name="parent", peer="root")
    with is_turned_away(up):
        up.send(Ping(1))
    parent.start()
    assert inbox.number() == 1


def test_when_the_keyring_crashes_those_inside_are_heard_no_more_and_told_nothing(
    make_wire: MakeWire,
) -> None:
    parent, child, inbox, at_child = make_wire("root"), make_wire("level_1"), Inbox(), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    up = child.connect(links.address, at_child, name="parent", peer="root")
    up.send(Ping(1))
    assert inbox.number() == 1
    parent.keys.name_of = raising  # type: ignore[assignment, method-assign]
    up.send(Ping(2))
    wait_until(lambda: dropped(parent, "links", "stranger") == 1)
    links.send(Ping(3), peer="level_1")
    wait_until(lambda: dropped(parent, "links", "stranger") == 2)
    assert inbox.is_empty()
    assert at_child.is_empty()


def test_a_port_lets_in_only_whom_it_admits(make_wire: MakeWire) -> None:
    parent, inbox = make_wire("root"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links", admits=lambda who: who == "level_1")
    refused = make_wire("client").connect(links.address, Inbox(), name="parent", peer="root")
    with is_turned_away(refused):
        refused.send(Ping(666))
    make_wire("level_1").connect(links.address, Inbox(), name="parent", peer="root").send(Ping(1))
    assert inbox.number() == 1
    assert inbox.is_empty()


def test_the_name_that_a_peer_claims_is_not_believed(make_wire: MakeWire) -> None:
    parent, victim, inbox, at_victim = make_wire("root"), make_wire("level_1"), Inbox(), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    victim.connect(links.address, at_victim, name="parent", peer="root").send(Ping(1))
    assert inbox.get().identity == "level_1"
    liar = Wire(name="level_1", registry=make_registry(), keys=Friends("client"))
    with liar:
        at_liar = Inbox()
        liar.connect(links.address, at_liar, name="parent", peer="root").send(Ping(2))
        came = inbox.get()
        assert (came.message, came.identity, came.peer) == (Ping(2), "client", "client")
        links.send(Ping(3), peer="level_1")
        assert at_victim.number() == 3
        assert at_liar.is_empty()
    assert parent.counters()["links"].peers_moved == 0


def test_processes_that_share_a_key_are_each_answered(make_wire: MakeWire) -> None:
    parent, inbox = make_wire("root"), Inbox()
    control = parent.listen("tcp://127.0.0.1:*", inbox, name="control", shared_keys=True)
    inboxes = [Inbox(), Inbox()]
    with (
        Wire(name="one", registry=make_registry(), keys=Friends("client")) as one,
        Wire(name="two", registry=make_registry(), keys=Friends("client")) as two,
    ):
        for number, (wire, answers) in enumerate(zip((one, two), inboxes, strict=True)):
            wire.connect(control.address, answers, name="control", peer="root").send(Ping(number))
            assert inbox.number() == number
        for number, name in enumerate(("one", "two")):
            assert control.send(Ping(number), peer=f"client {name}")
        assert [answers.number() for answers in inboxes] == [0, 1]


def test_one_key_with_many_names_drives_out_only_itself() -> None:
    peers = Peers()
    peers.heard("level_1", b"1", "key of level_1", "level_1")
    forgotten = []
    for number in range(SHARE_MAX + 3):
        peers.heard(f"client {number}", b"%d" % number, "key of client", "client")
        if (name := peers.one_too_many("client")) is not None:
            peers.forget(name)
            forgotten.append(name)
    assert forgotten == ["client 0", "client 1", "client 2"]
    assert "level_1" in peers


# --- impostors: whoever listens where our parent should --------------------------------------------


@pytest.fixture
def impostor() -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    yield router
    router.close(linger=0)
    context.term()


@pytest.mark.parametrize("curve", [True, False])
def test_nothing_is_said_to_an_impostor_and_the_true_parent_is_found_after_him(
    make_wire: MakeWire, impostor: zmq.Socket[bytes], curve: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "STUCK_S", 0.5)
    if curve:
        impostor.setsockopt(zmq.CURVE_SERVER, 1)
        impostor.setsockopt(zmq.CURVE_SECRETKEY, KeyPair.new().secret)
    impostor.bind("tcp://127.0.0.1:*")
    address = impostor.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
    up = make_wire("level_1").connect(address, Inbox(), name="parent", peer="root")
    with is_turned_away(up):
        up.send(Ping(1), key="state")
    assert impostor.poll(0) == 0
    impostor.unbind(address)
    inbox = Inbox()
    parent = make_wire("root")

    def listens() -> bool:
        try:
            parent.listen(address, inbox, name="links")
        except AddressError:  # the impostor is still closing
            return False
        return True

    wait_until(listens)
    assert inbox.number() == 1


def test_a_server_that_speaks_no_zeromq_does_not_end_a_link_for_good(
    make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libzmq gives up such a connection and never tries again."""
    monkeypatch.setattr(port, "STUCK_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        up = make_wire("level_1").connect(address, Inbox(), name="parent", peer="root")
        up.send(Ping(1), key="state")
        server.settimeout(WAIT_S)
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8)


# --- garbage at the door ---------------------------------------------------------------------------


def test_garbage_and_silence_at_the_door_do_not_disturb_those_inside(make_wire: MakeWire) -> None:
    parent, child, inbox, answers = make_wire("root"), make_wire("level_1"), Inbox(), Inbox()

    def answer(delivery: Delivery) -> None:
        inbox(delivery)
        links.send(delivery.message, peer=delivery.peer)

    links = parent.listen("tcp://127.0.0.1:*", answer, name="links")
    up = child.connect(links.address, answers, name="parent", peer="root")
    host, number = links.address.removeprefix("tcp://").split(":")
    with ExitStack() as silent:
        for turn in range(100):
            silent.enter_context(socket.create_connection((host, int(number))))
            with socket.create_connection((host, int(number))) as garbage:
                garbage.sendall(bytes(turn + k & 0xFF for k in range(200)))
            up.send(Ping(turn))
            assert answers.number() == turn
    counters = parent.counters()["links"]
    assert (counters.received, counters.peers, counters.peers_moved) == (100, 1, 0)
    assert not any(counters.dropped.values())
