"""EVerest's messages: the limits that it is told, and what it says. Pure.

Names and forms are those of its API (docs/source/reference/EVerest_API in its repository), version 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from actors.drivers.account import Limit

SOURCE = "amptree"
SESSION_EVENT, SESSION_INFO = "session_event", "session_info"
POWERMETER, ENFORCED_LIMITS, HEARTBEAT = "powermeter", "enforced_limits", "heartbeat"
RANDOM_DELAY = "random_delay_countdown"
HEARD = (SESSION_EVENT, SESSION_INFO, POWERMETER, ENFORCED_LIMITS, HEARTBEAT, RANDOM_DELAY)
"""What is listened to, below e2m/ of evse_manager_consumer."""
BELIEVABLE_A, BELIEVABLE_W = 1e4, 1e7
STAMPS_MAX = 2_000
"""Of an enforced schedule."""

PLUGGED = ("Preparing", "ChargingPausedEV", "ChargingPausedEVSE", "WaitingForEnergy", "Charging")
ASKS = ("Charging", "ChargingPausedEVSE", "WaitingForEnergy")
"""The car would take something: it does, or the charger lets it not."""


class MessageError(Exception):
    """A message of a charger that cannot be; the text says why."""


# --- what it is told -----------------------------------------------------------------------------------


def limits_message(entries: Iterable[tuple[int, Limit]], *, with_phases: bool) -> bytes:
    """EVerest's external limits: what may be imported from each time (milliseconds since 1970) on; nothing
    may be exported."""
    imports = [_entry(at_ms, limit, with_phases=with_phases) for at_ms, limit in entries]
    nothing = {"ac_max_current_A": _number(0.0), "total_power_W": _number(0.0)}
    export = {"timestamp": imports[0]["timestamp"], "limits_to_root": nothing, "limits_to_leaves": {}}
    message = {"schedule_import": imports, "schedule_export": [export], "schedule_setpoints": []}
    return msgspec.json.encode(message)


def _entry(at_ms: int, limit: Limit, *, with_phases: bool) -> dict[str, Any]:
    limits: dict[str, Any] = {"ac_max_current_A": _number(limit.limit_A)}
    if limit.limit_W is not None:
        limits["total_power_W"] = _number(limit.limit_W)
    if with_phases:
        limits["ac_max_phase_count"] = _number(limit.phase_count)
    return {"timestamp": written(at_ms), "limits_to_root": limits, "limits_to_leaves": {}}


def _number(value: float) -> dict[str, Any]:
    return {"value": value, "source": SOURCE}


def written(at_ms: int) -> str:
    """As EVerest writes times."""
    whole = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


# --- what it says --------------------------------------------------------------------------------------


def decoded(payload: bytes) -> Any:
    """JSON. Raises MessageError."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MessageError("not JSON") from None


def stamp_ms(content: Any, name: str = "timestamp") -> int:
    """Milliseconds since 1970 of a member. Raises MessageError."""
    text = content.get(name) if isinstance(content, dict) else None
    if not isinstance(text, str) or len(text) > 40:
        raise MessageError(f"no {name}")
    try:
        time = datetime.fromisoformat(text)
        return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise MessageError(f"{name} is no time") from None


def text_of(content: Any, name: str) -> str:
    """A member that is text. Raises MessageError."""
    text = content.get(name) if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise MessageError(f"no {name}")
    return text[:40]


def currents_of(content: Any) -> tuple[float, float, float] | None:
    """What a powermeter shows per phase; None if it shows none. Raises MessageError."""
    shown = content.get("current_A") if isinstance(content, dict) else None
    if shown is None:
        return None
    if not isinstance(shown, dict):
        raise MessageError("current_A is no mapping")
    L1, L2, L3 = (_measured(shown.get(phase, 0.0), BELIEVABLE_A) for phase in ("L1", "L2", "L3"))
    return L1, L2, L3


def power_of(content: Any) -> float | None:
    """The total that a powermeter shows. Raises MessageError."""
    shown = content.get("power_W") if isinstance(content, dict) else None
    return None if not isinstance(shown, dict) else _measured(shown.get("total"), BELIEVABLE_W)


def _measured(value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
        raise MessageError("a powermeter shows what cannot be")
    return float(value)


def enforced(content: Any) -> tuple[float, float | None, frozenset[int]]:
    """What holds now, ampere and watt (absent current is none), and all times of the schedule that it comes
    from. Raises MessageError."""
    if not isinstance(content, dict):
        raise MessageError("no limits")
    limits, schedule = content.get("limits_root_side"), content.get("schedule")
    if not isinstance(limits, dict) or not isinstance(schedule, list) or len(schedule) > STAMPS_MAX:
        raise MessageError("no limits or no schedule")
    stamps = frozenset(stamp_ms(entry) for entry in schedule)
    current, power = limits.get("ac_max_current_A"), limits.get("total_power_W")
    current_A = 0.0 if not isinstance(current, dict) else _measured(current.get("value"), BELIEVABLE_A)
    power_W = None if not isinstance(power, dict) else _measured(power.get("value"), BELIEVABLE_W)
    return current_A, power_W, stamps
