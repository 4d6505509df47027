"""One socket of the wire: what comes in is checked and delivered, what waits is handed to libzmq.

`Port.send` is for any thread: it encodes, checks, and puts into the outbox. All else is for the I/O
thread of the wire that the port belongs to. Nothing that a peer sends raises out of here.

Each message bears the key of its connection (`User-Id`), and each passes only while that key may speak
here: libzmq cannot end one connection of many, so what comes from a key that is trusted no more is
dropped here, and so is what waits for it. A connecting port ends its connection.

What EAGAIN means differs. A connecting port has one peer: it waits for POLLOUT, which is ready when
the connection is up and has room. A listening port is told EAGAIN about one peer while others have
room: that peer's queue rests for a moment that grows while it stays full, and the others go on.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
import zmq
from msgspec import Struct

from transport.bodies import body_fault
from transport.counters import BoundedLog, Counters, Drop, PortCounters
from transport.curve import expect
from transport.faults import LinkFaults
from transport.frames import Header, bundle, check_name, join, split, unbundle
from transport.gate import Gate
from transport.inbound import Delivery, OnMessage, Refused, open_message
from transport.options import (
    BUNDLE_MAX,
    BUNDLE_MAX_B,
    RECEIVE_BATCH,
    RECEIVE_SLICE_S,
    RETRY_FIRST_S,
    RETRY_LAST_S,
    SEND_BATCH,
    STUCK_S,
    ZmqSocket,
)
from transport.outbox import Item, Outbox, Put, fill_frame
from transport.peers import Heard, Link, Peers
from transport.pile import Pile, Together
from transport.recording import Direction, Tap
from transport.registry import Registry

NOT_SENT = "not sent (%s): %s from %r to %r, %d bytes"


class Host(Protocol):
    """What a port needs of its wire."""

    name: str
    registry: Registry
    tap: Tap | None
    faults: LinkFaults | None
    log: BoundedLog
    lock: threading.Lock
    """Guards the outboxes, the counters of drops, and `stopping`."""
    stopping: bool

    def ring(self) -> None:
        """Wake the I/O thread, now or when this thread lets go; under the lock."""


class _Rest(NamedTuple):
    """A full peer is left alone until `until_s`; if it is full then, for twice `pause_s`."""

    until_s: float
    pause_s: float


class Port:
    """A listening or connecting socket. Made by `Wire.listen` and `Wire.connect`."""

    def __init__(
        self,
        host: Host,
        *,
        name: str,
        address: str,
        socket: ZmqSocket,
        on_message: OnMessage,
        message_max_B: int,
        gate: Gate,
        server_key: str | None,
    ) -> None:
        self.name = name
        self.address = address
        """As bound: with the number of the port where `*` was asked for."""
        self.listening = socket.type == zmq.ROUTER
        self.message_max_B = message_max_B
        self.socket = socket
        self.outbox = Outbox(shared=self.listening)
        self.peers = Peers()
        self.counters = Counters()
        self.wants_pollout = False
        self._host = host
        self._on_message = on_message
        self.gate = gate
        self._server_key = server_key
        self._link = Link(b"", server_key or "", gate.peer or "")
        self._stuck_since_s: float | None = None
        self._resting: dict[str | None, _Rest] = {}

    # --- any thread -----------------------------------------------------------------------------

    def send(
        self,
        message: Struct,
        *,
        target: str = "",
        source: str = "",
        peer: str | None = None,
        key: Hashable | None = None,
        after: Hashable | None = None,
    ) -> bool:
        """Queue `message` as it is now; never blocks. False: it was dropped at once, and counted.

        `peer` is the `Delivery.peer` of one heard before; a connecting port has only one and ignores
        it. A message with a `key` replaces the one with the same peer and key that still waits, and
        takes its place, but stays behind one whose key is `after`. True
        is no promise that it arrives. Raises TypeError or ValueError for what is our own mistake: a
        type that is not registered, a name that is too long, a listening port without `peer`.
        """
        if self.listening and peer is None:
            raise ValueError(f"the listening port {self.name} needs a peer to send to")
        check_name("source", source)
        check_name("target", target)
        kind = self._host.registry.kind_of(message)
        body = msgspec.msgpack.encode(message)
        drop = self._fault(body)
        with self._host.lock:
            if drop is None:
                item = Item(kind=kind, source=source, target=target, body=body, key=key, after=after)
                drop = self._put(peer if self.listening else None, item)
            if drop is None:
                return True
            self.counters.dropped[drop] += 1
        self._warn(drop, NOT_SENT, drop, kind, source, target, len(body))
        return False

    def pile(self, together: Together, *, peer: str | None = None) -> Pile:
        """For small messages to `peer` that may leave together: then `together` makes one of them. Raises
        TypeError if what it makes is not registered, ValueError for a listening port without `peer`."""
        if self.listening and peer is None:
            raise ValueError(f"the listening port {self.name} needs a peer to send to")
        kind = self._host.registry.kind_of(together({}))

        def make(messages: dict[str, Any]) -> Item | None:
            body = msgspec.msgpack.encode(together(messages))
            if (drop := self._fault(body)) is None:
                return Item(kind=kind, source="", target="", body=body, key=None)
            if len(messages) == 1:
                self.counters.dropped[drop] += 1
                self._warn(drop, NOT_SENT, drop, kind, "", next(iter(messages)), len(body))
            return None

        return Pile(peer if self.listening else None, make)

    def put(self, pile: Pile, name: str, message: Struct) -> bool:
        """Put a message on a pile of this port, in the place of one with that name that still lies there;
        never blocks. False: it was dropped at once, and counted. True is no promise that it arrives."""
        with self._host.lock:
            self.counters.replaced += name in pile.messages
            waits = bool(pile.messages)
            pile.messages[name] = message
            drop = None if waits else self._put(pile.peer, pile)
            if drop is not None:
                self.counters.dropped[drop] += pile.lost()
        return drop is None

    def _fault(self, body: bytes) -> Drop | None:
        return Drop.TOO_BIG if len(body) > self.message_max_B else body_fault(body)

    def _put(self, peer: str | None, item: Item) -> Drop | None:
        """Under the lock."""
        if self._host.stopping:
            return Drop.STOPPED
        if peer is not None and peer not in self.peers:
            return Drop.UNROUTABLE
        match self.outbox.put(peer, item):
            case Put.FULL:
                return Drop.FULL
            case Put.REPLACED:
                self.counters.replaced += 1
            case Put.QUEUED:
                self._host.ring()
        return None

    # --- the I/O thread: receiving ---------------------------------------------------------------

    def receive(self) -> None:
        """Take what has come, up to a batch."""
        end_s = time.monotonic() + RECEIVE_SLICE_S
        left = RECEIVE_BATCH
        while left > 0 and time.monotonic() <= end_s:
            try:
                frames = self._receive_frames()
            except zmq.Again:
                return
            routing_id = frames.pop(0).bytes if self.listening else b""
            key = self._key(frames[-1]) if frames else None
            opened = [frame.bytes for frame in frames]
            bundled = unbundle(opened[0]) if len(opened) == 1 else None
            for message in [opened] if bundled is None else [[frame] for frame in bundled]:
                left -= 1
                if (faults := self._host.faults) is None:
                    self._admit(routing_id, key, message)
                else:
                    faults.meet(time.monotonic(), message, partial(self._admit, routing_id, key))

    def _admit(self, routing_id: bytes, key: str | None, frames: list[bytes]) -> None:
        """Open what comes from somebody who may speak here, now: it may have been held up."""
        identity = None if key is None else self.gate.identity(key)
        if key is None or identity is None:
            self._refuse(Refused(Drop.STRANGER, f"from the key {key or 'of nobody'}"))
        else:
            self._open(routing_id, key, identity, frames)

    def _receive_frames(self) -> list[zmq.Frame]:
        # A message may have any number of frames. Those beyond what is wanted are not kept.
        kept_max = 3
        frames = [self.socket.recv(zmq.DONTWAIT, copy=False)]
        while frames[-1].more:
            frame = self.socket.recv(zmq.DONTWAIT, copy=False)
            if len(frames) < kept_max:
                frames.append(frame)
            else:
                frames[-1] = frame
        return frames

    def _key(self, frame: zmq.Frame) -> str | None:
        """The public key of the connection that `frame` came over."""
        if not self.listening:
            return self._link.key or None
        try:
            return str(frame.get("User-Id"))
        except zmq.ZMQError:
            return None

    def _open(self, routing_id: bytes, key: str, identity: str, frames: list[bytes]) -> None:
        parts = split(frames[0]) if len(frames) == 1 else None
        if parts is None:
            sizes_B = [len(frame) for frame in frames]
            self._refuse(Refused(Drop.BAD_FRAMES, f"frames of {sizes_B} bytes"))
            return
        self._record(Direction.RECEIVED, *parts)
        message = open_message(*parts, self._host.registry, self.message_max_B)
        if isinstance(message, Refused):
            self._refuse(message)
            return
        peer = self.gate.name_of_sender(identity, message.header)
        self._heard(peer, routing_id, key, identity, message.header)
        self._deliver(peer, identity, message.header, message.body, len(parts[1]))

    def _refuse(self, refused: Refused) -> None:
        self._count(refused.reason)
        self._warn(refused.reason, "refused (%s): %s", refused.reason, refused.text)

    def _heard(self, peer: str, routing_id: bytes, key: str, identity: str, header: Header) -> None:
        link, heard = self._link, Heard.SAME
        if self.listening:
            link, heard = self.peers.heard(peer, routing_id, key, identity)
        gap = link.gap(header.sequence)
        self.counters.lost += max(0, gap)
        self.counters.repeated += gap < 0
        if heard is Heard.NEW and (forgotten := self.peers.one_too_many(identity)) is not None:
            self.counters.peers_forgotten += 1
            self._give_up(forgotten, "forgotten to remember a newer one")
        if heard in (Heard.MOVED, Heard.DOUBLED):
            self.counters.peers_moved += 1
            self._resting.pop(peer, None)
        if heard is Heard.DOUBLED:
            self.counters.peers_doubled += 1
            self._warn("doubled", "two live peers have the key of %r; the last heard is answered", peer)

    def _deliver(self, peer: str, identity: str, header: Header, message: Struct, size_B: int) -> None:
        delivery = Delivery(
            port_name=self.name,
            peer=peer,
            identity=identity,
            source=header.source,
            target=header.target,
            kind=header.kind,
            message=message,
            size=size_B,
        )
        self.counters.received += 1
        self.counters.received_B += size_B
        try:
            self._on_message(delivery)
        except Exception:  # whoever takes messages must not end the thread that serves all ports
            self.counters.handler_errors += 1
            self._warn("handler", "on_message failed for %r of %r", header.kind, peer, traceback=True)

    # --- the I/O thread: sending ------------------------------------------------------------------

    def flush(self, now_s: float) -> None:
        """Hand over a batch for each peer for whom something waits and who is not resting."""
        with self._host.lock:
            peers = self.outbox.peers()
        for peer in peers:
            rest = self._resting.get(peer)
            if rest is None or rest.until_s <= now_s:
                self._flush_peer(peer, now_s)

    def pause_s(self, now_s: float) -> float | None:
        """Seconds until `flush` has something to do; None if only an event brings it. Under the lock."""
        if self.wants_pollout:
            return None
        rests = (self._resting.get(peer) for peer in self.outbox.peers())
        return min((0.0 if rest is None else max(0.0, rest.until_s - now_s) for rest in rests), default=None)

    def _flush_peer(self, peer: str | None, now_s: float) -> None:
        link = self._link if peer is None else self.peers.link(peer)
        if link is None:
            self._give_up(peer, "unknown")
            return
        if peer is not None and self.gate.identity(link.key) != link.identity:
            self._give_up(peer, "trusted no more", Drop.STRANGER)
            return
        with self._host.lock:
            items = self.outbox.take(peer, SEND_BATCH)
        done = 0
        while done < len(items):
            try:
                done += self._hand_over(link, items[done : done + BUNDLE_MAX])
            except zmq.Again:
                with self._host.lock:
                    self.counters.replaced += self.outbox.put_back(peer, items[done:])
                self._rest(peer, now_s, progress=done > 0)
                return
            except zmq.ZMQError as error:
                self._count(Drop.UNROUTABLE, len(items) - done)
                self._give_up(peer, "gone")
                if error.errno != errno.EHOSTUNREACH:
                    raise
                return
        self._resting.pop(peer, None)
        self._stuck_since_s = None

    def _hand_over(self, link: Link, items: list[Item]) -> int:
        """Send as many of these as one frame bears, at least one; how many that were."""
        most_B = min(BUNDLE_MAX_B, self.message_max_B)
        parts = fill_frame(items, self._host.name, link.sent + 1, most_B)
        whole = bundle([join(*part) for part in parts])
        self.socket.send_multipart([link.routing_id, whole] if self.listening else [whole], zmq.DONTWAIT)
        link.sent += len(parts)
        self.counters.sent += len(parts)
        for header, body in parts:
            self.counters.sent_B += len(body)
            self.counters.largest_B = max(self.counters.largest_B, len(body))
            self._record(Direction.SENT, header, body)
        return len(parts)

    def _rest(self, peer: str | None, now_s: float, *, progress: bool) -> None:
        if not self.listening:
            self.wants_pollout = True
            if self._stuck_since_s is None or progress:
                self._stuck_since_s = now_s
            return
        before = self._resting.get(peer)
        pause_s = RETRY_FIRST_S if before is None or progress else min(2 * before.pause_s, RETRY_LAST_S)
        self._resting[peer] = _Rest(now_s + pause_s, pause_s)

    def _give_up(self, peer: str | None, why: str, reason: Drop = Drop.UNROUTABLE) -> None:
        with self._host.lock:
            count = self.outbox.forget(peer)
        self._resting.pop(peer, None)
        if peer is not None:
            self.peers.forget(peer)
        self._count(reason, count)
        if count:  # else it ended in good order, as every client of a control socket does
            self._warn(reason, "peer %r is %s; %d waiting messages dropped", peer, why, count)

    # --- the I/O thread: with whom we talk ---------------------------------------------------------

    def tend(self, now_s: float) -> None:
        """See to it that a connecting port is connected to the key that its peer has now, to nobody where
        it has none, and anew where nothing has gone out for long."""
        if self.listening:
            return
        key = self.gate.key_of_peer()
        stuck = self._stuck_since_s is not None and now_s - self._stuck_since_s >= STUCK_S
        if key == self._server_key and not (stuck and key is not None):
            return
        if self._server_key is not None:
            self._connect_or_not(self.socket.disconnect)
        if key is not None:
            expect(self.socket, key)
            self._connect_or_not(self.socket.connect)
        self._server_key = key
        self._link = Link(b"", key or "", self.gate.peer or "")
        self.wants_pollout, self._stuck_since_s = False, None

    def _connect_or_not(self, change: Callable[[str], object]) -> None:
        try:
            change(self.address)
        except zmq.ZMQError as error:
            self._warn("connection", "%s: %s", self.address, error)

    # --- outcomes ---------------------------------------------------------------------------------

    def snapshot(self) -> PortCounters:
        """The counters now; under the lock."""
        return self.counters.snapshot(
            waiting=len(self.outbox), waiting_most=self.outbox.most, peers=len(self.peers)
        )

    def _count(self, reason: Drop, count: int = 1) -> None:
        with self._host.lock:
            self.counters.dropped[reason] += count

    def _warn(self, subject: str, text: str, *values: object, traceback: bool = False) -> None:
        subject = f"{self.name}/{subject}"
        self._host.log.warning(subject, f"port %s: {text}", self.name, *values, traceback=traceback)

    def _record(self, direction: Direction, header: bytes, body: bytes) -> None:
        if self._host.tap is None:
            return
        try:
            self._host.tap(time.time(), direction, header, body)
        except Exception:  # a full disk under a recording must not stop the traffic
            self.counters.tap_errors += 1
            self._warn("tap", "the tap failed", traceback=True)
