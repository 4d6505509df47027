from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.amount import Amount
from actors.energy.branch import Branch
from actors.energy.lease import longest_grant_s
from actors.energy.ledger import RHO, STRETCH, InvariantError, Ledger, Planned
from actors.energy.messages import Grant, ModuleStatus, Order
from actors.energy.packing import entries_of
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    NodeType,
    value_of,
)
from tests.energy.builders import VOLT, WALL_US, assert_caught, child, enforced, entry, mutated, report, stamp

SITE = EnergyManagerConfig()
LONGEST_S = longest_grant_s(SITE)
SETTLED_S = 11.0 * (1 + RHO)
LIMITS = {uuid: enforced(uuid, A=16.0) for uuid in ("a", "b", "x", "y")}
FUSE = Amount(100.0, 1e5, 100.0, 1e5)


def branch(*children: Any, born_s: float = 0.0, kept_epoch: int | None = 0) -> Branch:
    parent = Branch(children or (child("a"), child("b")), SITE, born_s, kept_epoch=kept_epoch)
    parent.ledger.kept(parent.ledger.epoch)
    return parent


def give(parent: Branch, now_s: float, limits: Any = None, **more: Any) -> list[tuple[str, Grant]]:
    """Grants that end 10 s from now."""
    limits = LIMITS if limits is None else limits
    capacity = more.pop("capacity", FUSE)
    return parent.grants(now_s, limits, capacity, lambda heard_s: now_s + 10.0 - heard_s, fuse=FUSE, **more)


# --- hearing ---------------------------------------------------------------------------------------


def test_a_short_report_leaves_what_was_asked_and_shown_before() -> None:
    parent = branch()
    shown = ModuleStatus(id="a", kind="EvseManager", controller="c", state="Charging")
    parent.hear(0.0, report("a", 1.0, status=(shown,)))
    parent.hear(0.5, report("a", 2.0, wants=None))
    assert [wants.uuid for wants in parent.wants(1.0, WALL_US)] == ["a"]
    assert parent.status(1.0)[0].state == "Charging"
    assert give(parent, 1.0)[0][1].t_echo_s == 2.0


def test_a_report_that_was_overtaken_changes_nothing() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 5.0))
    parent.hear(1.0, report("a", 4.0))
    [(_, given_)] = give(parent, 1.0)
    assert (given_.t_echo_s, given_.duration_s) == (5.0, 11.0)


def test_a_repeated_report_proves_no_life() -> None:
    parent = branch()
    for second in range(8):
        parent.hear(float(second), report("a", 5.0))
    assert not parent.alive(7.0, "a")


def test_one_that_was_gone_is_back_with_what_it_wanted_though_it_says_nothing_new() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0, wants=_wants(16.0)))
    assert parent.gone(10.0) == ["a"]
    assert parent.wants(10.0, WALL_US) == ()
    heard = parent.hear(11.0, report("a", 12.0, wants=None))
    assert heard.wants_other
    assert parent.wants(11.0, WALL_US) == (_wants(16.0),)
    assert not parent.hear(12.0, report("a", 13.0, wants=None)).wants_other
    parent.hear(13.0, report("a", 1.0, boot="another life", wants=None))
    parent.hear(20.0, report("a", 8.0, boot="another life", wants=None))
    assert parent.wants(20.0, WALL_US) == (_wants(16.0),), "until it says what it wants"


def test_a_new_life_has_told_nothing_yet() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0, wants=_wants(16.0)))
    assert parent.gone(10.0) == ["a"]
    parent.hear(11.0, report("a", 12.0, boot="another life", wants=None))
    assert parent.wants(11.0, WALL_US) == ()


def test_a_stranger_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        branch().hear(0.0, report("stranger", 0.0))


def test_what_all_want_is_known_when_all_have_said_so_or_those_that_have_not_are_silent() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0))
    parent.hear(0.0, report("b", 1.0, wants=None))
    assert not parent.gathered(2.9)
    assert parent.gathered(3.0)
    parent.hear(1.0, report("b", 2.0))
    assert parent.gathered(1.0)


