"""A thread that holds back what it sends: it goes out when it lets go, or a little later anyway."""

from __future__ import annotations

import threading

import pytest

import transport.wire
from tests.transport.conftest import MakeWire
from tests.transport.helpers import Inbox, Ping, wait_until
from transport import Port, Wire


def connected(make_wire: MakeWire) -> tuple[Wire, Port, Inbox]:
    """A child whose I/O thread sleeps, its port, and what its parent hears."""
    inbox = Inbox()
    links = make_wire("root").listen("tcp://127.0.0.1:*", inbox, name="links")
    child = make_wire("level_1")
    up = child.connect(links.address, Inbox(), name="parent", peer="root")
    up.send(Ping(0))
    assert inbox.number() == 0
    wait_until(lambda: child._asleep)
    return child, up, inbox


def test_what_is_held_back_goes_out_together_when_its_thread_lets_go(
    make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.wire, "TEND_S", 3600.0)
    child, up, inbox = connected(make_wire)
    child.hold()
    for number in range(1, 6):
        assert up.send(Ping(number))
    assert child.counters()["parent"].waiting == 5
    child.let_go()
    assert inbox.get_until(5) == [1, 2, 3, 4, 5]
    wait_until(lambda: child._asleep)
    child.let_go()
    assert child._asleep, "nothing was held back"


def test_what_another_thread_sends_is_not_held_back(
    make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.wire, "TEND_S", 3600.0)
    child, up, inbox = connected(make_wire)
    child.hold()
    other = threading.Thread(target=up.send, args=(Ping(1),))
    other.start()
    other.join()
    assert inbox.number() == 1


def test_a_thread_that_never_lets_go_is_only_late(
    make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.wire, "TEND_S", 0.05)
    child, up, inbox = connected(make_wire)
    child.hold()
    up.send(Ping(1))
    assert inbox.number() == 1


def test_a_wire_stops_at_once_in_a_thread_that_holds_back(
    make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.wire, "TEND_S", 3600.0)
    child, up, inbox = connected(make_wire)
    child.hold()
    up.send(Ping(1))
    assert child.stop(drain_s=5.0)
    assert inbox.number() == 1
    child.let_go()
