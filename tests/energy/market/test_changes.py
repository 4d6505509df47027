"""What did not change since the last run is not done again, and the answer is the same."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from actors.energy import timestamps
from actors.energy.market import Memory, RequestError, allocate, plain_tree
from actors.energy.market.changes import changed_evses
from actors.energy.market.plain_tree import read_tree
from actors.energy.market.timetables import Timetables
from actors.energy.market.walking import changed_nodes, walk
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig, EvseState, NodeType
from tests.energy.builders import mutated
from tests.energy.market.building import NOW_US, SECOND_US, entry, evse, node, results
from tests.energy.market.worlds import Features, Story, stories, story_of


def mixed(one: EnergyFlowRequest, other: EnergyFlowRequest, order: random.Random) -> EnergyFlowRequest:
    """A tree of which some nodes say what those of another tree of the same shape say."""
    children = tuple(mixed(*pair, order) for pair in zip(one.children, other.children, strict=True))
    if order.random() < 0.2 and (one.uuid, one.priority) == (other.uuid, other.priority):
        return replace(other, children=children)
    same = all(new is old for new, old in zip(children, one.children, strict=True))
    return one if same else replace(one, children=children)


SETPOINT_OF_SOME = Features(
    seed=6,
    evses=6,
    levels=1,
    watts=True,
    minimums=False,
    mixed_phases=True,
    schedules=True,
    setpoints=True,
    setpoint_priorities=True,
    steps=2,
)
"""A setpoint that only some heed is used up, which changes the name of what stopped another."""


@given(stories(steps=2), st.integers(0, 1000))
@example(story_of(SETPOINT_OF_SOME), 662)
def test_a_tree_in_which_something_changed_gets_the_answer_of_a_new_one(story: Story, seed: int) -> None:
    first, config, start_us = story.steps[0].request, story.config, story.steps[0].start_us
    second = mixed(first, story.steps[1].request, random.Random(seed))
    with mock.patch.object(plain_tree, "MOST_EVSES", 0):
        before, memory = allocate(first, config, start_us)
        again, _ = allocate(second, config, start_us, Memory(tree=memory.tree))
        fresh, _ = allocate(second, config, start_us)
    assert results(again) == results(fresh)
    assert results(again.renewed(before, list(before))) == results(fresh)
    assert again.renewed_active(before, before.active()) == fresh.active()


def test_only_the_results_of_those_who_changed_are_built_again() -> None:
    def site(limits_A: list[float]) -> EnergyFlowRequest:
        cars = [evse(f"evse_{i}", imports={"A": limit_A}) for i, limit_A in enumerate(limits_A)]
        return node("root", *cars, imports={"A": 5000.0})

    limits_A = [10.0 + i / 10 for i in range(50)]
    before, memory = allocate(site(limits_A), EnergyManagerConfig(), NOW_US)
    held = before.active()
    limits_A[7] = 3.0
    now, _ = allocate(site(limits_A), EnergyManagerConfig(), NOW_US, memory)
    assert changed_evses(now._outcome, before._outcome).tolist() == [7]
    again = now.renewed_active(before, held)
    assert [i for i in range(50) if again[i] is not held[i]] == [7]


def test_who_changes_its_mind_at_another_time_changes_the_forecasts_of_others() -> None:
    def site(*hours: int) -> EnergyFlowRequest:
        own = [
            entry("evse_0", A=6.0 if n % 2 else 32.0, at=_after(hour)) for n, hour in enumerate((0, *hours))
        ]
        return node("root", evse("evse_0", imports=tuple(own)), *others, imports={"A": 700.0})

    others = [evse(f"evse_{i}") for i in range(1, 50)]
    config = EnergyManagerConfig(schedule_total_duration=6)
    before, memory = allocate(site(1, 2), config, NOW_US)
    for hours in ((1, 3), (1, 2, 4)):  # all of them are slots of the forecast in any case
        request = site(*hours)
        now, _ = allocate(request, config, NOW_US, memory)
        assert results(now.renewed(before, list(before))) == results(allocate(request, config, NOW_US)[0])


def test_who_begins_to_export_and_who_ceases_to_is_told_anew() -> None:
    def site(*exports_A: float) -> EnergyFlowRequest:
        cars = [
            evse(f"evse_{i}", imports={"A": 0.0 if A else 32.0, "phases": 3}, exports={"A": A, "phases": 3})
            for i, A in enumerate(exports_A)
        ]
        return node("root", *cars, imports={"A": 5000.0}, exports={"A": 20.0})

    quiet = [0.0] * 50
    config = EnergyManagerConfig()
    before, memory = allocate(site(*quiet), config, NOW_US)
    for exports_A in ([9.0, *quiet[1:]], [16.0, 16.0, *quiet[2:]], quiet):
        request = site(*exports_A)
        now, memory = allocate(request, config, NOW_US, memory)
        assert results(now.renewed(before, list(before))) == results(allocate(request, config, NOW_US)[0])
        before = now


@pytest.mark.parametrize("at", [0, 7])
@pytest.mark.parametrize(
    "change",
    [
        {"schedule_import": (entry("evse", A=-1.0),)},
        {"schedule_export": (entry("evse", A=1.0, phases=7),)},
        {"fallback_A": -1.0},
        {"schedule_import": 7},
        {"priority": True},
        {"uuid": 7},
        {"node_type": "Evse"},
        {"children": None},
    ],
)
def test_a_fault_is_found_in_what_changed_as_in_a_new_tree(at: int, change: dict[str, object]) -> None:
    cars = [evse(f"evse_{i}", priority=1) for i in range(50)]
    _, memory = allocate(node("root", *cars, imports={"A": 700.0}), EnergyManagerConfig(), NOW_US)
    cars[at] = replace(cars[at], **change)
    request = node("root", *cars, imports={"A": 700.0})
    with pytest.raises(RequestError) as fresh:
        allocate(request, EnergyManagerConfig(), NOW_US)
    with pytest.raises(RequestError) as again:
        allocate(request, EnergyManagerConfig(), NOW_US, memory)
    assert str(again.value) == str(fresh.value)


class _Name(str):
    """Not quite a text."""


@pytest.mark.parametrize(
    "change",
    [
        {"uuid": "another"},
        {"uuid": _Name("evse_7")},
        {"node_type": NodeType.Generic},
        {"priority": 2},
        {"priority": None},
        {"priority": True},
        {"children": (evse("below"),)},
        {"children": 7},
    ],
)
def test_a_node_that_is_called_otherwise_is_found_by_a_walk_alone(change: dict[str, object]) -> None:
    cars = [evse(f"evse_{i}", priority=1) for i in range(50)]
    first = node("root", *cars)
    _, shape = walk(first)
    same = node("root", *cars[:7], replace(cars[7]), *cars[8:])
    found = changed_nodes(same, first, shape)
    assert found is not None
    assert found.places == (0, 8)
    other = node("root", *cars[:7], replace(cars[7], **change), *cars[8:])
    assert changed_nodes(other, first, shape) is None
    assert changed_nodes(node("root", *cars[:-1]), first, shape) is None


def test_what_only_looks_like_a_node_is_found_by_a_walk_alone() -> None:
    cars: list[Any] = [evse(f"evse_{i}") for i in range(50)]
    first = node("root", *cars)
    cars[7] = SimpleNamespace(**asdict(cars[7]))
    assert changed_nodes(node("root", *cars), first, walk(first)[1]) is None


def test_a_limit_that_is_used_up_now_is_named_by_those_who_got_the_same_before() -> None:
    def site(wanted_A: float) -> EnergyFlowRequest:
        panel = node("panel", *cars, imports={"A": 500.0})
        return node("root", panel, evse("last", imports={"A": wanted_A, "phases": 3}), imports={"A": 510.0})

    cars = [evse(f"evse_{i}", imports={"A": 32.0, "phases": 3}) for i in range(50)]
    config = EnergyManagerConfig()
    before, memory = allocate(site(9.0), config, NOW_US)
    for wanted_A in (32.0, 10.0, 9.0):
        now, memory = allocate(site(wanted_A), config, NOW_US, memory)
        assert results(now.renewed(before, list(before))) == results(
            allocate(site(wanted_A), config, NOW_US)[0]
        )
        before = now


def test_whose_session_is_over_is_told_anew() -> None:
    cars = [evse(f"evse_{i}") for i in range(50)]
    before = read_tree(node("root", *cars))
    cars[7] = replace(cars[7], evse_state=EvseState.Finished)
    once = read_tree(node("root", *cars), before)
    cars[7] = replace(cars[7], evse_state=EvseState.Charging)
    again = read_tree(node("root", *cars), once)
    assert [np.flatnonzero(tree.session_over).tolist() for tree in (before, once, again)] == [[], [7], []]


def hears_what_a_panel_begins_to_say() -> None:
    cars = [evse(f"evse_{i}", imports={"A": 32.0, "phases": 3}) for i in range(50)]

    def site(**more: float) -> EnergyFlowRequest:
        return node("root", node("panel", *cars, imports={"A": 700.0, **more}), imports={"A": 5000.0})

    _, memory = allocate(site(), EnergyManagerConfig(), NOW_US)
    for more in ({"phases": 1}, {"min_A": 8.0}, {"phases": 2, "min_A": 20.0}):
        request = site(**more)
        again, memory = allocate(request, EnergyManagerConfig(), NOW_US, Memory(tree=memory.tree))
        assert results(again) == results(allocate(request, EnergyManagerConfig(), NOW_US)[0])


def test_what_a_panel_begins_to_say_is_heard_below_it() -> None:
    hears_what_a_panel_begins_to_say()


def test_the_check_notices_a_panel_that_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = mutated(Timetables._with_rows, 'changed.add("fields")', "pass")
    monkeypatch.setattr(Timetables, "_with_rows", deaf)
    with pytest.raises(AssertionError):
        hears_what_a_panel_begins_to_say()


def _after(hours: int) -> str:
    return timestamps.format_utc(NOW_US + hours * 3600 * SECOND_US)