# --- granting --------------------------------------------------------------------------------------


def test_a_grant_goes_down_the_one_branch_that_it_is_for_and_holds_all_of_its_subtree() -> None:
    parent = branch(child("node", "x", "y", kind="EnergyNode"), child("a"))
    below = tuple(EnergyFlowRequest(uuid=uuid, node_type=NodeType.Evse) for uuid in ("x", "y"))
    wants = EnergyFlowRequest(uuid="node", node_type=NodeType.Generic, children=below)
    parent.hear(0.0, report("node", 1.0, wants=wants))
    parent.hear(0.0, report("a", 1.0))
    given_ = dict(give(parent, 0.5))
    assert [entry.uuid for entry in given_["node"].limits] == ["x", "y"]
    assert given_["node"].amount == Amount(32.0, 32.0 * 3 * VOLT)
    assert [entry.uuid for entry in given_["a"].limits] == ["a"]


def _panel(*below: EnergyFlowRequest, **more: Any) -> EnergyFlowRequest:
    return EnergyFlowRequest(uuid="node", node_type=NodeType.Generic, children=below, **more)


def test_a_subtree_is_granted_the_fallbacks_of_those_that_get_less_too() -> None:
    parent = branch(child("node", "x", "y", kind="EnergyNode"))
    idle = EnergyFlowRequest(uuid="x", node_type=NodeType.Evse, fallback_A=6.0)
    busy = EnergyFlowRequest(uuid="y", node_type=NodeType.Evse, fallback_A=6.0)
    parent.hear(0.0, report("node", 1.0, wants=_panel(idle, busy, fallback_A=12.0)))
    limits = {"x": enforced("x", A=0.0), "y": enforced("y", A=20.0)}
    assert give(parent, 0.0, limits)[0][1].amount.import_A == 26.0


def test_a_converter_is_granted_what_it_takes_at_its_root_side() -> None:
    parent = branch(child("node", "x", kind="EnergyNode"))
    slot = entry(stamp(0.0), conversion_efficiency=0.5)
    below = EnergyFlowRequest(uuid="x", node_type=NodeType.Evse)
    wants = _panel(below, schedule_import=(slot,), schedule_export=(slot,))
    parent.hear(0.0, report("node", 1.0, wants=wants))
    [(_, given_)] = give(parent, 0.0, {"x": enforced("x", A=10.0, W=3e3)})
    assert given_.amount == Amount(10.0, 6e3)


def test_a_grant_ends_at_the_child_no_later_than_it_shall_at_the_parent() -> None:
    parent = branch()
    parent.hear(2.0, report("a", 500.0))
    [(_, given_)] = give(parent, 4.0)
    assert given_.t_echo_s + given_.duration_s == 512.0  # sent at 2.0 at the latest, so over at 14.0


def test_each_grant_is_newer_than_all_before() -> None:
    parent = branch()
    orders = []
    for second in range(3):
        for name in ("a", "b"):
            parent.hear(float(second), report(name, float(second)))
        orders += [given_.order for _, given_ in give(parent, float(second))]
    assert orders == sorted(set(orders))
    assert len(orders) == 6


def test_a_grant_that_may_be_lost_is_sent_again_one_that_was_taken_only_for_a_later_end() -> None:
    parent = branch(child("a"))

    def sent(now_s: float, ends_s: float) -> list[Grant]:
        return [g for _, g in parent.grants(now_s, LIMITS, FUSE, lambda heard_s: ends_s - heard_s, fuse=FUSE)]

    parent.hear(0.0, report("a", 0.0))
    [first] = sent(0.0, 10.0)
    parent.hear(0.4, report("a", 0.4))
    assert sent(0.4, 10.0) == [], "it is on its way"
    parent.hear(0.6, report("a", 0.6))
    [again] = sent(0.6, 10.0)
    assert (again.amount, again.limits) == (first.amount, first.limits)
    parent.hear(1.2, report("a", 1.2, acked=again.order, wants=None))
    assert sent(1.2, 10.0) == sent(1.2, 10.4) == []
    assert len(sent(1.2, 10.5)) == 1
    parent.hear(1.3, report("a", 1.3, boot="another life"))
    assert len(sent(1.3, 10.5)) == 1


