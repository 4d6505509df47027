"""Clocks: bounds of their rates, and true time from their own."""

from __future__ import annotations

import pytest

from actors.simulation.clocks import RHO, Clock, ProcessClocks, WallClock, draw_clock
from actors.simulation.streams import stream


@pytest.mark.parametrize("seed", range(20))
def test_a_drawn_clock_goes_forward_within_its_rates(seed: int) -> None:
    clock = draw_clock(stream(seed, "clock"), until_s=2000.0)
    at_s = [i * 7.3 for i in range(400)]
    shown_s = [clock.own_s(t) for t in at_s]
    for (t, s), (u, v) in zip(
        zip(at_s, shown_s, strict=True), list(zip(at_s, shown_s, strict=True))[1:], strict=False
    ):
        assert (1 - RHO) * (u - t) - 1e-6 <= v - s <= (1 + RHO) * (u - t) + 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_true_time_and_own_time_are_each_other_s_inverse(seed: int) -> None:
    clock = draw_clock(stream(seed, "clock"), until_s=2000.0)
    for true_s in (0.0, 1.5, 333.3, 1999.0, 2500.0, 2.0):
        assert clock.true_s(clock.own_s(true_s)) == pytest.approx(true_s, abs=1e-6)


def test_rates_change_where_a_piece_begins() -> None:
    clock = Clock([(0.0, 1.0), (10.0, 0.9)], begin_s=100.0)
    assert clock.own_s(10.0) == 110.0
    assert clock.own_s(20.0) == pytest.approx(119.0)
    assert clock.true_s(119.0) == pytest.approx(20.0)
    assert clock.own_s(5.0) == 105.0  # asked for an earlier time again


def test_wall_clocks_jump_and_steady_ones_do_not() -> None:
    clocks = ProcessClocks(Clock([(0.0, 1.0)]), WallClock())
    before = clocks.now(5.0)
    clocks.wall.jump(-3600.0)
    after = clocks.now(6.0)
    assert after.wall_us - before.wall_us == -3_599_000_000
    assert after.mono_s - before.mono_s == 1.0


def test_the_clock_of_a_machine_that_restarts_begins_anew_and_keeps_its_rates() -> None:
    clock = Clock([(0.0, 1.0), (10.0, 0.9)], begin_s=100.0)
    assert clock.own_s(15.0) == pytest.approx(114.5)
    clock.begin_anew(15.0)
    assert clock.own_s(15.0) == 0.0
    assert clock.own_s(25.0) == pytest.approx(9.0)
    assert clock.true_s(9.0) == pytest.approx(25.0)
