"""What an EVSE may draw now: the most restrictive of all that limit it.

Current is per phase. A power limit P allows P / (n x V) on n connected phases (V between a phase
and neutral), or P itself where the EVSE is a DC charger. Less than the minimum current is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from actors.energy.types import LimitsReq, LimitsRes, NumberWithSource

CRUMB_A = 1e-7
"""A shortfall below the minimum that is rounding and not a limit: hardware would take it for nothing."""


class Draw(Struct, frozen=True, kw_only=True):
    """What may flow, and which source bound it."""

    current_A: float
    power_W: float | None
    """DC only."""
    source: str


NOTHING = NumberWithSource(0.0, "no limit received")


def most_restrictive(candidates: Iterable[NumberWithSource | None]) -> NumberWithSource:
    """The lowest, the first of several; nothing where nobody sets a limit (deny by default). Export counts as
    no import."""
    lowest: NumberWithSource | None = None
    for candidate in candidates:
        if candidate is not None and (lowest is None or candidate.value < lowest.value):
            lowest = candidate
    if lowest is None:
        return NOTHING
    return lowest if lowest.value > 0.0 else NumberWithSource(0.0, lowest.source)


def ac_draw(
    granted: LimitsRes | LimitsReq, local: LimitsReq, phases: int, voltage_V: float, minimum_A: float
) -> Draw:
    """For an AC EVSE whose contactor connects `phases`."""
    current = NOTHING
    if granted.ac_max_current_A is not None or granted.total_power_W is not None:
        current = most_restrictive(
            (
                granted.ac_max_current_A,
                _as_current(granted.total_power_W, phases, voltage_V),
                local.ac_max_current_A,
                _as_current(local.total_power_W, phases, voltage_V),
            )
        )
    enough = current.value >= minimum_A - CRUMB_A and current.value > 0
    current_A = max(current.value, minimum_A) if enough else 0.0
    return Draw(current_A=current_A, power_W=None, source=current.source)


def no_draw(source: str, *, dc: bool) -> Draw:
    """Nothing may flow."""
    return Draw(current_A=0.0, power_W=0.0 if dc else None, source=source)


def dc_draw(granted: LimitsRes | LimitsReq, local: LimitsReq, phases: int, voltage_V: float) -> Draw:
    """For a DC EVSE on a feeder with `phases`; its current is the feeder's, per phase."""
    power = NOTHING
    if granted.ac_max_current_A is not None or granted.total_power_W is not None:
        power = most_restrictive(
            (
                granted.total_power_W,
                _as_power(granted.ac_max_current_A, phases, voltage_V),
                local.total_power_W,
                _as_power(local.ac_max_current_A, phases, voltage_V),
            )
        )
    return Draw(current_A=power.value / (phases * voltage_V), power_W=power.value, source=power.source)


def _as_current(power: NumberWithSource | None, phases: int, voltage_V: float) -> NumberWithSource | None:
    return None if power is None else NumberWithSource(power.value / (phases * voltage_V), power.source)


def _as_power(current: NumberWithSource | None, phases: int, voltage_V: float) -> NumberWithSource | None:
    return None if current is None else NumberWithSource(current.value * phases * voltage_V, current.source)
