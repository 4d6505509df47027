"""Timetables of which some nodes say something else: the same as if all were read again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from actors.energy import packing
from actors.energy.market.entries import Row
from actors.energy.market.reading import read, read_again
from actors.energy.market.timetables import Timetables
from actors.energy.packing import AMPERE, all_packed, packed
from actors.energy.types import (
    EnergyFlowRequest,
    LimitsReq,
    NodeType,
    NumberWithSource,
    PackedSchedule,
    Schedule,
    ScheduleReqEntry,
)

TIMES = ("2025-06-07T20:00:00Z", "2025-06-07T21:00:00Z", "2025-06-07T22:00:00Z")


def _says(*currents: float | None, least_A: float = 6.0) -> tuple[ScheduleReqEntry, ...]:
    """An entry an hour; None leaves the current out."""
    return tuple(
        ScheduleReqEntry(
            timestamp=time,
            limits_to_root=LimitsReq(
                ac_max_current_A=None if A is None else NumberWithSource(A, f"{A}"),
                ac_min_current_A=NumberWithSource(least_A, "least"),
            ),
            limits_to_leaves=LimitsReq(),
        )
        for time, A in zip(TIMES, currents, strict=False)
    )


def _read(*schedules: Schedule) -> Timetables:
    nodes = [
        all_packed(EnergyFlowRequest(uuid=f"{i}", node_type=NodeType.Evse, schedule_import=each))
        for i, each in enumerate(schedules)
    ]
    found = read(nodes, "import")
    assert found is not None, "nothing is in doubt"
    return found


def _told(of: Timetables) -> list[object]:
    """All that they tell, whatever the order of their rows."""
    rows = [range(first, first + count) for first, count in zip(of.first, of.count, strict=True)]
    columns = {f: of[f] for f in Row._fields}
    values = [
        [(int(of.times_us[row]), *(None if c is None else c[row] for c in columns.values())) for row in own]
        for own in rows
    ]
    return [values, of.holders.whole(), of.fields.tolist(), of.starts]


def _watts(*watts: float) -> tuple[ScheduleReqEntry, ...]:
    """As many numbers, of other fields."""
    return tuple(
        replace(
            each,
            limits_to_root=LimitsReq(
                total_power_W=NumberWithSource(W, f"{W}"), ac_min_current_A=NumberWithSource(6.0, "least")
            ),
        )
        for each, W in zip(_says(*watts), watts, strict=True)
    )


BEFORE = (_says(32.0), _says(16.0, 10.0), (), _says(20.0), ())


@pytest.mark.parametrize(
    ("place", "now"),
    [
        (0, _says(31.0)),
        (0, _says(32.0, least_A=8.0)),
        (0, _says(32.0, 31.0)),
        (0, ()),
        (1, _says(16.0, 11.0)),
        (1, _says(None, 11.0)),
        (1, _says(16.0)),
        (1, _says(1.0, 2.0, 3.0)),
        (2, _says(5.0)),
        (4, _says(5.0, 6.0)),
    ],
)
def test_what_one_node_says_anew_is_as_if_all_were_read_again(place: int, now: Schedule) -> None:
    before = _read(*BEFORE)
    told_before = _told(before)
    renewed = before.renewed(np.array([place]), _read(now))
    assert renewed is not None
    assert _told(renewed) == _told(_read(*(now if i == place else old for i, old in enumerate(BEFORE))))
    assert _told(before) == told_before


def test_a_column_in_which_nothing_changed_stays_and_all_that_was_worked_out_of_it() -> None:
    before = _read(*BEFORE)
    least_A, most_A = before.held_always("min_A"), before["max_A"]
    renewed = before.renewed(np.array([0]), _read(_says(31.0)))
    assert renewed is not None
    assert renewed["min_A"] is before["min_A"]
    assert renewed.held_always("min_A") is least_A
    assert renewed["max_A"] is not most_A


def test_what_is_worked_out_of_a_column_that_changed_is_worked_out_anew() -> None:
    before = _read(*BEFORE)
    assert before.held_always("min_A").tolist() == [[6.0, 6.0, 0.0, 6.0, 0.0]]
    renewed = before.renewed(np.array([3]), _read(_says(20.0, least_A=9.0)))
    assert renewed is not None
    assert renewed.held_always("min_A").tolist() == [[6.0, 6.0, 0.0, 9.0, 0.0]]
    assert before.held_always("min_A").tolist() == [[6.0, 6.0, 0.0, 6.0, 0.0]]


THREE = (_says(32.0, 30.0), _says(16.0, 10.0), (), _says(20.0, 21.0))


def _read_again(before: Timetables, was: Sequence[Schedule], now: dict[int, Schedule]) -> Timetables | None:
    places = np.array(list(now), dtype=np.intp)
    told = [each if isinstance(each, PackedSchedule) else packed(each) for each in now.values()]
    return read_again(before, places, told, [packed(was[i]) for i in now], "import")


@pytest.mark.parametrize(
    "now",
    [
        {0: _says(31.0, 29.0)},
        {0: _says(31.0, 29.0), 3: _says(19.0, 18.0)},
        {1: _says(16.0, 10.0, least_A=9.0)},
        {1: _says(None, 10.0)},
        {3: _says(20.0, 21.0, least_A=1.0), 0: _says(4.0, 5.0)},
    ],
)
def test_other_numbers_alone_are_as_if_all_were_read_again(now: dict[int, Schedule]) -> None:
    before = _read(*THREE)
    told_before = _told(before)
    renewed = _read_again(before, THREE, now)
    assert renewed is not None
    assert _told(renewed) == _told(_read(*(now.get(i, old) for i, old in enumerate(THREE))))
    assert _told(before) == told_before


def test_a_column_that_begins_to_vary_is_no_longer_the_same_in_all_slots() -> None:
    says = _says(20.0, 20.0)
    alike = packed(says)
    assert isinstance(alike, PackedSchedule)
    told = replace(alike, values=np.array([20.0, 20.0, 6.0]).tobytes(), varying=1 << AMPERE)
    before = _read(told, told)
    assert before.is_steady("max_A"), "they are told one by one, and alike"
    assert before.held_always("max_A").tolist() == [[20.0, 20.0]]
    other = replace(told, values=np.array([20.0, 10.0, 6.0]).tobytes())
    renewed = _read_again(before, [told, told], {1: other})
    assert renewed is not None
    assert not renewed.is_steady("max_A")
    assert renewed.is_steady("min_A")
    assert _told(renewed) == _told(_read(told, other))


@pytest.mark.parametrize(
    "now",
    [
        (),
        _says(31.0),
        _says(31.0, 29.0, 28.0),
        _watts(31.0, 29.0),
        packed(_says(31.0, 29.0)[:1] + _says(31.0, 28.0, 29.0)[2:]),
        _says(-1.0, 29.0),
        _says(float("inf"), 29.0, least_A=float("-inf")),
    ],
)
def test_where_more_than_numbers_is_other_or_in_doubt_all_of_it_is_read(now: Schedule) -> None:
    before = _read(*THREE)
    assert _read_again(before, THREE, {0: now}) is None
    assert _read_again(before, THREE, {1: _says(1.0, 2.0), 0: now}) is None


def test_other_fields_are_read_though_as_many() -> None:
    was = [_says(32.0), _says(16.0)]
    assert _read_again(_read(*was), was, {0: _watts(31.0)}) is None
    assert _read_again(_read(*was), was, {0: _says(31.0)}) is not None


@pytest.mark.parametrize("times_us", [[1, 0], [packing.EARLIEST_US - 1, 0], [0, packing.LATEST_US + 1]])
def test_times_that_cannot_be_are_in_doubt_where_all_say_the_same_ones(times_us: list[int]) -> None:
    says = packed(_says(16.0, 10.0))
    assert isinstance(says, PackedSchedule)
    for times, is_read in ([0, 1], True), (times_us, False):
        each = replace(says, times_us=np.array(times, dtype="<i8").tobytes())
        node = EnergyFlowRequest(uuid="evse", node_type=NodeType.Evse, schedule_import=each)
        assert (read([node, node], "import") is not None) == is_read


def test_a_number_that_is_left_out_in_some_entries_is_no_limit_there() -> None:
    both = _read(_says(None, 11.0), _says(12.0, 13.0))
    currents = both["max_A"]
    assert currents is not None
    assert currents[both.first[0] : both.first[0] + 2].tolist() == [np.inf, 11.0]
