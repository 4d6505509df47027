"""Where we are right and the peer is not: one test each, listed in docs/deviations.md."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from actors.energy.market import Memory, RequestError, allocate
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EvseState,
    Frequency,
    FrequencyWattPoint,
    Powermeter,
)
from tests.energy.market.building import (
    NOW_US,
    SECOND_US,
    currents,
    entry,
    evse,
    node,
    phases,
    powers,
    run,
    setpoint,
)

BOTH: dict[str, Any] = {
    "switch_3ph1ph_while_charging_mode": "Both",
    "switch_3ph1ph_power_hysteresis_W": 200,
    "switch_3ph1ph_time_hysteresis_s": 600,
}
CAR = {"A": 32.0, "min_A": 6.0, "phases": 3, "min_phases": 1, "switches": True}
GIVES = {"A": 16.0, "phases": 3}


def test_a_large_charger_gets_more_than_a_hundred_slices() -> None:
    ac = run(node("root", evse("ac", imports={"A": 500.0, "min_A": 6.0}), imports={"A": 400.0}))
    dc = run(node("root", evse("dc", imports={"W": 350e3}), imports={"W": 300e3}))
    assert currents(ac) == {"ac": 400.0}
    assert powers(dc) == {"dc": 300e3}


def test_a_thousand_evses_sum_to_the_fuse_and_not_beyond() -> None:
    evses = [evse(f"evse_{i}", imports={"A": 32.0, "min_A": 6.0}) for i in range(1000)]
    allocation = run(node("root", *evses, imports={"A": 10_000.1}), slice_ampere=0.1)
    total = sum(value or 0.0 for value in currents(allocation).values())
    assert 10_000.1 - 1e-3 < total <= 10_000.1 + 1e-3
    exact = math.fsum(each.limits_root_side.ac_max_current_A.value for each in allocation)  # type: ignore[union-attr]
    assert exact <= 10_000.1 + 1e-6


def test_a_discharging_car_lends_its_current_to_nobody() -> None:
    gives = evse("gives", imports={"A": 0.0}, exports=GIVES)
    takes = evse("takes")
    allocation = run(node("root", gives, takes, imports={"A": 20.0}, exports={"A": 16.0}))
    assert currents(allocation) == {"gives": -16.0, "takes": 20.0}


def test_a_late_turn_does_not_make_a_car_discharge() -> None:
    cars = [evse(name, imports={"A": 16.0, "min_A": 6.0}, exports=GIVES) for name in ("a", "b", "c")]
    allocation = run(node("root", *cars, imports={"A": 12.0}, exports={"A": 16.0}))
    assert currents(allocation) == {"a": 6.0, "b": 6.0, "c": 0.0}


def test_the_time_hysteresis_does_not_drop_a_car_from_three_phases() -> None:
    site = node("root", evse("car", imports={**CAR, "active": 3}), imports={"W": 11000.0})
    assert phases(run(site, **BOTH)) == {"car": 3}
    waiting = node("root", evse("car", imports={**CAR, "active": 1}), imports={"W": 11000.0})
    assert phases(run(waiting, **BOTH)) == {"car": 1}


def _frequency_site(table: Any, frequency_Hz: float | None) -> EnergyFlowRequest:
    meter = (
        None if frequency_Hz is None else Powermeter(timestamp="", frequency_Hz=Frequency(L1=frequency_Hz))
    )
    points = tuple(FrequencyWattPoint(frequency_Hz=hertz, total_power_W=watt) for hertz, watt in table)
    return node(
        "root",
        evse("dc", imports={"W": 50e3}),
        imports={"W": 40e3},
        schedule_setpoints=(setpoint("grid", frequency_table=points),),
        energy_usage_root=meter,
    )


@pytest.mark.parametrize(
    ("frequency_Hz", "power_W"),
    [(48.0, 1e3), (49.0, 1e3), (49.5, 3e3), (50.0, 5e3), (50.1, 6e3), (50.2, 7e3), (60.0, 7e3), (None, 40e3)],
)
def test_frequency_tables_interpolate_for_any_spacing(frequency_Hz: float | None, power_W: float) -> None:
    table = [(49.0, 1e3), (50.0, 5e3), (50.2, 7e3)]
    for points in (table, table[::-1]):
        assert powers(run(_frequency_site(points, frequency_Hz))) == {"dc": pytest.approx(power_W)}


def test_an_empty_frequency_table_is_no_setpoint() -> None:
    assert powers(run(_frequency_site([], 50.0))) == {"dc": 40e3}


def test_the_fallback_to_fewer_phases_respects_the_minimum_phase_count() -> None:
    car = {**CAR, "active": 3, "min_phases": 2}
    assert phases(run(node("root", evse("car", imports=car), imports={"W": 3000.0}), **BOTH)) == {"car": 2}
    short = run(node("root", evse("car", imports=car), imports={"W": 2000.0}), **BOTH)
    assert phases(short) == {"car": None}
    assert currents(short) == {"car": 0.0}


def test_export_uses_the_evse_s_own_phases() -> None:
    car = evse("car", imports={"A": 0.0}, exports={"A": 16.0, "phases": 1})
    allocation = run(node("root", car, imports={"A": 32.0}, exports={"W": 2300.0}))
    assert currents(allocation) == {"car": -10.0}
    assert phases(allocation) == {"car": 1}


def test_a_slot_boundary_belongs_to_the_later_slot() -> None:
    later = "2025-06-07T20:30:00.000Z"
    schedule = (entry("root", A=10.0), entry("root", at=later, A=20.0))
    site = node("root", evse("car"), imports=schedule)
    half_an_hour_us = 1800 * SECOND_US
    assert currents(run(site, at_us=NOW_US + half_an_hour_us)) == {"car": 20.0}
    assert currents(run(site, at_us=NOW_US + half_an_hour_us - 1)) == {"car": 10.0}


@pytest.mark.parametrize("stickyness", ["SinglePhase", "ThreePhase", "DontChange"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [1, 3])
def test_phases_change_at_most_as_often_as_the_limit_says(stickyness: str, limit: int, first: int) -> None:
    config = EnergyManagerConfig(
        switch_3ph1ph_while_charging_mode="Both",
        switch_3ph1ph_max_nr_of_switches_per_session=limit,
        switch_3ph1ph_switch_limit_stickyness=stickyness,  # type: ignore[arg-type]
        switch_3ph1ph_time_hysteresis_s=0,
    )
    memory, active, switches = Memory(), first, 0
    for step in range(20):
        power_W = 2000.0 if step % 2 else 11000.0
        site = node("root", evse("car", imports={**CAR, "active": active}), imports={"W": power_W})
        allocation, memory = allocate(site, config, NOW_US + step * SECOND_US, memory)
        wanted = phases(allocation)["car"]
        if wanted is not None and wanted != active:  # the car follows
            active, switches = wanted, switches + 1
    assert switches <= limit


def test_a_switch_is_counted_within_a_session_only() -> None:
    config, memory = EnergyManagerConfig(**BOTH), Memory()
    story = [
        (EvseState.Charging, 3, 0),
        (EvseState.Charging, 1, 1),
        (EvseState.PausedEV, 3, 2),
        (EvseState.Unplugged, 3, 0),
        (EvseState.Charging, 1, 0),  # a new session may begin on other phases
        (EvseState.Charging, 3, 1),
        (EvseState.Finished, 1, 0),
    ]
    for step, (state, active, switches) in enumerate(story):
        site = evse("car", imports={**CAR, "active": active}, evse_state=state)
        _, memory = allocate(site, config, NOW_US + step * SECOND_US, memory)
        assert memory.contexts["car"].switches == switches, step


def test_leaf_side_power_binds_what_the_children_get_when_importing() -> None:
    panel = {"leaf_W": 9000.0, "efficiency": 0.9}
    allocation = run(node("root", evse("dc", imports={"W": 50e3}), imports=panel))
    assert powers(allocation) == {"dc": 9000.0}
    by_root = {"W": 9000.0, "efficiency": 0.9}
    assert powers(run(node("root", evse("dc", imports={"W": 50e3}), imports=by_root))) == {"dc": 8100.0}


def test_leaf_side_power_binds_what_the_children_give_when_exporting() -> None:
    dc = evse("dc", imports={"W": 0.0}, exports={"W": 50e3})
    by_leaf = node("root", dc, imports={"W": 0.0}, exports={"leaf_W": 9000.0, "efficiency": 0.9})
    assert powers(run(by_leaf)) == {"dc": -9000.0}
    by_root = node("root", dc, imports={"W": 0.0}, exports={"W": 9000.0, "efficiency": 0.9})
    assert powers(run(by_root)) == {"dc": -10000.0}


def test_unsorted_schedules_are_sorted_and_time_offsets_count() -> None:
    schedule = (
        entry("root", at="2025-06-07T23:00:00+02:00", A=20.0),  # 21:00 UTC
        entry("root", at="2025-06-07T20:00:00Z", A=10.0),
        entry("root", at="2025-06-07T18:00:00-04:00", A=30.0),  # 22:00 UTC
    )
    site = node("root", evse("car"), imports=schedule)
    for hours, current_A in ((0, 10.0), (1, 20.0), (2, 30.0)):
        assert currents(run(site, at_us=NOW_US + hours * 3600 * SECOND_US)) == {"car": current_A}


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_limits_that_are_no_limits_are_refused_with_their_path(value: float) -> None:
    site = node("root", evse("car", imports={"A": value}))
    with pytest.raises(RequestError) as error:
        run(site)
    assert error.value.path == "children[0].schedule_import[0].limits_to_root.ac_max_current_A.value"


def test_an_evse_ignores_worse_setpoints_and_others_share_what_they_heed() -> None:
    own = (setpoint("driver", priority=1, ac_current_A=20.0),)
    site = node(
        "root",
        evse("a"),
        evse("b", schedule_setpoints=own),
        evse("c"),
        imports={"A": 63.0},
        schedule_setpoints=(setpoint("site", priority=5, ac_current_A=16.0),),
    )
    assert currents(run(site)) == {"a": 8.0, "b": 20.0, "c": 8.0}
    best = node("root", evse("a", schedule_setpoints=own), evse("c"), imports={"A": 63.0},
                schedule_setpoints=(setpoint("site", priority=0, ac_current_A=16.0),))  # fmt: skip
    assert currents(run(best)) == {"a": 8.0, "c": 8.0}


def test_three_phase_power_is_three_times_that_of_one_phase() -> None:
    allocation = run(node("root", evse("car"), imports={"W": 11040.0}))
    assert currents(allocation) == {"car": 16.0}
    assert powers(allocation) == {"car": 3 * 230.0 * 16.0}


def test_docs_and_tests_name_the_same_deviations() -> None:
    text = (Path(__file__).parents[3] / "docs" / "deviations.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`(test_\w+)`", text) if name != "test_deviations"}
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_docs_and_tests_name_the_same_deviations"}
