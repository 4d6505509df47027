"""No limit on any path is exceeded, in any slot and direction; and the check would notice."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.energy.forecasts import forecast_of
from actors.energy.market import Memory, allocate, filling, first_round, limits, rounds, setpoints, trading
from tests.energy.market.building import evse, node, run
from tests.energy.market.overload import overloads
from tests.energy.market.worlds import Features, Story, stories, story_of


def overloads_of(story: Story) -> list[str]:
    found, memory = [], Memory()
    for step in story.steps:
        allocation, memory = allocate(step.request, story.config, step.start_us, memory)
        found += overloads(step.request, allocation)
    return found


@given(stories())
def test_no_limit_on_any_path_is_ever_exceeded(story: Story) -> None:
    assert overloads_of(story) == []


@given(stories(switching=True, watts=True, steps=2))
def test_no_limit_is_exceeded_while_phases_switch(story: Story) -> None:
    assert overloads_of(story) == []


@given(stories())
def test_imports_are_never_negative_and_directions_never_mix(story: Story) -> None:
    for step in story.steps:
        allocation, _ = allocate(step.request, story.config, step.start_us)
        for each in allocation:
            for entry in forecast_of(each):
                now = entry.limits_to_root
                if now.ac_max_current_A is not None and now.total_power_W is not None:
                    assert now.ac_max_current_A.value * now.total_power_W.value >= 0.0
                if not any("export" in name for name in _open_exports(step.request)):
                    assert now.ac_max_current_A is None or now.ac_max_current_A.value >= 0.0
                    assert now.total_power_W is None or now.total_power_W.value >= 0.0


def _open_exports(request: Any) -> list[str]:
    own = [
        "export"
        for entry in request.schedule_export
        for side in (entry.limits_to_root, entry.limits_to_leaves)
        for number in (side.ac_max_current_A, side.total_power_W)
        if number is not None and number.value > 0
    ]
    return own + [name for child in request.children for name in _open_exports(child)]


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_no_rounding_sells_more_than_a_limit_on_a_large_site(seed: int) -> None:
    """Sums of hundreds of odd numbers, added without any rounding: to a billionth of an ampere."""
    order = random.Random(seed)
    floors, on_floor = [], []
    most = order.choice((60, 120))  # beyond filling.LONG in all, or not
    for f in range(12):
        names = [f"evse_{f}_{i}" for i in range(order.randrange(1, most))]
        cars = [
            evse(name, imports={"A": order.uniform(1.0, 80.0), "min_A": order.choice([0.0, 6.1])})
            for name in names
        ]
        limit_A = order.uniform(3.0, 30.0) * len(names)
        floors.append(node(f"floor_{f}", *cars, imports={"A": limit_A}))
        on_floor.append((limit_A, names))
    everyone = [name for _, names in on_floor for name in names]
    limit_A = order.uniform(2.0, 20.0) * len(everyone)
    allocation = run(node("root", *floors, imports={"A": limit_A}), slice_ampere=order.uniform(0.01, 2.0))
    bought = {name: allocation.now(name).ac_max_current_A for name in everyone}
    on_floor.append((limit_A, everyone))
    for limit_A, names in on_floor:
        sold_A = math.fsum(number.value for name in names if (number := bought[name]) is not None)
        assert sold_A <= limit_A + 1e-9


def _one_slice_more(original: Callable[..., Any]) -> Callable[..., Any]:
    def fill(limit: Any, starts: Any, length: Any, held: Any, caps: Any, steps: Any) -> Any:
        sold = original(limit, starts, length, held, caps, steps)
        return np.minimum(sold + steps * (np.arange(len(caps)) == starts[0]), caps)

    return fill


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a used-up limit sells one slice more": lambda patch: patch.setattr(
        rounds, "fill", _one_slice_more(filling.fill)
    ),
    "minimums are granted although they do not fit": lambda patch: patch.setattr(first_round, "CRUMB", 5.0),
    "efficiencies are forgotten": lambda patch: patch.setattr(
        limits, "_to_grid", lambda tree, efficiency, direction: np.ones_like(efficiency)
    ),
    "watt limits of groups are not looked at": lambda patch: patch.setattr(
        trading,
        "sell_rounds",
        lambda tier, shared_A, shared_W, positions: rounds.sell_rounds(
            tier, shared_A, np.full_like(shared_W, np.inf), positions
        ),
    ),
    "ampere limits of groups are not looked at": lambda patch: patch.setattr(
        trading,
        "sell_rounds",
        lambda tier, shared_A, shared_W, positions: rounds.sell_rounds(
            tier, np.full_like(shared_A, np.inf), shared_W, positions
        ),
    ),
    "crossing limits are not looked at": lambda patch: patch.setattr(
        trading, "sell_rounds_crossing", lambda limits, positions, column: None
    ),
    "a tier does not know what the tiers before it bought": lambda patch: patch.setattr(
        trading, "left_of", lambda tree, limits, sold: limits
    ),
    "setpoints are ignored": lambda patch: patch.setattr(
        "actors.energy.market.compiling.target_of", lambda setpoint, frequency_Hz: None
    ),
    "frequency tables are read backwards": lambda patch: patch.setattr(
        setpoints, "interpolate", lambda points, frequency_Hz: points[-1][1]
    ),
}


def _worlds() -> list[Story]:
    everything = {
        "watts": True, "dc": True, "mixed_phases": True, "efficiency": True, "setpoints": True,
        "setpoint_priorities": True, "tiers": True, "odd_numbers": True,
    }  # fmt: skip
    return [story_of(Features(seed=seed, evses=10, levels=3, **everything)) for seed in range(40)]


def test_the_worlds_of_the_mutants_are_sound_without_them() -> None:
    assert [overloads_of(story) for story in _worlds()] == [[]] * 40


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_the_check_notices_a_market_that_oversells(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    assert any(overloads_of(story) for story in _worlds())
