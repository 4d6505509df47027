from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.draw import CRUMB_A, ac_draw, dc_draw, most_restrictive, no_draw
from actors.energy.types import LimitsReq, LimitsRes, NumberWithSource
from tests.energy.builders import VOLT, number

values = st.none() | st.floats(0, 1e5)
counts = st.integers(1, 3)


def granted(A: float | None = None, W: float | None = None) -> LimitsRes:
    return LimitsRes(ac_max_current_A=number(A, "grant"), total_power_W=number(W, "grant"))


def local(A: float | None = None, W: float | None = None) -> LimitsReq:
    return LimitsReq(ac_max_current_A=number(A, "local"), total_power_W=number(W, "local"))


def test_of_equals_the_first_is_named() -> None:
    assert most_restrictive([None, NumberWithSource(6, "a"), NumberWithSource(6, "b")]).source == "a"


def test_nobody_setting_a_limit_allows_nothing() -> None:
    assert most_restrictive([None, None]) == NumberWithSource(0.0, "no limit received")
    assert ac_draw(granted(), local(A=16.0), 3, VOLT, 6.0).current_A == 0.0
    assert dc_draw(granted(), local(W=16e3), 3, VOLT).power_W == 0.0


def test_a_limit_of_0_is_a_limit() -> None:
    for draw in (
        ac_draw(granted(A=0.0), local(), 3, VOLT, 0.0),
        ac_draw(granted(A=16.0, W=0.0), local(), 3, VOLT, 0.0),
        ac_draw(granted(A=16.0), local(A=0.0), 3, VOLT, 0.0),
        ac_draw(granted(A=16.0), local(W=0.0), 3, VOLT, 0.0),
        dc_draw(granted(W=0.0), local(), 3, VOLT),
        dc_draw(granted(W=5e3), local(A=0.0), 3, VOLT),
    ):
        assert draw.current_A == 0.0


def test_an_export_allows_no_import() -> None:
    assert ac_draw(granted(A=-16.0), local(), 3, VOLT, 6.0).current_A == 0.0
    assert dc_draw(granted(W=-5e3), local(), 3, VOLT).power_W == 0.0


def test_less_than_the_minimum_is_nothing_and_keeps_its_source() -> None:
    draw = ac_draw(granted(A=16.0), local(A=5.9), 3, VOLT, 6.0)
    assert (draw.current_A, draw.source) == (0.0, "local")


def test_a_crumb_below_the_minimum_is_the_minimum() -> None:
    assert ac_draw(granted(A=6.0 - CRUMB_A / 2), local(), 3, VOLT, 6.0).current_A == 6.0
    assert ac_draw(granted(A=6.0 - CRUMB_A * 2), local(), 3, VOLT, 6.0).current_A == 0.0


def test_dc_has_no_minimum() -> None:
    assert dc_draw(granted(W=100.0), local(), 3, VOLT).power_W == 100.0


@pytest.mark.parametrize(("dc", "power_W"), [(True, 0.0), (False, None)])
def test_nothing_is_0_in_the_units_of_the_charger(dc: bool, power_W: float | None) -> None:
    draw = no_draw("x", dc=dc)
    assert (draw.current_A, draw.power_W) == (0.0, power_W)


@given(values, values, values, values, counts, st.sampled_from([0.0, 6.0]))
def test_current_and_power_stay_within_every_limit(
    A: float | None, W: float | None, a: float | None, w: float | None, phases: int, minimum_A: float
) -> None:
    ac = ac_draw(granted(A, W), local(a, w), phases, VOLT, minimum_A)
    dc = dc_draw(granted(A, W), local(a, w), phases, VOLT)
    for draw in (ac, dc):
        power_W = draw.current_A * phases * VOLT
        for limit_A in (A, a):
            assert limit_A is None or draw.current_A <= limit_A + 2 * CRUMB_A
        for limit_W in (W, w):
            assert limit_W is None or power_W <= limit_W + 2 * CRUMB_A * phases * VOLT
    assert ac.current_A == 0.0 or ac.current_A >= minimum_A
