"""What a node may draw while it hears nothing is sold to nobody else, and can be used by the node."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from actors.energy import timestamps
from actors.energy.forecasts import forecast_of
from actors.energy.market import Memory, RequestError, allocate, fallbacks, market, tight, trading
from actors.energy.market.decoding import request_from
from actors.energy.market.limits import PathLimits
from actors.energy.market.tree import CompiledTree
from actors.energy.packing import entries_of
from actors.energy.types import EnergyFlowRequest, NodeType, ScheduleResEntry
from tests.energy.builders import assert_caught
from tests.energy.market.agreement import assert_agreement
from tests.energy.market.building import currents, entry, evse, node, powers, run
from tests.energy.market.overload import OVER_A, OVER_W, overloads
from tests.energy.market.reference import allowed_by, holding
from tests.energy.market.worlds import Story, stories

IDLE = {"A": 0.0}
WATTS = {"watts": True, "minimums": True, "efficiency": True, "setpoints": False, "schedules": False}


def idle(uuid: str, fallback_A: float = 6.0) -> EnergyFlowRequest:
    return evse(uuid, imports=IDLE, fallback_A=fallback_A)


# --- amounts -------------------------------------------------------------------------------------


def test_an_idle_evse_keeps_its_fallback() -> None:
    site = node("root", idle("idle"), evse("car", fallback_A=6.0), imports={"A": 32.0})
    assert currents(run(site)) == {"idle": 0.0, "car": 26.0}


def test_fallbacks_of_cars_that_charge_cost_nothing() -> None:
    site = node("root", *(evse(f"e{i}", fallback_A=6.0) for i in range(4)), imports={"A": 32.0})
    assert currents(run(site)) == {"e0": 8.0, "e1": 8.0, "e2": 8.0, "e3": 8.0}


def test_an_evse_that_exports_keeps_its_fallback() -> None:
    gives = evse("gives", imports=IDLE, exports={"A": 16.0, "phases": 3}, fallback_A=6.0)
    site = node("root", gives, evse("car"), imports={"A": 32.0}, exports={"A": 32.0})
    assert currents(run(site)) == {"gives": -16.0, "car": 26.0}


@pytest.mark.parametrize(("fallback_A", "got_A"), [(6.0, 6.0), (8.0, 8.0), (5.0, 0.0)])
def test_a_worse_tier_may_use_its_fallback_if_its_minimum_allows(fallback_A: float, got_A: float) -> None:
    worse = evse("worse", priority=5, fallback_A=fallback_A)
    site = node("root", evse("better", priority=1), worse, imports={"A": 32.0})
    assert currents(run(site)) == {"better": 32.0 - fallback_A, "worse": got_A}


def test_unequal_fallbacks_are_floors_and_the_rest_is_shared() -> None:
    evses = [evse(f"e{i}", imports={"A": 32.0}, fallback_A=a) for i, a in enumerate((14.0, 9.0, 2.0, 2.0))]
    assert currents(run(node("root", *evses, imports={"A": 32.0}))) == {
        "e0": 14.0, "e1": 9.0, "e2": 4.5, "e3": 4.5,
    }  # fmt: skip


def test_a_panel_with_a_fallback_of_its_own_buys_up_to_it_and_keeps_the_rest() -> None:
    def site(**car: Any) -> dict[str, float | None]:
        panel = node("panel", evse("inside", **car), idle("idle", 4.0), imports={"A": 63.0}, fallback_A=20.0)
        better = evse("better", priority=1)
        return currents(run(node("root", panel, better, imports={"A": 32.0})))

    assert site() == {"inside": 16.0, "idle": 0.0, "better": 12.0}
    assert site(imports={"A": 10.0}) == {"inside": 10.0, "idle": 0.0, "better": 12.0}


def test_inside_a_panel_that_buys_ahead_the_fallbacks_hold_too() -> None:
    inner = (evse("p1", priority=1), evse("p5", fallback_A=6.0))
    panel = node("panel", *inner, imports={"A": 63.0}, fallback_A=20.0)
    site = node("root", panel, evse("better", priority=1, imports={"A": 80.0}), imports={"A": 80.0})
    site = msgspec.structs.replace(site, children=(panel, evse("first", priority=0, imports={"A": 60.0})))
    assert currents(run(site)) == {"p1": 14.0, "p5": 6.0, "first": 60.0}


def test_fixed_loads_are_served_before_those_who_buy_ahead() -> None:
    fixed = evse("fixed", priority=0, imports={"A": 20.0})
    site = node("root", fixed, evse("first", priority=1), evse("car", fallback_A=6.0), imports={"A": 32.0})
    assert currents(run(site)) == {"fixed": 20.0, "first": 6.0, "car": 6.0}


def test_watts_are_kept_at_the_node_s_root_side() -> None:
    efficient = (entry("panel", efficiency=0.5),)
    watts = {"W": 10_000.0}
    panel = node("panel", evse("idle", imports={"W": 0.0}, fallback_W=1000.0), imports=efficient)
    assert powers(run(node("root", panel, evse("dc", imports=watts), imports=watts)))["dc"] == 8000.0


def test_below_a_limit_under_the_fallbacks_nobody_has_more_than_its_own() -> None:
    def site(cars: int, **car: Any) -> dict[str, float | None]:
        evses = [evse(f"e{i}", fallback_A=6.0, **car) if i < cars else idle(f"e{i}") for i in range(4)]
        return currents(run(node("root", *evses, evse("without"), imports={"A": 20.0})))

    assert site(1) == {"e0": 6.0, "e1": 0.0, "e2": 0.0, "e3": 0.0, "without": 0.0}
    assert site(4, imports={"A": 32.0}) == {"e0": 5.0, "e1": 5.0, "e2": 5.0, "e3": 5.0, "without": 0.0}
    assert site(4) == {"e0": 6.0, "e1": 6.0, "e2": 6.0, "e3": 0.0, "without": 0.0}


def test_further_up_the_fallbacks_below_a_low_limit_still_count() -> None:
    evses = [idle("idle"), *(evse(f"e{i}", imports={"A": 32.0}, fallback_A=6.0) for i in range(2))]
    panel = node("panel", *evses, imports={"A": 10.0})
    site = node("root", panel, evse("other"), imports={"A": 32.0})
    assert currents(run(site)) == {"idle": 0.0, "e0": 5.0, "e1": 5.0, "other": 14.0}


@pytest.mark.parametrize("priority", [1, 5])
def test_what_is_kept_for_those_below_a_low_limit_is_theirs_to_use(priority: int) -> None:
    panel = node("panel", *(evse(f"e{i}", fallback_A=6.0) for i in range(3)), imports={"A": 10.0})
    other = evse("other", imports={"A": 32.0}, priority=priority)
    site = node("root", other, panel, imports={"A": 20.0})
    assert currents(run(site)) == {"other": 2.0, "e0": 6.0, "e1": 0.0, "e2": 0.0}


def test_panels_below_a_low_limit_are_capped_at_the_sum_of_their_fallbacks() -> None:
    first, second = evse("first", priority=1, fallback_A=6.0), evse("second", fallback_A=6.0)
    panel = node("panel", first, second, imports={"A": 63.0})
    site = node("root", panel, idle("i0"), idle("i1"), imports={"A": 13.0})
    assert currents(run(site)) == {"first": 6.0, "second": 6.0, "i0": 0.0, "i1": 0.0}


def test_a_panel_below_a_low_limit_shares_a_larger_fallback_of_its_own() -> None:
    panel = node("panel", evse("inside"), idle("idle", 4.0), imports={"A": 63.0}, fallback_A=20.0)
    site = node("root", panel, idle("i0"), imports={"A": 25.0})
    assert currents(run(site)) == {"inside": 16.0, "idle": 0.0, "i0": 0.0}


def test_watts_below_a_low_limit_are_capped_at_the_node_s_root_side() -> None:
    efficient = (entry("panel", efficiency=0.5),)
    panel = node("panel", evse("dc", imports={"W": 9000.0}, fallback_W=1000.0), imports=efficient)
    idles = evse("idle", imports={"W": 0.0}, fallback_W=4000.0)
    assert powers(run(node("root", panel, idles, imports={"W": 5000.0})))["dc"] == 1000.0


def test_a_limit_of_exactly_the_fallbacks_keeps_them() -> None:
    site = node("root", idle("idle"), evse("a", fallback_A=6.0), evse("b", priority=1), imports={"A": 12.0})
    assert currents(run(site)) == {"idle": 0.0, "a": 6.0, "b": 0.0}


# --- what is told --------------------------------------------------------------------------------


def test_the_fuse_is_named_with_what_is_kept_of_it() -> None:
    allocation = run(node("root", idle("idle"), evse("car"), imports={"A": 32.0}))
    number = allocation.now("car").ac_max_current_A
    assert number is not None
    assert number.source == "root/A"
    assert "root/A (root: 32 A import, 6 kept free, 0 left)" in allocation.report.why("car").text()
    assert [(bound.node, bound.limit, bound.kept) for bound in allocation.report.used_up()] == [
        ("root", 32.0, 6.0)
    ]


def test_one_who_bought_ahead_is_bound_by_the_fuse_or_else_by_its_fallback() -> None:
    def sources(fuse_A: float) -> list[str]:
        site = node("root", evse("p1", priority=1), evse("p5", fallback_A=6.0), imports={"A": fuse_A})
        return [bound.source for bound in run(site).report.why("p5").bounds]

    assert sources(14.0) == ["root/A"]
    assert sources(10.0) == ["p5: fallback_A"]  # p1 is refused its minimum: 4 A are left


def test_one_whose_minimum_is_above_what_it_may_buy_ahead_is_told_so() -> None:
    panel = node("panel", evse("inside"), imports={"W": 11_000.0}, fallback_W=2000.0)
    first = evse("first", priority=1, imports={"W": 22_000.0})
    number = run(node("root", panel, first, imports={"W": 10_000.0})).now("inside").total_power_W
    assert number is not None
    assert number.value == 0.0
    assert number.source


def test_below_a_low_limit_the_fallback_is_named() -> None:
    report = run(node("root", evse("car", fallback_A=6.0), idle("idle", 20.0), imports={"A": 20.0})).report
    assert report.why("car").text().endswith("bound by: car: fallback_A (car: 6 A import, 0 left)")
    site = node("root", evse("car"), idle("idle", 24.0), imports={"A": 20.0})
    assert [bound.source for bound in run(site).report.why("car").bounds] == ["car: fallback_A"]


@pytest.mark.parametrize("field", ["fallback_A", "fallback_W"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf, "6", True, []])
def test_fallbacks_that_are_none_are_refused_with_their_path(field: str, value: Any) -> None:
    site = node("root", evse("a"), node("panel", evse("b", **{field: value})))
    with pytest.raises(RequestError) as error:
        run(site)
    assert error.value.path == f"children[1].children[0].{field}"


def test_fallbacks_are_left_out_of_json_and_read_from_it() -> None:
    plain = msgspec.to_builtins(evse("a"))
    assert "fallback_A" not in plain
    assert request_from({**plain, "fallback_A": 6, "fallback_W": 4140.5}).fallback_W == 4140.5
    with pytest.raises(RequestError) as error:
        request_from({**plain, "fallback_A": "6"})
    assert error.value.path == "fallback_A"


# --- properties ----------------------------------------------------------------------------------


@settings(max_examples=settings().max_examples // 2)
@given(stories(fallbacks=True))
def test_equals_the_reference_with_fallbacks(story: Story) -> None:
    assert_agreement(story)


@settings(max_examples=settings().max_examples // 2)
@given(stories(fallbacks=True, switching=True, watts=True, steps=2, evses=4, setpoints=False))
def test_equals_the_reference_with_fallbacks_while_phases_switch(story: Story) -> None:
    assert_agreement(story)


@given(stories(fallbacks=True))
def test_no_limit_is_exceeded_with_fallbacks(story: Story) -> None:
    for step in story.steps:
        assert overloads(step.request, allocate(step.request, story.config, step.start_us)[0]) == []


@given(stories())
def test_fallbacks_of_0_change_nothing(story: Story) -> None:
    step = story.steps[0]
    with_0 = _with_fallbacks_of_0(step.request)
    assert list(allocate(with_0, story.config, step.start_us)[0]) == list(
        allocate(step.request, story.config, step.start_us)[0]
    )


def _with_fallbacks_of_0(node: EnergyFlowRequest) -> EnergyFlowRequest:
    children = tuple(_with_fallbacks_of_0(child) for child in node.children)
    return msgspec.structs.replace(node, children=children, fallback_A=0.0, fallback_W=0.0)


@given(stories(fallbacks=True, setpoints=False))
def test_room_that_others_may_draw_at_any_time_is_not_sold(story: Story) -> None:
    assert_kept(story)


@given(stories(fallbacks=True, setpoints=False))
def test_fallbacks_are_kept_however_soon_the_market_stops_looking(story: Story) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fallbacks, "FINE_PASSES", 0)
        patch.setattr(fallbacks, "MOST_PASSES", 1)
        assert_kept(story)


def assert_kept(story: Story) -> None:
    """At every node the shares fit the limit, and so do the larger of share and fallback, unless the
    fallbacks alone do not."""
    memory = Memory()
    for step in story.steps:
        allocation, memory = allocate(step.request, story.config, step.start_us, memory)
        answers = {limits.uuid: forecast_of(limits) for limits in allocation}
        for slot in range(allocation.report.slots if answers else 0):
            _flows(step.request, answers, slot)


class Flows(NamedTuple):
    """Ampere and watt at a node's root side."""

    share: tuple[float, float]
    counted: tuple[float, float]
    fallback: tuple[float, float]
    """Its own, or the sum of those below it."""


