"""Setpoints: targets that cap one direction and close the other.

Of a setpoint's values ampere comes before watt before the frequency table, which is linear
between its points and constant beyond them. A value of 0 or more caps import and closes export
in its unit, a negative one the reverse. An EVSE heeds the setpoints of the best priority on its
path (0 is best) and ignores worse ones; a node's setpoint caps the sum sold to those that heed it.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.energy.market.entries import finite
from actors.energy.market.errors import RequestError, joined
from actors.energy.types import EnergyFlowRequest, FrequencyWattPoint, SetpointType

WORST_PRIORITY = 1000
MOST_POINTS = 10_000


class Target(NamedTuple):
    """What a setpoint comes to: one of the two values is set. Positive is import."""

    priority: int
    current_A: float | None
    power_W: float | None


def target_of(setpoint: SetpointType | None, frequency_Hz: float | None) -> Target | None:
    """The setpoint's value, or None where it asks for nothing; RequestError with the path inside it."""
    if setpoint is None:
        return None
    priority = setpoint.priority
    if not isinstance(priority, int) or isinstance(priority, bool) or not 0 <= priority <= WORST_PRIORITY:
        raise RequestError("priority", f"must be a whole number, 0 to {WORST_PRIORITY}, is {priority!r}")
    current_A = power_W = None
    if setpoint.ac_current_A is not None:
        current_A = finite(setpoint.ac_current_A, "ac_current_A")
    if setpoint.total_power_W is not None:
        power_W = finite(setpoint.total_power_W, "total_power_W")
    points = _points(setpoint.frequency_table or ())
    if current_A is not None:
        return Target(priority, current_A, None)
    if power_W is None and points and frequency_Hz is not None:
        power_W = interpolate(points, frequency_Hz)
    return None if power_W is None else Target(priority, None, power_W)


def _points(table: tuple[FrequencyWattPoint, ...]) -> list[tuple[float, float]]:
    if len(table) > MOST_POINTS:
        raise RequestError("frequency_table", f"must have at most {MOST_POINTS} points, has {len(table)}")
    points = []
    for i, point in enumerate(table):
        try:
            points.append(
                (finite(point.frequency_Hz, "frequency_Hz"), finite(point.total_power_W, "total_power_W"))
            )
        except RequestError as error:
            raise error.below(f"frequency_table[{i}]") from None
    return sorted(points, key=lambda point: point[0])


def interpolate(points: list[tuple[float, float]], frequency_Hz: float) -> float:
    """Watt at a frequency; `points` are (Hz, W), sorted by Hz, of any spacing."""
    low_Hz, low_W = points[0]
    if frequency_Hz <= low_Hz:
        return low_W
    for high_Hz, high_W in points[1:]:
        if frequency_Hz <= high_Hz:
            return low_W + (high_W - low_W) * (frequency_Hz - low_Hz) / (high_Hz - low_Hz)
        low_Hz, low_W = high_Hz, high_W
    return low_W


def frequency_of(node: EnergyFlowRequest) -> float | None:
    """L1 of the reading at the root side, else at the leaf side; None without a reading."""
    for field in ("energy_usage_root", "energy_usage_leaves"):
        meter = getattr(node, field)
        if meter is not None and meter.frequency_Hz is not None:
            return finite(meter.frequency_Hz.L1, joined(field, "frequency_Hz.L1"))
    return None
