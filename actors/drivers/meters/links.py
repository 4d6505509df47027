"""How a meter is reached and what it says: the part of `meter:` that is its driver's."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from actors.mqtt.config import BrokerConfig

Unit = Literal["A", "mA", "W", "kW"]
Address = Annotated[int, Meta(ge=0, le=65535)]

WATTS = ("W", "kW")


class MqttMeter(BrokerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A meter that tells a broker what it shows. Where in the message each phase stands is a path: names and
    positions with dots between them, such as `ENERGY.Current.0`."""

    topic: str | None = None
    """One message has all phases: then `values` has a path for each."""
    topics: tuple[str, ...] = ()
    """Or each phase has its own: then a message is a number, or `value` is the path to it."""
    values: tuple[str, ...] = ()
    value: str | None = None
    unit: Unit = "A"
    clock: str | None = None
    """Path to something that goes on while the meter measures: its own time, or a counter."""

    def places(self) -> tuple[tuple[str, str | None], ...]:
        """Topic and path of each phase."""
        if self.topic is None:
            return tuple((topic, self.value) for topic in self.topics)
        return tuple((self.topic, path) for path in self.values) or ((self.topic, self.value),)


class RegisterMap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a Modbus meter keeps its phases, all in the same form."""

    function: Literal["holding", "input"] = "holding"
    """Function code 3 or 4."""
    addresses: tuple[Address, ...] = ()
    """Of each phase's first register, as in requests: counted from 0."""
    type: Literal["int16", "uint16", "int32", "uint32", "float32"] = "float32"
    word_order: Literal["big", "little"] = "big"
    """Big: the register with the higher bits comes first."""
    scale: float = 1.0
    """What a register says, times this, is in `unit`."""
    unit: Unit = "A"

    def width(self) -> int:
        """Registers of a phase."""
        return 1 if self.type.endswith("16") else 2


class ModbusMeter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A meter that is read over Modbus."""

    host: str = "localhost"
    port: Annotated[int, Meta(ge=1, le=65535)] = 502
    framer: Literal["tcp", "rtu"] = "tcp"
    """rtu: a gateway passes RTU frames through as they are."""
    unit_id: Annotated[int, Meta(ge=0, le=255)] = 1
    interval_s: Annotated[float, Meta(ge=0.2, le=5)] = 0.5
    """Between two readings."""
    model: str | None = None
    """One whose registers are known; `registers` are those then."""
    registers: RegisterMap = RegisterMap()

    def address(self) -> str:
        """Of the connection, for people."""
        return f"{self.host}:{self.port}"


Link = MqttMeter | ModbusMeter

MODELS = {
    # Eastron, "SDM630Modbus V2 Smart Meter Modbus Protocol": input registers 30007 to 30011.
    "sdm630": RegisterMap(function="input", addresses=(6, 8, 10), type="float32"),
    # ABB, "B23/B24 User Manual" 2CMC485003M0201: current L1 to L3 at 5B0C, in steps of 0.01 A.
    "abb_b23": RegisterMap(addresses=(0x5B0C, 0x5B0E, 0x5B10), type="uint32", scale=0.01),
}
MODELS["abb_b24"] = MODELS["abb_b23"]


class Job(Struct, frozen=True, kw_only=True):
    """A meter that a driver is to read."""

    node: str
    link: Link
    lag_s: float
    """What it shows may be so old."""
    voltage_V: float
    """Between a phase and neutral, for meters that only know watts."""
