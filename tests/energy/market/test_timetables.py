"""Timetables of which some nodes say something else: the same as if all were read again."""

from __future__ import annotations

import numpy as np
import pytest

from actors.energy.market.entries import Row
from actors.energy.market.reading import read
from actors.energy.market.timetables import Timetables
from actors.energy.packing import all_packed
from actors.energy.types import (
    EnergyFlowRequest,
    LimitsReq,
    NodeType,
    NumberWithSource,
    Schedule,
    ScheduleReqEntry,
)

TIMES = ("2025-06-07T20:00:00Z", "2025-06-07T21:00:00Z", "2025-06-07T22:00:00Z")


def _says(*currents: float | None, least_A: float = 6.0) -> Schedule:
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


def test_a_number_that_is_left_out_in_some_entries_is_no_limit_there() -> None:
    both = _read(_says(None, 11.0), _says(12.0, 13.0))
    currents = both["max_A"]
    assert currents is not None
    assert currents[both.first[0] : both.first[0] + 2].tolist() == [np.inf, 11.0]
