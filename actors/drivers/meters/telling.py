"""What drivers of meters tell: readings and troubles to the node, troubles also to the log, within bounds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from actors import clock
from actors.energy.fixed_load import MeterReading, MeterTrouble

LOG = logging.getLogger("amptree.meters")

SAID_EACH_S = 60.0
"""Between two lines of the log about the troubles of one meter."""
LENGTH_MAX = 200


class Teller:
    """For any thread."""

    def __init__(self, tell: Callable[[str, MeterReading | MeterTrouble], None]) -> None:
        """`tell` takes the node whose meter it is."""
        self._tell = tell
        self._lock = threading.Lock()
        self._said_s: dict[str, float] = {}
        self._troubled: set[str] = set()
        """As the log has it."""

    def reading(self, node: str, reading: MeterReading) -> None:
        """It was read."""
        with self._lock:
            troubled = node in self._troubled
            self._troubled.discard(node)
        if troubled:
            LOG.info("the meter of %s is read", node)
        self._tell(node, reading)

    def trouble(self, node: str, why: str) -> None:
        """It was not, and why."""
        why, now_s = why[:LENGTH_MAX], clock.steady_s()
        with self._lock:
            due = now_s >= self._said_s.get(node, -SAID_EACH_S) + SAID_EACH_S
            if due:
                self._said_s[node] = now_s
                self._troubled.add(node)
        if due:
            LOG.warning("the meter of %s is not read: %s", node, why)
        self._tell(node, MeterTrouble(why=why))
