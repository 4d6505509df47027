"""What travels between the plant, the drivers of its EVSEs and meters, and whoever drives it by hand.

A driver watches its EVSEs and meters each second, and gets their readings while it does. They are named by
`target` of the header for what goes to them, and by `source` for what comes from them.
"""

from __future__ import annotations

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
        (Reading, "reading"),
        (MeterReading, "meter_reading"),
        (Actuate, "actuate"),
        (Watch, "watch"),
        (PlantCommand, "plant_command"),
        (PlantReply, "plant_reply"),
    ):
        registry.add(message_type, kind)
