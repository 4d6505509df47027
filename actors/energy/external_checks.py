"""What an external source may set: nothing that the market would refuse, since that would refuse the
whole site, and nothing without bound."""

from __future__ import annotations

import math
from typing import Any

from actors.energy import timestamps
from actors.energy.types import (
    ExternalLimits,
    LimitsReq,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
    SetpointType,
)

MAX_ENTRIES = 1_000
"""Entries of one schedule that a source may set."""
MAX_ENTRIES_IN_ALL = 4_000
"""Entries that all sources of a node may set together: each may be a slot of the market."""
MAX_FREQUENCY_POINTS = 1_000
"""Points of a setpoint's frequency table."""
MIN_EFFICIENCY = 0.01
"""Of a conversion: less is a mistake, and the market refuses what multiplies to nothing."""
WORST_PRIORITY = 1_000
"""Of a setpoint; the best is 0."""
MAX_PRICE = 1e6
"""Of a kilowatt hour, in whatever currency."""
MAX_NAME = 64
"""Characters of a source's name."""


class SourceRefusedError(ValueError):
    """The source or its limits cannot be taken; the message says why in one line."""


def check_name(name: str) -> None:
    """A source's name is shown wherever its limits are. Raises SourceRefusedError."""
    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise SourceRefusedError(
            f"a source's name has 1 to {MAX_NAME} printable characters, not {name[:80]!r}"
        )


def count_entries(limits: ExternalLimits) -> int:
    return len(limits.schedule_import) + len(limits.schedule_export) + len(limits.schedule_setpoints)


def check_limits(limits: ExternalLimits) -> None:
    """Refuse what the market would refuse, before it is in force: it would refuse the whole site.

    Raises SourceRefusedError.
    """
    for name in ("schedule_import", "schedule_export", "schedule_setpoints"):
        entries = getattr(limits, name)
        if len(entries) > MAX_ENTRIES:
            raise SourceRefusedError(f"{name}: at most {MAX_ENTRIES} entries, got {len(entries)}")
        for index, entry in enumerate(entries):
            _check_entry(f"{name}[{index}]", entry)


def _check_entry(path: str, entry: ScheduleReqEntry | ScheduleSetpointEntry) -> None:
    try:
        timestamps.parse(entry.timestamp)
    except ValueError as error:
        raise SourceRefusedError(f"{path}.timestamp: {error}") from error
    if isinstance(entry, ScheduleSetpointEntry):
        if entry.setpoint is not None:
            _check_setpoint(f"{path}.setpoint", entry.setpoint)
        return
    efficiency = entry.conversion_efficiency
    if efficiency is not None and not MIN_EFFICIENCY <= efficiency <= 1:
        raise SourceRefusedError(
            f"{path}.conversion_efficiency: must be {MIN_EFFICIENCY} to 1, got {efficiency}"
        )
    if entry.price_per_kwh is not None:
        _check_price(f"{path}.price_per_kwh", entry.price_per_kwh)
    _check_side(f"{path}.limits_to_root", entry.limits_to_root)
    _check_side(f"{path}.limits_to_leaves", entry.limits_to_leaves)


def _check_price(path: str, price: dict[str, Any]) -> None:
    """EVerest's PricePerkWh. What a kilowatt hour costs may be negative."""
    if sorted(price) != ["currency", "timestamp", "value"]:
        raise SourceRefusedError(f"{path}: needs timestamp, value and currency, got {_members(price)}")
    value, currency, stamp = price["value"], price["currency"], price["timestamp"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_PRICE:
        raise SourceRefusedError(
            f"{path}.value: must be a number up to {MAX_PRICE:g}, got {str(value)[:40]!r}"
        )
    if not (isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise SourceRefusedError(f"{path}.currency: must be three letters, got {str(currency)[:40]!r}")
    try:
        timestamps.parse(stamp if isinstance(stamp, str) else "")
    except ValueError as error:
        raise SourceRefusedError(f"{path}.timestamp: {error}") from error


def _members(given: dict[str, Any]) -> str:
    return ", ".join(str(name)[:20] for name in list(given)[:5]) or "nothing"


def _check_setpoint(path: str, setpoint: SetpointType) -> None:
    if not 0 <= setpoint.priority <= WORST_PRIORITY:
        raise SourceRefusedError(
            f"{path}.priority: must be 0 (best) to {WORST_PRIORITY}, got {setpoint.priority}"
        )
    table = setpoint.frequency_table or ()
    if len(table) > MAX_FREQUENCY_POINTS:
        raise SourceRefusedError(
            f"{path}.frequency_table: at most {MAX_FREQUENCY_POINTS} points, got {len(table)}"
        )
    values = [("ac_current_A", setpoint.ac_current_A), ("total_power_W", setpoint.total_power_W)]
    for index, point in enumerate(table):
        values.append((f"frequency_table[{index}].frequency_Hz", point.frequency_Hz))
        values.append((f"frequency_table[{index}].total_power_W", point.total_power_W))
    for name, value in values:
        if value is not None and not math.isfinite(value):
            raise SourceRefusedError(f"{path}.{name}: must be finite, got {value}")


def _check_side(path: str, limits: LimitsReq) -> None:
    for name in ("total_power_W", "ac_max_current_A", "ac_min_current_A"):
        number = getattr(limits, name)
        if number is not None and not 0 <= number.value < math.inf:
            raise SourceRefusedError(f"{path}.{name}: must be finite and not negative, got {number.value}")
    for name in ("ac_max_phase_count", "ac_min_phase_count"):
        count = getattr(limits, name)
        if count is not None and count.value not in (1, 2, 3):
            raise SourceRefusedError(f"{path}.{name}: must be 1, 2 or 3, got {count.value}")
    if limits.ac_number_of_active_phases not in (None, 1, 2, 3):
        raise SourceRefusedError(
            f"{path}.ac_number_of_active_phases: must be 1, 2 or 3, got {limits.ac_number_of_active_phases}"
        )
