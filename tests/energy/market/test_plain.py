"""Small trees are worked out in plain numbers, large ones in arrays: the same answers, and reasons."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.market import Allocation, Bound, Memory, allocate, plain_tree
from actors.energy.market.plain_run import PlainRun
from actors.energy.market.plain_tree import MOST_EVSES, PlainTree
from actors.energy.market.report import Why
from actors.energy.types import EnergyManagerConfig, LimitsRes
from tests.energy.market.agreement import TOLERANCE_A, TOLERANCE_W
from tests.energy.market.building import NOW_US, evse, node, results
from tests.energy.market.worlds import Features, Story, features, story_of


def _in_arrays(story: Story) -> list[Allocation]:
    with mock.patch.object(plain_tree, "MOST_EVSES", 0):
        return _run(story)


def _run(story: Story) -> list[Allocation]:
    found, memory = [], Memory()
    for step in story.steps:
        allocation, memory = allocate(step.request, story.config, step.start_us, memory, forecast=False)
        found.append(allocation)
    return found


@given(features(setpoints=False, setpoint_priorities=False, steps=2), st.booleans(), st.booleans())
def test_plain_numbers_and_arrays_give_the_same_answer_for_the_same_reasons(
    drawn: Features, switching: bool, fallbacks: bool
) -> None:
    story = story_of(replace(drawn, switching=switching, fallbacks=fallbacks))
    for plain, arrays in zip(_run(story), _in_arrays(story), strict=True):
        assert isinstance(plain._run, PlainRun)
        assert not isinstance(arrays._run, PlainRun)
        for one, bare, other in zip(plain.active(), plain.active(named=False), arrays.active(), strict=True):
            assert one.uuid == bare.uuid == other.uuid
            _assert_same(one.limits_root_side, other.limits_root_side, named=True)
            _assert_same(bare.limits_root_side, other.limits_root_side, named=False)
            _assert_same_reasons(plain.report.why(one.uuid), arrays.report.why(one.uuid))


def _assert_same(one: LimitsRes, other: LimitsRes, *, named: bool) -> None:
    for field, tolerance in (
        ("ac_max_current_A", TOLERANCE_A),
        ("total_power_W", TOLERANCE_W),
        ("ac_max_phase_count", 0),
    ):
        mine, its = getattr(one, field), getattr(other, field)
        assert (mine is None) == (its is None)
        if mine is not None:
            assert mine.value == pytest.approx(its.value, abs=tolerance, rel=0)
            assert _agree(mine.source.split(","), its.source.split(",")) if named else mine.source == ""


def _assert_same_reasons(one: Why, other: Why) -> None:
    assert (one.direction, one.phases, one.phase_reason) == (
        other.direction,
        other.phases,
        other.phase_reason,
    )
    assert one.minimum_refused_A == other.minimum_refused_A
    assert _agree([_name(bound) for bound in one.bounds], [_name(bound) for bound in other.bounds])


def _name(bound: Bound) -> str:
    return f"{bound.node}, {bound.unit}: {bound.source}"


def _agree(some: list[str], others: list[str]) -> bool:
    """Of limits that stop an EVSE at the very same amount, either may be named."""
    return some == others or bool(set(some) & set(others))


def test_many_evses_are_worked_out_in_arrays() -> None:
    for count, plain in ((MOST_EVSES, True), (MOST_EVSES + 1, False)):
        site = node("root", *(evse(f"evse_{i}") for i in range(count)), imports={"A": 100.0})
        allocation, _ = allocate(site, EnergyManagerConfig(), NOW_US)
        assert isinstance(allocation._run, PlainRun) is plain


def test_what_is_the_same_object_is_not_read_again() -> None:
    children = [evse(f"evse_{i}") for i in range(4)]
    first = node("root", *children, imports={"A": 20.0})
    allocation, memory = allocate(first, EnergyManagerConfig(), NOW_US)
    children[2] = evse("evse_2", imports={"A": 3.0})
    second = node("root", *children, imports={"A": 20.0})
    again, later = allocate(second, EnergyManagerConfig(), NOW_US, memory)
    assert isinstance(memory.tree, PlainTree)
    assert isinstance(later.tree, PlainTree)
    assert later.tree.shape is memory.tree.shape
    before, after = memory.tree.said["import"], later.tree.said["import"]
    assert [one is other for one, other in zip(before, after, strict=True)] == [True, True, True, False, True]
    fresh, _ = allocate(second, EnergyManagerConfig(), NOW_US)
    assert results(again) == results(fresh) != results(allocation)
