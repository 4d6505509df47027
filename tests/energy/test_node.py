from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from actors.energy.amount import Amount
from actors.energy.effects import Effect, KeepEpoch
from actors.energy.external import ClearLimits, Heartbeat, SetLimits, SourceConfig
from actors.energy.ledger import STRETCH
from actors.energy.messages import EpochKept, Grant, MarketAnswer, Order, Outcome, Report
from actors.energy.node import NodeCore
from actors.energy.packing import entries_of
from actors.energy.trunk import SHORTEST_GAP_S
from actors.energy.types import ExternalLimits, LimitsReq, NumberWithSource, value_of
from tests.energy.builders import (
    VOLT,
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
    runs,
    said,
    saved,
    short,
    stamp,
    trunk,
)

LIMITS = (enforced("a", A=16.0), enforced("b", A=10.0))


def node(*children: Any, **more: Any) -> NodeCore:
    """A panel with a fuse and two EVSEs, that starts at second 0 for the first time."""
    settings = trunk("node", *(children or (child("a"), child("b"))), fuse_A=32.0, **more)
    core = NodeCore(settings, "boot", at(0.0), kept_epoch=0)
    core.branch.ledger.kept(1)
    return core


def heard(core: NodeCore, now_s: float, *names: str, **more: Any) -> list[Effect]:
    """Its children report."""
    return [e for name in names or ("a", "b") for e in core.step(at(now_s), report(name, now_s, **more))]


def asked(told: Report) -> LimitsReq:
    """What a report asks for, for imports, now."""
    assert told.wants is not None
    return entries_of(told.wants.schedule_import)[0].limits_to_root


def test_it_reports_at_once_and_each_interval_what_it_and_all_below_ask_for() -> None:
    core = node()
    heard(core, 0.0)
    [told] = reports(core.step(at(1.0), None))
    assert told.wants is not None
    assert [wants.uuid for wants in told.wants.children] == ["a", "b"]
    assert value_of(asked(told).ac_max_current_A) == 32.0
    assert told.settle_time_s == 11.0
    assert told.status[0].id == "node"
    assert core.due_s == 2.0


def test_a_priority_request_goes_up_at_once_others_wait_for_the_interval() -> None:
    core = node()
    heard(core, 0.0)
    core.step(at(0.1), None)
    assert reports(core.step(at(0.2), report("a", 0.2))) == []
    [told] = reports(core.step(at(0.3), report("a", 0.3, priority=True)))
    assert told.priority
    assert told.wants is not None
    assert told.wants.priority_request


def test_what_is_urgent_for_many_children_at_a_time_goes_up_once() -> None:
    names = [f"evse_{n}" for n in range(50)]
    core = node(*[child(name) for name in names])
    told = [r for name in names for r in reports(core.step(at(0.0), report(name, 0.0)))]
    assert len(told) == 1
    assert core.due_s <= SHORTEST_GAP_S
    assert reports(core.step(at(0.05), report(names[0], 0.05, priority=True))) == []
    [last] = reports(core.step(at(0.1), None))
    assert last.priority
    assert last.wants is not None
    assert [wants.uuid for wants in last.wants.children] == names
    assert reports(core.step(at(0.2), None)) == []


def test_what_is_new_to_it_goes_up_at_once_even_if_it_hears_of_it_by_chance() -> None:
    core = node()
    heard(core, 0.0)
    wants = report("a", 0.0).wants
    assert wants is not None
    other = replace(wants, schedule_import=(entry(stamp(0.0), A=7.0),))
    [told] = reports(core.step(at(0.2), report("a", 0.2, wants=other)))
    assert told.priority, "the urgent report in which the child said so may have been lost"
    assert reports(core.step(at(0.3), report("a", 0.3, wants=other))) == []


def test_a_new_grant_is_passed_on_at_once_with_no_later_end_than_its_own() -> None:
    core = node()
    heard(core, 3.0)
    passed = grants(core.step(at(4.0), grant(1.0, 1, *LIMITS, duration_s=10.0)))
    assert {name: [e.uuid for e in g.limits] for name, g in passed.items()} == {"a": ["a"], "b": ["b"]}
    assert all(g.t_echo_s + g.duration_s == 11.0 for g in passed.values())


def test_a_grant_that_does_not_come_is_handed_down_again_half_an_interval_after_it_should_have_come() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS))
    heard(core, 2.0)
    assert grants(core.step(at(2.1), None)) == {}
    heard(core, 2.4)
    assert core.due_s == 2.5
    assert set(grants(core.step(at(2.5), None))) == {"a", "b"}


