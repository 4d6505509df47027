from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.energy.evse_state import PREPARE_S, SILENT_S, StateMachine
from actors.energy.messages import Reading
from actors.energy.types import EvseState
from tests.energy.builders import reading, unplugged


def play(*steps: tuple[float, Reading | None, bool]) -> list[str]:
    """States after each (time, reading, offered); readings are as fresh as can be."""
    machine = StateMachine()
    return [machine.step(t_s, told, t_s, offered).value for t_s, told, offered in steps]


def car(t_s: float, **changes: Any) -> Reading:
    return reading(t_s, **changes)


def quiet(t_s: float) -> Reading:
    return reading(t_s, car_asks=False)


def test_hardware_that_was_never_heard_is_disabled() -> None:
    assert play((0.0, None, False)) == ["Disabled"]


def test_hardware_that_fell_silent_or_tells_a_fault_is_disabled() -> None:
    machine = StateMachine()
    assert machine.step(SILENT_S, car(0.0), 0.0, True) is EvseState.Charging
    assert machine.step(SILENT_S + 0.1, car(0.0), 0.0, True) is EvseState.Disabled
    assert machine.step(6.0, car(6.0, fault="contactor welded"), 6.0, True) is EvseState.Disabled


def test_a_car_waits_prepares_charges_and_leaves() -> None:
    states = play(
        (0.0, unplugged(0.0), False),
        (1.0, quiet(1.0), False),
        (2.0, quiet(2.0), True),
        (3.0, car(3.0), True),
        (4.0, unplugged(4.0), True),
    )
    assert states == ["Unplugged", "WaitForEnergy", "PrepareCharging", "Charging", "Unplugged"]


def test_a_car_that_is_offered_nothing_any_more_is_paused_by_the_evse() -> None:
    assert play((0.0, car(0.0), True), (1.0, car(1.0), False)) == ["Charging", "PausedEVSE"]


def test_a_car_that_stops_asking_under_an_offer_paused_itself_and_stays_so_without_one() -> None:
    states = play(
        (0.0, car(0.0), True), (1.0, quiet(1.0), True), (2.0, quiet(2.0), False), (3.0, car(3.0), True)
    )
    assert states == ["Charging", "PausedEV", "PausedEV", "Charging"]


def test_a_car_gets_time_to_ask_again_after_a_pause_of_ours() -> None:
    pause = ((0.0, car(0.0), True), (1.0, quiet(1.0), False))
    assert play(*pause, (2.0, quiet(2.0), True)) == ["Charging", "PausedEVSE", "PrepareCharging"]
    last = play(*pause, (2.0, quiet(2.0), True), (2.0 + PREPARE_S, quiet(2.0 + PREPARE_S), True))[-1]
    assert last == "PausedEV"


def test_a_car_that_never_asks_is_taken_as_pausing_in_the_end() -> None:
    states = play((0.0, quiet(0.0), True), (29.9, quiet(29.9), True), (PREPARE_S, quiet(PREPARE_S), True))
    assert states == ["PrepareCharging", "PrepareCharging", "PausedEV"]


def test_a_car_that_needs_nothing_more_is_finished_until_it_asks_again() -> None:
    done = reading(1.0, car_asks=False, complete=True)
    assert play((0.0, car(0.0), True), (1.0, done, True), (2.0, car(2.0), True)) == [
        "Charging",
        "Finished",
        "Charging",
    ]


def test_a_new_session_knows_nothing_of_the_one_before() -> None:
    states = play(
        (0.0, car(0.0), True), (1.0, unplugged(1.0), True), (2.0, quiet(2.0), True), (3.0, car(3.0), False)
    )
    assert states == ["Charging", "Unplugged", "PrepareCharging", "WaitForEnergy"]


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans(), st.booleans(), st.booleans(), st.booleans())))
def test_only_a_car_that_asks_under_an_offer_charges(
    steps: list[tuple[float, bool, bool, bool, bool]],
) -> None:
    machine, now_s = StateMachine(), 0.0
    for pause_s, plugged_in, asks, complete, offered in steps:
        now_s += pause_s
        told = reading(now_s, plugged_in=plugged_in, car_asks=plugged_in and asks, complete=complete)
        state = machine.step(now_s, told, now_s, offered)
        assert (state is EvseState.Unplugged) == (not plugged_in)
        assert (state is EvseState.Charging) == (plugged_in and asks and offered)
        assert state is not EvseState.PausedEVSE or not offered
        assert state is not EvseState.PausedEV or not asks
