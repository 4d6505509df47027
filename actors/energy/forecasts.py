"""Forecasts: the limits of slots to come, packed as numbers, and as the entries that they stand for.

A large site has hundreds of thousands of them: as objects, three or four a slot, they would cost more than
all trading, and hardly anybody reads them. So they stay numbers until somebody does: little-endian, slot
after slot, NaN and 0 standing for what is not there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import repeat
from math import isnan
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from actors.energy.types import (
    EnforcedLimits,
    IntegerWithSource,
    LimitsRes,
    NumberWithSource,
    PackedForecast,
    ScheduleResEntry,
)

Objects = NDArray[np.object_]


def packed(
    times: tuple[str, ...],
    current_A: NDArray[np.float64],
    power_W: NDArray[np.float64],
    phases: NDArray[np.int8],
    sources: Objects,
    phase_sources: Objects,
) -> list[PackedForecast]:
    """Of many EVSEs, from arrays of (EVSEs, slots)."""
    return list(
        map(
            PackedForecast,
            repeat(times),
            _rows(current_A.astype("<f8", copy=False), ~np.isnan(current_A)),
            _rows(power_W.astype("<f8", copy=False), ~np.isnan(power_W)),
            _rows(phases, phases > 0),
            _texts(sources),
            _texts(phase_sources),
        )
    )


def _rows(values: NDArray[Any], there: NDArray[np.bool_]) -> Iterable[bytes]:
    """The bytes of each row; none where nothing is there."""
    has: list[bool] = np.asarray(there.any(axis=1)).tolist()
    if not any(has):
        return repeat(b"")
    data, width = values.tobytes(), values.shape[1] * values.itemsize
    rows = [data[at : at + width] for at in range(0, len(data), width)]
    return rows if all(has) else [row if some else b"" for row, some in zip(rows, has, strict=True)]


def _texts(texts: Objects) -> list[str | tuple[str, ...]]:
    """The texts of each row; one where all are the same."""
    found: list[str | tuple[str, ...]] = texts[:, 0].tolist()
    for i in np.flatnonzero((texts != texts[:, :1]).any(axis=1)).tolist():
        found[i] = tuple(texts[i].tolist())
    return found


def forecast_of(limits: EnforcedLimits) -> tuple[ScheduleResEntry, ...]:
    """The forecast as entries; ValueError for a packed one whose parts do not fit each other."""
    packed = limits.schedule
    if isinstance(packed, tuple):
        return packed
    count = len(packed.times)
    sources, phase_sources = _each(packed.sources, count), _each(packed.phase_sources, count)
    counts = packed.phases or bytes(count)
    if len(counts) != count:
        raise ValueError(f"{len(counts)} phase counts in a forecast of {count} slots")
    phases = [
        IntegerWithSource(number, source) if number else None
        for number, source in zip(counts, phase_sources, strict=True)
    ]
    held = map(LimitsRes, _amounts(packed.power_W, sources), _amounts(packed.current_A, sources), phases)
    return tuple(map(ScheduleResEntry, packed.times, held))


def unpacked(limits: EnforcedLimits) -> EnforcedLimits:
    """With the forecast as entries, as EVerest's JSON has it."""
    if isinstance(limits.schedule, tuple):
        return limits
    return replace(limits, schedule=forecast_of(limits))


def _each(texts: str | tuple[str, ...], count: int) -> tuple[str, ...]:
    """One a slot."""
    if isinstance(texts, str):
        return (texts,) * count
    if len(texts) != count:
        raise ValueError(f"{len(texts)} sources in a forecast of {count} slots")
    return texts


def _amounts(data: bytes, sources: tuple[str, ...]) -> list[NumberWithSource | None]:
    if not data:
        return [None] * len(sources)
    if len(data) != 8 * len(sources):
        raise ValueError(f"{len(data)} bytes of numbers in a forecast of {len(sources)} slots")
    values = struct.unpack(f"<{len(sources)}d", data)
    return [
        None if isnan(value) else NumberWithSource(value, source)
        for value, source in zip(values, sources, strict=True)
    ]
