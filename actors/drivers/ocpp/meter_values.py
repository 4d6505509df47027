"""What flows, from the sampled values of MeterValues and TransactionEvent, in a charger's own forms."""

from __future__ import annotations

import math
from typing import Any

from msgspec import Struct

from actors.energy.charging_profiles.profile import Version

PHASES = {"L1": 0, "L2": 1, "L3": 2, "L1-N": 0, "L2-N": 1, "L3-N": 2}
FACTORS = {"A": 1.0, "mA": 1e-3, "W": 1.0, "kW": 1e3}
BELIEVABLE = 1e6
"""Ampere or watt."""
PLACES = (None, "Outlet", "Inlet")


class Flow(Struct, frozen=True):
    """What was told of it; None is nothing."""

    currents_A: tuple[float, float, float] | None = None
    power_W: float | None = None


def flow(meter_values: list[dict[str, Any]], version: Version, phases: int) -> Flow:
    """The newest of each; `phases` are wired. A current without a phase is that of each."""
    currents: dict[int, float] = {}
    of_each: float | None = None
    powers: dict[int, float] = {}
    in_all: float | None = None
    for values in meter_values:
        for sample in values.get("sampledValue", ()):
            value = _value(sample, version)
            if value is None or sample.get("location") not in PLACES:
                continue
            measurand, phase = sample.get("measurand"), sample.get("phase")
            if measurand == "Current.Import":
                if phase in PHASES:
                    currents[PHASES[phase]] = value
                elif phase is None:
                    of_each = value
            elif measurand == "Power.Active.Import":
                if phase in PHASES:
                    powers[PHASES[phase]] = value
                elif phase is None:
                    in_all = value
    told: tuple[float, float, float] | None = None
    if currents:
        told = (currents.get(0, 0.0), currents.get(1, 0.0), currents.get(2, 0.0))
    elif of_each is not None:
        told = (of_each, of_each if phases > 1 else 0.0, of_each if phases > 2 else 0.0)
    return Flow(told, in_all if in_all is not None else sum(powers.values()) if powers else None)


def _value(sample: dict[str, Any], version: Version) -> float | None:
    unit, exponent = sample.get("unit"), 0
    if version != "1.6":
        of = sample.get("unitOfMeasure", {})
        unit, exponent = of.get("unit"), of.get("multiplier", 0)
    try:
        value = float(sample["value"]) * FACTORS[unit or _usual(sample)] * 10.0**exponent
    except (KeyError, ValueError, OverflowError):
        return None
    return max(0.0, value) if math.isfinite(value) and abs(value) <= BELIEVABLE else None


def _usual(sample: dict[str, Any]) -> str:
    return "A" if str(sample.get("measurand", "")).startswith("Current") else "W"
