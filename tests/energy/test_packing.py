"""Schedules as numbers: nothing is lost, nothing that cannot be is taken for something."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.market import RequestError, allocate
from actors.energy.market import plain_tree as small
from actors.energy.market.entries import steps_of
from actors.energy.packing import (
    PackingError,
    all_packed,
    efficiency_at_first,
    entries_of,
    number_at,
    pack,
    packed,
    unpack,
    unpacked,
)
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    IntegerWithSource,
    LimitsReq,
    NumberWithSource,
    PackedSchedule,
    ScheduleReqEntry,
)
from tests.energy.market.building import NOW_US, entry, evse, node

sources = st.sampled_from(["", "fuse", "grid operator"])
numbers = st.builds(NumberWithSource, st.sampled_from([0.0, 6.0, 16.0, 1e300, math.inf, -3.0]), sources)
counts = st.builds(IntegerWithSource, st.integers(-1, 4), sources)
sides = st.builds(
    LimitsReq,
    total_power_W=st.none() | numbers,
    ac_max_current_A=st.none() | numbers,
    ac_min_current_A=st.none() | numbers,
    ac_max_phase_count=st.none() | counts,
    ac_min_phase_count=st.none() | counts,
    ac_supports_changing_phases_during_charging=st.none() | st.booleans(),
    ac_number_of_active_phases=st.none() | st.integers(0, 4),
)
entries = st.builds(
    ScheduleReqEntry,
    timestamp=st.integers(0, 5).map(lambda minute: timestamps.format_utc(NOW_US + minute * 60_000_000)),
    limits_to_root=sides,
    limits_to_leaves=st.just(LimitsReq()) | sides,
    conversion_efficiency=st.none() | st.sampled_from([1.0, 0.9, 0.0, 2.0]),
    price_per_kwh=st.none() | st.just({"value": 0.3, "currency": "EUR"}),
)
schedules = st.lists(entries, min_size=1, max_size=5).map(tuple)


def in_order(schedule: tuple[ScheduleReqEntry, ...]) -> tuple[ScheduleReqEntry, ...]:
    return tuple(sorted(schedule, key=lambda each: timestamps.parse(each.timestamp)))


@given(schedules)
def test_what_is_packed_is_what_is_unpacked(schedule: tuple[ScheduleReqEntry, ...]) -> None:
    made = pack(schedule)
    assert unpack(made) == in_order(schedule)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=PackedSchedule) == made
    assert packed(made) is made
    assert efficiency_at_first(made) == efficiency_at_first(in_order(schedule)) or (
        in_order(schedule)[0].conversion_efficiency == 0.0
    )


@given(schedules, st.sampled_from(["import", "export"]))
@example((entry("car", A=1e300),), "import")
def test_many_and_few_are_read_alike(schedule: tuple[ScheduleReqEntry, ...], direction: Any) -> None:
    """Arrays of many, rows of few, and the look at each entry take and refuse the same, packed or not."""
    told = {f"schedule_{direction}": in_order(schedule)}
    cars = [replace(evse("one", imports={"A": 16.0}), **told), evse("two", imports={"A": 16.0})]
    site = node("site", *cars, imports={"A": 40.0})
    answers = []
    for request in (site, all_packed(site)):
        for most in (0, 40):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(small, "MOST_EVSES", most)
                answers.append(_answer(request))
    assert answers.count(answers[0]) == len(answers), answers
    refused = steps_of(pack(schedule), direction) is None
    assert refused == isinstance(answers[0], str) or "multiply" in str(answers[0])


def _answer(request: EnergyFlowRequest) -> Any:
    try:
        return list(allocate(request, EnergyManagerConfig(), NOW_US)[0])
    except RequestError as error:
        return str(error)


def test_a_request_is_told_packed_with_all_below_it() -> None:
    site = node("site", evse("one", imports={"A": 16.0}), imports={"A": 40.0})
    told = all_packed(site)
    assert isinstance(told.children[0].schedule_import, PackedSchedule)
    assert unpacked(told) == site
    assert entries_of(()) == packed(()) == ()
    assert len(msgspec.msgpack.encode(told)) < 0.7 * len(msgspec.msgpack.encode(site))


def test_what_is_no_number_stays_as_it_is() -> None:
    for A in ("16", None, math.nan, True):
        broken = (entry("car", A=16.0), entry("car", A=A))
        assert packed(broken) is broken


ONE = pack((entry("car", A=16.0, W=11e3), entry("car", at="2025-06-07T21:00:00.000Z", A=10.0)))


@pytest.mark.parametrize(
    "broken",
    [
        {"times_us": b""},
        {"times_us": ONE.times_us[:-1]},
        {"times_us": ONE.times_us[:8]},
        {"times_us": struct.pack("<2q", 2**62, 2**63 - 1)},
        {"times_us": struct.pack("<2q", -(2**63), 0)},
        {"values": b""},
        {"values": ONE.values + b"\0" * 8},
        {"sources": ()},
        {"sources": ("a", "b", "c", "d")},
        {"fields": -1},
        {"fields": 1 << 15},
        {"fields": 0},
        {"varying": 1 << 9},
        {"differing": 1 << 5},
        {"prices": (None,)},
    ],
    ids=str,
)
@pytest.mark.parametrize("most", [0, 40])
def test_what_cannot_be_is_refused(
    broken: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small, "MOST_EVSES", most)
    told = replace(ONE, **broken)
    with pytest.raises(PackingError, match=r"packed wrongly|not there"):
        unpack(told)
    assert steps_of(told, "import") is None
    site = node("site", replace(evse("one", imports={"A": 1.0}), schedule_import=told), imports={"A": 40.0})
    with pytest.raises(RequestError, match="schedule_import"):
        allocate(site, EnergyManagerConfig(), NOW_US)


def test_times_that_go_back_are_refused() -> None:
    """Whoever packs puts them in order."""
    told = replace(ONE, times_us=struct.pack("<2q", NOW_US + 1, NOW_US))
    assert steps_of(told, "import") is None


def test_numbers_are_found_where_they_stand() -> None:
    assert number_at(ONE, 1, 0) == (16.0, "car/A")
    assert number_at(ONE, 1, 1) == (10.0, "car/A")
    assert number_at(ONE, 0, 1) is None
    assert number_at(ONE, 5, 0) is None
