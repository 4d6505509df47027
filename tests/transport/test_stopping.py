from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

import transport.wire
from tests.transport.conftest import MakeWire
from tests.transport.helpers import Inbox, Ping, dropped, keys, make_registry, open_fds, wait_until
from tools.processes import SWITCH_S
from transport import Delivery, Port, Wire


def test_stopping_is_idempotent_and_ends_everything(make_wire: MakeWire) -> None:
    wire = make_wire("root")
    links = wire.listen("tcp://127.0.0.1:*", Inbox(), name="links")
    assert any(thread.name == "root-wire" for thread in threading.enumerate())
    assert wire.stop()
    assert wire.stop()
    assert not any(thread.name == "root-wire" for thread in threading.enumerate())
    assert not links.send(Ping(1), peer="a")
    assert dropped(wire, "links", "stopped") == 1
    with pytest.raises(RuntimeError, match="has stopped"):
        wire.listen("tcp://127.0.0.1:*", Inbox(), name="more")
    with pytest.raises(RuntimeError, match="started or stopped"):
        wire.start()


def test_a_wire_that_was_never_started_stops_too(make_wire: MakeWire) -> None:
    wire = make_wire("root", start=False)
    address = wire.listen("tcp://127.0.0.1:*", Inbox(), name="links").address
    assert wire.stop()
    make_wire("next").listen(address, Inbox(), name="links")


def test_what_waits_for_an_absent_peer_is_dropped_and_counted_without_delay(make_wire: MakeWire) -> None:
    wire = make_wire("level_1")
    up = wire.connect("tcp://127.0.0.1:9", Inbox(), name="parent", peer="root")
    for number in range(10):
        up.send(Ping(number))
    begin_s = time.monotonic()
    assert wire.stop()
    assert time.monotonic() - begin_s < 3
    assert dropped(wire, "parent", "stopped") == 10


def test_draining_sends_what_was_queued(make_wire: MakeWire) -> None:
    parent, inbox = make_wire("root"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    child = make_wire("level_1")
    up = child.connect(links.address, Inbox(), name="parent", peer="root")
    for number in range(500):
        assert up.send(Ping(number, "x" * 500))
    assert child.stop(drain_s=5)
    assert inbox.get_until(499) == list(range(500))


def test_draining_for_an_absent_peer_ends_in_time(make_wire: MakeWire) -> None:
    wire = make_wire("level_1")
    wire.connect("tcp://127.0.0.1:9", Inbox(), name="parent", peer="root").send(Ping(1))
    begin_s = time.monotonic()
    assert wire.stop(drain_s=0.2)
    assert 0.15 < time.monotonic() - begin_s < 3


def test_stopping_in_on_message_does_not_deadlock(make_wire: MakeWire) -> None:
    parent, child = make_wire("root"), make_wire("level_1")
    stopped: list[bool] = []

    def stop(_: Delivery) -> None:
        stopped.append(parent.stop())

    links = parent.listen("tcp://127.0.0.1:*", stop, name="links")
    child.connect(links.address, Inbox(), name="parent", peer="root").send(Ping(1))
    wait_until(lambda: stopped == [False])
    assert parent.stop()


def test_an_on_message_that_hangs_makes_stop_give_up_in_time(
    make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.wire, "STOP_TIMEOUT_S", 0.2)
    parent, child = make_wire("root"), make_wire("level_1")
    entered, release = threading.Event(), threading.Event()

    def hang(_: Delivery) -> None:
        entered.set()
        release.wait(10)

    links = parent.listen("tcp://127.0.0.1:*", hang, name="links")
    child.connect(links.address, Inbox(), name="parent", peer="root").send(Ping(1))
    assert entered.wait(10)
    assert not parent.stop()
    release.set()
    assert parent.stop()


@pytest.fixture
def threads_change_soon() -> Iterator[None]:
    """As in a controller (tools/processes.py): with Python's own time between two threads, each call into libzmq
    costs the I/O thread as much as all others take in turn."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    yield
    sys.setswitchinterval(before_s)


@pytest.mark.usefixtures("threads_change_soon")
def test_stopping_while_many_threads_send(make_wire: MakeWire) -> None:
    for _ in range(5):
        parent, child, inbox = make_wire("root"), make_wire("level_1"), Inbox()
        links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
        up = child.connect(links.address, Inbox(), name="parent", peer="root")
        failures: list[BaseException] = []
        stopped = threading.Event()

        def send_until_stopped(
            up: Port = up, failures: list[BaseException] = failures, stopped: threading.Event = stopped
        ) -> None:
            try:
                while not stopped.is_set():
                    up.send(Ping(1))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=send_until_stopped) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            inbox.get()
            assert child.stop()
            assert parent.stop()
        finally:
            stopped.set()
            for thread in threads:
                thread.join(10)
        assert not failures
        assert not any(thread.is_alive() for thread in threads)


def test_nothing_is_left_over_after_many_lives() -> None:
    registry = make_registry()

    def live() -> None:
        inbox, answers = Inbox(), Inbox()
        with (
            Wire(name="root", registry=registry, keys=keys("root")) as parent,
            Wire(name="level_1", registry=registry, keys=keys("level_1")) as child,
        ):
            links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
            child.connect(links.address, answers, name="parent", peer="root").send(Ping(1))
            links.send(Ping(2), peer=inbox.get().peer)
            assert answers.number() == 2

    live()
    fds, threads = open_fds(), threading.active_count()
    for _ in range(50):
        live()
    assert open_fds() == fds
    assert threading.active_count() == threads


def test_an_idle_wire_sleeps(make_wire: MakeWire) -> None:
    parent, child, inbox = make_wire("root"), make_wire("level_1"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    child.connect(links.address, Inbox(), name="parent", peer="root").send(Ping(1))
    child.connect("tcp://127.0.0.1:9", Inbox(), name="absent", peer="root").send(Ping(1))
    inbox.get()
    before_s = time.process_time()
    threading.Event().wait(0.5)
    assert time.process_time() - before_s < 0.1


def test_no_wake_up_is_lost(make_wire: MakeWire) -> None:
    """Each message is sent when the thread may just be falling asleep."""
    parent, child, inbox = make_wire("root"), make_wire("level_1"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    up = child.connect(links.address, Inbox(), name="parent", peer="root")
    for number in range(3000):
        assert up.send(Ping(number))
        if number % 3 == 0:
            assert inbox.get_until(number)[-1] == number