def test_a_report_that_changes_nothing_moves_nothing_that_is_due() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS))
    core.step(at(1.2), None)
    due_s = core.due_s
    assert heard(core, 1.3) == heard(core, 1.4) == []
    assert core.due_s == due_s > 1.4


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
    effects = core.step(at(1.5), bad)
    assert grants(effects) == {}
    assert "grant not taken" in said(effects)[0]


def test_a_grant_in_which_all_wishes_fit_asks_no_market() -> None:
    core = node()
    heard(core, 1.0)
    effects = core.step(at(1.0), grant(1.0, 1, *LIMITS))
    assert runs(effects) == []
    assert {name: g.amount.import_A for name, g in grants(effects).items()} == {"a": 16.0, "b": 10.0}


def test_a_grant_of_less_than_the_wishes_asks_the_market_for_a_part_of_it() -> None:
    core = node()
    heard(core, 1.0)
    effects = core.step(at(1.0), grant(1.0, 1, *LIMITS, amount=Amount(20.0, 20.0 * 3 * VOLT)))
    assert grants(effects) == {}
    [run] = runs(effects)
    current = entries_of(run.request.schedule_import)[0].limits_to_root.ac_max_current_A
    assert current == NumberWithSource(20.0, "node/granted")
    answer = MarketAnswer(limits=(enforced("a", A=10.0), enforced("b", A=10.0)))
    passed = grants(core.step(at(1.0), answer))
    assert [g.amount.import_A for g in passed.values()] == [10.0, 10.0]


def test_what_the_market_answers_too_late_is_held_within_what_is_granted_by_then() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS, amount=Amount(20.0, 20.0 * 3 * VOLT)))
    core.step(at(1.1), grant(1.0, 2, *LIMITS, amount=Amount(8.0, 8.0 * 3 * VOLT)))
    passed = grants(core.step(at(1.2), MarketAnswer(limits=(enforced("a", A=10.0), enforced("b", A=10.0)))))
    assert sum(g.amount.import_A for g in passed.values()) == 8.0


def test_while_it_waits_for_room_nobody_gets_more_than_of_all() -> None:
    core = node()
    heard(core, 1.0)
    wishes = (enforced("a", A=7.0), enforced("b", A=9.0))
    core.step(at(1.0), grant(1.0, 1, *wishes, amount=Amount(12.8, 12.8 * 3 * VOLT)))
    answer = MarketAnswer(
        limits=(enforced("a", A=12.8), enforced("b", A=0.0))
    )  # b's minimum does not fit yet
    passed = grants(core.step(at(1.0), answer))
    assert {name: g.amount.import_A for name, g in passed.items()} == {"a": 7.0, "b": 0.0}
    later = grants(core.step(at(1.5), grant(1.0, 2, *wishes)))
    assert {name: g.amount.import_A for name, g in later.items()} == {"a": 7.0, "b": 9.0}, (
        "a need not come down first"
    )


def test_an_island_gives_what_its_fallback_allows_whatever_was_wished() -> None:
    core = node(fallback=Amount(10.0, 10.0 * 3 * VOLT))
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, enforced("a", A=0.0), enforced("b", A=0.0), duration_s=10.0))
    for second in range(2, 12):
        heard(core, float(second))
        core.step(at(float(second)), None)
    effects = core.step(at(12.0), MarketAnswer(limits=(enforced("a", A=10.0), enforced("b", A=0.0))))
    assert grants(effects)["a"].amount.import_A == 10.0


def test_the_root_alone_switches_phases() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, enforced("a", A=16.0, phases=1), amount=Amount(8.0, 9e3)))
    [passed] = grants(core.step(at(1.0), MarketAnswer(limits=(enforced("a", A=8.0, phases=3),)))).values()
    count = passed.limits[0].limits_root_side.ac_max_phase_count
    assert count is not None
    assert count.value == 1


def test_without_an_answer_nothing_is_handed_down_and_the_reason_is_told() -> None:
    core = node()
    heard(core, 1.0)
    effects = core.step(at(1.0), MarketAnswer(error="no"))
    assert (grants(effects), said(effects)) == ({}, ["no allocation: no"])


def test_a_parent_whose_limit_drops_lowers_the_children_at_once_and_tells_when_they_have_come_down() -> None:
    core = node()
    heard(core, 1.0, committed=Amount())
    first = grants(core.step(at(1.0), grant(1.0, 1, *LIMITS)))
    for name, given_ in first.items():
        core.step(at(1.5), report(name, 1.5, acked=given_.order, committed=given_.amount))
    core.step(at(2.0), grant(1.5, 2, *LIMITS, amount=Amount(13.0, 13.0 * 3 * VOLT)))
    answer = MarketAnswer(limits=(enforced("a", A=8.0), enforced("b", A=5.0)))
    lowered = grants(core.step(at(2.0), answer))
    assert {name: g.amount.import_A for name, g in lowered.items()} == {"a": 8.0, "b": 5.0}
    [told] = reports(core.step(at(3.0), None))
    assert told.acked == Order(1, 2)
    assert told.committed is not None
    assert told.committed.import_A == 26.0, "taken, but what flows has not come down yet"
    eased = []
    for name, given_ in lowered.items():
        eased += core.step(at(3.1), report(name, 3.1, acked=given_.order, committed=given_.amount))
    eased += core.step(at(core.due_s), None)
    assert [r.committed.import_A for r in reports(eased) if r.committed is not None][-1] == 13.0


