"""What a bad network does to messages, done on purpose to those that come in.

    frames off the socket ──meet──► lost │ held until their time │ twice │ damaged ──► the port

It stands above encryption, where a message is whole again, and knows peers by the name in the header.
A wire without it pays one comparison a message. When something else holds for a sender, what was held of
it comes at once, as from a line that was clogged.

**Damaged** means: no longer a message. A changed one that still reads as a message would be a lie, and
that no line can tell: the MAC of an encrypted link refuses it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from transport.counters import Drop
from transport.frames import decode_header, split

HELD_MAX = 20_000
HELD_MAX_B = 64 << 20
"""Messages and bytes that are held at once; what comes beyond is lost."""
DAMAGE_TRIES = 8
LOOK_EVERY_S = 0.1
"""How late, at most, the end of a disturbance is noticed: nobody wakes the I/O thread for it."""
EVERYBODY = "*"

Share = Annotated[float, Meta(ge=0, le=1)]
Delay = Annotated[float, Meta(ge=0, le=600)]
Deliver = Callable[[list[bytes]], None]


class Disturbance(Struct, frozen=True, kw_only=True):
    """What happens to messages of one sender."""

    sender: str = EVERYBODY
    """The process, as it calls itself in the header."""
    loss: Share = 0.0
    """Part of the messages that never come; 1: the line is cut."""
    repeat: Share = 0.0
    """Part that comes twice."""
    damage: Share = 0.0
    """Part that comes, but is no message any more."""
    min_delay_s: Delay = 0.0
    max_delay_s: Delay = 0.0
    reorder: bool = False
    """Later ones may overtake; else they wait behind those before them."""


class _Held(NamedTuple):
    due_s: float
    number: int
    """In the order of their coming; no two are equal, so nothing behind it is compared."""
    sender: str
    rule: Disturbance
    frames: list[bytes]
    deliver: Deliver

    @property
    def size_B(self) -> int:
        return sum(map(len, self.frames))


class LinkFaults:
    """Disturbs what comes into a process. `disturb` is for any thread, all else for the I/O thread."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._rules: Mapping[str, Disturbance] = {}  # replaced as a whole, so that no lock is needed
        self._followed: Mapping[str, Disturbance] = self._rules
        """Those that what is held was held by."""
        self._held: list[_Held] = []
        self._held_B = 0
        self._last_s: dict[str, float] = {}
        self._count = 0
        self.lost = 0
        """Messages that never came, or came damaged."""

    def disturb(self, disturbances: Iterable[Disturbance]) -> None:
        """These and no others, from now on."""
        self._rules = {each.sender: each for each in disturbances}

    def meet(self, now_s: float, frames: list[bytes], deliver: Deliver) -> None:
        """A message came: deliver it now, later, twice, damaged or not at all."""
        self.release(now_s)  # nothing overtakes what a mended line still held
        sender = _sender(frames)
        rule = None if sender is None else self._rule(sender)
        if sender is None or rule is None:
            deliver(frames)
            return
        if self._random.random() < rule.loss:
            self.lost += 1
            return
        if self._random.random() < rule.damage:
            self.lost += 1
            frames = [_damaged(frames[0], self._random)]
        for _ in range(2 if self._random.random() < rule.repeat else 1):
            self._hold_or_deliver(now_s, sender, rule, frames, deliver)

    def release(self, now_s: float) -> None:
        """Deliver what is due, and all of senders for whom something else holds now."""
        if self._rules is not self._followed:
            self._followed = self._rules
            over = [held for held in self._held if self._rule(held.sender) != held.rule]
            if over:
                self._held = [held for held in self._held if self._rule(held.sender) == held.rule]
                heapq.heapify(self._held)
                for sender in {held.sender for held in over}:
                    self._last_s.pop(sender, None)
                for held in sorted(over):
                    self._let_go(held)
        while self._held and self._held[0].due_s <= now_s:
            self._let_go(heapq.heappop(self._held))

    def pause_s(self, now_s: float) -> float:
        """Until `release` is to be called again."""
        if not self._held:
            return LOOK_EVERY_S
        return min(LOOK_EVERY_S, max(0.0, self._held[0].due_s - now_s))

    def _rule(self, sender: str) -> Disturbance | None:
        return self._followed.get(sender) or self._followed.get(EVERYBODY)

    def _hold_or_deliver(
        self, now_s: float, sender: str, rule: Disturbance, frames: list[bytes], deliver: Deliver
    ) -> None:
        due_s = now_s + self._random.uniform(rule.min_delay_s, rule.max_delay_s)
        if not rule.reorder:
            due_s = max(due_s, self._last_s.get(sender, due_s))
            self._last_s[sender] = due_s
        if due_s <= now_s:
            deliver(frames)
            return
        self._count += 1
        held = _Held(due_s, self._count, sender, rule, frames, deliver)
        if len(self._held) >= HELD_MAX or self._held_B + held.size_B > HELD_MAX_B:
            self.lost += 1
            return
        self._held_B += held.size_B
        heapq.heappush(self._held, held)

    def _let_go(self, held: _Held) -> None:
        self._held_B -= held.size_B
        held.deliver(held.frames)


def _sender(frames: list[bytes]) -> str | None:
    """Who says to have sent it; None if it is no message."""
    parts = split(frames[0]) if len(frames) == 1 else None
    header = None if parts is None else decode_header(parts[0])
    return None if header is None or isinstance(header, Drop) else header.sender


def _damaged(frame: bytes, random: Random) -> bytes:
    """The frame with some bytes changed, so that it is no message."""
    for _ in range(DAMAGE_TRIES):
        changed = bytearray(frame)
        for _ in range(random.randint(1, 8)):
            changed[random.randrange(len(changed))] ^= random.randint(1, 255)
        if not _reads(bytes(changed)):
            return bytes(changed)
    return frame[: len(frame) // 2]


def _reads(frame: bytes) -> bool:
    parts = split(frame)
    if parts is None or isinstance(decode_header(parts[0]), Drop):
        return False
    try:
        msgspec.msgpack.decode(parts[1])
    except Exception:  # not msgspec's alone: UnicodeDecodeError, RecursionError
        return False
    return True
