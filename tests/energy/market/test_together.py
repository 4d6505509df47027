"""Selling to everyone together: the same as in rounds, wherever it is done, and done where it is to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.market import Memory, allocate, plain_tree, together, trading
from actors.energy.market.first_round import Counter
from actors.energy.market.rounds import OWN
from actors.energy.types import EnergyFlowRequest, NumberWithSource
from tests.energy.builders import assert_caught, mutated
from tests.energy.market.agreement import assert_agreement
from tests.energy.market.building import evse, node, run
from tests.energy.market.worlds import Story, stories

SUITED = {"minimums": True, "watts": False, "setpoints": False}
"""Sites in which it happens."""


@contextmanager
def _compared() -> Iterator[list[bool]]:
    """Small sites, too, are worked out in arrays; whatever is sold together is sold in rounds as well. Whether
    it was, tier by tier."""
    seen: list[bool] = []

    def sell(counter: Counter) -> together.Sold | None:
        sold = together.sell_together(counter)
        seen.append(sold is not None)
        if sold is not None:
            _assert_same(sold, trading._sell_in_rounds(counter))
        return sold

    with mock.patch.object(plain_tree, "MOST_EVSES", 0), mock.patch.object(trading, "sell_together", sell):
        yield seen


def _assert_same(one: together.Sold, other: together.Sold) -> None:
    np.testing.assert_allclose(one.current_A, other.current_A, rtol=0.0, atol=1e-9)
    # Rounds take a panel for what stopped somebody also where the limit of all left nothing for it, either.
    np.testing.assert_array_equal(one.stopped_by == OWN, other.stopped_by == OWN)
    assert (one.grid_W, other.grid_W) == (None, None)
    for field in ("phases", "tried", "reasons", "refused"):
        np.testing.assert_array_equal(getattr(one.first, field), getattr(other.first, field), field)


@st.composite
def garages(draw: st.DrawFn) -> EnergyFlowRequest:
    """Panels and a main fuse of which any may stop somebody; some EVSEs may have nothing."""
    amounts = st.sampled_from((0.0, 7.0, 7.5, 13.5, 20.0, 32.0))
    share = st.one_of(st.floats(0.2, 1.1), st.just(1.1))
    panels, most_A = [], 0.0
    for p in range(draw(st.integers(1, 4))):
        caps = draw(st.lists(amounts, min_size=1, max_size=6))
        cars = [evse(f"evse_{p}_{i}", imports={"A": cap, "min_A": 6.0}) for i, cap in enumerate(caps)]
        panels.append(node(f"panel_{p}", *cars, imports={"A": draw(share) * sum(caps)}))
        most_A += sum(caps)
    return node("root", *panels, imports={"A": draw(share) * most_A})


def a_garage_is_as_in_rounds(request: EnergyFlowRequest) -> None:
    with _compared():
        run(request)


@given(garages())
def test_what_a_garage_is_sold_together_is_what_rounds_sell(request: EnergyFlowRequest) -> None:
    a_garage_is_as_in_rounds(request)


def is_as_in_rounds(story: Story) -> None:
    memory: Memory | None = None
    with _compared():
        for step in story.steps:
            _, memory = allocate(step.request, story.config, step.start_us, memory)


@given(stories(**SUITED))
def test_what_is_sold_together_is_what_rounds_sell(story: Story) -> None:
    is_as_in_rounds(story)


@given(stories(**SUITED))
def test_what_is_sold_together_equals_the_reference(story: Story) -> None:
    with mock.patch.object(plain_tree, "MOST_EVSES", 0):
        assert_agreement(story)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("stage.sums(bought_A) < most_A", "stage.sums(bought_A) < most_A + 100.0"),
        ("any_of(row_sums(held_A) > common_A)", "False"),
        ("all_of(held_A <= caps_A)", "True"),
        ("held_A * buys, caps_A * buys", "held_A * buys, caps_A"),
    ],
    ids=[
        "a panel's limit may be exceeded",
        "minimums may exceed what all share",
        "minimums may exceed what an EVSE may have",
        "who does not take part gets something",
    ],
)
def test_each_broken_rule_is_seen(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "sell_together", mutated(together.sell_together, before, after))
    assert_caught(a_garage_is_as_in_rounds, garages())


def test_it_is_seen_when_nobody_needs_a_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    careless = mutated(together.sell_together, "all_of(held_A >= CRUMB)", "True")
    monkeypatch.setattr(together, "sell_together", careless)
    assert_caught(is_as_in_rounds, stories(**SUITED))


def _garage(limit_A: float, panel_A: float) -> list[bool]:
    panels = [
        node(
            f"panel_{p}",
            *[evse(f"evse_{p}_{i}", imports={"A": 32.0, "min_A": 6.0}) for i in range(5)],
            imports={"A": panel_A},
        )
        for p in range(3)
    ]
    with _compared() as seen:
        run(node("root", *panels, imports={"A": limit_A}))
    return seen


def test_a_garage_whose_main_fuse_alone_binds_is_sold_together() -> None:
    assert _garage(limit_A=150.0, panel_A=100.0) == [True]


def test_a_garage_in_which_nothing_binds_is_sold_together() -> None:
    assert _garage(limit_A=1000.0, panel_A=200.0) == [True]


def test_a_panel_that_has_something_left_stopped_nobody() -> None:
    def car(name: str) -> EnergyFlowRequest:
        return evse(name, imports={"A": 20.0, "min_A": 6.0})

    panels = [
        node("free", car("first"), imports={"A": 22.0}),
        node("tight", car("second"), car("third"), imports={"A": 12.5}),
    ]
    with _compared() as seen:
        allocation = run(node("root", *panels, imports={"A": 18.75}))
    assert seen == [True]
    shares = [each.limits_root_side.ac_max_current_A for each in allocation]
    assert shares == [NumberWithSource(amount_A, "root/A") for amount_A in (6.5, 6.25, 6.0)]


def test_a_garage_whose_panels_bind_is_sold_in_rounds() -> None:
    assert _garage(limit_A=1000.0, panel_A=100.0) == [False]


def test_minimums_that_do_not_all_fit_are_sold_in_rounds() -> None:
    assert _garage(limit_A=80.0, panel_A=100.0) == [False]
