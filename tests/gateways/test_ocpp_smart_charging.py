"""What modules are told, at every second, while profiles come and go and cars as well: what the reference allows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.charging_profiles.installed import Criteria
from actors.energy.charging_profiles.profile import Period, Profile, ProfileRefusedError, Transaction
from actors.energy.charging_profiles.wire import write_profile
from actors.energy.types import LimitsReq
from actors.gateways.ocpp import smart_charging
from actors.gateways.ocpp.smart_charging import SmartCharging, Wanted
from tests.energy.charging_profiles import reference
from tests.energy.charging_profiles.test_mutants import mutated
from tests.gateways.ocpp_sites import BEGIN_US, a_layout

BEGIN_S = BEGIN_US // 1_000_000
SPAN_S = 40
V = 230.0
DEFAULT_OF_ALL = Profile(
    id=1,
    evse=0,
    stack_level=0,
    purpose="TxDefaultProfile",
    kind="Absolute",
    unit="A",
    periods=(Period(0, 100.0), Period(7, 200.0)),
    start_s=BEGIN_S,
)

PURPOSES = [
    "ChargingStationExternalConstraints",
    "ChargingStationMaxProfile",
    "TxDefaultProfile",
    "TxProfile",
]


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    purpose: Any = draw(st.sampled_from(PURPOSES))
    station = purpose.startswith("ChargingStation")
    kind: Any = draw(st.sampled_from(["Absolute", "Recurring", "Absolute" if station else "Relative"]))
    starts = sorted(draw(st.lists(st.integers(1, SPAN_S), max_size=2, unique=True)))
    valid_from_s = draw(st.none() | st.integers(0, SPAN_S))
    return Profile(
        id=draw(st.integers(0, 5)),
        evse=0 if station else 1 if purpose == "TxProfile" else draw(st.integers(0, 1)),
        stack_level=draw(st.integers(0, 2)),
        purpose=purpose,
        kind=kind,
        unit=draw(st.sampled_from(["A", "W"])),
        periods=tuple(Period(s, float(draw(st.integers(1, 9)) * 100)) for s in (0, *starts)),
        recurrency="Daily" if kind == "Recurring" else None,
        start_s=None if kind == "Relative" else BEGIN_S + draw(st.integers(-20, SPAN_S)),
        duration_s=draw(st.none() | st.integers(1, 30)),
        valid_from_s=None if valid_from_s is None else BEGIN_S + valid_from_s,
        valid_to_s=None if draw(st.booleans()) else BEGIN_S + (valid_from_s or 0) + draw(st.integers(1, 30)),
        transaction="7" if purpose == "TxProfile" else None,
    )


seconds = st.integers(0, SPAN_S - 1)


def limit_at(wanted: Wanted, at_s: int) -> LimitsReq:
    """What a module makes of what it was told."""
    if wanted.limits is None or (wanted.ends_s is not None and at_s >= wanted.ends_s):
        return LimitsReq()
    past = [
        entry
        for entry in wanted.limits.schedule_import
        if timestamps.parse(entry.timestamp) <= at_s * timestamps.MICROSECONDS
    ]
    return past[-1].limits_to_root


def watts(held: list[tuple[str, Period]]) -> float | None:
    each = [period.limit if unit == "W" else period.limit * V * 3 for unit, period in held]
    return min(each, default=None)


def running_at(cars: set[int], second: int) -> Transaction | None:
    """A car comes, and goes, at each of these seconds in turn."""
    past = sorted(s for s in cars if s <= second)
    return Transaction("7", BEGIN_S + past[-1]) if len(past) % 2 else None


GRID = replace(DEFAULT_OF_ALL, id=4, purpose="ChargingStationExternalConstraints", duration_s=12)
Story = tuple[dict[int, Profile], set[int], dict[int, list[int] | None]]
"""Profiles, cars and withdrawals by second."""
STORIES: list[Story] = [
    ({5: DEFAULT_OF_ALL}, {1}, {}),
    ({1: replace(DEFAULT_OF_ALL, kind="Relative", start_s=None)}, {10}, {}),
    ({8: replace(DEFAULT_OF_ALL, id=2, evse=1, purpose="TxProfile", transaction="7")}, {1, 20, 25}, {}),
    ({3: GRID, 5: replace(GRID, id=5, purpose="ChargingStationMaxProfile")}, set(), {9: [5]}),
    ({3: replace(GRID, start_s=BEGIN_S + 9)}, set(), {}),
]
MUTANTS = [
    ("self._due_s[0] = max(now_s + 1, due_s)", "pass"),
    ("ends_s = None if gap is None or not held else gap.start_s", "ends_s = None"),
    ("everywhere = profile.evse == 0 and", "everywhere = False and"),
    ("if grid is None else (MAXIMUM,)", "if grid is not None else (MAXIMUM,)"),
    ("self.stale.add(evse)", "pass"),
    ("self.stale |= set(range", "set(range"),
]


@pytest.mark.parametrize(("before", "after"), MUTANTS)
def test_a_broken_rule_is_noticed(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant: Any = mutated(smart_charging, before, after)
    monkeypatch.setitem(globals(), "SmartCharging", mutant.SmartCharging)
    assert any(fails(*story) for story in STORIES), before


def fails(*story: Any) -> bool:
    try:
        go_through(*story)
    except Exception:  # whatever it breaks
        return True
    return False


@pytest.mark.parametrize("story", STORIES)
def test_stories_of_profiles_and_cars(story: Story) -> None:
    go_through(*story)


@settings(max_examples=60)
@given(
    st.dictionaries(seconds, profiles(), max_size=6),
    st.sets(seconds, max_size=3),
    st.dictionaries(seconds, st.sampled_from([None, [1], [2, 3]]), max_size=2),
)
def test_modules_are_told_what_holds(
    sets: dict[int, Profile], cars: set[int], clears: dict[int, list[int] | None]
) -> None:
    go_through(sets, cars, clears)


def go_through(sets: dict[int, Profile], cars: set[int], clears: dict[int, list[int] | None]) -> None:
    """Second by second. AssertionError where a module was told something else than the reference says."""
    layout = a_layout("2.0.1", ", grid_operator_source: dso, RequestCompositeScheduleUnit: W")
    smart = SmartCharging(layout, ())
    running: dict[int, Transaction] = {}
    told: dict[int, Wanted] = {}
    grid: Wanted | None = None
    for second in range(SPAN_S):
        now_s = BEGIN_S + second
        car = running_at(cars, second)
        if second in cars:
            running = {} if car is None else {1: car}
            smart.transaction_changed(1, ended=car is None)
        if second in clears:
            smart.clear(Criteria(ids=clears[second]))
        if second in sets:
            with suppress(ProfileRefusedError):
                smart.set(sets[second].evse, write_profile(sets[second]), running, now_s)
        for evse in (due := smart.due(now_s)):
            told[evse] = smart.wanted(evse, running, now_s)
        if 0 in due:
            grid = smart.wanted_of_grid(now_s) or grid

        installed = list(smart.profiles)
        of_station = reference.purposes(installed, 0, None, now_s)
        external = reference.holding([p for p in installed if p.purpose == PURPOSES[0]], now_s, None)
        maximum = [(unit, period) for unit, period in of_station if period is not external]
        power = limit_at(told[0], now_s).total_power_W
        assert (None if power is None else power.value) == watts(maximum)
        if grid is None:
            assert external is None
        else:
            power = limit_at(grid, now_s).total_power_W
            held = [(unit, period) for unit, period in of_station if period is external]
            assert (None if power is None else power.value) == watts(held)
        if 1 in running:
            own = reference.purposes(installed, 1, running[1], now_s)[len(of_station) :]
            power = limit_at(told[1], now_s).total_power_W
            assert (None if power is None else power.value) == watts(own)
