"""One number for all that happened in a run: equal for equal runs, and hardly ever else."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

from actors.energy.messages import Actuate, Grant, Reading, Report

_pack = struct.Struct("<dHBd").pack
_WAKE, _READING, _REPORT, _GRANT, _OTHER, _ACTUATE = range(6)
_KINDS: dict[type, tuple[int, Callable[[Any], float]]] = {
    type(None): (_WAKE, lambda _: 0.0),
    Reading: (_READING, lambda reading: reading.currents_A[0] + reading.limit_A),
    Report: (_REPORT, lambda report: report.t_child_s),
    Grant: (_GRANT, lambda grant: grant.amount.import_A + grant.duration_s),
}
_OTHERS = (_OTHER, _KINDS[type(None)][1])
_AT_ONCE = 2**16
"""Bytes that are hashed together: an event has few."""


class Digest:
    """Takes the events of a run in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._waiting = bytearray()

    def stepped(self, now_s: float, index: int, event: Any) -> None:
        """A core is stepped with an event: when, which, and a number of what it says."""
        kind, number_of = _KINDS.get(type(event), _OTHERS)
        self._waiting += _pack(now_s, index, kind, number_of(event))
        if len(self._waiting) >= _AT_ONCE:
            self._take()

    def actuated(self, now_s: float, index: int, told: Actuate) -> None:
        """Hardware is told something."""
        self._waiting += _pack(now_s, index, _ACTUATE, told.limit_A)

    def text(self) -> str:
        """Hexadecimal digits."""
        self._take()
        return self._hash.hexdigest()

    def _take(self) -> None:
        self._hash.update(self._waiting)
        self._waiting.clear()
