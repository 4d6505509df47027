"""Kinds of car: a small catalogue in the size classes of what is on the road.

On-board chargers come with 1 x 16 A (3.7 kW), 1 x 32 A (7.4 kW), 3 x 16 A (11 kW) and 3 x 32 A
(22 kW). IEC 61851-1 gives a car 5 s to follow a changed limit; most need one to four. Some early
three-phase cars do not charge below about 10 A.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

_Percent = Annotated[float, Meta(ge=0, le=100)]
_Current = Annotated[float, Meta(gt=0, le=1000)]
_Power = Annotated[float, Meta(gt=0, le=5_000_000)]
_Seconds = Annotated[float, Meta(ge=0, le=3600)]

KindName = Literal["family", "large", "city", "hybrid", "early"]


class Car(Struct, frozen=True, kw_only=True):
    """What a car is and wants."""

    kind: KindName = "family"
    phases: Annotated[int, Meta(ge=1, le=3)] = 3
    """Of its on-board charger."""
    battery_kWh: Annotated[float, Meta(gt=0, le=10_000)] = 60.0
    soc_percent: _Percent = 30.0
    """State of charge when it comes."""
    target_percent: _Percent = 80.0
    """Where it stops."""
    max_current_A: _Current = 16.0
    """Per phase, of its on-board charger."""
    min_current_A: Annotated[float, Meta(ge=0, le=1000)] = 6.0
    """Offered less, it pauses."""
    max_power_W: _Power | None = None
    """DC, on the grid side; None: it cannot charge with DC."""
    reaction_time_s: _Seconds = 1.0
    """Until it follows a changed limit; up to then it draws as before."""
    ramp_A_per_s: _Current = 4.0
    """How fast its current rises; it falls at once."""
    cable_A: _Current = 32.0
    """Rating of its cable."""
    communicates: bool = True
    """It tells its own limit and when it is done; else it is a basic IEC 61851 car."""


CATALOGUE: dict[str, Car] = {
    car.kind: car
    for car in (
        Car(kind="family", max_power_W=130_000),
        Car(kind="large", battery_kWh=90.0, max_current_A=32.0, max_power_W=200_000),
        Car(
            kind="city",
            phases=1,
            battery_kWh=38.0,
            max_current_A=32.0,
            max_power_W=46_000,
            reaction_time_s=2.0,
            communicates=False,
        ),
        Car(kind="hybrid", phases=1, battery_kWh=13.0, cable_A=20.0, reaction_time_s=3.0, communicates=False),
        Car(
            kind="early",
            battery_kWh=41.0,
            max_current_A=32.0,
            min_current_A=10.0,
            reaction_time_s=4.0,
            ramp_A_per_s=3.0,
            communicates=False,
        ),
    )
}
