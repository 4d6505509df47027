"""The limit in force at EVSE hardware, and its watchdog.

    fallback ──take──► in force ──take a newer one──► in force ──ends_s──► fallback

A limit runs out `duration_s` after `t_echo_s`, the hardware's own time in the reading that it
answers: one that was long under way arrives short or dead. Whoever answers a reading of another life of
hardware whose clock begins anew is refused, and so is whoever answers an older reading than the limit in
force did, or one that the hardware has not sent yet. Of those that answer the same reading a connection
that was lost and found again may bring the newer first: a mark is the sender's life and a number, and of one
life a lower number is refused.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from actors.energy.messages import Actuate


class Limit(Struct, frozen=True, kw_only=True):
    """What the hardware may let through, per phase."""

    limit_A: float
    limit_W: float | None = None
    phase_count: int | None = None
    """None: as they are."""
    cp_state: Literal["on", "X1", "E", "F"] = "on"
    ends_s: float = math.inf
    mark: str = ""
    life: str = ""
    """Whose command it is of: one life of an EVSE's module."""

    def goes_on_with(self, other: Limit) -> bool:
        """Whether it says the same, and of the same life, whenever it ends."""
        return (
            self.limit_A == other.limit_A
            and self.limit_W == other.limit_W
            and self.phase_count == other.phase_count
            and self.cp_state == other.cp_state
            and self.life == other.life
        )


class Watchdog:
    """Holds the limit in force. `expire` before reading it."""

    def __init__(self, fallback_A: float, boot: str = "") -> None:
        """`boot` names this life of hardware whose clock begins anew with each."""
        self._fallback = Limit(limit_A=fallback_A)
        self._boot = boot
        self._newest_echo_s = -math.inf
        self._newest_mark = ("", 0)
        self.limit = self._fallback

    def take(self, now_s: float, command: Actuate) -> str | None:
        """Put a new limit in force, or tell why not."""
        self.expire(now_s)
        ends_s = command.t_echo_s + command.duration_s
        if command.boot != self._boot:
            return f"it answers life {command.boot!r} of the hardware, this is {self._boot!r}"
        if command.t_echo_s > now_s:
            return f"echo of {command.t_echo_s:.3f} s is from the future, now is {now_s:.3f} s"
        if command.t_echo_s < self._newest_echo_s:
            return f"echo of {command.t_echo_s:.3f} s is older than {self._newest_echo_s:.3f} s"
        life, number = _parts(command.mark)
        if life == self._newest_mark[0] and number < self._newest_mark[1]:
            return f"number {number} came after {self._newest_mark[1]}"
        if command.takes_over is not None and command.takes_over != self.limit.mark:
            return f"mark {self.limit.mark!r} is in force, not {command.takes_over!r}"
        if not now_s < ends_s < math.inf:
            return f"limit ran out {now_s - ends_s:.3f} s ago"
        if not _is_current(command.limit_A) or not (command.limit_W is None or _is_current(command.limit_W)):
            return f"limit of {command.limit_A} A, {command.limit_W} W is none"
        if not 1 <= command.phase_count <= 3:
            return f"{command.phase_count} phases are none"
        self._newest_echo_s, self._newest_mark = command.t_echo_s, (life, number)
        self.limit = Limit(
            limit_A=command.limit_A,
            limit_W=command.limit_W,
            phase_count=command.phase_count,
            cp_state=command.cp_state,
            ends_s=ends_s,
            mark=command.mark,
            life=life,
        )
        return None

    def expire(self, now_s: float) -> None:
        """Fall back if the limit has run out."""
        if now_s >= self.limit.ends_s:
            self.limit = self._fallback

    def ends_in_s(self, now_s: float) -> float:
        """Until it falls back; 0 in fallback."""
        return 0.0 if self.limit is self._fallback else max(0.0, self.limit.ends_s - now_s)


def _parts(mark: str) -> tuple[str, int]:
    """The life and the number; a mark without a number is a life of its own."""
    life, _, number = mark.rpartition(":")
    return (life, int(number)) if number.isdecimal() and number.isascii() else (mark, 0)


def _is_current(value: float) -> bool:
    return 0.0 <= value < math.inf
