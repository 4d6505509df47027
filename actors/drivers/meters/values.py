"""From what a meter says to currents, or to why they are none. Pure."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from actors.drivers.meters.links import WATTS, Job, MqttMeter, RegisterMap, Unit
from actors.energy.fixed_load import MeterReading

SPREAD_S = 0.5
"""Phases that come in messages of their own come together within this, or are no reading."""
SHOWN = 40
"""Characters of what is no reading, for people."""
BLOCK_MAX = 125
"""Registers of one request; the protocol has no more."""

_NUMBER = re.compile(r"\s*[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\s*", re.ASCII)
_FORMATS = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}
_NOT_AVAILABLE = {
    "int16": (0x7FFF, -0x8000),
    "uint16": (0xFFFF,),
    "int32": (0x7FFFFFFF, -0x80000000),
    "uint32": (0xFFFFFFFF,),
    "float32": (),
}
"""What meters say when they do not know."""


class NotAReadingError(Exception):
    """What was heard is no reading; the text says why, for people."""


def ampere(value: float, unit: Unit, voltage_V: float) -> float:
    """A phase's current."""
    if not math.isfinite(value):
        raise NotAReadingError(f"it shows {value} {unit}")
    in_unit = value / 1000 if unit == "mA" else value * 1000 if unit == "kW" else value
    return in_unit / voltage_V if unit in WATTS else in_unit


def reading(currents_A: Sequence[float], t_meter_s: float | None = None) -> MeterReading:
    """Of one to three phases."""
    L1, L2, L3 = (*currents_A, 0.0, 0.0)[:3]
    return MeterReading(currents_A=(L1, L2, L3), t_meter_s=t_meter_s)


# --- messages ----------------------------------------------------------------------------------------


class Assembly:
    """What a broker's messages of one meter come to. Times are monotonic seconds."""

    def __init__(self, job: Job) -> None:
        assert isinstance(job.link, MqttMeter)
        self._link = job.link
        self._voltage_V = job.voltage_V
        self._places = job.link.places()
        self._found: dict[int, tuple[float, float]] = {}
        """Of each phase, ampere and since when."""

    def take(self, now_s: float, topic: str, payload: bytes) -> MeterReading | None:
        """A message came: a reading, or None where phases are still to come. Raises NotAReadingError."""
        content = _content(payload)
        mine = [(n, path) for n, (where, path) in enumerate(self._places) if where == topic]
        found = {n: (self._ampere(content, path), now_s) for n, path in mine}
        t_meter_s = None if self._link.clock is None else _clock(content, self._link.clock)
        self._found = {n: old for n, old in self._found.items() if old[1] >= now_s - SPREAD_S} | found
        if len(self._found) < len(self._places):
            return None
        currents_A = [self._found[n][0] for n in range(len(self._places))]
        self._found = {}
        return reading(currents_A, t_meter_s)

    def _ampere(self, content: Any, path: str | None) -> float:
        value = content if path is None else _at(content, path)
        number = _number(value)
        if number is None:
            where = "" if path is None else f"{path} is "
            raise NotAReadingError(f"{where}{_shown(value)}, no number")
        return ampere(number, self._link.unit, self._voltage_V)


def _content(payload: bytes) -> Any:
    """JSON, or text with a number."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = payload[:SHOWN].decode(errors="replace")
        if len(payload) <= SHOWN and _NUMBER.fullmatch(text):
            return text
        raise NotAReadingError(f"a message is neither JSON nor a number: {_shown(text)}") from None


def _at(content: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(content, dict) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            raise NotAReadingError(f"there is no {path} in a message")
    return content


def _number(value: Any) -> float | None:
    """Also one in text, as some send; huge ones are infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and (len(value) > SHOWN or not _NUMBER.fullmatch(value)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _clock(content: Any, path: str) -> float:
    value = _at(content, path)
    number = _number(value)
    if number is None and isinstance(value, str) and len(value) <= SHOWN:
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError, OSError):
            pass
    if number is None or not math.isfinite(number):
        raise NotAReadingError(f"{path} is {_shown(value)}, neither a number nor a time")
    return number


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, int | float) else repr(value)
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= SHOWN else f"{plain[: SHOWN - 1]}…"


# --- registers ---------------------------------------------------------------------------------------


def blocks(registers: RegisterMap) -> list[tuple[int, int]]:
    """What to ask for: first register and count, phases that stand side by side in one."""
    found: list[tuple[int, int]] = []
    width = registers.width()
    for address in sorted(registers.addresses):
        if found and sum(found[-1]) == address and found[-1][1] + width <= BLOCK_MAX:
            found[-1] = (found[-1][0], found[-1][1] + width)
        else:
            found.append((address, width))
    return found


def currents(registers: RegisterMap, read: dict[int, int], voltage_V: float) -> MeterReading:
    """Of the registers that were read, by address. Raises NotAReadingError."""
    return reading(
        [ampere(_value(registers, read, a), registers.unit, voltage_V) for a in registers.addresses]
    )


def _value(registers: RegisterMap, read: dict[int, int], address: int) -> float:
    words = [read[address + n] for n in range(registers.width())]
    if registers.word_order == "little":
        words.reverse()
    packed = b"".join(word.to_bytes(2, "big") for word in words)
    (value,) = struct.unpack(_FORMATS[registers.type], packed)
    if value in _NOT_AVAILABLE[registers.type]:
        raise NotAReadingError(f"register {address} says that it does not know")
    return float(value) * registers.scale
