"""An operator asks why an EVSE got what it got, and is answered in terms of sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from actors.energy.market import Allocation, allocate
from actors.energy.market.bounds import bounds_of
from actors.energy.market.naming import names_of, phase_sources_of
from actors.energy.market.outcome import Outcome
from actors.energy.market.sources import joined, phases_source
from actors.energy.market.texts import Texts
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig
from tests.energy.market.building import NOW_US, entry, evse, node, run, setpoint
from tests.energy.market.worlds import Story, stories
from tools.bench.families import START_US, binding_floors, both_ways, own_times, plain_site, switching_site


def site() -> Allocation:
    panel = node("panel", evse("a"), evse("b"), imports={"A": 17.0})
    return run(node("root", panel, evse("c", imports={"A": 8.0, "min_A": 6.0}), imports={"A": 40.0}))


@given(stories(steps=2))
def test_the_sources_of_many_at_once_are_those_of_each_alone(story: Story) -> None:
    memory = None
    for step in story.steps:
        allocation, memory = allocate(step.request, story.config, step.start_us, memory)
        _assert_named_as_alone(allocation._outcome)


@pytest.mark.parametrize(
    "site",
    [binding_floors(120, 4, 6), plain_site(120, 4), switching_site(60, 4), own_times(20), both_ways(40)],
)
def test_the_same_holds_for_sites_whose_limits_many_share(site: EnergyFlowRequest) -> None:
    config = EnergyManagerConfig(schedule_total_duration=4, switch_3ph1ph_while_charging_mode="Both")
    _assert_named_as_alone(allocate(site, config, START_US)[0]._outcome)


def test_where_nodes_that_stand_for_the_same_evses_stop_them_all_are_named() -> None:
    panel = node("panel", evse("a"), evse("b"), imports={"A": 17.0})
    outcome = run(node("root", panel, imports={"A": 17.0}))._outcome
    names = names_of(outcome, outcome.some(range(2)), texts := Texts())
    assert texts.all()[names].tolist() == [["root/A,panel/A"] * 2]
    _assert_named_as_alone(outcome)


def _assert_named_as_alone(outcome: Outcome) -> None:
    some = outcome.some(range(len(outcome.tree.uuids)))
    numbers = names_of(outcome, some, texts := Texts()), phase_sources_of(outcome, some, texts)
    names, phase_sources = (texts.all()[each] for each in numbers)
    for cell in np.ndindex(*names.shape):
        assert names[cell] == joined(bound.source for bound in bounds_of(outcome, *cell))
        source = phases_source(outcome, cell[0], cell[1], {}) if outcome.phases[cell] else ""
        assert phase_sources[cell] == source


def test_the_source_is_the_limit_that_stopped_the_evse() -> None:
    allocation = site()
    sources = {uuid: allocation.now(uuid).ac_max_current_A for uuid in allocation.uuids}
    assert {uuid: (number.value, number.source) for uuid, number in sources.items() if number} == {
        "a": (8.5, "panel/A"),
        "b": (8.5, "panel/A"),
        "c": (8.0, "c/A"),
    }


def test_an_operator_is_told_why() -> None:
    why = site().report.why("a")
    assert (why.direction, why.current_A, why.phases) == ("import", 8.5, 3)
    assert [(bound.node, bound.unit, bound.limit, bound.source) for bound in why.bounds] == [
        ("panel", "A", 17.0, "panel/A")
    ]
    assert why.text() == (
        "a imports 8.5 A on 3 phases, phases: the maximum count, bound by: panel/A (panel: 17 A import, 0 left)"
    )


def test_the_nodes_that_are_used_up_are_named() -> None:
    assert [bound.node for bound in site().report.used_up()] == ["panel"]


def test_a_refused_minimum_names_what_was_short() -> None:
    allocation = run(
        node("root", node("panel", evse("a"), imports={"A": 5.0}), evse("b"), imports={"A": 20.0})
    )
    why = allocation.report.why("a")
    assert (why.current_A, why.minimum_refused_A) == (0.0, 6.0)
    assert [bound.source for bound in why.bounds] == ["root/A", "panel/A"]  # of the root b left nothing
    assert allocation.report.refusals == 1
    assert "minimum of 6 A is not to be had" in why.text()


def test_a_closed_evse_names_what_closes_it() -> None:
    why = run(node("root", evse("a"), imports={"A": 0.0})).report.why("a")
    assert why.direction is None
    assert [bound.source for bound in why.bounds] == ["root/A"]
    missing = run(node("root", evse("a"), imports=())).now("a").ac_max_current_A
    assert missing is not None
    assert missing.source == "root: no schedule_import"


def test_a_setpoint_is_named_as_the_source() -> None:
    allocation = run(
        node("root", evse("a"), schedule_setpoints=(setpoint("grid operator", ac_current_A=10.0),))
    )
    number = allocation.now("a").ac_max_current_A
    assert number is not None
    assert (number.value, number.source) == (10.0, "grid operator")


def test_counts_do_not_depend_on_the_slice() -> None:
    tree = node("root", evse("a"), evse("b"), evse("c"), imports={"A": 15.0})
    for slice_ampere in (0.01, 0.5, 5.0):
        report = run(tree, slice_ampere=slice_ampere).report
        assert (report.slots, report.computed_slots, report.sales, report.refusals) == (1, 1, 2, 1)


def test_one_evse_is_read_without_the_others() -> None:
    allocation = site()
    assert allocation.of("b") == allocation[1] == list(allocation)[1] == allocation[:2][1] == allocation[-2]
    assert allocation.uuids == ("a", "b", "c")
    with pytest.raises(KeyError):
        allocation.of("panel")
    with pytest.raises(IndexError):
        allocation[3]


def test_the_trace_tells_the_story_in_lines() -> None:
    tree = node("root", evse("a"), evse("b", priority=1), imports={"A": 10.0})
    assert allocate(tree, EnergyManagerConfig(), NOW_US)[0].trace == ()
    allocation, _ = allocate(tree, EnergyManagerConfig(), NOW_US, trace=True)
    assert [event.kind for event in allocation.trace] == [
        "request", "request", "request", "slot", "tier", "granted", "tier", "refused", "used up",
    ]  # fmt: skip
    lines = [event.line() for event in allocation.trace]
    assert lines[0] == "[run] request: root (Generic), import 10 A, export 0 A"
    assert lines[5].startswith("[2025-06-07T20:00:00.000Z] granted: b imports 10 A on 3 phases")
    assert "its minimum of 6 A is not to be had" in lines[7]


def test_only_slots_in_which_something_starts_are_computed() -> None:
    report = run(node("root", evse("a"), imports={"A": 20.0}), schedule_total_duration=24).report
    assert (report.slots, report.computed_slots) == (24, 1)


def test_of_two_entries_with_one_stamp_the_later_in_the_list_holds() -> None:
    schedule = (entry("first", A=10.0), entry("second", A=20.0))
    number = run(node("root", evse("a"), imports=schedule)).now("a").ac_max_current_A
    assert number is not None
    assert (number.value, number.source) == (20.0, "second/A")


def test_a_clock_that_was_set_back_does_not_hold_a_car_on_one_phase_for_long() -> None:
    config = EnergyManagerConfig(
        switch_3ph1ph_while_charging_mode="Both", switch_3ph1ph_time_hysteresis_s=600
    )
    car = {"A": 32.0, "min_A": 6.0, "phases": 3, "min_phases": 1, "active": 1}
    tree = node("root", evse("a", imports=car), imports={"W": 11000.0})
    day_us = 86_400 * 10**6
    _, memory = allocate(tree, config, NOW_US + day_us)
    got = []
    for at_s in (0, 599, 600):
        allocation, memory = allocate(tree, config, NOW_US + at_s * 10**6, memory)
        number = allocation.now("a").ac_max_phase_count
        got.append(number and number.value)
    assert got == [1, 1, 3]
