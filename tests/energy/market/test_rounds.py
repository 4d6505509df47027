"""The turn in which a limit is used up, under limits of so many EVSEs that they are summed up in blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.market import rounds
from tests.energy.builders import assert_caught, mutated

WANTED = st.one_of(st.just(0.0), st.floats(0.0, 80.0), st.sampled_from((0.1, 0.5, 1.0)))


@st.composite
def turns(draw: st.DrawFn) -> tuple[list[list[float]], list[float]]:
    """What EVSEs want in their turn, a row for each limit, and what each limit has left."""
    length, count = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    wanted = [draw(st.lists(WANTED, min_size=length, max_size=length)) for _ in range(count)]
    left = [draw(st.one_of(st.just(0.0), st.floats(0.0, 1.2))) * math.fsum(row) for row in wanted]
    return wanted, left


def sells_in_turn(case: tuple[list[list[float]], list[float]]) -> None:
    wanted, left = case
    sold = np.array(wanted)
    rounds._Rows().sell_in_turn(sold, np.array(left))
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
        patch.setattr(rounds, "LONG", long)
        sells_in_turn(case)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<= self.each(left)).sum(axis=1)", "< self.each(left + 1.0)).sum(axis=1)"),
        ("left - upto[rows, block]", "left"),
        ("wanted *= np.arange(length) < self.each(first)", "pass"),
    ],
    ids=["a block too late", "blocks before it cost nothing", "all after it get theirs"],
)
def test_each_broken_rule_is_seen(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "LONG", 1)
    method: Any = mutated(rounds._Rows.sell_in_turn, before, after)
    monkeypatch.setattr(rounds._Rows, "sell_in_turn", method)
    assert_caught(sells_in_turn, turns())
