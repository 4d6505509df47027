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
    candidates = (*_currents(granted, phases, voltage_V), *_currents(local, phases, voltage_V))
    current = most_restrictive(candidates) if _says_anything(granted) else NOTHING
    enough = current.value >= minimum_A - CRUMB_A and current.value > 0
    current_A = max(current.value, minimum_A) if enough else 0.0
    return Draw(current_A=current_A, power_W=None, source=current.source)


def no_draw(source: str, *, dc: bool) -> Draw:
    """Nothing may flow."""
    return Draw(current_A=0.0, power_W=0.0 if dc else None, source=source)


def dc_draw(granted: LimitsRes | LimitsReq, local: LimitsReq, phases: int, voltage_V: float) -> Draw:
    """For a DC EVSE on a feeder with `phases`; its current is the feeder's, per phase."""
    candidates = (*_powers(granted, phases, voltage_V), *_powers(local, phases, voltage_V))
    power = most_restrictive(candidates) if _says_anything(granted) else NOTHING
    return Draw(current_A=power.value / (phases * voltage_V), power_W=power.value, source=power.source)


def _says_anything(granted: LimitsRes | LimitsReq) -> bool:
    """Whether it sets any limit; else nothing is granted."""
    return granted.ac_max_current_A is not None or granted.total_power_W is not None


def _currents(
    limits: LimitsRes | LimitsReq, phases: int, voltage_V: float
) -> tuple[NumberWithSource | None, ...]:
    current, power = limits.ac_max_current_A, limits.total_power_W
    if power is None:
        return (current,)
    return current, NumberWithSource(power.value / (phases * voltage_V), power.source)


def _powers(
    limits: LimitsRes | LimitsReq, phases: int, voltage_V: float
) -> tuple[NumberWithSource | None, ...]:
    current, power = limits.ac_max_current_A, limits.total_power_W
    if current is None:
        return (power,)
    return power, NumberWithSource(current.value * phases * voltage_V, current.source)
