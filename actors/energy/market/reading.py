"""Reading: many schedules into their timetables, all at once (columns.py).

Whatever is not as it should be is found there as a doubt, without a place; then entries are read one by
one (entries.row_of), which finds the fault and names where it stands, or accepts what was only unusual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from actors.energy.market.columns import DoubtError, all_columns
from actors.energy.market.entries import EMPTY, Direction, Row, instant, row_of
from actors.energy.market.errors import RequestError
from actors.energy.market.timetables import ABSENT, KINDS, Column, Said, Timetables
from actors.energy.types import EnergyFlowRequest, ScheduleReqEntry

MOST_ENTRIES = 20_000
"""Entries of one schedule."""


def read(nodes: Sequence[EnergyFlowRequest], direction: Direction) -> Timetables | None:
    """The timetables of some nodes; None where something is in doubt."""
    try:
        if direction == "import":
            schedules = [node.schedule_import for node in nodes]
        else:
            schedules = [node.schedule_export for node in nodes]
        counts = list(map(len, schedules))
        entries = list(chain.from_iterable(schedules))
        if max(counts, default=0) > MOST_ENTRIES:
            return None
        times_us = list(map(_Instants().__getitem__, [entry.timestamp for entry in entries]))
        _sort(counts, times_us, entries)
        columns, said = all_columns(entries, direction)
    except (DoubtError, RequestError, AttributeError, TypeError, OverflowError):
        return None
    return _timetables(counts, times_us, columns, entries, said)


class _Instants(dict[str, int]):
    """Each text is parsed once, as most entries of a tree start together."""

    def __missing__(self, text: str) -> int:
        self[text] = time_us = instant(text)
        return time_us


def read_carefully(
    nodes: Sequence[EnergyFlowRequest], direction: Direction, rows: list[list[tuple[int, Row]]]
) -> Timetables:
    """The same of what `careful_rows` accepted."""
    schedules = [getattr(node, f"schedule_{direction}") for node in nodes]
    counts = list(map(len, schedules))
    entries: list[ScheduleReqEntry] = list(chain.from_iterable(schedules))
    stamped = list(chain.from_iterable(rows))
    times_us = [at_us for at_us, _ in stamped]
    row_by_entry = {id(entry): row for entry, (_, row) in zip(entries, stamped, strict=True)}
    _sort(counts, times_us, entries)
    values = list(zip(*(row_by_entry[id(entry)] for entry in entries), strict=True))
    columns: list[Column] = [None for _ in KINDS]
    if values:
        columns = [np.array(each, dtype=kind) for each, kind in zip(values, KINDS, strict=True)]
    said = Said(None, None, None)
    return _timetables(counts, times_us, columns, entries, said)


def careful_rows(node: EnergyFlowRequest, direction: Direction) -> list[tuple[int, Row]]:
    """Entry by entry, each with its instant; RequestError with the path of the first fault."""
    name = f"schedule_{direction}"
    schedule = getattr(node, name)
    check_length(schedule, name)
    rows: list[tuple[int, Row]] = []
    for i, entry in enumerate(schedule):
        try:
            rows.append((instant(entry.timestamp), row_of(entry, direction)))
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
    columns: Sequence[Column],
    entries: list[ScheduleReqEntry],
    said: Said,
) -> Timetables:
    count = np.array(counts, dtype=np.intp)
    first = np.cumsum(count) - count
    starts = Counter(times_us)
    holding: list[ScheduleReqEntry | None] = list(entries)
    columns = list(columns)
    if 0 in counts:  # one row more, for all that have none
        first[count == 0] = len(entries)
        count[count == 0] = 1
        for i, (values, absent, none, kind) in enumerate(zip(columns, ABSENT, EMPTY, KINDS, strict=True)):
            if values is None and none != absent:
                values = np.full(len(entries), absent, dtype=kind)
            if values is not None:
                columns[i] = np.append(values, kind(none))
        holding.append(None)
        times_us = [*times_us, 0]
        for rows in said:
            if rows is not None:
                rows.append(None)
    return Timetables(first, count, np.array(times_us, dtype=np.intp), columns, holding, starts, said)


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
