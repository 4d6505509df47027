"""Schedules of requests as numbers, and back.

A tree has thousands of entries, each of a dozen small objects; what the market needs of them is a few
numbers. So EVSEs and nodes tell their schedules packed: on links, in memory, and for the market, which reads
those of all nodes at once (market/reading.py). Nothing is lost; whoever wants entries, EVerest's JSON for
one, asks for them here. Entries that no number can stand for stay as they are, for the market to refuse.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import isnan, nan
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.types import (
    EnergyFlowRequest,
    IntegerWithSource,
    LimitsReq,
    NumberWithSource,
    PackedSchedule,
    Schedule,
    ScheduleReqEntry,
)

ROOT, LEAVES = 0, 7
"""Where the fields of a side begin."""
WATT, AMPERE, LEAST_AMPERE, MOST_PHASES, LEAST_PHASES, MAY_SWITCH, ACTIVE_PHASES = range(7)
EFFICIENCY = 14
FIELDS = 15
SOURCED = sum(1 << side + field for side in (ROOT, LEAVES) for field in range(MAY_SWITCH))
"""Bits: fields that have a source."""
FIELD_NAMES = (
    "total_power_W",
    "ac_max_current_A",
    "ac_min_current_A",
    "ac_max_phase_count",
    "ac_min_phase_count",
    "ac_supports_changing_phases_during_charging",
    "ac_number_of_active_phases",
)
_NO_LIMITS = LimitsReq()


EARLIEST_US, LATEST_US = map(timestamps.parse, ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"))


class PackingError(ValueError):
    """A packed schedule that cannot be."""


class Layout(NamedTuple):
    """Where in a schedule of some number of entries things stand: for each field that it says the place of
    its first value, and of its first source (-1: it has none)."""

    places: dict[int, tuple[int, int]]
    values: int
    """How many there are."""
    sources: int


@lru_cache(maxsize=1000)
def layout(fields: int, varying: int, differing: int, count: int) -> Layout:
    """Of a schedule with `count` entries. Raises PackingError."""
    if not 0 < fields + 1 <= 1 << FIELDS or varying & ~fields or differing & ~(fields & SOURCED):
        raise PackingError("fields are named that are not there")
    found, values, sources = {}, 0, 0
    for field in range(FIELDS):
        bit = 1 << field
        if fields & bit:
            has = bool(SOURCED & bit)
            found[field] = (values, sources if has else -1)
            values += count if varying & bit else 1
            sources += (count if differing & bit else 1) * has
    return Layout(found, values, sources)


def layout_of(packed: PackedSchedule) -> tuple[Layout, int]:
    """And the number of entries. Raises PackingError where it has more or less than it should."""
    counts = len(packed.values), len(packed.sources), len(packed.prices)
    return checked_layout(len(packed.times_us), packed.fields, packed.varying, packed.differing, *counts)


def checked_layout(
    size_B: int, fields: int, varying: int, differing: int, values_B: int, sources: int, prices: int
) -> tuple[Layout, int]:
    """The same, of the bytes of its times and values, and how many sources and prices it has."""
    count, rest = divmod(size_B, 8)
    at = layout(fields, varying, differing, count)
    if rest or not count or values_B != 8 * at.values or sources != at.sources or prices not in (0, count):
        raise PackingError("is packed wrongly")
    return at, count


def times_of(packed: PackedSchedule) -> tuple[int, ...]:
    """When its entries begin, microseconds since 1970."""
    return unpacked_times(packed.times_us)


@lru_cache(maxsize=1000)
def unpacked_times(times_us: bytes) -> tuple[int, ...]:
    """As numbers. Most schedules of a tree begin together."""
    return struct.unpack(f"<{len(times_us) // 8}q", times_us)


def unpacked_values(values: bytes) -> tuple[float, ...]:
    """As numbers, as they stand."""
    return struct.unpack(f"<{len(values) // 8}d", values)


def number_at(packed: PackedSchedule, field: int, entry: int) -> tuple[float, str] | None:
    """What one of its entries says of a field, and who set it; None: nothing. Raises PackingError."""
    at = layout(packed.fields, packed.varying, packed.differing, len(packed.times_us) // 8).places.get(field)
    if at is None:
        return None
    place, source = at
    (value,) = _ONE.unpack_from(packed.values, 8 * (place + entry * (packed.varying >> field & 1)))
    if isnan(value):
        return None
    return value, "" if source < 0 else packed.sources[source + entry * (packed.differing >> field & 1)]


_ONE = struct.Struct("<d")


def efficiency_at_first(schedule: Schedule) -> float:
    """Of the entry that holds first, or 1. Raises PackingError."""
    if not schedule:
        return 1.0
    if isinstance(schedule, PackedSchedule):
        value, _ = number_at(schedule, EFFICIENCY, 0) or (1.0, "")
        return value
    return schedule[0].conversion_efficiency or 1.0


# --- entries to numbers ------------------------------------------------------------------------------


def packed(entries: Schedule) -> Schedule:
    """The same, packed; as it is where something in it is no number."""
    if isinstance(entries, PackedSchedule) or not entries:
        return entries
    try:
        return pack(entries)
    except (ValueError, TypeError, AttributeError, struct.error, OverflowError):
        return entries


def pack(entries: Sequence[ScheduleReqEntry]) -> PackedSchedule:
    """At least one. Raises ValueError, TypeError or AttributeError for what is no number."""
    times = [timestamps.parse(entry.timestamp) for entry in entries]
    if len(times) > 1 and times != (ordered := sorted(times)):
        entries = [entries[i] for i in sorted(range(len(times)), key=times.__getitem__)]
        times = ordered
    made = _Packing()
    made.add_side(ROOT, [entry.limits_to_root for entry in entries])
    made.add_side(LEAVES, [entry.limits_to_leaves for entry in entries])
    made.add(EFFICIENCY, [entry.conversion_efficiency for entry in entries])
    prices = tuple([entry.price_per_kwh for entry in entries])
    return PackedSchedule(
        struct.pack(f"<{len(times)}q", *times),
        made.fields,
        struct.pack(f"<{len(made.values)}d", *made.values),
        tuple(made.sources),
        made.varying,
        made.differing,
        () if prices.count(None) == len(prices) else prices,
    )


class _Packing:
    """What is packed so far."""

    def __init__(self) -> None:
        self.fields = self.varying = self.differing = 0
        self.values: list[float] = []
        self.sources: list[str] = []

    def add_side(self, begin: int, sides: Sequence[LimitsReq]) -> None:
        """Limits of all entries on one side."""
        if len(sides) == 1:  # as most schedules are
            if sides[0] != _NO_LIMITS:
                for field, one in enumerate(_FIELDS_OF(sides[0]), begin):
                    if one is not None:
                        self._add_one(field, one)
        elif sides.count(_NO_LIMITS) < len(sides):
            for field, found in enumerate(zip(*map(_FIELDS_OF, sides), strict=True), begin):
                self.add(field, found)

    def add(self, field: int, found: Sequence[Any]) -> None:
        """A field of all entries."""
        if found.count(None) == len(found):
            return
        bit, kind = 1 << field, field % LEAVES if field < EFFICIENCY else WATT
        self.fields |= bit
        if SOURCED & bit:
            texts = ["" if each is None else each.source for each in found]
            if texts.count(texts[0]) == len(texts):
                texts = texts[:1]
            else:
                self.differing |= bit
            self.sources += texts
            numbers = [nan if each is None else _number(each.value, kind) for each in found]
        else:
            numbers = [nan if each is None else _number(each, kind) for each in found]
        if numbers.count(numbers[0]) == len(numbers):
            numbers = numbers[:1]
        else:
            self.varying |= bit
        self.values += numbers

    def _add_one(self, field: int, one: Any) -> None:
        self.fields |= 1 << field
        if SOURCED >> field & 1:
            self.sources.append(one.source)
            one = one.value
        self.values.append(_number(one, field % LEAVES))


_FIELDS_OF = attrgetter(*FIELD_NAMES)


def _number(value: Any, kind: int) -> float:
    """Of the type that it has to have."""
    if (
        not isinstance(value, _TYPES[kind])
        or (isinstance(value, bool) and kind != MAY_SWITCH)
        or value != value
    ):
        raise TypeError(f"{value!r} is no such number")
    return float(value)


_TYPES: tuple[Any, ...] = ((float, int),) * 3 + (int, int, bool, int)


# --- numbers to entries ------------------------------------------------------------------------------


def entries_of(schedule: Schedule) -> tuple[ScheduleReqEntry, ...]:
    """As entries. Raises PackingError."""
    return unpack(schedule) if isinstance(schedule, PackedSchedule) else schedule


def unpack(packed: PackedSchedule) -> tuple[ScheduleReqEntry, ...]:
    """Raises PackingError."""
    at, count = layout_of(packed)
    values, texts = unpacked_values(packed.values), packed.sources
    sides: list[list[dict[str, Any]]] = [[{} for _ in range(count)] for _ in range(3)]
    try:
        for field, (place, source) in at.places.items():
            varies, differs = packed.varying >> field & 1, packed.differing >> field & 1
            make = _maker(field)
            for i in range(count):
                value = values[place + i * varies]
                if not isnan(value):
                    text = "" if source < 0 else texts[source + i * differs]
                    name = "conversion_efficiency" if field == EFFICIENCY else FIELD_NAMES[field % LEAVES]
                    sides[field // LEAVES][i][name] = make(value, text)
        stamps = [timestamps.format_utc(time_us) for time_us in times_of(packed)]
    except (OverflowError, ValueError) as error:
        raise PackingError(f"is packed wrongly: {error}") from None
    prices = packed.prices or (None,) * count
    return tuple(
        ScheduleReqEntry(
            timestamp=stamp,
            limits_to_root=LimitsReq(**root),
            limits_to_leaves=LimitsReq(**leaves) if leaves else _NO_LIMITS,
            price_per_kwh=price,
            **more,
        )
        for stamp, root, leaves, more, price in zip(stamps, *sides, prices, strict=True)
    )


def _maker(field: int) -> Callable[[float, str], Any]:
    if field == EFFICIENCY:
        return lambda value, _: value
    kind = field % LEAVES
    if kind == MAY_SWITCH:
        return lambda value, _: bool(value)
    if kind == ACTIVE_PHASES:
        return lambda value, _: int(value)
    if kind in (MOST_PHASES, LEAST_PHASES):
        return lambda value, text: IntegerWithSource(int(value), text)
    return NumberWithSource


def unpacked(request: EnergyFlowRequest) -> EnergyFlowRequest:
    """A request and all below it with entries, as EVerest writes it. Raises PackingError."""
    return _with_schedules(request, entries_of)


def all_packed(request: EnergyFlowRequest) -> EnergyFlowRequest:
    """A request and all below it, packed, as EVSEs and nodes tell it."""
    return _with_schedules(request, packed)


def _with_schedules(request: EnergyFlowRequest, form: Callable[[Schedule], Schedule]) -> EnergyFlowRequest:
    return replace(
        request,
        children=tuple([_with_schedules(child, form) for child in request.children]),
        schedule_import=form(request.schedule_import),
        schedule_export=form(request.schedule_export),
    )
