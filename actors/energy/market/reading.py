"""Reading: many schedules into the columns of their timetables, field by field.

One field of all entries at a time costs a fraction of one entry after the other. Whatever is not as it
should be is found as a doubt, without a place; then entries are read one by one (entries.row_of), which
finds the fault and names where it stands, or accepts what was only unusual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress
from math import inf
from operator import attrgetter
from typing import Any

import numpy as np

from actors.energy.market.entries import EMPTY, HUGE, MOST_PHASES, Direction, Row, instant, row_of
from actors.energy.market.errors import RequestError
from actors.energy.market.timetables import ABSENT, KINDS, Column, Timetables
from actors.energy.types import (
    EnergyFlowRequest,
    IntegerWithSource,
    LimitsReq,
    NumberWithSource,
    ScheduleReqEntry,
)

MOST_ENTRIES = 20_000
"""Entries of one schedule."""
NO_LIMITS = LimitsReq()
_NONE = type(None)
Values = list[Any] | None
"""Of one field; None where it is absent everywhere."""


class _DoubtError(Exception):
    """Something is not as it mostly is."""


def read(nodes: Sequence[EnergyFlowRequest], direction: Direction) -> Timetables | None:
    """The timetables of some nodes; None where something is in doubt."""
    try:
        schedules = list(map(attrgetter(f"schedule_{direction}"), nodes))
        counts = list(map(len, schedules))
        entries = list(chain.from_iterable(schedules))
        if max(counts, default=0) > MOST_ENTRIES:
            return None
        texts = list(map(attrgetter("timestamp"), entries))
        uses = Counter(texts)
        instants = {text: instant(text) for text in uses}
        times_us = list(map(instants.__getitem__, texts))
        _sort(counts, times_us, entries)
        columns = _columns(entries, direction)
    except (_DoubtError, RequestError, AttributeError, TypeError, OverflowError):
        return None
    starts: Counter[int] = Counter()
    for text, count in uses.items():
        starts[instants[text]] += count
    return _timetables(counts, times_us, columns, entries, starts)


def read_carefully(
    nodes: Sequence[EnergyFlowRequest], direction: Direction, rows: list[list[Row]]
) -> Timetables:
    """The same of what `careful_rows` accepted."""
    schedules = [getattr(node, f"schedule_{direction}") for node in nodes]
    counts = list(map(len, schedules))
    entries: list[ScheduleReqEntry] = list(chain.from_iterable(schedules))
    times_us = [instant(entry.timestamp) for entry in entries]
    row_by_entry = {id(entry): row for entry, row in zip(entries, chain.from_iterable(rows), strict=True)}
    starts = Counter(times_us)
    _sort(counts, times_us, entries)
    columns: list[Values] = [list(each) for each in zip(*(row_by_entry[id(e)] for e in entries), strict=True)]
    return _timetables(counts, times_us, columns or [None] * len(Row._fields), entries, starts)


def careful_rows(node: EnergyFlowRequest, direction: Direction) -> list[Row]:
    """Entry by entry; RequestError with the path of the first fault."""
    name = f"schedule_{direction}"
    schedule = getattr(node, name)
    check_length(schedule, name)
    rows = []
    for i, entry in enumerate(schedule):
        try:
            instant(entry.timestamp)
            rows.append(row_of(entry, direction))
        except RequestError as error:
            raise error.below(f"{name}[{i}]") from None
    return rows


def check_length(schedule: Sequence[object], name: str) -> None:
    """Refuse a schedule that is too long."""
    if len(schedule) > MOST_ENTRIES:
        raise RequestError(name, f"must have at most {MOST_ENTRIES} entries, has {len(schedule)}")


def _timetables(
    counts: list[int],
    times_us: list[int],
    columns: list[Values],
    entries: list[ScheduleReqEntry],
    starts: Counter[int],
) -> Timetables:
    count = np.array(counts, dtype=np.intp)
    first = np.cumsum(count) - count
    holding: list[ScheduleReqEntry | None] = list(entries)
    empty = 0 in counts
    if empty:  # one row more, for all that have none
        first[count == 0] = len(entries)
        count[count == 0] = 1
        holding.append(None)
        times_us = [*times_us, 0]
    arrays: list[Column] = []
    for values, absent, none, kind in zip(columns, ABSENT, EMPTY, KINDS, strict=True):
        if empty and (values is not None or none != absent):
            values = [*(values if values is not None else [absent] * len(entries)), none]
        arrays.append(None if values is None else np.array(values, dtype=kind))
    return Timetables(first, count, np.array(times_us, dtype=np.intp), arrays, holding, starts)


def _sort(counts: list[int], times_us: list[int], entries: list[Any]) -> None:
    """Each node's by time, in place; those with the same time stay in order."""
    if max(counts, default=0) < 2:
        return
    begin = 0
    for count in counts:
        end = begin + count
        if count > 1:
            own = times_us[begin:end]
            if own != sorted(own):
                order = sorted(range(begin, end), key=times_us.__getitem__)
                times_us[begin:end] = [times_us[i] for i in order]
                entries[begin:end] = [entries[i] for i in order]
        begin = end


