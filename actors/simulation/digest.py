"""One number for all that happened in a run: equal for equal runs, and hardly ever else."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

from actors.energy.fixed_load import MeterReading
from actors.energy.messages import Actuate, Grant, Reading, Report

_pack = struct.Struct("<dHBd").pack
_WAKE, _READING, _REPORT, _GRANT, _OTHER, _ACTUATE, _METER = range(7)
_KINDS: dict[type, tuple[int, Callable[[Any], float]]] = {
    type(None): (_WAKE, lambda _: 0.0),
    Reading: (_READING, lambda reading: reading.currents_A[0] + reading.limit_A),
    Report: (_REPORT, lambda report: report.t_child_s),
    Grant: (_GRANT, lambda grant: grant.amount.import_A + grant.duration_s),
    MeterReading: (_METER, lambda reading: reading.currents_A[0]),
}
_OTHERS = (_OTHER, _KINDS[type(None)][1])


class Digest:
    """Takes the events of a run in their order."""

    def __init__(self) -> None:
        self._events = bytearray()
        """Hashed at the end: a run has some ten thousand, of a few bytes each."""

    def stepped(self, now_s: float, index: int, event: Any) -> None:
        """A core is stepped with an event: when, which, and a number of what it says."""
        kind, number_of = _KINDS.get(type(event), _OTHERS)
        self._events += _pack(now_s, index, kind, number_of(event))

    def actuated(self, now_s: float, index: int, told: Actuate) -> None:
        """Hardware is told something."""
        self._events += _pack(now_s, index, _ACTUATE, told.limit_A)

    def text(self) -> str:
        """Hexadecimal digits."""
        return hashlib.blake2b(self._events, digest_size=16).hexdigest()
