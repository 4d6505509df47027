"""The one place that reads clocks; everything else is handed an Instant."""

from __future__ import annotations

import time

from actors.energy import timestamps
from actors.energy.messages import Instant

# Goes on while the machine sleeps, which a limit's validity must too.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_wall_ahead_s = 0.0


def steady_s() -> float:
    """Monotonic seconds, suspended time included where the machine counts it."""
    return time.clock_gettime(_STEADY)


def now() -> Instant:
    """This instant on both clocks."""
    return Instant(steady_s(), timestamps.from_seconds(time.time() + _wall_ahead_s))


def set_wall_ahead(ahead_s: float) -> None:
    """Let this process's wall clock be wrong by so much; only actors.injection does."""
    global _wall_ahead_s
    _wall_ahead_s = ahead_s
