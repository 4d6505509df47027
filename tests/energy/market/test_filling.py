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


def sell_together(sold: Any, left: list[float]) -> None:
    filling._Rows().sell_in_turn(sold, np.array(left))


def sell_alone(sold: Any, left: list[float]) -> None:
    for row, limit in zip(sold, left, strict=True):
        filling._end_turn(row, *filling._last_in_turn(row, limit))


def sells_in_turn(
    case: tuple[list[list[float]], list[float]], sell: Callable[[Any, list[float]], None] = sell_together
) -> None:
    wanted, left = case
    sold = np.array(wanted)
    sell(sold, left)
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
        sells_in_turn(case)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<= self.each(left)).sum(axis=1)", "< self.each(left + 1.0)).sum(axis=1)"),
        ("left - upto[rows, block]", "left"),
        ("wanted[row, begin:] = 0.0", "pass"),
    ],
    ids=["a block too late", "blocks before it cost nothing", "all after it get theirs"],
)
def test_each_broken_rule_of_blocks_is_seen(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "LONG", 1)
    method: Any = mutated(filling._Rows.sell_in_turn, before, after)
    monkeypatch.setattr(filling._Rows, "sell_in_turn", method)
    assert_caught(sells_in_turn, turns())


@st.composite
def limits(draw: st.DrawFn) -> tuple[Any, Any, Any, Any]:
    """Limits that caps exceed, as rows: what is held, caps, and steps of each or one of all."""
    length, count = draw(st.integers(2, 40)), draw(st.integers(1, 4))
    amounts = st.lists(st.floats(0.0, 30.0), min_size=count * length, max_size=count * length)
    held, more = (np.array(draw(amounts)).reshape(count, length) for _ in range(2))
    steps: Any = draw(st.sampled_from((0.1, 0.5, 1e-6, 7.0)))
    if draw(st.booleans()):
        steps = steps * (1.0 + np.arange(count * length) % 3).reshape(count, length)
    return held.sum(axis=1) + draw(st.floats(0.0, 0.999)) * more.sum(axis=1), held, held + more, steps


def is_used_up_alone(case: tuple[Any, Any, Any, Any]) -> None:
    """As it is together with others."""
    together = filling._fill(filling._Rows(), *case)
    for row, (limit, held, caps, amounts) in enumerate(zip(*case[:3], together, strict=True)):
        steps = case[3] if isinstance(case[3], float) else case[3][row]
        alone = filling.fill_one(float(limit), held, caps, steps).amounts
        assert abs(math.fsum(alone) - limit) <= 1e-9
        assert np.abs(alone - amounts).max() <= 1e-9


@pytest.mark.parametrize("very_long", [1, 10**9], ids=["in blocks", "one by one"])
@given(turns())
def test_of_a_limit_alone_who_buys_last_gets_what_is_left(
    very_long: int, case: tuple[list[list[float]], list[float]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "VERY_LONG", very_long)
        sells_in_turn(case, sell_alone)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("searchsorted(left,", "searchsorted(left + 1.0,"),
        ("left -= float(upto[block - 1])", "pass"),
        ("- (upto[last - begin] - left)", ""),
    ],
    ids=["a block too late", "blocks before it cost nothing", "who buys last gets all"],
)
def test_each_broken_rule_of_a_long_limit_alone_is_seen(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "VERY_LONG", 1)
    monkeypatch.setattr(filling, "_last_in_turn", mutated(filling._last_in_turn, before, after))
    assert_caught(lambda case: sells_in_turn(case, sell_alone), turns())


def test_it_is_seen_when_those_after_the_last_get_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    end_turn = mutated(filling._end_turn, "wanted[last + 1 :] = 0.0", "pass")
    monkeypatch.setattr(filling, "_end_turn", end_turn)
    assert_caught(lambda case: sells_in_turn(case, sell_alone), turns())


@st.composite
def roomy_limits(draw: st.DrawFn) -> tuple[Any, Any, Any, float]:
    """One limit that is used up before anybody's cap is near, or just about then."""
    length, steps = draw(st.integers(2, 40)), draw(st.sampled_from((0.1, 0.5, 1e-6, 7.0)))
    held = np.array(draw(st.lists(st.floats(0.0, 30.0), min_size=length, max_size=length)))
    each = draw(st.floats(0.0, 20.0))
    more = np.array(draw(st.lists(st.floats(0.0, 3.0), min_size=length, max_size=length)))
    caps = held + each + steps * more
    limit = min(float(held.sum() + each * length), float(np.nextafter(caps.sum(), 0.0)))
    return np.array([limit]), held[np.newaxis], caps[np.newaxis], steps


@given(roomy_limits())
def test_a_limit_that_nobodys_cap_is_near_sells_what_it_sells_beside_others(
    case: tuple[Any, Any, Any, float],
) -> None:
    is_used_up_alone(case)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("(full + 1.0) * steps", "full * steps - 1.0"),
        ("divmod(left, steps)", "divmod(left + steps, steps)"),
        ("_end_turn(to_cap, int(last), rest)", "pass"),
    ],
    ids=["caps are passed", "one slice more", "all get a slice more"],
)
def test_each_broken_rule_of_a_roomy_limit_is_seen(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "fill_one", mutated(filling.fill_one, before, after))
    assert_caught(is_used_up_alone, roomy_limits())


@given(limits())
def test_a_limit_alone_sells_what_it_sells_beside_others(case: tuple[Any, Any, Any, Any]) -> None:
    is_used_up_alone(case)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("rounds // 1.0", "rounds // 1.0 + 2.0"),
        ("max(limit - sold, 0.0)", "limit"),
        ("to_cap > reach, speed", "to_cap >= 0.0, speed"),
    ],
    ids=["two rounds too many", "what was sold costs nothing", "who is at its cap goes on buying"],
)
def test_each_broken_rule_of_a_limit_alone_is_seen(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "fill_one", mutated(filling.fill_one, before, after))
    assert_caught(is_used_up_alone, limits())
