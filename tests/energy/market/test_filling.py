"""The turn in which a limit is used up: of those who buy last, each gets what those before it leave."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.market import filling
from tests.energy.builders import assert_caught, mutated

WANTED = st.one_of(st.just(0.0), st.floats(0.0, 80.0), st.sampled_from((0.1, 0.5, 1.0)))


@st.composite
def turns(draw: st.DrawFn) -> tuple[list[list[float]], list[float]]:
    """What EVSEs want in their turn, a row for each limit, and what each limit has left."""
    length, count = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    wanted = [draw(st.lists(WANTED, min_size=length, max_size=length)) for _ in range(count)]
    left = [draw(st.one_of(st.just(0.0), st.floats(0.0, 1.2))) * math.fsum(row) for row in wanted]
    return wanted, left


def sold_to_rows(wanted: list[list[float]], left: list[float]) -> Any:
    sold = np.array(wanted)
    filling._Rows().sell_in_turn(sold, np.array(left))
    return sold


def sold_one_by_one(wanted: list[list[float]], left: list[float]) -> Any:
    sold = np.array(wanted)
    for row, limit in zip(sold, left, strict=True):
        filling._sell_in_turn(row, limit)
    return sold


def sells_in_turn(case: tuple[list[list[float]], list[float]], sell: Callable[..., Any]) -> None:
    wanted, left = case
    sold = sell(wanted, left)
    for row, own, limit in zip(sold.tolist(), wanted, left, strict=True):
        assert math.fsum(row) <= limit + 1e-9
        assert all(0.0 <= got <= want for got, want in zip(row, own, strict=True))
        for got, want in zip(row, own, strict=True):
            fair = min(want, limit)
            assert abs(got - fair) <= 1e-9, "each in its turn has all that it wants, or what is left"
            limit -= fair


@pytest.mark.parametrize("long", [1, 10**9], ids=["in blocks", "one by one"])
@given(turns())
def test_who_buys_last_gets_what_is_left_after_those_before_it(
    long: int, case: tuple[list[list[float]], list[float]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "LONG", long)
        sells_in_turn(case, sold_to_rows)


@given(turns())
def test_under_a_limit_that_is_used_up_alone_it_is_the_same(
    case: tuple[list[list[float]], list[float]],
) -> None:
    sells_in_turn(case, sold_one_by_one)


ROWS = [
    ("<= self.each(left)).sum(axis=1)", "< self.each(left + 1.0)).sum(axis=1)"),
    ("left - upto[rows, block]", "left"),
    ("wanted *= np.arange(length) < self.each(first)", "pass"),
]
ONE = [
    ("np.searchsorted(upto, left,", "np.searchsorted(upto, left + 1.0,"),
    ("left -= float(upto[block - 1])", "pass"),
    ("wanted[begin + size :] = 0.0", "pass"),
]
MUTANTS = ["a block too late", "blocks before it cost nothing", "all after it get theirs"]


@pytest.mark.parametrize(("before", "after"), ROWS, ids=MUTANTS)
def test_each_broken_rule_of_rows_is_seen(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "LONG", 1)
    method: Any = mutated(filling._Rows.sell_in_turn, before, after)
    monkeypatch.setattr(filling._Rows, "sell_in_turn", method)
    assert_caught(lambda case: sells_in_turn(case, sold_to_rows), turns())


@pytest.mark.parametrize(("before", "after"), ONE, ids=MUTANTS)
def test_each_broken_rule_of_one_limit_is_seen(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "_sell_in_turn", mutated(filling._sell_in_turn, before, after))
    assert_caught(lambda case: sells_in_turn(case, sold_one_by_one), turns())


@st.composite
def limits(draw: st.DrawFn) -> tuple[Any, Any, Any, Any]:
    """Limits that caps exceed, as rows, with steps of each or one of all."""
    length, count = draw(st.integers(2, 40)), draw(st.integers(1, 4))
    shape, numbers = (count, length), st.floats(0.0, 30.0)
    held = np.array(draw(st.lists(numbers, min_size=count * length, max_size=count * length)))
    more = np.array(draw(st.lists(numbers, min_size=count * length, max_size=count * length)))
    steps: Any = draw(st.sampled_from((0.1, 0.5, 1e-6, 7.0)))
    if draw(st.booleans()):
        steps = steps * (1.0 + np.arange(count * length) % 3).reshape(shape)
    held, caps = held.reshape(shape), (held + more).reshape(shape)
    share = draw(st.floats(0.0, 0.999))
    return held.sum(axis=1) + share * more.reshape(shape).sum(axis=1), held, caps, steps


@given(limits())
def test_limits_are_used_up_alike_together_and_alone(case: tuple[Any, Any, Any, Any]) -> None:
    together = filling._fill(filling._Rows(), *case)
    limit, held, caps, steps = case
    for row, amounts in enumerate(together):
        of_row = steps if isinstance(steps, float) else steps[row]
        alone = filling.fill_one(float(limit[row]), held[row], caps[row], of_row).amounts
        assert math.fsum(alone) <= limit[row] + 1e-9
        assert abs(math.fsum(alone) - math.fsum(amounts)) <= 1e-9
        assert np.abs(np.sort(alone - amounts)).max() <= 1e-9
