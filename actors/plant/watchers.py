"""Which driver serves an EVSE: of those that watch it, the one that began to watch last.

A driver is told by the name of its life, not by its connection: one that reconnects does not take
an EVSE back from its successor. One that was silent for SILENT_s watches no longer.
"""

from __future__ import annotations

SILENT_s = 5.0
MAX_WATCHERS = 8
"""Drivers of one EVSE that are remembered; of more, the one that began first is forgotten."""


class _Watcher:
    __slots__ = ("heard_s", "peer")

    def __init__(self, peer: str, heard_s: float) -> None:
        self.peer = peer
        self.heard_s = heard_s


class Watchers:
    """The watchers of one EVSE."""

    def __init__(self) -> None:
        self._watchers: dict[str, _Watcher] = {}  # those that began first come first

    def watch(self, now_s: float, driver: str, peer: str) -> bool:
        """A driver is heard; whether it has just begun."""
        self._forget_silent(now_s)
        if (known := self._watchers.get(driver)) is not None:
            known.peer, known.heard_s = peer, now_s
            return False
        if len(self._watchers) == MAX_WATCHERS:
            del self._watchers[next(iter(self._watchers))]
        self._watchers[driver] = _Watcher(peer, now_s)
        return True

    def peer(self, now_s: float) -> str | None:
        """Whom to send readings to, and take commands from."""
        for watcher in reversed(self._watchers.values()):
            if now_s - watcher.heard_s <= SILENT_s:
                return watcher.peer
        return None

    def _forget_silent(self, now_s: float) -> None:
        silent = [name for name, watcher in self._watchers.items() if now_s - watcher.heard_s > SILENT_s]
        for name in silent:
            del self._watchers[name]