def _columns(entries: list[ScheduleReqEntry], direction: Direction) -> list[Values]:
    """In the order of Row's fields; entries.row_of says the same of one entry."""
    root = list(map(attrgetter("limits_to_root"), entries))
    leaf = list(map(attrgetter("limits_to_leaves"), entries))
    if not set(map(type, root)) | set(map(type, leaf)) <= {LimitsReq}:
        raise _DoubtError
    sides = [root] if leaf.count(NO_LIMITS) == len(leaf) else [root, leaf]
    efficiency = _efficiencies(entries)

    def both(read: Callable[..., Values], field: str, absent: float, pick: Callable[..., Any]) -> Values:
        return _merged([read(side, field, absent) for side in sides], pick)

    power_W = [_numbers(side, "total_power_W", inf) for side in sides]
    if efficiency is not None and len(power_W) > 1 and power_W[1] is not None:
        converted = zip(power_W[1], efficiency, strict=True)
        power_W[1] = [W / e if direction == "import" else W * e for W, e in converted]
    active = both(_phases, "ac_number_of_active_phases", 0, lambda one, other: one or other)
    changing = _merged([_flags(side) for side in sides], lambda one, other: other if one is None else one)
    return [
        both(_numbers, "ac_max_current_A", inf, min),
        _merged(power_W, min),
        both(_numbers, "ac_min_current_A", 0.0, max),
        both(_counts, "ac_max_phase_count", MOST_PHASES, min),
        both(_counts, "ac_min_phase_count", 0, max),
        efficiency,
        active,
        None if changing is None else [may is not False for may in changing],
    ]


def _merged(sides: list[Values], pick: Callable[..., Any]) -> Values:
    """Of the values of both sides one each."""
    found = [values for values in sides if values is not None]
    if len(found) < 2:
        return found[0] if found else None
    return list(map(pick, *found))


def _present(items: Iterable[Any], field: str, kind: type) -> tuple[list[Any], bool] | None:
    """A field of all, and whether some have none; None where none has it."""
    found = list(map(attrgetter(field), items))
    types = set(map(type, found))
    if types == {_NONE} or not types:
        return None
    if not types <= {_NONE, kind}:
        raise _DoubtError
    return found, _NONE in types


def _with_source(
    items: Iterable[Any], field: str, absent: float, kind: type, numbers: set[type]
) -> tuple[list[Any], list[Any]] | None:
    """Values of numbers with a source, and those of them that are present."""
    present = _present(items, field, kind)
    if present is None:
        return None
    found, some_absent = present
    values = list(map(attrgetter("value"), compress(found, found) if some_absent else found))
    if not set(map(type, values)) <= numbers:
        raise _DoubtError
    if not some_absent:
        return values, values
    following = iter(values)
    return [absent if each is None else next(following) for each in found], values


def _numbers(items: Iterable[Any], field: str, absent: float) -> Values:
    read = _with_source(items, field, absent, NumberWithSource, {int, float})
    if read is None:
        return None
    values, present = read
    # A sum is finite only where all of it is.
    if not (abs(sum(present)) < inf and min(present) >= 0.0 and max(present) <= HUGE):
        raise _DoubtError
    return values


def _counts(items: Iterable[Any], field: str, absent: float) -> Values:
    read = _with_source(items, field, absent, IntegerWithSource, {int})
    if read is None:
        return None
    values, present = read
    if not (min(present) >= 1 and max(present) <= MOST_PHASES):
        raise _DoubtError
    return values


def _phases(items: Iterable[Any], field: str, absent: float) -> Values:
    present = _present(items, field, int)
    if present is None:
        return None
    values = [0 if each is None else each for each in present[0]]
    if not all(1 <= each <= MOST_PHASES for each in {each for each in present[0] if each is not None}):
        raise _DoubtError
    return values


def _flags(items: Iterable[Any]) -> Values:
    present = _present(items, "ac_supports_changing_phases_during_charging", bool)
    return None if present is None else present[0]


def _efficiencies(entries: list[ScheduleReqEntry]) -> Values:
    present = _present(entries, "conversion_efficiency", float)
    if present is None:
        return None
    values = [1.0 if each is None else each for each in present[0]]
    if not (abs(sum(values)) < inf and min(values) > 0.0 and max(values) <= 1.0):
        raise _DoubtError
    return values
