"""EVSE hardware and its car: limits, watchdog, contactor, phases."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.energy.messages import Actuate
from actors.plant.watchdog import Watchdog
from tests.plant.helpers import STEP_s, command, go, make_installation, steps

SWITCHING = {"supports_changing_phases_during_charging": True}


def car(**changes: Any) -> dict[str, Any]:
    return {"evse": "evse_1", "at_s": 0, "soc_percent": 20, "target_percent": 90, **changes}


def test_a_car_draws_what_it_is_offered_after_reaction_and_ramp() -> None:
    plant = make_installation(
        {"cars": [car(reaction_time_s=2, ramp_A_per_s=4, max_current_A=32, cable_A=63)]}
    )
    command(plant, limit_A=20.0)
    evse = plant.evses["evse_1"]
    go(plant, 2.0)
    assert evse.current_A == 0.0
    assert evse.contactor_closed
    go(plant, 4.5)
    assert 0.0 < evse.current_A < 20.0
    go(plant, 8.0)
    assert evse.currents_A == (20.0, 20.0, 20.0)
    assert evse.power_W == pytest.approx(3 * 230 * 20)


def test_a_car_draws_as_before_until_its_reaction_time_is_over_and_then_falls_at_once() -> None:
    plant = make_installation({"cars": [car(reaction_time_s=3)]})
    command(plant, limit_A=16.0)
    go(plant, 15.0)
    command(plant, limit_A=8.0)
    evse = plant.evses["evse_1"]
    go(plant, 17.95)
    assert evse.current_A == 16.0
    go(plant, 18.1)
    assert evse.current_A == 8.0


def test_a_car_that_does_not_follow_is_cut_off_within_the_settle_time() -> None:
    plant = make_installation({"cars": [car(reaction_time_s=60)]}, evse_1={"settle_time_s": 11})
    command(plant, limit_A=16.0)
    go(plant, 80.0)
    evse = plant.evses["evse_1"]
    assert evse.current_A == 16.0
    command(plant, limit_A=8.0)
    go(plant, 90.8)
    assert evse.current_A == 16.0
    go(plant, 91.0)
    assert evse.current_A == 0.0
    assert not evse.contactor_closed
    assert "16.0 A, permitted 8.0 A" in (evse.reading(plant.now_s).fault or "")
    go(plant, 200.0)
    assert not evse.contactor_closed, "until it is unplugged"
    plant.unplug("evse_1")
    assert evse.fault is None


def test_a_car_that_follows_each_of_many_decreases_in_time_is_not_cut_off() -> None:
    plant = make_installation({"cars": [car(reaction_time_s=5, max_current_A=32, cable_A=63)]})
    command(plant, limit_A=32.0)
    go(plant, 20.0)
    evse = plant.evses["evse_1"]
    for now_s in steps(plant, 45.0):
        if (now_s - 20.0) % 1.0 < STEP_s:
            command(plant, limit_A=max(8.0, 32.0 - (now_s - 20.0)))
        assert evse.contactor_closed
    assert evse.fault is None


def test_a_car_too_slow_to_pause_is_cut_off_but_may_charge_again() -> None:
    plant = make_installation({"cars": [car(reaction_time_s=30)]}, evse_1={"settle_time_s": 5})
    command(plant, limit_A=16.0)
    go(plant, 60.0)
    command(plant, limit_A=0.0)
    go(plant, 65.0)
    evse = plant.evses["evse_1"]
    assert not evse.contactor_closed
    command(plant, limit_A=10.0)
    go(plant, 110.0)
    assert evse.current_A == 10.0
    assert evse.fault is None


def test_below_its_minimum_a_car_pauses_and_wakes_up_by_itself() -> None:
    plant = make_installation({"cars": [car(min_current_A=10)]})
    evse = plant.evses["evse_1"]
    command(plant, limit_A=16.0)
    go(plant, 10.0)
    command(plant, limit_A=8.0)  # the EVSE may offer that, the car cannot take it
    go(plant, 15.0)
    assert evse.current_A == 0.0
    command(plant, limit_A=12.0)
    go(plant, 25.0)
    assert evse.current_A == 12.0


def test_an_evse_cannot_offer_less_than_its_own_minimum() -> None:
    plant = make_installation({"cars": [car(min_current_A=3)]})
    command(plant, limit_A=5.0)
    go(plant, 10.0)
    assert plant.evses["evse_1"].current_A == 0.0
    assert plant.evses["evse_1"].reading(10.0).limit_A == 5.0


def test_the_contactor_waits_for_the_car_to_stop_drawing() -> None:
    plant = make_installation({"cars": [car(reaction_time_s=3)]})
    command(plant, limit_A=16.0)
    go(plant, 15.0)
    command(plant, limit_A=0.0)
    evse = plant.evses["evse_1"]
    go(plant, 17.9)
    assert evse.contactor_closed
    assert evse.current_A == 16.0
    go(plant, 18.1)
    assert not evse.contactor_closed


def test_the_watchdog_falls_back_exactly_at_expiry() -> None:
    watchdog = Watchdog(fallback_A=6.0)
    late = Actuate(t_echo_s=100.0, duration_s=10.0, limit_A=20.0, phase_count=3)
    assert watchdog.take(104.0, late) is None
    watchdog.expire(math.nextafter(110.0, 0.0))
    assert watchdog.limit.limit_A == 20.0
    watchdog.expire(110.0)
    assert watchdog.limit.limit_A == 6.0
    assert watchdog.ends_in_s(110.0) == 0.0


def test_of_limits_that_answer_the_same_reading_an_overtaken_one_is_refused() -> None:
    watchdog = Watchdog(fallback_A=0.0)

    def take(mark: str, limit_A: float, echo_s: float = 5.0) -> str | None:
        command = Actuate(t_echo_s=echo_s, duration_s=60.0, limit_A=limit_A, phase_count=3, mark=mark)
        return watchdog.take(6.0, command)

    assert take("life:9", 16.0) is None
    assert take("life:10", 8.0) is None
    assert "came after" in (take("life:9", 16.0) or "")
    assert (watchdog.limit.limit_A, watchdog.limit.mark) == (8.0, "life:10")
    assert take("life:10", 8.0) is None  # said again
    assert take("other:1", 9.0) is None  # a new life counts anew
    for mark in ("", "no number", "a:b", "a:²", "a:"):
        assert take(mark, 7.0) is None
        assert watchdog.limit.mark == mark


@pytest.mark.parametrize(("fallback_A", "in_force_A"), [(8.0, 8.0), (4.0, 0.0), (0.0, 0.0)])
def test_in_fallback_an_evse_draws_its_fallback_or_nothing_below_its_minimum(
    fallback_A: float, in_force_A: float
) -> None:
    plant = make_installation({"cars": [car()]}, evse_1={"fallback_limit_A": fallback_A})
    command(plant, limit_A=16.0, duration_s=20.0)
    go(plant, 19.95)
    evse = plant.evses["evse_1"]
    assert evse.reading(19.95).limit_A == 16.0
    assert evse.reading(19.95).limit_ends_in_s == pytest.approx(0.05)
    go(plant, 20.0)
    assert evse.reading(20.0).limit_A == in_force_A
    go(plant, 22.0)
    assert evse.current_A == in_force_A
    assert evse.contactor_closed == (in_force_A > 0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"t_echo_s": 10.1}, "future"),
        ({"t_echo_s": 4.9}, "older"),
        ({"t_echo_s": 6.0, "duration_s": 4.0}, "ran out"),
        ({"limit_A": -1.0}, "none"),
        ({"limit_W": -1.0}, "none"),
        ({"phase_count": 0}, "none"),
        ({"duration_s": math.inf}, "ran out"),
        ({"limit_A": math.nan}, "none"),
    ],
)
def test_a_command_that_cannot_be_is_refused_and_changes_nothing(changes: dict[str, float], why: str) -> None:
    watchdog = Watchdog(fallback_A=0.0)
    good: dict[str, Any] = {"t_echo_s": 5.0, "duration_s": 10.0, "limit_A": 16.0, "phase_count": 3}
    assert watchdog.take(5.0, Actuate(**good)) is None
    before = watchdog.limit
    assert why in (watchdog.take(10.0, Actuate(**{**good, **changes})) or "")
    assert watchdog.limit is before


def test_a_single_phase_car_loads_the_first_phase_of_its_evse() -> None:
    plant = make_installation({"cars": [car(kind="hybrid")]})
    command(plant, limit_A=32.0)
    go(plant, 15.0)
    assert plant.evses["evse_1"].currents_A == (16.0, 0.0, 0.0)
    reading = plant.evses["evse_1"].reading(15.0)
    assert (reading.closed_phases, reading.power_W) == (3, 230.0 * 16)


def test_the_cable_bounds_what_is_offered() -> None:
    plant = make_installation({"cars": [car(max_current_A=32, cable_A=13)]})
    command(plant, limit_A=32.0)
    go(plant, 20.0)
    assert plant.evses["evse_1"].current_A == 13.0
    assert plant.evses["evse_1"].reading(20.0).cable_limit_A == 13.0


def test_a_limit_in_watt_binds_with_the_phases_that_are_closed() -> None:
    plant = make_installation({"cars": [car()]}, evse_1=SWITCHING)
    command(plant, limit_A=16.0, limit_W=4830.0)
    go(plant, 20.0)
    evse = plant.evses["evse_1"]
    assert evse.current_A == pytest.approx(7.0)
    command(plant, limit_A=16.0, limit_W=2300.0, phase_count=1)
    go(plant, 40.0)
    assert evse.currents_A == pytest.approx((10.0, 0.0, 0.0))


def test_phases_are_kept_by_hardware_that_cannot_change_them() -> None:
    plant = make_installation({"cars": [car()]})
    command(plant, limit_A=16.0, phase_count=1)
    go(plant, 20.0)
    assert plant.evses["evse_1"].reading(20.0).closed_phases == 3
    assert plant.evses["evse_1"].currents_A == (16.0, 16.0, 16.0)


@pytest.mark.parametrize("cp_state", ["X1", "E", "F"])
def test_without_a_pilot_the_car_pauses_and_phases_can_change(cp_state: str) -> None:
    plant = make_installation({"cars": [car()]}, evse_1=SWITCHING)
    command(plant, limit_A=16.0)
    go(plant, 10.0)
    command(plant, limit_A=16.0, phase_count=1, cp_state=cp_state)
    go(plant, 15.0)
    evse = plant.evses["evse_1"]
    assert not evse.contactor_closed
    assert evse.closed_phases == 1
    assert evse.reading(15.0).car_asks, "it only waits"
    command(plant, limit_A=16.0, phase_count=1)
    go(plant, 25.0)
    assert evse.currents_A == (16.0, 0.0, 0.0)


def test_a_dc_evse_turns_watt_into_current_on_the_grid() -> None:
    plant = make_installation(
        {"cars": [car(max_power_W=60_000)]}, evse_1={"charge_mode": "DC", "max_power_W": 50_000}
    )
    command(plant, limit_A=1000.0, limit_W=34_500.0)
    go(plant, 60.0)
    evse = plant.evses["evse_1"]
    assert evse.power_W == pytest.approx(34_500.0)
    assert evse.currents_A == pytest.approx((50.0, 50.0, 50.0))
    command(plant, limit_A=1000.0)
    go(plant, 80.0)
    assert evse.power_W == pytest.approx(50_000.0)
    command(plant, limit_A=3.0)  # a minimum current is AC's
    go(plant, 90.0)
    assert evse.currents_A == (3.0, 3.0, 3.0)


@pytest.mark.parametrize(("communicates", "complete"), [(True, True), (False, False)])
def test_a_full_car_asks_no_more_and_says_so_only_if_it_communicates(
    communicates: bool, complete: bool
) -> None:
    full = car(soc_percent=50, target_percent=50.5, battery_kWh=10, communicates=communicates)
    plant = make_installation({"cars": [full]})
    command(plant, limit_A=16.0)
    go(plant, 10.0)
    assert plant.evses["evse_1"].reading(10.0).car_asks
    go(plant, 40.0)
    reading = plant.evses["evse_1"].reading(40.0)
    assert (reading.car_asks, reading.complete) == (False, complete)
    assert reading.currents_A == (0.0, 0.0, 0.0)
    assert not plant.evses["evse_1"].contactor_closed
    assert (reading.car_limit_A is not None) == communicates


def test_a_leaving_car_draws_nothing_from_that_moment() -> None:
    plant = make_installation({"cars": [car(stay_s=20)]})
    command(plant, limit_A=16.0)
    go(plant, 19.95)
    assert plant.evses["evse_1"].current_A == 16.0
    go(plant, 20.1)
    reading = plant.evses["evse_1"].reading(20.1)
    assert (reading.plugged_in, reading.car_asks, reading.power_W) == (False, False, 0.0)
    assert plant.loads_A["panel"] == (0.0, 0.0, 0.0)


def test_a_filling_battery_tapers_and_holds_the_energy_that_was_drawn() -> None:
    plant = make_installation(
        {"speed": 60, "cars": [car(battery_kWh=10, soc_percent=20, target_percent=100)]}
    )
    command(plant, limit_A=16.0)
    evse = plant.evses["evse_1"]
    drawn_Wh = 0.0
    for _ in steps(plant, 120.0):
        drawn_Wh += evse.power_W * STEP_s / 3600 * 60
        assert evse.car is not None
        if evse.car.soc_percent < 79 and plant.now_s > 10:
            assert evse.current_A == 16.0
        if evse.car.soc_percent > 95 and evse.car.wants:
            assert evse.current_A < 6.0
    assert evse.car is not None
    assert not evse.car.wants
    assert drawn_Wh * 0.9 == pytest.approx(8_000, rel=0.02)


_LIMITS = st.sampled_from([0.0, 4.0, 6.0, 8.5, 16.0, 32.0])
_COMMANDS = st.lists(
    st.tuples(
        st.floats(0.05, 20.0), _LIMITS, st.integers(1, 3), st.sampled_from(["on", "on", "on", "X1", "F"]),
        st.floats(0.5, 30.0),
    ),
    max_size=12,
)  # fmt: skip


@settings(deadline=None, max_examples=80)
@given(
    commands=_COMMANDS,
    reaction_time_s=st.floats(0.0, 25.0),
    ramp_A_per_s=st.floats(0.5, 100.0),
    phases=st.integers(1, 3),
    fallback_A=st.sampled_from([0.0, 8.0]),
    step_s=st.sampled_from([0.1, 0.7]),
)
def test_whatever_is_commanded_no_more_flows_than_was_in_force_within_the_settle_time(
    commands: list[tuple[float, float, int, str, float]],
    reaction_time_s: float,
    ramp_A_per_s: float,
    phases: int,
    fallback_A: float,
    step_s: float,
) -> None:
    settle_s = 11.0
    plant = make_installation(
        {
            "cars": [
                car(reaction_time_s=reaction_time_s, ramp_A_per_s=ramp_A_per_s, phases=phases, cable_A=63,
                    max_current_A=32, stay_s=70)
            ]
        },
        evse_1={**SWITCHING, "settle_time_s": settle_s, "fallback_limit_A": fallback_A},
    )  # fmt: skip
    evse = plant.evses["evse_1"]
    in_force: list[tuple[float, float]] = [(-math.inf, 0.0)]  # (since when, amount), as the wire tells it
    pending = list(commands)
    next_s = pending[0][0] if pending else math.inf
    before = evse.closed_phases
    before_closed = evse.contactor_closed
    for now_s in steps(plant, 90.0, step_s):
        limit_A = evse.reading(now_s).limit_A
        if limit_A != in_force[-1][1]:
            in_force.append((now_s, limit_A))
        ends = [since_s for since_s, _ in in_force[1:]] + [math.inf]
        follow_s = min(settle_s, reaction_time_s + 2 * step_s)
        highest_A = max(
            amount_A for (_, amount_A), end_s in zip(in_force, ends, strict=True)
            if end_s >= now_s - follow_s - step_s
        )  # fmt: skip
        assert evse.current_A <= highest_A + 0.011
        if evse.closed_phases != before and step_s <= 0.1 and evse.car is not None:
            assert not before_closed
            assert not evse.contactor_closed
        if evse.car is None or not evse.contactor_closed:
            assert evse.currents_A == (0.0, 0.0, 0.0)
        before, before_closed = evse.closed_phases, evse.contactor_closed
        if now_s >= next_s:
            _, amount_A, count, cp_state, duration_s = pending.pop(0)
            command(plant, limit_A=amount_A, phase_count=count, cp_state=cp_state, duration_s=duration_s)
            limit_A = evse.reading(now_s).limit_A
            if limit_A != in_force[-1][1]:
                in_force.append((now_s, limit_A))
            next_s = now_s + pending[0][0] if pending else math.inf
