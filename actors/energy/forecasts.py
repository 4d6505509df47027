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

Numbers = NDArray[np.int32]


def packed(
    times: tuple[str, ...],
    current_A: NDArray[np.float64],
    power_W: NDArray[np.float64],
    phases: NDArray[np.int8],
    texts: NDArray[np.object_],
    sources: Numbers,
    phase_sources: Numbers,
) -> list[PackedForecast]:
    """Of many EVSEs, from arrays of (EVSEs, slots); sources are numbers of `texts`."""
    return list(
        map(
            PackedForecast,
            repeat(times),
            _rows(current_A.astype("<f8", copy=False), ~np.isnan(current_A)),
            _rows(power_W.astype("<f8", copy=False), ~np.isnan(power_W)),
            _rows(phases, phases > 0),
            *_chosen(texts, sources),
            *_chosen(texts, phase_sources),
        )
    )


def _rows(values: NDArray[Any], there: NDArray[np.bool_]) -> Iterable[bytes]:
    """The bytes of each row; none where nothing is there."""
    has: list[bool] = np.asarray(there.any(axis=1)).tolist()
    if not any(has):
        return repeat(b"")
    rows = _bytes(values)
    return rows if all(has) else [row if some else b"" for row, some in zip(rows, has, strict=True)]


def _bytes(values: NDArray[Any]) -> list[bytes]:
    data, width = values.tobytes(), values.shape[1] * values.itemsize
    return [data[at : at + width] for at in range(0, len(data), width)]


def _chosen(texts: NDArray[np.object_], numbers: Numbers) -> tuple[list[str | tuple[str, ...]], list[bytes]]:
    """The text of each row, or its different ones and which of them stands where."""
    sources: list[str | tuple[str, ...]] = texts[numbers[:, 0]].tolist()
    choices = [b""] * len(sources)
    several = np.flatnonzero((numbers != numbers[:, :1]).any(axis=1))
    if len(several):
        kinds, which = _kinds(numbers[several])
        counts = (which.max(axis=1) + 1).tolist()
        found = zip(*[texts[kind].tolist() for kind in kinds], strict=True)
        for row, own, count, choice in zip(several.tolist(), found, counts, _bytes(which), strict=True):
            sources[row], choices[row] = tuple(own[:count]), choice
    return sources, choices


def _kinds(numbers: Numbers) -> tuple[list[Numbers], NDArray[np.uint16]]:
    """The first number of each row, the second one that is another, and so on, as many as any row has; and
    which of them stands where."""
    which = np.zeros(numbers.shape, dtype="<u2")
    rest = numbers != numbers[:, :1]
    kinds, everyone = [numbers[:, 0]], np.arange(len(numbers))
    while rest.any():
        kind = numbers[everyone, rest.argmax(axis=1)]
        same = rest & (numbers == kind[:, np.newaxis])
        which[same] = len(kinds)
        kinds.append(kind)
        rest &= ~same
    return kinds, which


def forecast_of(limits: EnforcedLimits) -> tuple[ScheduleResEntry, ...]:
    """The forecast as entries; ValueError for a packed one whose parts do not fit each other."""
    packed = limits.schedule
    if isinstance(packed, tuple):
        return packed
    count = len(packed.times)
    sources = _each(packed.sources, packed.sourced, count)
    phase_sources = _each(packed.phase_sources, packed.phases_sourced, count)
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


def _each(texts: str | tuple[str, ...], choices: bytes, count: int) -> tuple[str, ...]:
    """One a slot."""
    if isinstance(texts, str):
        return (texts,) * count
    if len(choices) != 2 * count or max(chosen := struct.unpack(f"<{count}H", choices)) >= len(texts):
        raise ValueError(f"{len(texts)} sources are chosen from wrongly in a forecast of {count} slots")
    return tuple([texts[which] for which in chosen])


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
