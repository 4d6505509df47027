"""What travels between the plant, the drivers of its EVSEs and meters, and whoever drives it by hand.

A driver watches its EVSEs and meters each second, and gets their readings while it does. What goes to EVSEs
and comes from them in one go is one message, by EVSE; a meter is the `source` of the header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from actors.energy.fixed_load import MeterReading
from actors.energy.messages import Actuate, Reading
from transport import Registry

_Ampere = Annotated[float, Meta(ge=-10_000, le=10_000)]


class Watch(Struct, frozen=True, kw_only=True):
    """A driver serves these EVSEs, and reads the meters of these nodes; said each second."""

    driver: str
    """One life of the driver; the one that began to watch last is served."""
    evses: tuple[str, ...]
    meters: tuple[str, ...] = ()


class Readings(Struct, frozen=True):
    """What EVSEs tell their driver."""

    evses: Mapping[str, Reading]


class Commands(Struct, frozen=True):
    """What a driver tells EVSEs."""

    evses: Mapping[str, Actuate]


class Plug(Struct, frozen=True, kw_only=True, tag=True):
    """A car arrives now."""

    car: dict[str, Any]
    """As an entry of `cars` in the story, without `at_s`."""


class Unplug(Struct, frozen=True, kw_only=True, tag=True):
    """The car at an EVSE leaves now."""

    evse: str


class SetFixedLoad(Struct, frozen=True, kw_only=True, tag=True):
    """A node's fixed load changes now, until the story changes it again."""

    node: str
    currents_A: tuple[_Ampere, _Ampere, _Ampere]


class ResetBreaker(Struct, frozen=True, kw_only=True, tag=True):
    """Someone closes a tripped breaker again."""

    node: str


class SetMeter(Struct, frozen=True, kw_only=True, tag=True):
    """A node's meter breaks, or is mended."""

    node: str
    state: Literal["ok", "dead", "frozen"]
    """Frozen, it says again what it said last."""


PlantEvent = Plug | Unplug | SetFixedLoad | ResetBreaker | SetMeter


class PlantCommand(Struct, frozen=True, kw_only=True):
    """Something happens on the site, by hand."""

    id: str
    event: PlantEvent


class PlantReply(Struct, frozen=True, kw_only=True):
    """What became of a command."""

    id: str
    error: str | None = None


def register_plant_messages(registry: Registry) -> None:
    """Register all that crosses the wire between a plant and its drivers."""
    for message_type, kind in (
        (Readings, "readings"),
        (MeterReading, "meter_reading"),
        (Commands, "commands"),
        (Watch, "watch"),
        (PlantCommand, "plant_command"),
        (PlantReply, "plant_reply"),
    ):
        registry.add(message_type, kind)
