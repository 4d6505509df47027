from __future__ import annotations

from typing import Any

import pytest

from actors.energy.external import ClearLimits, Heartbeat, SetLimits, SourceConfig
from actors.energy.messages import Amount, Grant, Order, Outcome
from actors.energy.node import NodeCore
from actors.energy.types import ExternalLimits, value_of
from tests.energy.builders import (
    at,
    child,
    command,
    commands,
    enforced,
    entry,
    grant,
    grants,
    outcomes,
    report,
    reports,
    said,
    saved,
    short,
    stamp,
    trunk,
)

LIMITS = (enforced("a", A=16.0), enforced("b", A=10.0))


def node(*children: Any, **more: Any) -> NodeCore:
    """A panel with a fuse and two EVSEs, that starts at second 0."""
    return NodeCore(
        trunk("node", *(children or (child("a"), child("b"))), fuse_A=32.0, **more), "boot", at(0.0)
    )


def heard(core: NodeCore, now_s: float, *names: str) -> None:
    """Its children report."""
    for name in names or ("a", "b"):
        core.step(at(now_s), report(name, now_s))


def test_it_reports_at_once_and_each_interval_what_it_and_all_below_ask_for() -> None:
    core = node()
    heard(core, 0.0)
    [told] = reports(core.step(at(1.0), None))
    assert [wants.uuid for wants in told.wants.children] == ["a", "b"]
    assert value_of(told.wants.schedule_import[0].limits_to_root.ac_max_current_A) == 32.0
    assert told.settle_time_s == 11.0
    assert told.status[0].id == "node"
    assert core.due_s == 2.0


def test_a_priority_request_goes_up_at_once_others_wait_for_the_interval() -> None:
    core = node()
    heard(core, 0.0)
    assert reports(core.step(at(0.2), report("a", 0.2))) == []
    [told] = reports(core.step(at(0.3), report("a", 0.3, priority=True)))
    assert told.priority
    assert told.wants.priority_request


def test_a_new_grant_is_passed_on_at_once_with_no_later_end_than_its_own() -> None:
    core = node()
    heard(core, 3.0)
    passed = grants(core.step(at(4.0), grant(1.0, 1, *LIMITS, duration_s=10.0)))
    assert {name: [e.uuid for e in g.limits] for name, g in passed.items()} == {"a": ["a"], "b": ["b"]}
    assert all(g.t_echo_s + g.duration_s == 11.0 for g in passed.values())


@pytest.mark.parametrize(
    "bad",
    [
        grant(1.0, 9, *LIMITS, boot="former life"),
        grant(1.0, 1, *LIMITS),
        grant(1.0, 9, *LIMITS, duration_s=0.5),
    ],
)
def test_a_grant_that_is_not_taken_is_not_passed_on(bad: Grant) -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS))
    effects = core.step(at(2.0), bad)
    assert grants(effects) == {}
    assert "grant not taken" in said(effects)[0]


def test_when_its_own_grant_has_run_out_it_grants_nothing() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS, duration_s=5.0))
    assert grants(core.step(at(6.0), report("a", 0.1, boot="next"))) == {}
    [shown, *_] = core.report_status(at(6.0))
    assert (shown.state, shown.note) == ("fallback", "limit has run out: fallback")


def test_a_child_that_starts_late_or_restarts_gets_what_is_left_of_the_grant_at_once() -> None:
    core = node()
    heard(core, 1.0, "a")
    core.step(at(1.0), grant(1.0, 1, *LIMITS))
    for told in (report("b", 100.0), report("b", 0.5, boot="next")):
        effects = core.step(at(4.0), told)
        assert grants(effects)["b"].duration_s == 7.0
        assert reports(effects)[0].priority


def test_a_child_that_died_is_forgotten_in_the_end_and_said_so() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS))
    gone_s = 0.0 + 14.0 * 1.1 / 0.9 + 11.0
    second = 2.0
    lines: list[str] = []
    while second < gone_s + 1.0:
        lines = said(core.step(at(second), report("b", second)))
        assert lines == [] or second >= gone_s
        if lines:
            break
        second += 1.0
    assert lines == ["a is gone: all its limits have run out"]
    assert [w.uuid for w in core.request(at(second)).children] == ["b"]


def test_a_fallback_of_a_child_that_is_not_there_is_asked_for_as_a_fixed_load() -> None:
    core = node(child("a", fallback_A=6.0), child("b"))
    [told] = reports(core.step(at(0.0), None))
    assert [wants.uuid for wants in told.wants.children] == ["a/not heard"]