def test_a_grant_that_was_taken_is_sent_again_to_say_that_another_request_is_known() -> None:
    parent = branch(child("a"))
    parent.hear(0.0, report("a", 0.0))
    [(_, first)] = give(parent, 0.0)
    parent.hear(0.6, report("a", 0.6, acked=first.order, wants=_wants(7.0)))
    [(_, told)] = parent.grants(0.6, LIMITS, FUSE, lambda heard_s: 10.0 - heard_s, fuse=FUSE)
    assert (first.knows_s, told.knows_s) == (0.0, 0.6)


def test_children_that_are_silent_leaving_or_were_never_heard_get_nothing() -> None:
    parent = branch()
    assert give(parent, 0.0) == []
    parent.hear(0.0, report("a", 1.0))
    parent.hear(0.0, report("b", 1.0, leaving=True))
    assert [name for name, _ in give(parent, 3.0)] == ["a"]
    assert give(parent, 3.1) == []


def test_an_evse_that_the_market_has_not_seen_keeps_what_it_has() -> None:
    parent = branch()
    for name in ("a", "b"):
        parent.hear(0.0, report(name, 1.0))
    give(parent, 0.0)
    assert [name for name, _ in give(parent, 0.1, {"b": enforced("b", A=100.0)})] == ["b"]
    assert parent.ledger.latest(0.1, "b").import_A == 84.0


def test_a_grant_answers_the_life_that_was_heard_last() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 5.0))
    parent.hear(1.0, report("a", 5.2, boot="next"))
    [(_, given_)] = give(parent, 1.0)
    assert (given_.boot, given_.t_echo_s) == ("next", 5.2)


def _wants(A: float, *, begins_s: float = 0.0, **more: Any) -> EnergyFlowRequest:
    return EnergyFlowRequest(
        uuid="a", node_type=NodeType.Evse, schedule_import=(entry(stamp(begins_s), A=A),), **more
    )


def test_what_is_wanted_counts_also_in_a_full_report_that_a_short_one_overtook() -> None:
    parent = branch()
    assert parent.hear(0.0, report("a", 1.0, wants=_wants(0.0))).wants_other
    assert not parent.hear(0.3, report("a", 2.2, wants=None)).wants_other
    heard = parent.hear(0.4, report("a", 2.0, wants=_wants(32.0)))
    assert (heard.stale, heard.wants_other) == (True, True)
    assert parent.wants(0.5, WALL_US) == (_wants(32.0),)
    assert not parent.hear(0.5, report("a", 2.0, wants=_wants(32.0))).wants_other, "it is only repeated"
    assert not parent.hear(0.6, report("a", 1.5, wants=_wants(0.0))).wants_other, "it was wanted before"
    assert not parent.hear(0.7, report("a", 2.1, boot="dead", wants=_wants(0.0))).wants_other
    assert parent.wants(0.5, WALL_US) == (_wants(32.0),)


def test_only_what_the_market_would_answer_differently_is_news() -> None:
    parent = branch(child("node", "a"), child("b"))

    def panel(*below: EnergyFlowRequest) -> EnergyFlowRequest:
        return EnergyFlowRequest(uuid="node", node_type=NodeType.Generic, children=below)

    wishes = (_wants(16.0), _wants(16.0, begins_s=9.0, priority_request=True), _wants(6.0), None)
    news = [
        parent.hear(
            0.0, report("node", float(i), wants=panel(*(w for w in (wish,) if w is not None)))
        ).wants_other
        for i, wish in enumerate(wishes)
    ]
    assert news == [True, False, True, True]


