from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.transport.conftest import MakeWire
from tests.transport.helpers import Inbox, Ping, wait_until

pytestmark = pytest.mark.processes

CHILD = """
import sys, threading
from tests.transport.helpers import keys, make_registry
from transport import Wire
done = threading.Event()
def answer(delivery):
    up.send(delivery.message, target=delivery.source, source="child")
    if delivery.message.number < 0:
        done.set()
wire = Wire(name="level_1", registry=make_registry(), keys=keys("level_1"))
up = wire.connect(sys.argv[1], answer, name="parent", peer="root")
wire.start()
from tests.transport.helpers import Ping, keys
up.send(Ping(0, "hello"))
done.wait(60)
sys.exit(0 if wire.stop(drain_s=2) else 1)
"""


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for child in started:
        child.kill()
        child.wait()


def start(children: list[subprocess.Popen[bytes]], address: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-W", "error", "-c", CHILD, address])
    children.append(child)
    return child


def test_two_processes_exchange_messages(
    make_wire: MakeWire, children: list[subprocess.Popen[bytes]]
) -> None:
    parent, inbox = make_wire("root"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    child = start(children, links.address)
    assert inbox.get().message == Ping(0, "hello")
    for number in range(1, 300):
        links.send(Ping(number), peer="level_1", source="energy_root")
    assert inbox.get_until(299) == list(range(1, 300))
    links.send(Ping(-1), peer="level_1", source="energy_root")
    last = inbox.get()
    assert (last.message, last.target, last.source) == (Ping(-1), "energy_root", "child")
    assert child.wait(10) == 0


def test_a_killed_child_is_noticed_and_its_successor_answers(
    make_wire: MakeWire, children: list[subprocess.Popen[bytes]]
) -> None:
    parent, inbox = make_wire("root"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    child = start(children, links.address)
    inbox.get()
    child.kill()
    wait_until(lambda: not links.send(Ping(1), peer="level_1", key="state"))
    start(children, links.address)
    assert inbox.get().message == Ping(0, "hello")
    links.send(Ping(2), peer="level_1")
    assert inbox.number() == 2


def test_a_child_that_is_frozen_is_given_up(
    make_wire: MakeWire, children: list[subprocess.Popen[bytes]]
) -> None:
    parent, inbox = make_wire("root"), Inbox()
    links = parent.listen("tcp://127.0.0.1:*", inbox, name="links")
    child = start(children, links.address)
    inbox.get()
    os.kill(child.pid, signal.SIGSTOP)
    wait_until(
        lambda: not links.send(Ping(1, "x" * 1000), peer="level_1") and not parent.counters()["links"].peers
    )
    os.kill(child.pid, signal.SIGCONT)
    assert child.poll() is None


ABRUPT = """
import random, sys, threading, time
from tests.transport.helpers import Ping, keys, make_registry
from transport import Wire
registry, dice = make_registry(), random.Random(1)
def slow(delivery):
    if dice.random() < 0.03:
        time.sleep(0.03)
for life in range(12):
    parent, child = (Wire(name=name, registry=registry, keys=keys(name)) for name in ("root", "level_1"))
    parent.start()
    child.start()
    heard = threading.Event()
    links = parent.listen("tcp://127.0.0.1:*", lambda delivery: (heard.set(), slow(delivery)), name="links")
    up = child.connect(links.address, slow, name="parent", peer="root")
    up.send(Ping(0))
    heard.wait(10)
    for number in range(600):
        up.send(Ping(number, "x" * 500))
        links.send(Ping(number, "x" * 500), peer="level_1")
    time.sleep(dice.random() * 0.1)
    for wire in (parent, child) if life % 2 else (child, parent):
        wire.stop()
        time.sleep(dice.random() * 0.05)
"""


def test_an_end_in_the_middle_of_a_burst_at_a_slow_reader_aborts_nobody() -> None:
    """libzmq aborted the process here with heartbeats, and with two frames to a message."""
    done = subprocess.run([sys.executable, "-c", ABRUPT], timeout=60, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
