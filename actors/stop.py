"""A flag that ends a process's main loop and may be set in a signal handler.

`threading.Event` may not: its lock is taken while it waits, and a handler that runs just then in the
waiting thread would wait for that lock for ever.
"""

from __future__ import annotations

import select
import socket


class Stop:
    """Set once, by anyone; the main loop waits for it."""

    def __init__(self) -> None:
        self._set = False
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    def set(self) -> None:
        """End it; idempotent."""
        if not self._set:
            self._set = True
            self._writer.send(b"\0")

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, at most so long; whether it is."""
        if not self._set:
            select.select([self._reader], [], [], max(0.0, timeout_s))
        return self._set

    def close(self) -> None:
        """Free what it holds."""
        self._reader.close()
        self._writer.close()
