from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.amount import (
    CRUMB,
    NOTHING,
    UNLIMITED,
    Amount,
    largest,
    of_limits,
    smallest,
    total,
)
from actors.energy.types import IntegerWithSource, LimitsRes
from tests.energy.builders import VOLT, number

_parts = st.floats(0, 1e6) | st.just(math.inf)
AMOUNTS = st.builds(Amount, _parts, _parts, _parts, _parts)
FINITE = st.builds(Amount, *[st.floats(0, 1e6)] * 4)


@given(AMOUNTS, AMOUNTS)
def test_the_smaller_fits_each_and_each_fits_the_larger(one: Amount, other: Amount) -> None:
    for amount in (one, other):
        assert smallest(one, other).fits(amount)
        assert amount.fits(largest(one, other))


@given(FINITE, FINITE)
def test_what_is_left_is_never_negative_and_makes_up_for_what_was_taken(one: Amount, other: Amount) -> None:
    left = one.less(other)
    assert NOTHING.fits(left)
    assert one.fits(left + other)
    assert left.fits(one)


@given(AMOUNTS)
def test_without_limit_everything_fits_and_stays_so_whatever_is_taken(amount: Amount) -> None:
    assert amount.fits(UNLIMITED)
    assert UNLIMITED.less(amount) == UNLIMITED


def test_nothing_is_left_of_a_limit_by_something_unlimited() -> None:
    assert Amount(32.0).less(UNLIMITED) == NOTHING


@pytest.mark.parametrize("part", Amount.__struct_fields__)
def test_each_part_counts_by_itself(part: str) -> None:
    assert not Amount(**{part: 10.0 + 2 * CRUMB}).fits(Amount(**{part: 10.0}))
    assert Amount(**{part: 10.0 + CRUMB / 2}).fits(Amount(**{part: 10.0}))
    assert getattr(total([Amount(**{part: 1.0})] * 3), part) == 3.0


def test_an_export_makes_up_for_no_import() -> None:
    summed = total([Amount(16.0, 3e3), Amount(export_A=10.0, export_W=2e3)])
    assert summed == Amount(16.0, 3e3, 10.0, 2e3)


def test_a_converter_changes_power_and_leaves_current() -> None:
    assert Amount(16.0, 9e3, 10.0, 5e3).with_efficiency(1 / 0.9, 0.9) == Amount(16.0, 1e4, 10.0, 4.5e3)


@pytest.mark.parametrize(
    ("A", "W", "phases", "amount"),
    [
        (None, None, None, NOTHING),
        (16.0, None, None, Amount(16.0, 16.0 * 3 * VOLT)),
        (16.0, None, 1, Amount(16.0, 16.0 * VOLT)),
        (None, 2300.0, 3, Amount(10.0, 2300.0)),
        (16.0, 5e3, 3, Amount(16.0, 5e3)),
        (0.0, None, 3, NOTHING),
        (-10.0, -5e3, 3, Amount(export_A=10.0, export_W=5e3)),
    ],
)
def test_limits_of_an_evse_allow_no_more_than_any_reading_of_them(
    A: float | None, W: float | None, phases: int | None, amount: Amount
) -> None:
    limits = LimitsRes(
        ac_max_current_A=number(A),
        total_power_W=number(W),
        ac_max_phase_count=None if phases is None else IntegerWithSource(phases, "test"),
    )
    assert of_limits(limits, VOLT) == amount


def test_it_is_told_in_short() -> None:
    assert NOTHING.text() == "nothing"
    assert Amount(16.0, 0.0, 0.0, 5e3).text() == "16 A 5000 W export"