def test_it_tells_its_fallback_and_the_grant_that_it_took() -> None:
    core = node(fallback_A=12.0)
    core.step(at(0.0), grant(0.0, 7, *LIMITS, epoch=3))
    [told] = reports(core.step(at(1.0), None))
    assert told.fallback == Amount(import_A=12.0)
    assert told.acked == Order(3, 7)


# --- external limits ---------------------------------------------------------------------------------


def test_external_limits_go_up_at_once_and_are_kept() -> None:
    core = node()
    effects = core.step(at(0.5), command("node", SetLimits(source="dso", limits=short(total_power_W=9e3))))
    [told] = reports(effects)
    assert told.priority
    assert value_of(told.wants.schedule_import[0].limits_to_root.total_power_W) == 9e3
    assert saved(effects)[0].sources[0].name == "dso"
    assert [(way, o.error) for way, o in outcomes(effects)] == [("up", None)]


def test_the_end_of_an_external_limit_wakes_it_and_goes_up_at_once() -> None:
    core = node()
    core.step(at(0.1), command("node", SetLimits(source="x", limits=short(total_power_W=9e3), for_s=0.5)))
    assert core.due_s == pytest.approx(0.6)
    [told] = reports(core.step(at(0.6), None))
    assert told.priority
    assert told.wants.schedule_import[0].limits_to_root.total_power_W is None


def test_a_heartbeat_hurries_nobody() -> None:
    source = SourceConfig(name="dso", heartbeat_timeout_s=10.0, failsafe=short(total_power_W=1e3))
    core = node(sources=(source,))
    core.step(at(0.0), None)
    effects = core.step(at(0.1), command("node", Heartbeat(source="dso"), origin="node"))
    assert (reports(effects), saved(effects)) == ([], [])
    assert [way for way, _ in outcomes(effects)] == ["out"]


def test_watt_limits_of_sources_limit_the_current_where_it_is_enhanced() -> None:
    core = node(watt_to_current_W=690.0)
    core.step(at(0.0), command("node", SetLimits(source="x", limits=short(total_power_W=6900.0))))
    assert core.report_status(at(0.0))[0].capacity_A == 10.0


def test_capacity_counts_both_sides_and_names_who_set_it() -> None:
    core = node()
    limits = short(ac_max_current_A=20.0)
    core.step(at(0.0), command("node", SetLimits(source="x", limits=limits)))
    leaves = (entry(stamp(0), leaf_W=4500.0, conversion_efficiency=0.9),)
    core.step(at(0.0), command("node", SetLimits(source="y", limits=ExternalLimits(schedule_import=leaves))))
    shown = core.report_status(at(0.0))[0]
    assert (shown.capacity_A, shown.capacity_source) == (20.0, "test")
    assert shown.capacity_W == pytest.approx(5000.0)


# --- commands ----------------------------------------------------------------------------------------


def test_a_command_goes_down_the_one_branch_of_its_target() -> None:
    core = node(child("sub", "x", "y", kind="EnergyNode"), child("a"))
    core.step(at(0.0), report("sub", 0.0))
    core.step(at(0.0), report("a", 0.0))
    sent = command("y", ClearLimits(source="s"))
    assert commands(core.step(at(0.1), sent)) == {"sub": sent}


@pytest.mark.parametrize(("target", "error"), [("z", "no module 'z' here"), ("b", "b is not alive")])
def test_a_command_that_cannot_arrive_is_answered(target: str, error: str) -> None:
    effects = node().step(at(0.0), command(target, ClearLimits(source="s")))
    assert [(way, o.error) for way, o in outcomes(effects)] == [("up", error)]


def test_outcomes_go_up_to_where_their_command_came_in() -> None:
    core = node()
    assert [way for way, _ in outcomes(core.step(at(0.0), Outcome(id="1", origin="root")))] == ["up"]
    assert [way for way, _ in outcomes(core.step(at(0.0), Outcome(id="1", origin="node")))] == ["out"]


# --- status ------------------------------------------------------------------------------------------


def test_before_its_first_grant_it_says_so_and_a_grant_of_0_is_a_grant() -> None:
    core = node()
    assert core.report_status(at(0.0))[0].note == "no limit received yet"
    amount = Amount(import_A=0.0)
    core.step(at(0.0), Grant(boot="boot", t_echo_s=0.0, order=Order(1, 1), duration_s=10.0, amount=amount))
    shown = core.report_status(at(0.0))[0]
    assert (shown.note, shown.state) == ("", "ok, 2 silent")
    assert shown.limit is not None
    assert value_of(shown.limit.ac_max_current_A) == 0.0
    assert shown.limit.total_power_W is None


def test_a_node_that_leaves_says_so_and_is_granted_nothing_more() -> None:
    core = node()
    [told] = reports(core.farewell(at(1.0)))
    assert told.leaving
    assert told.priority
