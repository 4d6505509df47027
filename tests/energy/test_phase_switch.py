from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.phase_switch import GONE_A, STUCK_S, PhaseSwitch
from tests.energy.builders import assert_caught, reading, unplugged

DELAY_S = 10.0


def flowing(t_s: float, closed: int, current_A: float = 16.0) -> Any:
    return reading(t_s, closed_phases=closed, currents_A=(current_A, current_A, current_A))


def test_phases_as_wanted_never_pause() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    assert switch.step(0.0, 3, flowing(0.0, 3)) is False
    assert switch.due_s() is None


def test_the_contactor_is_told_only_when_the_current_has_gone() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    assert switch.step(0.0, 1, flowing(0.0, 3))
    assert switch.step(1.0, 1, flowing(1.0, 3, GONE_A))
    assert switch.commanded == 3
    assert switch.step(2.0, 1, flowing(2.0, 3, GONE_A - 0.01))
    assert switch.commanded == 1


def test_an_exported_current_is_a_current() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    switch.step(0.0, 1, flowing(0.0, 3, -16.0))
    assert switch.commanded == 3


def test_the_pause_lasts_the_delay_also_when_the_contactor_is_quicker() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    switch.step(0.0, 1, reading(0.0))
    assert switch.step(1.0, 1, reading(1.0, closed_phases=1))
    assert switch.due_s() == DELAY_S
    assert switch.step(9.9, 1, reading(9.9, closed_phases=1))
    assert switch.step(10.0, 1, reading(10.0, closed_phases=1)) is False
    assert switch.due_s() is None


def test_the_pause_goes_on_until_the_contactor_says_that_it_is_done() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    switch.step(0.0, 1, reading(0.0))
    assert switch.step(20.0, 1, reading(20.0, closed_phases=3))
    assert switch.step(21.0, 1, reading(21.0, closed_phases=1)) is False


def test_a_change_of_mind_waits_until_the_first_change_is_done() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    switch.step(0.0, 1, reading(0.0))
    assert switch.step(5.0, 3, reading(5.0, closed_phases=1))
    assert switch.commanded == 1
    switch.step(10.0, 3, reading(10.0, closed_phases=1))
    assert switch.step(10.1, 3, reading(10.1, closed_phases=1))
    assert switch.commanded == 3


def test_without_a_car_phases_change_at_once() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    assert switch.step(0.0, 1, unplugged(0.0)) is False
    assert switch.commanded == 1


def test_a_new_life_takes_the_contactor_over_as_it_is() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    assert switch.step(0.0, None, flowing(0.0, 1)) is False
    assert switch.commanded == 1


def test_where_nothing_is_wanted_the_contactor_stays_as_it_was_commanded() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    switch.step(0.0, 3, unplugged(0.0))
    assert switch.step(1.0, None, reading(1.0, closed_phases=1)), "told before it moved, perhaps"
    assert switch.commanded == 3
    assert switch.step(11.0, None, reading(11.0, closed_phases=3)) is False


def test_a_contactor_that_moved_by_itself_pauses_before_it_is_moved_back() -> None:
    switch = PhaseSwitch(1, DELAY_S)
    assert switch.step(0.0, 1, flowing(0.0, 1)) is False
    assert switch.step(1.0, 1, flowing(1.0, 3))


def test_hardware_that_never_changes_is_left_as_it_is_until_the_car_has_gone() -> None:
    switch = PhaseSwitch(3, DELAY_S)
    assert switch.step(0.0, 1, reading(0.0))
    assert switch.step(DELAY_S + STUCK_S - 0.1, 1, reading(0.0))
    assert switch.step(DELAY_S + STUCK_S, 1, reading(0.0)) is False
    assert (switch.stuck, switch.commanded) == (True, 3)
    assert switch.step(200.0, 1, reading(0.0)) is False
    switch.step(201.0, None, unplugged(0.0))
    assert switch.stuck is False


TIMES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 4.0, 12.0, 80.0]),
        st.sampled_from([None, 1, 3]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
)
"""Of each: time since the one before, phases wanted, car, current, whether the contactor follows."""


def charging_never_meets_a_moving_contactor(times: list[tuple[float, int | None, bool, bool, bool]]) -> None:
    switch, now_s, closed, paused, since_s = PhaseSwitch(3, DELAY_S), 0.0, 3, False, 0.0
    for pause_s, wanted, plugged_in, current, follows in times:
        now_s += pause_s
        if follows and (paused or not plugged_in):
            closed = switch.commanded
        was_paused, was_commanded = paused, switch.commanded
        flows_A = 16.0 if plugged_in and current else 0.0
        told = reading(now_s, plugged_in=plugged_in, closed_phases=closed, currents_A=(flows_A, 0.0, 0.0))
        paused = switch.step(now_s, wanted, told)
        if not plugged_in:
            continue
        assert paused or switch.commanded == closed, "it may charge while the contactor is to move"
        assert flows_A == 0.0 or switch.commanded in (was_commanded, closed), "told to move under current"
        if paused and not was_paused:
            since_s = now_s
        if was_paused and not paused:
            assert now_s >= since_s + DELAY_S
        assert not paused or now_s < since_s + DELAY_S + STUCK_S


@given(TIMES)
def test_no_charging_while_the_contactor_is_to_move_and_every_pause_ends(
    times: list[tuple[float, int | None, bool, bool, bool]],
) -> None:
    charging_never_meets_a_moving_contactor(times)


def _at_once(self: PhaseSwitch, now_s: float, wanted: int | None, told: Any) -> bool:
    self.commanded = wanted or told.closed_phases
    return False


def _without_delay(self: PhaseSwitch, now_s: float, wanted: int | None, told: Any) -> bool:
    self._delay_s = 0.0
    return _step(self, now_s, wanted, told)


def _for_ever(self: PhaseSwitch, now_s: float, wanted: int | None, told: Any) -> bool:
    self._since_s = now_s
    return _step(self, now_s, wanted, told)


_step = PhaseSwitch.step


@pytest.mark.parametrize("mutant", [_at_once, _without_delay, _for_ever])
def test_each_broken_rule_is_caught_by_the_property(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PhaseSwitch, "step", mutant)
    assert_caught(charging_never_meets_a_moving_contactor, TIMES)