def test_what_a_life_of_a_child_told_still_counts_when_it_is_back_and_nothing_else_does() -> None:
    parent = branch(child("a"))
    parent.hear(0.0, report("a", 1.0))
    assert give(parent, 0.0)[0][1].knows_s == 1.0
    parent.hear(0.1, report("a", 9.0, boot="former", wants=None))
    assert parent.gone(30.0) == ["a"]
    parent.hear(30.0, report("a", 31.0, wants=None))  # it knows that its wishes were known
    [(_, given_)] = give(parent, 30.0)
    assert (given_.boot, given_.knows_s, given_.amount.import_A) == ("boot", 1.0, 16.0)
    parent.hear(60.0, report("a", 61.0, boot="next", wants=None))
    assert give(parent, 60.0)[0][1].knows_s is None, "a new life is told that nothing is known of it"


def test_after_a_restart_a_child_is_fenced_until_it_has_told_what_may_flow() -> None:
    parent = branch(kept_epoch=1)
    parent.hear(0.0, report("a", 1.0, acked=Order(1, 9), holds=Amount(16.0), committed=Amount(16.0)))
    [(_, fence)] = give(parent, 0.0)
    assert (fence.fence, fence.limits, fence.order) == (True, (), Order(2, 1))
    assert parent.waits()
    heard = parent.hear(0.1, report("a", 1.1, acked=fence.order, holds=Amount(16.0), committed=Amount(16.0)))
    assert heard.became_known
    [(_, given_)] = give(parent, 0.1, {"a": enforced("a", A=20.0, W=0.0)})
    assert (given_.fence, given_.amount.import_A) == (False, 16.0), "b is not known yet"


def test_what_waits_is_told_and_shown() -> None:
    parent = branch()
    own = ModuleStatus(id="a", kind="EvseManager", controller="c")
    parent.hear(0.0, report("a", 1.0, status=(own,), committed=Amount(0.0)))
    parent.hear(0.0, report("b", 1.0, committed=Amount(60.0)))
    assert not parent.waits()
    give(parent, 0.0, {"a": enforced("a", A=60.0, W=1e3), "b": enforced("b", A=40.0, W=1e3)})
    assert parent.waits()
    shown = parent.status(0.0)[0]
    assert shown.granted == Amount(40.0, 1e3)
    assert shown.exposure == Amount(40.0, 1e3)
    assert shown.committed == Amount(0.0)
    assert shown.waits_for == "b, which may still draw 60 A 1000 W"


def test_a_broken_invariant_sends_nothing_and_then_only_fallbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = branch(child("a", fallback_A=6.0), child("b", fallback_A=6.0))
    for name in ("a", "b"):
        parent.hear(0.0, report(name, 1.0))
    with monkeypatch.context() as patch:
        patch.setattr(
            Ledger, "plan", lambda self, now_s, wishes, room: {n: Planned(a) for n, a in wishes.items()}
        )
        with pytest.raises(InvariantError):
            give(parent, 0.0, {n: enforced(n, A=60.0) for n in ("a", "b")})
    assert parent.ledger.exposure(0.0, "a").import_A == 60.0, "to be on the safe side"
    [(_, one), (_, other)] = give(parent, 0.1, fallback_only=True)
    assert one.amount.import_A == other.amount.import_A == 6.0


# --- silence ---------------------------------------------------------------------------------------


def test_a_silent_child_is_forgotten_only_when_its_limits_and_its_settle_time_are_over() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0))
    give(parent, 0.5)
    over_s = 10.5 * STRETCH + SETTLED_S
    assert parent.gone(over_s - 0.01) == []
    assert [wants.uuid for wants in parent.wants(over_s - 0.01, WALL_US)] == ["a/not heard"]
    assert parent.gone(over_s) == ["a"]
    assert parent.gone(over_s + 1.0) == []
    assert parent.wants(over_s + 0.01, WALL_US) == ()


def _load(parent: Branch, now_s: float) -> EnergyFlowRequest:
    [load] = parent.wants(now_s, WALL_US)
    asked = entries_of(load.schedule_import)[0].limits_to_root
    assert value_of(asked.ac_max_current_A) == 0.0, "it asks for nothing"
    assert load.node_type is NodeType.Evse
    return load


