"""What the transport's tests share: messages, an inbox to wait on, and raw sockets to throw garbage with."""

from __future__ import annotations

import hashlib
import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq
from msgspec import Struct

from transport import Delivery, KeyPair, Keys, Port, Registry, Wire
from transport.curve import expect, protect

WAIT_S = 10.0
"""Limit of every wait; nothing here takes so long unless it is broken."""


class Ping(Struct, frozen=True):
    """A small message."""

    number: int
    text: str = ""


class Measured(Struct, frozen=True):
    """A message with numbers and whatever hangs on it."""

    value: float = 0.0
    more: Any = None


class Tree(Struct, frozen=True):
    """A message that may nest."""

    children: tuple[Tree, ...] = ()


class Stranger(Struct, frozen=True):
    """A message that only some processes know."""

    number: int = 0


def make_registry() -> Registry:
    registry = Registry()
    registry.add(Ping, "ping")
    registry.add(Measured, "measured")
    registry.add(Tree, "tree")
    return registry


FRIENDS = ("root", "level_1", "client", "deaf", "reads", "first", "second", "next", "raw")
"""Whoever takes part in a test and knows all others."""


def key_pair(name: str) -> KeyPair:
    """The key of `name`, the same in every process."""
    return KeyPair.of(hashlib.sha256(f"the secret of {name}".encode()).digest())


class Friends:
    """Keys of somebody who trusts all of `friends`."""

    def __init__(self, name: str, friends: Iterable[str] = FRIENDS) -> None:
        self.own = key_pair(name)
        self.trusted = {friend: key_pair(friend).public for friend in friends}

    def name_of(self, public_key: str) -> str | None:
        return next((name for name, key in self.trusted.items() if key == public_key), None)

    def key_of(self, name: str) -> str | None:
        return self.trusted.get(name)


def keys(name: str) -> Keys:
    return Friends(name)


class Inbox:
    """An `on_message` that can be waited on."""

    def __init__(self) -> None:
        self._deliveries: queue.Queue[Delivery] = queue.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self._deliveries.put(delivery)

    def get(self) -> Delivery:
        """The next delivery; fails if none comes."""
        return self._deliveries.get(timeout=WAIT_S)

    def number(self) -> int:
        """The number of the next message, which is a ping."""
        message = self.get().message
        assert isinstance(message, Ping)
        return message.number

    def get_until(self, number: int) -> list[int]:
        """The numbers of the next pings up to `number`."""
        numbers = [self.number()]
        while numbers[-1] != number:
            numbers.append(self.number())
        return numbers

    def is_empty(self) -> bool:
        return self._deliveries.empty()


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll `condition`, for states that have no event."""
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, "did not happen in time"
        time.sleep(0.002)


@contextmanager
def is_turned_away(connecting: Port) -> Iterator[None]:
    """Waits until a connection of the port has ended."""
    monitor = connecting.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    try:
        yield
        assert monitor.poll(int(WAIT_S * 1000)), "it was not turned away"
    finally:
        connecting.socket.disable_monitor()
        monitor.close()


def dropped(wire: Wire, port: str, reason: str) -> int:
    return wire.counters()[port].dropped[reason]


RawDealer = Callable[[str], zmq.Socket[bytes]]


@contextmanager
def raw_dealers() -> Iterator[RawDealer]:
    """Makes DEALERs with the key of "raw" and without any of the wire's checks, connected to an address
    of "root"."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets: list[zmq.Socket[bytes]] = []

    def make(address: str) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.DEALER)
        sockets.append(socket)
        protect(socket, "connect", key_pair("raw"), "")
        expect(socket, key_pair("root").public)
        socket.setsockopt(zmq.SNDTIMEO, int(WAIT_S * 1000))
        socket.connect(address)
        return socket

    yield make
    for socket in sockets:
        socket.close(linger=0)
    context.term()


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))
