"""Reading: many packed schedules into their timetables, all at once.

Schedules that say the same fields stand together, so that their numbers are one block:
a field of all of them is a column of it. Whatever is not as it should be is found there as a doubt, without
a place; then entries are looked at one by one (entries.check_entry), which finds the fault and names where
it stands.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from math import inf
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.energy import packing
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
from actors.energy.market.errors import RequestError
from actors.energy.market.timetables import ABSENT, KINDS, Column, Timetables
from actors.energy.types import EnergyFlowRequest, PackedSchedule, Schedule

_LEAST = sys.float_info.min
"""The least number above 0."""


class DoubtError(Exception):
    """Something is not as it should be."""


def read(nodes: Sequence[EnergyFlowRequest], direction: Direction) -> Timetables | None:
    """The timetables of some nodes; None where something is in doubt."""
    try:
        if direction == "import":
            told: list[Schedule] = [node.schedule_import for node in nodes]
        else:
            told = [node.schedule_export for node in nodes]
        if not set(map(type, told)) <= {PackedSchedule}:
            told = [_packed(schedule) for schedule in told]
        return _read(told, direction)  # type: ignore[arg-type]  # all are packed, or empty
    except (DoubtError, packing.PackingError, AttributeError, TypeError, ValueError, OverflowError):
        return None


def _packed(schedule: Schedule) -> Schedule:
    if isinstance(schedule, PackedSchedule) or not schedule:
        return schedule
    return packing.pack(schedule)


def _read(schedules: list[PackedSchedule], direction: Direction) -> Timetables:
    groups, silent = _alike(schedules)
    first = np.zeros(len(schedules), dtype=np.intp)
    count = np.ones(len(schedules), dtype=np.intp)
    blocks: list[tuple[int, list[Column]]] = []
    times_us: list[NDArray[np.intp]] = []
    holders: list[PackedSchedule | None] = []
    starts: Counter[int] = Counter()
    varying: set[int] = set()
    hours: set[bytes] = set()
    rows = 0
    for places in groups:
        members = schedules if len(places) == len(schedules) else [schedules[place] for place in places]
        block = _Block(members, direction)
        first[places] = rows + np.arange(len(places)) * block.count
        count[places] = block.count
        times_us.append(block.times_us)
        for stamps, number in Counter([each.times_us for each in members]).items():
            for time_us in packing.unpacked_times(stamps):
                starts[time_us] += number
            if block.count > 1:
                hours.add(stamps)
        holders += members
        size = block.count * len(places)
        blocks.append((size, block.columns(varying)))
        rows += size
    if silent:  # one row more, for all that have none
        first[silent] = rows
        times_us.append(np.zeros(1, dtype=np.intp))
        blocks.append((1, [np.array([none], dtype=kind) for none, kind in zip(EMPTY, KINDS, strict=True)]))
        holders.append(None)
    begins = np.concatenate([first[places] for places in (*groups, silent[:1])])
    return Timetables(
        first,
        count,
        np.concatenate([*times_us, _NO_TIMES]),
        _joined(blocks),
        holders,
        begins,
        starts,
        frozenset(field for number, field in enumerate(Row._fields) if number not in varying),
        np.frombuffer(hours.pop(), dtype="<i8").astype(np.intp) if len(hours) == 1 else None,
    )


def _alike(schedules: list[PackedSchedule]) -> tuple[list[list[int]], list[int]]:
    """Places of those with as many entries that say the same fields, and of those without any."""
    silent = [place for place, each in enumerate(schedules) if not each] if not all(schedules) else []
    told = [each for each in schedules if each] if silent else schedules
    sizes = map(len, map(_TIMES, told))
    keys = list(zip(sizes, map(_FIELDS, told), strict=True))
    if len(set(keys)) <= 1:
        return [[place for place, each in enumerate(schedules) if each]] if keys else [], silent
    groups: defaultdict[Any, list[int]] = defaultdict(list)
    places = (place for place, each in enumerate(schedules) if each) if silent else range(len(keys))
    for place, key in zip(places, keys, strict=True):
        groups[key].append(place)
    return list(groups.values()), silent


_TIMES, _FIELDS = attrgetter("times_us"), attrgetter("fields", "varying", "differing")
_NO_TIMES = np.zeros(0, dtype=np.intp)


def _joined(blocks: list[tuple[int, list[Column]]]) -> list[Column]:
    """Below one another; what nobody says is no column."""
    columns: list[Column] = []
    for number, (absent, kind) in enumerate(zip(ABSENT, KINDS, strict=True)):
        parts = [(size, columns_of[number]) for size, columns_of in blocks]
        if all(part is None or (size == 1 and part[0] == absent) for size, part in parts):
            columns.append(None)
        elif len(parts) == 1:
            columns.append(parts[0][1])
        else:
            filled = [np.full(size, absent, dtype=kind) if p is None else p for size, p in parts]
            columns.append(np.concatenate(filled))
    return columns


class _Block:
    """Schedules that say the same fields at the same times."""

    def __init__(self, members: list[PackedSchedule], direction: Direction) -> None:
        one = members[0]
        self._layout, self.count = packing.layout_of(one)
        values = [each.values for each in members]
        if self.count > MOST_ENTRIES or set(map(len, values)) != {len(one.values)}:
            raise DoubtError
        if set(map(len, [each.sources for each in members])) != {self._layout.sources}:
            raise DoubtError
        stamps = np.frombuffer(b"".join([each.times_us for each in members]), dtype="<i8")
        self.times_us = stamps.astype(np.intp, copy=False)
        if self.count > 1 and (np.diff(stamps.reshape(-1, self.count)) < 0).any():
            raise DoubtError
        if not packing.EARLIEST_US <= int(stamps.min()) <= int(stamps.max()) <= packing.LATEST_US:
            raise DoubtError
        numbers = np.frombuffer(b"".join(values), dtype="<f8")
        self._numbers = numbers.reshape(len(members), self._layout.values)
        self._varying = one.varying
        self._places = {field: place for field, (place, _) in self._layout.places.items()}
        self._direction = direction

    def columns(self, varying: set[int]) -> list[Column]:
        """In the order of Row's fields, member after member; entries.rows_of says the same of one. Which of
        them a member's entries may differ in is added to `varying`."""
        efficiency = self._one(packing.EFFICIENCY, _LEAST, 1.0, 1.0)
        root_W, leaf_W = (self._limits(packing.WATT, side, HUGE, inf) for side in _SIDES)
        if efficiency is not None and leaf_W is not None:
            leaf_W = leaf_W / efficiency if self._direction == "import" else leaf_W * efficiency
        found = [
            self._both(packing.AMPERE, HUGE, inf, np.minimum),
            _merged(np.minimum, root_W, leaf_W),
            self._both(packing.LEAST_AMPERE, HUGE, 0.0, np.maximum),
            self._both(packing.MOST_PHASES, MOST_PHASES, MOST_PHASES, np.minimum, least=1.0),
            self._both(packing.LEAST_PHASES, MOST_PHASES, 0, np.maximum, least=1.0),
            efficiency,
            self._both(packing.ACTIVE_PHASES, MOST_PHASES, 0, _first_said, least=1.0),
            self._may_switch(),
        ]
        varying.update(n for n, each in enumerate(found) if each is not None and each.shape[1] > 1)
        size = len(self._numbers)
        return [
            None if each is None else self._spread(each, size, kind)
            for each, kind in zip(found, KINDS, strict=True)
        ]

    def _both(
        self, field: int, most: float, absent: float, pick: Callable[[Any, Any], Any], least: float = 0.0
    ) -> Column:
        one, other = (self._limits(field, side, most, absent, least) for side in _SIDES)
        return _merged(pick, one, other)

    def _limits(self, field: int, side: int, most: float, absent: float, least: float = 0.0) -> Column:
        return self._one(side + field, least, most, absent)

    def _one(self, field: int, least: float, most: float, absent: float) -> Column:
        """Of a field: (members, entries), or (members, 1) where it does not vary; absent values filled in."""
        place = self._places.get(field)
        if place is None:
            return None
        values = self._numbers[:, place : place + (self.count if self._varying >> field & 1 else 1)]
        if (
            most < HUGE
            and field != packing.EFFICIENCY
            and (values != np.floor(values))[~np.isnan(values)].any()
        ):
            raise DoubtError
        if values.min() >= least and values.max() <= most:  # NaN is neither
            return values
        silent = np.isnan(values)
        if most == HUGE:
            values = np.where(values < inf, np.minimum(values, HUGE), values)
        if not ((values >= least) & (values <= most) | silent).all():
            raise DoubtError
        return np.where(silent, absent, values)

    def _may_switch(self) -> Column:
        """False where the root side says so, or the leaf side alone."""
        one, other = (self._one(side + packing.MAY_SWITCH, 0.0, 1.0, 2.0) for side in _SIDES)
        said = _merged(lambda a, b: np.where(a == 2.0, b, a), one, other)
        return None if said is None else said != 0.0

    def _spread(self, values: NDArray[Any], size: int, kind: Any) -> NDArray[Any]:
        if values.shape[1] == 1 and self.count > 1:
            return np.repeat(values[:, 0].astype(kind), self.count)
        return np.ascontiguousarray(values, dtype=kind).reshape(-1)


_SIDES = (packing.ROOT, packing.LEAVES)


def _first_said(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    return np.where(one > 0, one, other)


def _merged(pick: Callable[[Any, Any], Any], one: Column, other: Column) -> Column:
    """Of the values of both sides one each."""
    if one is None or other is None:
        return other if one is None else one
    return np.asarray(pick(one, other))


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
