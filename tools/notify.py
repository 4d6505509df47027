"""Tells systemd that a service is ready, that it is alive, and that it ends (sd_notify(3)).

A service manager that waits for this names a socket in NOTIFY_SOCKET, and in WATCHDOG_USEC how long the
service may be silent before it is ended and begun again. Anywhere else nothing is said.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

BEATS = 3
"""So many signs of life go into the time that the service manager waits."""


class ServiceManager:
    """What runs this process; perhaps nobody."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is of the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog_us = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every_s = int(watchdog_us) / 1e6 / BEATS if watchdog_us.isdecimal() and meant else None
        self._ready = False
        self._beat_s = 0.0

    def beat(self) -> None:
        """All is well; called as often as one likes. The first time means: ready."""
        now_s = time.monotonic()
        if not self._ready:
            self._ready, self._beat_s = True, now_s
            self._say("READY=1")
        elif self._every_s is not None and now_s - self._beat_s >= self._every_s:
            self._beat_s = now_s
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The process ends in good order."""
        self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
                one.settimeout(0.1)
                one.sendto(text.encode(), self._address)
        except OSError:
            # Not heard is not alive: then the service manager ends us, which is what it is there for.
            return
