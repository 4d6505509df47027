"""One number for all that happened in a run: equal for equal runs, and hardly ever else."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from actors.energy.messages import Actuate, Grant, Reading, Report

_pack = struct.Struct("<dHBd").pack
_WAKE, _READING, _REPORT, _GRANT, _OTHER, _ACTUATE = range(6)


class Digest:
    """Takes the events of a run in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def stepped(self, now_s: float, index: int, event: Any) -> None:
        """A core is stepped with an event: when, which, and a number of what it says."""
        kind, number = _OTHER, 0.0
        if event is None:
            kind = _WAKE
        elif isinstance(event, Reading):
            kind, number = _READING, event.currents_A[0] + event.limit_A
        elif isinstance(event, Report):
            kind, number = _REPORT, event.t_child_s
        elif isinstance(event, Grant):
            kind, number = _GRANT, event.amount.import_A + event.duration_s
        self._hash.update(_pack(now_s, index, kind, number))

    def actuated(self, now_s: float, index: int, told: Actuate) -> None:
        """Hardware is told something."""
        self._hash.update(_pack(now_s, index, _ACTUATE, told.limit_A))

    def text(self) -> str:
        """Hexadecimal digits."""
        return self._hash.hexdigest()