def test_a_silent_child_is_a_fixed_load_of_the_most_that_it_may_still_draw() -> None:
    parent = branch(child("a", fallback_A=6.0))
    parent.hear(0.0, report("a", 1.0))
    for now_s, current_A in ((0.0, 20.0), (1.0, 9.0)):
        give(parent, now_s, {"a": enforced("a", A=current_A)})
    for now_s, load_A in (
        (3.1, 20.0),  # the newer grant may have been lost
        (10.0 * STRETCH + SETTLED_S + 0.1, 9.0),
        (11.0 * STRETCH + SETTLED_S + 0.1, 6.0),
    ):
        assert _load(parent, now_s).fallback_A == load_A


def test_a_silent_dc_child_is_a_fixed_load_of_its_power() -> None:
    parent = branch(child("a"))
    parent.hear(0.0, report("a", 1.0))
    give(parent, 0.0, {"a": enforced("a", W=18e3)})
    load = _load(parent, 5.0)
    assert load.fallback_W == 18e3
    assert load.fallback_A == pytest.approx(18e3 / VOLT)


def test_a_child_that_was_granted_nothing_is_forgotten_when_it_is_silent() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0))
    assert parent.gone(3.1) == ["a"]


def test_limits_of_the_parents_former_life_count_too() -> None:
    parent = branch(kept_epoch=1)
    parent.hear(0.0, report("a", 1.0))
    assert parent.gone(LONGEST_S * STRETCH + SETTLED_S - 0.1) == []
    assert parent.gone(LONGEST_S * STRETCH + SETTLED_S) == ["a"]


def test_a_child_that_leaves_in_good_order_is_forgotten_without_the_wait_for_silence() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0, leaving=True, settle_time_s=0.0))
    assert parent.gone(0.0) == ["a"]


def test_a_child_that_is_gone_is_a_fixed_load_of_its_fallback() -> None:
    parent = branch(child("a", fallback_A=6.0), child("b"))
    load = _load(parent, 0.0)
    assert (load.uuid, load.fallback_A, load.fallback_W) == ("a/not heard", 6.0, 6.0 * 3 * VOLT)


def test_a_child_that_comes_back_is_taken_up_again() -> None:
    parent = branch(child("a", fallback_A=6.0))
    parent.hear(0.0, report("a", 1.0))
    assert parent.gone(50.0) == ["a"]
    parent.hear(60.0, report("a", 61.0))
    assert [wants.uuid for wants in parent.wants(60.0, WALL_US)] == ["a"]
    assert [name for name, _ in give(parent, 60.0)] == ["a"]


# --- status ----------------------------------------------------------------------------------------


def test_what_was_never_heard_is_shown_with_all_below_it_and_not_alive() -> None:
    shown = branch(child("node", "x", kind="EnergyNode")).status(0.0)
    assert [(s.id, s.kind, s.alive) for s in shown] == [
        ("node", "EnergyNode", False),
        ("x", "EvseManager", False),
    ]


def test_age_and_life_add_up_along_the_tree() -> None:
    parent = branch(child("node", "x", kind="EnergyNode"))
    below = ModuleStatus(id="x", kind="EvseManager", controller="c", age_s=2.0)
    own = ModuleStatus(id="node", kind="EnergyNode", controller="c")
    parent.hear(0.0, report("node", 1.0, status=(own, below)))
    assert [(s.age_s, s.alive) for s in parent.status(1.0)] == [(1.0, True), (3.0, True)]
    assert [s.alive for s in parent.status(4.0)] == [False, False]


def test_currents_are_as_old_as_the_grant_that_they_were_told_in_answer_to_however_late_they_are() -> None:
    parent = branch()
    row = ModuleStatus(
        id="a", kind="EvseManager", controller="c", currents_A=(9.0, 9.0, 9.0), currents_age_s=0.9
    )
    parent.hear(0.0, report("a", 1.0, status=(row,)))
    assert parent.currents_A(0.0) == ((9.0, 9.0, 9.0), -math.inf), "it answers nothing"
    (_, granted), *_ = give(parent, 1.0)
    parent.hear(3.5, report("a", 2.0, acked=granted.order, status=(row,)))
    assert parent.currents_A(3.6)[1] == pytest.approx(1.0 - 0.9 * STRETCH)
    assert parent.status(3.6)[0].currents_age_s == pytest.approx(2.6 + 0.9 * STRETCH)
    give(parent, 6.0)
    parent.hear(6.2, report("a", 3.0, acked=granted.order, status=(row,)))
    assert parent.currents_A(6.2)[1] == pytest.approx(1.0 - 0.9 * STRETCH), "it was under way for long"


