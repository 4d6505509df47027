"""What passed a port and what did not, by reason; and log lines at a bounded rate.

Drops are expected, so they are numbers first. A peer that sends garbage at full speed must not fill
a disk: each reason at each port gets a line in LOG_EVERY_S seconds, which tells how many were kept back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

LOG = logging.getLogger("amptree.transport")

LOG_EVERY_S = 10.0
"""Seconds between two lines about the same thing."""


class Drop(StrEnum):
    """Why a message did not go through."""

    FULL = "full"
    """Not sent: the outbox is at its bound."""
    UNROUTABLE = "unroutable"
    """Not sent: the peer is unknown or gone."""
    STOPPED = "stopped"
    """Not sent: the wire has stopped."""
    STRANGER = "stranger"
    """Not sent or not taken: the key of the connection may not speak here, or no more."""
    TOO_BIG = "too_big"
    """Not sent or not taken: the body is longer than the port allows."""
    BAD_FRAMES = "bad_frames"
    """Not taken: not one frame that begins with a header's length."""
    BAD_HEADER = "bad_header"
    """Not taken: the header is not one."""
    VERSION = "version"
    """Not taken: the sender speaks another version of the protocol."""
    UNKNOWN_TYPE = "unknown_type"
    """Not taken: nobody registered that kind of message."""
    BAD_BODY = "bad_body"
    """Not taken: the body is not MessagePack or not what its kind says."""
    TOO_DEEP = "too_deep"
    """Not sent or not taken: the body nests too deeply."""
    NOT_FINITE = "not_finite"
    """Not sent or not taken: a number is NaN or infinite."""


class PortCounters(Struct, frozen=True, kw_only=True):
    """One port's counters since it was opened."""

    sent: int
    """Messages handed to libzmq."""
    sent_B: int
    """Bytes of their bodies."""
    largest_B: int
    """Of the bodies sent, the largest."""
    received: int
    """Messages handed to `on_message`."""
    received_B: int
    """Bytes of their bodies."""
    dropped: dict[str, int]
    """Messages that did not go through, by `Drop`; every reason is there."""
    replaced: int
    """Messages that a newer one with the same key replaced before they were sent."""
    waiting: int
    """Messages in the outbox now."""
    waiting_most: int
    """The most that there ever were in it."""
    handler_errors: int
    """Exceptions out of `on_message`."""
    tap_errors: int
    """Exceptions out of the tap."""
    lost: int
    """Sequence numbers of peers that never came, or came with a message that was dropped."""
    repeated: int
    """Sequence numbers that came again or out of order."""
    peers: int
    """Peers that are remembered now."""
    peers_moved: int
    """Times that a known peer came over another connection: reconnects, restarts, doubles."""
    peers_doubled: int
    """Times that a connection spoke for a peer after another had taken its place: two live peers
    claim one name."""
    peers_forgotten: int
    """Peers dropped at the bound of remembered peers."""


class Counters:
    """The mutable side of `PortCounters`. `dropped` is counted under the lock of the wire, because any
    thread may drop; the rest by the I/O thread alone."""

    def __init__(self) -> None:
        self.sent = 0
        self.sent_B = 0
        self.largest_B = 0
        self.received = 0
        self.received_B = 0
        self.dropped = {str(reason): 0 for reason in Drop}
        self.replaced = 0
        self.handler_errors = 0
        self.tap_errors = 0
        self.lost = 0
        self.repeated = 0
        self.peers_moved = 0
        self.peers_doubled = 0
        self.peers_forgotten = 0

    def snapshot(self, *, waiting: int, waiting_most: int, peers: int) -> PortCounters:
        """A copy that does not change."""
        return PortCounters(
            **{**vars(self), "dropped": dict(self.dropped)},
            waiting=waiting,
            waiting_most=waiting_most,
            peers=peers,
        )


class BoundedLog:
    """Warnings, one line per subject in LOG_EVERY_S seconds. Any thread may write."""

    SUBJECTS_MAX = 1024

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._subjects: dict[str, tuple[float, int]] = {}

    def warning(self, subject: str, text: str, *values: object, traceback: bool = False) -> None:
        """Log `text % values` now, or count it among what the next line of `subject` will tell."""
        now_s = self._clock()
        with self._lock:
            next_s, kept_back = self._subjects.get(subject, (now_s, 0))
            if now_s < next_s or (subject not in self._subjects and len(self._subjects) >= self.SUBJECTS_MAX):
                self._subjects[subject] = (next_s, kept_back + 1)
                return
            self._subjects[subject] = (now_s + LOG_EVERY_S, 0)
        if kept_back:
            text += f" (and {kept_back} more since the last line about this)"
        LOG.warning(text, *values, exc_info=traceback)
