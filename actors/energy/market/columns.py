"""Columns: many entries as numbers, field by field.

One field of all entries at a time costs a fraction of one entry after the other; what an entry comes to
is told in entries.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import chain
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.entries import HUGE, MOST_PHASES, Direction
from actors.energy.market.timetables import ABSENT, KINDS, Column, Said
from actors.energy.types import IntegerWithSource, LimitsReq, NumberWithSource, ScheduleReqEntry

NO_LIMITS = LimitsReq()
CHUNK = 2000
"""Entries that are read together."""
FEW = 200
"""Fewer values than this are looked at sooner as they are than as an array."""
_NONE = type(None)
_PHASE_COUNTS = set(range(1, MOST_PHASES + 1))
_LEAST = sys.float_info.min
"""The least number above 0."""


class DoubtError(Exception):
    """Something is not as it mostly is."""


def all_columns(entries: list[ScheduleReqEntry], direction: Direction) -> tuple[list[Column], Said]:
    """Chunk by chunk, so that entries stay in the processor's cache while their fields are read."""
    columns: list[Column] = [None for _ in KINDS]
    said: list[Said] = []
    if len(entries) <= CHUNK:
        return _columns(entries, direction)
    for at in range(0, len(entries), CHUNK):
        values_of_chunk, more = _columns(entries[at : at + CHUNK], direction)
        said.append(more)
        for i, values in enumerate(values_of_chunk):
            if values is not None:
                if (column := columns[i]) is None:
                    column = columns[i] = np.full(len(entries), ABSENT[i], dtype=KINDS[i])
                column[at : at + CHUNK] = values
    return columns, Said(
        *(None if None in own else list(chain.from_iterable(own)) for own in zip(*said, strict=True))
    )


def _columns(entries: list[ScheduleReqEntry], direction: Direction) -> tuple[list[Column], Said]:
    """In the order of Row's fields; entries.row_of says the same of one entry."""
    root = [entry.limits_to_root for entry in entries]
    leaf = [entry.limits_to_leaves for entry in entries]
    if not set(map(type, root)) | set(map(type, leaf)) <= {LimitsReq}:
        raise DoubtError
    one, other = _side(root), _SILENT if leaf.count(NO_LIMITS) == len(leaf) else _side(leaf)
    efficiency = _efficiencies(entries)
    leaf_W = other.max_W
    if efficiency is not None and leaf_W is not None:
        leaf_W = leaf_W / efficiency if direction == "import" else leaf_W * efficiency
    may_switch = None
    if False in {*(one.may_switch or ()), *(other.may_switch or ())}:
        nothing = [None] * len(entries)
        both = zip(one.may_switch or nothing, other.may_switch or nothing, strict=True)
        may_switch = np.array([(b if a is None else a) is not False for a, b in both], dtype=np.bool_)
    active = _merged(lambda a, b: np.where(a > 0, a, b), one.active_phases, other.active_phases)
    columns = [
        _merged(np.minimum, one.max_A, other.max_A),
        _merged(np.minimum, one.max_W, leaf_W),
        _merged(np.maximum, one.min_A, other.min_A),
        _merged(np.minimum, one.max_phases, other.max_phases),
        _merged(np.maximum, one.min_phases, other.min_phases),
        efficiency,
        active,
        may_switch,
    ]
    A, W, phases = one.said
    said = Said(
        A if other.max_A is None else None,
        W if other.max_W is None else None,
        phases if other.max_phases is None and _all_named(phases or ()) else None,
    )
    return columns, said


def _all_named(found: Sequence[IntegerWithSource | None]) -> bool:
    """Whether all that is there says who set it."""
    return "" not in [each.source for each in found if each is not None]


def _merged(pick: Callable[[Any, Any], Any], one: Column, other: Column) -> Column:
    """Of the values of both sides one each."""
    if one is None or other is None:
        return other if one is None else one
    return np.asarray(pick(one, other))


class _Side(NamedTuple):
    """Limits on one side of all entries; as Row's."""

    max_A: Column
    max_W: Column
    min_A: Column
    max_phases: Column
    min_phases: Column
    active_phases: Column
    may_switch: list[bool | None] | None
    said: Said


_SILENT = _Side(None, None, None, None, None, None, None, Said(None, None, None))


def _side(sides: list[LimitsReq]) -> _Side:
    max_A = [each.ac_max_current_A for each in sides]
    max_W = [each.total_power_W for each in sides]
    max_phases = [each.ac_max_phase_count for each in sides]
    return _Side(
        max_A=_numbers(max_A, inf),
        max_W=_numbers(max_W, inf),
        min_A=_numbers([each.ac_min_current_A for each in sides], 0.0),
        max_phases=_counts(max_phases, MOST_PHASES),
        min_phases=_counts([each.ac_min_phase_count for each in sides], 0),
        active_phases=_phases([each.ac_number_of_active_phases for each in sides]),
        may_switch=_flags([each.ac_supports_changing_phases_during_charging for each in sides]),
        said=Said(max_A, max_W, max_phases),
    )


def _numbers(found: list[NumberWithSource | None], absent: float) -> Column:
    if not any(found):
        return None
    values = [each.value for each in found if each is not None]
    if not set(map(type, values)) <= {int, float}:
        raise DoubtError
    array = np.array(values, dtype=np.float64)
    if not _within(values, array, 0.0, HUGE):
        raise DoubtError
    if len(values) == len(found):
        return array
    return np.array([absent if each is None else each.value for each in found])


def _counts(found: list[IntegerWithSource | None], absent: int) -> Column:
    if not any(found):
        return None
    return _small(found, [each.value for each in found if each is not None], absent)


def _phases(found: list[int | None]) -> Column:
    if set(found) == {None}:
        return None
    return _small(found, [each for each in found if each is not None], 0)


def _small(found: Sequence[object], values: list[int], absent: int) -> Column:
    """Phase counts, of which there are few different ones."""
    if not (set(values) <= _PHASE_COUNTS and set(map(type, values)) <= {int}):
        raise DoubtError
    array = np.frombuffer(bytes(values), dtype=np.int8)
    return array if len(values) == len(found) else _spread(array, found, absent)


def _spread(present: NDArray[Any], found: Sequence[object], absent: float) -> NDArray[Any]:
    """The values that are there in their places."""
    values = np.full(len(found), absent, dtype=present.dtype)
    values[[each is not None for each in found]] = present
    return values


def _flags(found: list[bool | None]) -> list[bool | None] | None:
    kinds = set(map(type, found))
    if not kinds <= {_NONE, bool}:
        raise DoubtError
    return found if bool in kinds else None


def _efficiencies(entries: list[ScheduleReqEntry]) -> Column:
    found = [entry.conversion_efficiency for entry in entries]
    values = [each for each in found if each is not None]
    if not values:
        return None
    array = np.array(values, dtype=np.float64)
    if set(map(type, values)) != {float} or not _within(values, array, _LEAST, 1.0):
        raise DoubtError
    return array if len(values) == len(found) else _spread(array, found, 1.0)


def _within(values: list[Any], array: NDArray[np.float64], least: float, most: float) -> bool:
    """Whether all are in a range, NaN being in none; few are looked at as they are."""
    if len(values) < FEW:
        return bool(least <= min(values) and max(values) <= most and sum(values) < inf)
    return bool(array.min() >= least and array.max() <= most)