Forecasts = dict[str, tuple[ScheduleResEntry, ...]]


def _flows(node: EnergyFlowRequest, answers: Forecasts, slot: int) -> Flows:
    slot_us = timestamps.parse(next(iter(answers.values()))[slot].timestamp)
    allowed = allowed_by(holding(entries_of(node.schedule_import), slot_us))
    own = (0.0, 0.0)
    if node.node_type is NodeType.Evse:
        share = answers[node.uuid][slot].limits_to_root
        own_A, own_W = (
            0.0 if number is None else max(number.value, 0.0)
            for number in (share.ac_max_current_A, share.total_power_W)
        )
        own = (own_A, own_W)
    below = [_flows(child, answers, slot) for child in node.children]
    shares, counted, fallbacks = (
        (
            first[0] + sum(amounts[0] for amounts in column),
            first[1] + sum(amounts[1] for amounts in column) / allowed.efficiency,
        )
        for first, column in (
            (own, [flows.share for flows in below]),
            (own, [flows.counted for flows in below]),
            ((0.0, 0.0), [flows.fallback for flows in below]),
        )
    )
    leaf_W = None if allowed.leaf_W is None else allowed.leaf_W / allowed.efficiency
    limits_A = [limit for limit in (allowed.A,) if limit is not None]
    limits_W = [limit for limit in (allowed.root_W, leaf_W) if limit is not None]
    for unit, (limits, over) in enumerate(((limits_A, OVER_A), (limits_W, OVER_W))):
        if limits:
            text = f"{node.uuid}, slot {slot}: {shares}, {counted} of {limits}, fallbacks {fallbacks}"
            assert shares[unit] <= min(limits) + over, text
            assert counted[unit] <= max(min(limits), fallbacks[unit]) + over, text
    its_A, its_W = node.fallback_A or 0.0, node.fallback_W or 0.0
    return Flows(
        share=shares,
        counted=(max(counted[0], its_A), max(counted[1], its_W)),
        fallback=(max(fallbacks[0], its_A), max(fallbacks[1], its_W)),
    )


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "fallbacks are not looked at": lambda patch: patch.setattr(market, "trade_imports", trading.trade),
    "only what is known beforehand is kept": lambda patch: patch.setattr(
        fallbacks._Reserve,
        "learn",
        lambda reserve, trades, hurry: np.zeros(len(trades.current_A), dtype=np.bool_),
    ),
    "what is kept is kept at the parent alone": lambda patch: patch.setattr(
        fallbacks, "_sums_below", _sums_of_children
    ),
    "low limits cap nobody": lambda patch: patch.setattr(market, "cap_at_fallbacks", _capping_nobody),
    "watts that others took are not missed": lambda patch: patch.setattr(fallbacks, "SLACK_W", 1e9),
}


def _capping_nobody(tree: CompiledTree, limits: PathLimits) -> PathLimits:
    return dataclasses.replace(limits, tight=tight.cap_at_fallbacks(tree, limits).tight)


def _sums_of_children(tree: Any, values: Any) -> Any:
    below = np.zeros_like(values)
    for level, starts, parents in tree.families:
        below[:, parents] = np.add.reduceat(values[:, level], starts, axis=1)
    return below


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_the_check_notices_a_market_that_does_not_keep(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    assert_caught(assert_kept, stories(fallbacks=True, **WATTS))