# --- islands -----------------------------------------------------------------------------------------


def test_shortly_before_its_grant_ends_it_hands_out_its_fallback_which_lasts() -> None:
    core = node(fallback=Amount(12.0, 12.0 * 3 * VOLT), height=1)
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS, duration_s=10.0))
    assert runs(core.step(at(7.9), None)) == []
    assert core.due_s == 8.0
    heard(core, 7.95)
    [run] = runs(core.step(at(8.9), None))
    current = entries_of(run.request.schedule_import)[0].limits_to_root.ac_max_current_A
    assert current == NumberWithSource(12.0, "node/fallback")
    passed = grants(core.step(at(8.9), MarketAnswer(limits=(enforced("a", A=6.0), enforced("b", A=6.0)))))
    assert {name: g.amount.import_A for name, g in passed.items()} == {"a": 6.0, "b": 6.0}
    assert all(g.t_echo_s + g.duration_s == pytest.approx(18.9) for g in passed.values())


def test_an_island_gives_nobody_what_another_may_still_draw() -> None:
    core = node(fallback=Amount(12.0, 12.0 * 3 * VOLT))
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, enforced("a", A=16.0), enforced("b", A=0.0)))
    heard(core, 9.0)
    passed = grants(core.step(at(9.0), MarketAnswer(limits=(enforced("a", A=6.0), enforced("b", A=6.0)))))
    assert {name: g.amount.import_A for name, g in passed.items()} == {"a": 6.0, "b": 0.0}


def test_a_new_life_is_no_island_before_it_has_waited_for_its_first_grant() -> None:
    """What its children hold since before would be lowered, and its parent may be about to renew it."""
    core = node(fallback=Amount(12.0, 12.0 * 3 * VOLT))
    early = [*core.step(at(0.0), None), *heard(core, 0.5), *core.step(at(1.5), None)]
    assert runs(early) == []
    assert all(g.fence for g in grants(early).values())
    late = [*heard(core, 1.9), *core.step(at(core.due_s), None), *core.step(at(core.due_s), None)]
    assert runs(late) != []


def test_a_grant_that_comes_ends_the_island() -> None:
    core = node(fallback=Amount(12.0, 12.0 * 3 * VOLT))
    assert runs(heard(core, 2.0)) != []
    effects = core.step(at(2.1), grant(2.0, 1, *LIMITS))
    assert runs(effects) == []
    assert grants(effects)["a"].amount.import_A == 16.0


def test_after_its_grant_it_is_shown_in_fallback() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS, duration_s=5.0))
    [shown, *_] = core.report_status(at(6.0))
    assert (shown.state, shown.note) == ("fallback", "limit has run out: fallback")


# --- its children ------------------------------------------------------------------------------------


def test_a_child_that_starts_late_or_restarts_gets_what_is_left_of_the_grant_at_once() -> None:
    core = node()
    heard(core, 1.0, "a")
    core.step(at(1.0), grant(1.0, 1, *LIMITS))
    for now_s, told in ((4.0, report("b", 100.0)), (4.25, report("b", 100.5, boot="next"))):
        effects = core.step(at(now_s), told)
        assert reports(effects)[0].priority
        if not grants(effects):
            effects = core.step(at(now_s + 0.1), None)
        assert grants(effects)["b"].duration_s == 11.0 - now_s


def test_a_child_that_died_is_forgotten_in_the_end_and_said_so() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS))
    gone_s = 1.0 + 10.0 * STRETCH + 11.0 * 1.1
    second = 2.0
    lines: list[str] = []
    while second < gone_s + 1.0 and not lines:
        core.step(at(second), report("b", second))
        lines = said(core.step(at(second), None))
        assert lines == [] or second >= gone_s
        second += 1.0
    assert lines == ["a is gone: all its limits have run out"]
    assert [w.uuid for w in core.request(at(second)).children] == ["b"]


def test_a_fallback_of_a_child_that_is_not_there_is_asked_for_as_a_fixed_load() -> None:
    core = node(child("a", fallback_A=6.0), child("b"))
    [told] = reports(core.step(at(3.0), None))
    assert told.wants is not None
    assert [(wants.uuid, wants.fallback_A) for wants in told.wants.children] == [("a/not heard", 6.0)]


