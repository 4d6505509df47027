"""Reading: many packed schedules into their timetables, all at once.

Schedules that say the same fields stand together, so that their numbers are one block (blocks.py):
a field of all of them is a column of it. Whatever is not as it should be is found there as a doubt, without
a place; then entries are looked at one by one (entries.check_entry), which finds the fault and names where
it stands.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, pairwise
from operator import attrgetter
from typing import Any

import numpy as np

from actors.energy import packing
from actors.energy.market.arrays import Ints, first_of_each, in_order, whole_numbers
from actors.energy.market.blocks import Block
from actors.energy.market.entries import EMPTY, MOST_ENTRIES, Direction, Row, check_entry, instant
from actors.energy.market.errors import DoubtError, RequestError
from actors.energy.market.patched import Patched
from actors.energy.market.timetables import ABSENT, KINDS, Column, Timetables
from actors.energy.types import EnergyFlowRequest, PackedSchedule, Schedule


def read(
    nodes: Sequence[EnergyFlowRequest], direction: Direction, order: Ints | None = None
) -> Timetables | None:
    """The timetables of some nodes; None where something is in doubt.

    Those that say the same fields are read at once, and least has to be moved for that where they stand
    together in an `order`, of all of them."""
    try:
        if direction == "import":
            told: list[Schedule] = [node.schedule_import for node in nodes]
        else:
            told = [node.schedule_export for node in nodes]
        everywhere = set(map(type, told)) == {PackedSchedule}
        if not everywhere:
            told = [_packed(schedule) for schedule in told]
        places = np.arange(len(told)) if order is None else order
        ordered: Any = told if order is None else in_order(told, order)
        if not everywhere:
            there = [bool(each) for each in ordered]
            ordered, places = list(compress(ordered, there)), places[there]
        return _read(ordered, places, told, direction)
    except _IN_DOUBT:
        return None


_IN_DOUBT = (
    DoubtError,
    packing.PackingError,
    AttributeError,
    TypeError,
    ValueError,
    OverflowError,
    struct.error,
)


def read_again(
    before: Timetables, places: Ints, told: Sequence[Schedule], was: Sequence[Schedule], direction: Direction
) -> Timetables | None:
    """The timetables before, where some nodes say only other numbers, or name others, than they did: the
    most usual change. None where anything else is different, or in doubt."""
    try:
        kind = _KIND(told[0])
        packed: Any = told
        if set(map(type, told)) != {PackedSchedule} or any(
            list(map(_KIND, those)).count(kind) < len(those) for those in (told, was)
        ):
            return None
        return before.with_numbers(places, packed, Block(packed, 0, direction).columns())
    except _IN_DOUBT:
        return None


_KIND = attrgetter("times_us", "fields", "varying", "differing")


def _packed(schedule: Schedule) -> Schedule:
    if isinstance(schedule, PackedSchedule) or not schedule:
        return schedule
    return packing.pack(schedule)


def _read(
    told: Sequence[PackedSchedule], places: Ints, everyone: list[Schedule], direction: Direction
) -> Timetables:
    """Of those who say anything, with the places where they stand among everyone."""
    said = whole_numbers([each.fields for each in told])
    fields = np.zeros(len(everyone), dtype=np.intp)
    fields[places] = said
    times, differing = [each.times_us for each in told], [each.differing for each in told]
    stamps = {times[0]: len(times)} if _are_alike(times) else Counter(times)
    makes = said
    if any(varying := [each.varying for each in told]) or any(differing) or len(stamps) > 1:
        makes = _makes(zip(said.tolist(), varying, differing, map(len, times), strict=True))
    begins = first_of_each(makes)
    if len(set(makes[begins].tolist())) < len(begins):  # those of one make are not together
        order = np.argsort(makes, kind="stable")
        told, times = in_order(told, order), list(in_order(times, order))
        places, begins = places[order], first_of_each(makes[order])
    blocks: list[Block] = []
    for begin, end in pairwise([*begins.tolist(), len(told)]):
        blocks.append(Block(told[begin:end], blocks[-1].rows.stop if blocks else 0, direction))
    times_us = _instants(times[0] * len(times) if len(stamps) == 1 else b"".join(times), blocks)
    count = np.repeat([block.count for block in blocks], [block.size for block in blocks])
    counts = np.ones(len(everyone), dtype=np.intp)
    first = np.full(len(everyone), len(times_us), dtype=np.intp)
    first[places], counts[places] = np.cumsum(count) - count, count
    holders: Any = list(everyone)
    if len(told) < len(everyone):  # one row more, for all that have none
        times_us = np.append(times_us, 0)
        holders = [each or None for each in everyone]
    columns, varied = _columns(blocks, len(times_us))
    hours = [each for each in stamps if len(each) > 8]
    return Timetables(
        first=first,
        count=counts,
        times_us=times_us,
        columns=columns,
        holders=Patched(holders),
        fields=fields,
        starts=_starts(stamps),
        steady=frozenset(field for number, field in enumerate(Row._fields) if number not in varied),
        differing=any(differing),
        hours=np.frombuffer(hours[0], dtype="<i8").astype(np.intp) if len(hours) == 1 else None,
    )


def _makes(kinds: Iterable[Any]) -> Ints:
    """A number for each: the same for those with as many entries that say the same fields."""
    numbers: dict[Any, int] = {}
    return whole_numbers([numbers.setdefault(kind, len(numbers)) for kind in kinds])


def _are_alike(values: list[bytes]) -> bool:
    return bool(values) and values.count(values[0]) == len(values)


def _starts(stamps: Mapping[bytes, int]) -> Counter[int]:
    """How many rows start at each time, of schedules by when their entries do."""
    starts: Counter[int] = Counter()
    for times_us, number in stamps.items():
        for time_us in packing.unpacked_times(times_us):
            starts[time_us] += number
    return starts


def _instants(times_us: bytes, blocks: list[Block]) -> Ints:
    """When the rows of all begin, microseconds since 1970."""
    told_us = np.frombuffer(times_us, dtype="<i8").astype(np.intp, copy=False)
    for block in blocks:
        if block.count > 1 and (np.diff(told_us[block.rows].reshape(-1, block.count)) < 0).any():
            raise DoubtError
    if len(told_us) and not packing.EARLIEST_US <= told_us.min() <= told_us.max() <= packing.LATEST_US:
        raise DoubtError
    return told_us


def _columns(blocks: list[Block], rows: int) -> tuple[list[Column], set[int]]:
    """In the order of Row's fields; what nobody says is no column. And which of them may differ between the
    entries of a member."""
    columns: list[Column] = [None] * len(KINDS)
    varying: set[int] = set()
    for block in blocks:
        for number, values in enumerate(block.columns()):
            if values is None:
                continue
            if values.shape[1] > 1:
                varying.add(number)
            column = columns[number]
            if column is None:
                column = columns[number] = np.full(rows, ABSENT[number], dtype=KINDS[number])
            column[block.rows].reshape(-1, block.count)[...] = values
    silent = blocks[-1].rows.stop if blocks else 0
    for number, (none, absent) in enumerate(zip(EMPTY, ABSENT, strict=True)):
        if silent < rows and none != absent:
            column = columns[number]
            if column is None:
                column = columns[number] = np.full(rows, absent, dtype=KINDS[number])
            column[silent] = none
    return columns, varying


# --- one by one ----------------------------------------------------------------------------------------


def look_carefully(node: EnergyFlowRequest, direction: Direction) -> None:
    """Entry by entry: RequestError with the path of the first fault."""
    name = f"schedule_{direction}"
    try:
        entries = packing.entries_of(getattr(node, name))
    except packing.PackingError as error:
        raise RequestError(name, str(error)) from None
    check_length(entries, name)
    for i, entry in enumerate(entries):
        try:
            instant(entry.timestamp)
            check_entry(entry)
        except RequestError as error:
            raise error.below(f"{name}[{i}]") from None


def check_length(schedule: Sequence[object], name: str) -> None:
    """Refuse a schedule that is too long."""
    if len(schedule) > MOST_ENTRIES:
        raise RequestError(name, f"must have at most {MOST_ENTRIES} entries, has {len(schedule)}")