def test_who_draws_nothing_need_not_prove_when() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0, status=(ModuleStatus(id="a", kind="EvseManager", controller="c"),)))
    assert parent.currents_A(0.5) == ((0.0, 0.0, 0.0), 0.0)


# --- never forgotten too soon ----------------------------------------------------------------------

STORY = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 5.0, 12.0, 30.0]),
        st.sampled_from(["report", "report", "stale", "repeat", "reboot", "leave", "grant", "grant", "none"]),
        st.sampled_from([0.0, 5.0, 11.0]),
    ),
    max_size=40,
)
"""Of each: time since the one before, what happens, and the settle time that is told."""


def never_forgotten_too_soon(story: list[tuple[float, str, float]]) -> None:
    """Limits are over at (report + duration) * 1.1 / 0.9, and the settle time after that."""
    parent, now_s, boot, t_child_s = branch(child("a")), 0.0, 0, 0.0
    over_s, settle_s = -1.0, 11.0
    first_heard_s: dict[tuple[str, float], float] = {}
    for pause_s, what, told_settle_s in story:
        now_s += pause_s
        if what in ("report", "reboot", "leave"):
            boot += what == "reboot"
            t_child_s = now_s + boot
        if what in ("report", "reboot", "leave", "repeat", "stale"):
            sent_s = t_child_s - 1.0 if what == "stale" else t_child_s
            told_settle_s = 0.0 if what == "stale" else told_settle_s
            first_heard_s.setdefault((str(boot), sent_s), now_s)
            told = report("a", sent_s, boot=str(boot), settle_time_s=told_settle_s, leaving=what == "leave")
            parent.hear(now_s, told)
        elif what == "grant":
            for _, given_ in give(parent, now_s):
                answered_s = first_heard_s[given_.boot, given_.t_echo_s]
                over_s = max(over_s, answered_s + given_.duration_s * 1.1 / 0.9)
        if parent.gone(now_s) and over_s >= 0.0:
            assert now_s >= over_s + settle_s - 1e-9


@given(STORY)
def test_a_child_is_never_forgotten_before_its_last_limit_is_surely_over(
    story: list[tuple[float, str, float]],
) -> None:
    never_forgotten_too_soon(story)


def test_one_that_is_silent_and_forgotten_at_once_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    condition = "self.ledger.exposure(now_s, name) == child.settings.fallback"
    monkeypatch.setattr(Branch, "gone", mutated(Branch.gone, condition, "True"))
    assert_caught(never_forgotten_too_soon, STORY)


# --- what fits -------------------------------------------------------------------------------------


def test_what_a_child_exports_by_itself_is_no_reason_to_divide_anew() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0))
    parent.hear(0.0, report("b", 1.0, wants=None, committed=Amount(export_A=8.0, export_W=5520.0)))
    limits = {"a": LIMITS["a"]}
    assert parent.ledger.exposure(0.0, "b").export_A == 8.0
    assert parent.fits(0.0, limits, Amount(16.0, 11_040.0)), "less export cannot be given: none is"
    assert not parent.fits(0.0, limits, Amount(15.0, 11_040.0))


def test_what_a_silent_child_may_import_leaves_less_to_divide() -> None:
    parent = branch()
    parent.hear(0.0, report("a", 1.0))
    parent.hear(0.0, report("b", 1.0, wants=None, committed=Amount(4.0, 2760.0)))
    limits = {"a": LIMITS["a"]}
    assert not parent.fits(0.0, limits, Amount(19.0, 13_800.0))
    assert parent.fits(0.0, limits, Amount(20.0, 13_800.0))