def test_what_it_wants_is_told_only_when_its_children_have_said_what_they_want() -> None:
    core = node()
    assert [told.wants for told in reports(core.step(at(0.0), None))] == [None]
    assert [told.wants for told in reports(heard(core, 1.0, "a"))] == [None]
    assert all(told.wants is not None for told in reports(heard(core, 1.0, "b")))


# --- its epoch ---------------------------------------------------------------------------------------


def test_a_new_life_keeps_its_epoch_fences_its_children_and_knows_what_flows_when_all_have_answered() -> None:
    settings = trunk("node", child("a"), child("b"), fuse_A=32.0, fallback=Amount(12.0, 9e3))
    core = NodeCore(settings, "boot", at(0.0), kept_epoch=4)
    [asked_] = [e for e in core.step(at(0.0), None) if isinstance(e, KeepEpoch)]
    assert asked_.epoch == 5
    assert grants(heard(core, 0.1)) == {}, "not before it is kept"
    core.step(at(0.2), EpochKept(epoch=5, ok=True))
    fences = grants(core.step(at(0.2), MarketAnswer(limits=LIMITS)))
    assert [f.fence for f in fences.values()] == [True, True]
    assert core.branch.ledger.committed(0.3) is None
    held = {"holds": Amount(16.0), "committed": Amount(10.0)}
    for name, fence in fences.items():
        core.step(at(0.3), report(name, 0.3, acked=fence.order, **held))
    told = [r for r in reports(core.step(at(1.5), None)) if r.committed is not None]
    assert told[-1].committed == Amount(32.0)


def test_an_epoch_that_cannot_be_kept_is_tried_again_and_shown() -> None:
    settings = trunk("node", child("a"), child("b"))
    core = NodeCore(settings, "boot", at(0.0), kept_epoch=4)
    core.step(at(0.0), None)
    core.step(at(0.1), EpochKept(epoch=5, ok=False))
    assert "disk" in core.report_status(at(0.1))[0].note
    assert [e for e in core.step(at(0.5), None) if isinstance(e, KeepEpoch)] == []
    assert [e for e in core.step(at(1.0), None) if isinstance(e, KeepEpoch)] == [KeepEpoch(5)]
    core.step(at(1.1), EpochKept(epoch=5, ok=True))
    assert "disk" not in core.report_status(at(1.1))[0].note


def test_a_fence_is_answered_at_once_and_changes_nothing_below() -> None:
    core = node()
    heard(core, 1.0)
    core.step(at(1.0), grant(1.0, 1, *LIMITS))
    effects = core.step(at(1.5), replace(grant(1.0, 9), fence=True))
    assert grants(effects) == {}
    [told] = reports(effects)
    assert (told.acked, told.holds.import_A) == (Order(1, 9), 26.0)


def test_it_tells_its_fallback_and_the_grant_that_it_took() -> None:
    core = node(fallback=Amount(12.0, 9e3))
    core.step(at(0.0), grant(0.0, 7, *LIMITS, epoch=3))
    [told] = reports(core.step(at(1.0), None))
    assert told.fallback == Amount(12.0, 9e3)
    assert told.acked == Order(3, 7)


# --- external limits ---------------------------------------------------------------------------------


def test_external_limits_go_up_at_once_and_are_kept() -> None:
    core = node()
    heard(core, 0.0)
    effects = core.step(at(0.5), command("node", SetLimits(source="dso", limits=short(total_power_W=9e3))))
    [told] = reports(effects)
    assert told.priority
    assert value_of(asked(told).total_power_W) == 9e3
    assert saved(effects)[0].sources[0].name == "dso"
    assert [(way, o.error) for way, o in outcomes(effects)] == [("up", None)]


def test_the_end_of_an_external_limit_wakes_it_and_goes_up_at_once() -> None:
    core = node()
    heard(core, 0.0)
    core.step(at(0.1), command("node", SetLimits(source="x", limits=short(total_power_W=9e3), for_s=0.5)))
    assert core.due_s == pytest.approx(0.6)
    [told] = reports(core.step(at(0.6), None))
    assert told.priority
    assert asked(told).total_power_W is None


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
    [shown, *_] = core.report_status(at(0.0))
    assert (shown.note, shown.granted) == ("no limit received yet", None)
    core.step(at(0.0), grant(0.0, 1))
    [shown, *_] = core.report_status(at(0.0))
    assert (shown.note, shown.state, shown.granted) == ("", "ok, 2 silent", Amount())


def test_a_node_that_leaves_says_so_and_is_granted_nothing_more() -> None:
    core = node()
    [told] = reports(core.farewell(at(1.0)))
    assert told.leaving
    assert told.priority
