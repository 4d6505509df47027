"""Reading: many packed schedules into their timetables, all at once.

Schedules that say the same fields stand together, so that their numbers are one block:
a field of all of them is a column of it. Whatever is not as it should be is found there as a doubt, without
a place; then entries are looked at one by one (entries.check_entry), which finds the fault and names where
it stands.
"""

from __future__ import annotations

import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress, pairwise
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.energy import packing
from actors.energy.market.arrays import Ints, first_of_each, in_order, whole_numbers
from actors.energy.market.entries import (
    EMPTY,
    HUGE,
    MOST_ENTRIES,
    MOST_PHASES,
    Direction,
    Row,
    check_entry,
    instant,
)
from actors.energy.market.errors import DoubtError, RequestError
from actors.energy.market.patched import Patched
from actors.energy.market.timetables import ABSENT, KINDS, Column, Timetables
from actors.energy.types import EnergyFlowRequest, PackedSchedule, Schedule

_LEAST = sys.float_info.min
"""The least number above 0."""


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
    blocks: list[_Block] = []
    for begin, end in pairwise([*begins.tolist(), len(told)]):
        blocks.append(_Block(told[begin:end], blocks[-1].rows.stop if blocks else 0, direction))
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


def _instants(times_us: bytes, blocks: list[_Block]) -> Ints:
    """When the rows of all begin, microseconds since 1970."""
    told_us = np.frombuffer(times_us, dtype="<i8").astype(np.intp, copy=False)
    for block in blocks:
        if block.count > 1 and (np.diff(told_us[block.rows].reshape(-1, block.count)) < 0).any():
            raise DoubtError
    if len(told_us) and not packing.EARLIEST_US <= told_us.min() <= told_us.max() <= packing.LATEST_US:
        raise DoubtError
    return told_us


def _columns(blocks: list[_Block], rows: int) -> tuple[list[Column], set[int]]:
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


class _Block:
    """Schedules with as many entries that say the same fields."""

    def __init__(self, members: Sequence[PackedSchedule], row: int, direction: Direction) -> None:
        one = members[0]
        layout, self.count = packing.layout_of(one)
        values, sources = [each.values for each in members], [each.sources for each in members]
        if (
            self.count > MOST_ENTRIES
            or set(map(len, values)) != {8 * layout.values}
            or set(map(len, sources)) != {layout.sources}
        ):
            raise DoubtError
        self.size = len(members)
        self.rows = slice(row, row + self.size * self.count)
        """Of the timetables, member after member."""
        numbers = np.frombuffer(b"".join(values), dtype="<f8")
        self._numbers = numbers.reshape(len(members), layout.values)
        across = np.ascontiguousarray(self._numbers.T)  # numpy is quick along the last axis
        self._lowest: list[float] = np.minimum.reduce(across, axis=1).tolist()
        self._highest: list[float] = np.maximum.reduce(across, axis=1).tolist()
        self._varying = one.varying
        self._places = {field: place for field, (place, _) in layout.places.items()}
        self._direction = direction

    def columns(self) -> list[Column]:
        """In the order of Row's fields, (members, entries), or 1 for all of either; entries.steps_of says the
        same of one."""
        found: list[Column] = [None] * len(KINDS)
        for field in sorted(self._places, reverse=True):  # the efficiency before what it converts
            rule = _RULES[field]
            values, other = self._values(field, rule), found[rule.column]
            if field == packing.LEAVES + packing.WATT and (efficiency := found[_EFFICIENCY]) is not None:
                values = values / efficiency if self._direction == "import" else values * efficiency
            found[rule.column] = values if other is None else rule.pick(values, other)
        return found

    def _values(self, field: int, rule: _Rule) -> NDArray[Any]:
        """Of a field: (members, entries), or 1 for all of either; absent values filled in."""
        place, most = self._places[field], rule.most
        upto = place + (self.count if self._varying >> field & 1 else 1)
        lowest, highest = self._lowest[place], self._highest[place]
        if upto > place + 1:
            lowest = float(np.minimum.reduce(self._lowest[place:upto]))
            highest = float(np.maximum.reduce(self._highest[place:upto]))
        if lowest == highest:
            values, are_whole = self._numbers[:1, place : place + 1], lowest.is_integer()
        else:
            values = self._numbers[:, place:upto]
            are_whole = not rule.whole or not (values != np.floor(values))[~np.isnan(values)].any()
        if rule.whole and not are_whole:
            raise DoubtError
        if lowest >= rule.least and highest <= most:  # NaN is neither
            return values
        silent = np.isnan(values)
        if most == HUGE:
            values = np.where(values < inf, np.minimum(values, HUGE), values)
        if not ((values >= rule.least) & (values <= most) | silent).all():
            raise DoubtError
        return np.where(silent, rule.absent, values)


class _Rule(NamedTuple):
    """What the numbers of a field may be, and what they come to."""

    column: int
    least: float
    most: float
    absent: float
    pick: Callable[[Any, Any], Any]
    """Of the values of the root side and the leaf side one each."""
    whole: bool = False


def _first_said(absent: float) -> Callable[[Any, Any], Any]:
    return lambda one, other: np.where(one == absent, other, one)


_COLUMN = {name: number for number, name in enumerate(Row._fields)}
_EFFICIENCY = _COLUMN["efficiency"]
_OF_SIDES = (  # in the order of packing's fields
    _Rule(_COLUMN["max_W"], 0.0, HUGE, inf, np.minimum),
    _Rule(_COLUMN["max_A"], 0.0, HUGE, inf, np.minimum),
    _Rule(_COLUMN["min_A"], 0.0, HUGE, 0.0, np.maximum),
    _Rule(_COLUMN["max_phases"], 1.0, MOST_PHASES, MOST_PHASES, np.minimum, whole=True),
    _Rule(_COLUMN["min_phases"], 1.0, MOST_PHASES, 0.0, np.maximum, whole=True),
    _Rule(_COLUMN["may_switch"], 0.0, 1.0, 2.0, _first_said(2.0), whole=True),  # 2 becomes True
    _Rule(_COLUMN["active_phases"], 1.0, MOST_PHASES, 0.0, _first_said(0.0), whole=True),
)
_RULES = (*_OF_SIDES, *_OF_SIDES, _Rule(_EFFICIENCY, _LEAST, 1.0, 1.0, np.minimum))


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
