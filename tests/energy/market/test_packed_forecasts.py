"""Forecasts are packed: nothing is lost, and nothing of it shows in EVerest's JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy import forecasts, timestamps
from actors.energy.forecasts import forecast_of, unpacked
from actors.energy.market import Memory, allocate, plain_tree
from actors.energy.market.bounds import bounds_of
from actors.energy.market.outcome import Outcome
from actors.energy.market.sources import joined, phases_source
from actors.energy.types import (
    EnergyManagerConfig,
    EnforcedLimits,
    IntegerWithSource,
    LimitsRes,
    NumberWithSource,
    PackedForecast,
    ScheduleResEntry,
)
from tests.energy.builders import assert_caught
from tests.energy.market.building import LATER, NOW, NOW_US, changing_site
from tests.energy.market.worlds import Features, Story, features, story_of

HOURS = EnergyManagerConfig(schedule_total_duration=2)


@given(features(steps=2, setpoint_priorities=False), st.booleans())
def test_a_packed_forecast_has_the_entries_of_every_slot(drawn: Features, switching: bool) -> None:
    assert_unpacked_is_plain(story_of(replace(drawn, switching=switching)))


def test_the_check_notices_sources_that_are_those_of_the_first_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "_chosen", _first_only)
    assert_caught(assert_unpacked_is_plain, features(schedules=True).map(story_of))


def _first_only(texts: Any, numbers: Any) -> tuple[list[str], list[bytes]]:
    return texts[numbers[:, 0]].tolist(), [b""] * len(numbers)


def assert_unpacked_is_plain(story: Story) -> None:
    """All in arrays; also of a forecast that crossed a link."""
    memory = Memory()
    with mock.patch.object(plain_tree, "MOST_EVSES", 0):
        for step in story.steps:
            allocation, memory = allocate(step.request, story.config, step.start_us, memory)
            assert allocation[::-2] == list(allocation)[::-2]
            for number, limits in enumerate(allocation):
                assert isinstance(limits.schedule, PackedForecast) == (allocation.report.slots > 1)
                plain = msgspec.structs.replace(limits, schedule=_entries(allocation._outcome, number))
                crossed = msgspec.msgpack.decode(msgspec.msgpack.encode(limits), type=EnforcedLimits)
                for each in (limits, crossed):
                    assert unpacked(each) == plain
                    assert msgspec.json.encode(unpacked(each)) == msgspec.json.encode(plain)


def _entries(outcome: Outcome, evse: int) -> tuple[ScheduleResEntry, ...]:
    """One cell of the arrays after the other."""
    found = []
    for time_us, column in zip(
        outcome.slots.times_us.tolist(), outcome.slots.column_of.tolist(), strict=True
    ):
        cell = column, evse
        source = joined(bound.source for bound in bounds_of(outcome, column, evse))
        current = power = phases = None
        if outcome.has_current[cell]:
            current = NumberWithSource(float(outcome.current_A[cell]), source)
        if outcome.has_power[cell]:
            power = NumberWithSource(float(outcome.power_W[cell]), source)
        if outcome.phases[cell]:
            phases = IntegerWithSource(int(outcome.phases[cell]), phases_source(outcome, column, evse, {}))
        found.append(ScheduleResEntry(timestamps.format_utc(time_us), LimitsRes(power, current, phases)))
    return tuple(found)


def test_what_is_the_same_in_all_slots_is_said_once_and_what_is_not_there_not_at_all() -> None:
    allocation, _ = allocate(changing_site(), HOURS, NOW_US)
    car, off = allocation
    assert isinstance(car.schedule, PackedForecast)
    assert isinstance(off.schedule, PackedForecast)
    assert car.schedule.times is off.schedule.times
    assert car.schedule.times[:2] == (NOW, LATER)
    assert (car.schedule.sources, car.schedule.phase_sources) == (("car/A", "root/A"), "car/phases")
    assert car.schedule.sourced == b"\0\0\1\0\1\0"
    assert (car.schedule.power_W, off.schedule.phases, off.schedule.sources) == (b"", b"", "off/A")
    assert [e.limits_to_root.ac_max_current_A for e in forecast_of(car)] == [
        NumberWithSource(8.0, "car/A"),
        NumberWithSource(20.0, "root/A"),
        NumberWithSource(20.0, "root/A"),
    ]


@pytest.mark.parametrize(
    "spoiled",
    [{"phases": b"\3"}, {"current_A": bytes(16)}, {"power_W": bytes(7)}, {"sources": ("a",)},
     {"sourced": b""}, {"phase_sources": ()}],
)  # fmt: skip
def test_a_forecast_whose_parts_do_not_fit_each_other_is_refused(spoiled: dict[str, object]) -> None:
    car = allocate(changing_site(), HOURS, NOW_US)[0].of("car")
    assert isinstance(car.schedule, PackedForecast)
    bad = msgspec.structs.replace(car, schedule=msgspec.structs.replace(car.schedule, **spoiled))
    with pytest.raises(ValueError, match="in a forecast of 3 slots"):
        forecast_of(bad)
