from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy import branch as branch_module
from actors.energy.branch import MAX_EPOCH_JUMP, STRETCH, Branch, total
from actors.energy.messages import Amount, ModuleStatus, Order
from actors.energy.types import EnforcedLimits, LimitsRes, NodeType, NumberWithSource, value_of
from tests.energy.builders import WALL_US, assert_caught, child, enforced, report

LONGEST_S = 14.0
BORN_S = -100.0
"""So long ago that no limits of a former life are left."""


def branch(*children: Any, born_s: float = BORN_S) -> Branch:
    return Branch(children or (child("a"), child("b")), 1.0, LONGEST_S, born_s)


LIMITS = {uuid: enforced(uuid, A=16.0) for uuid in ("a", "b", "x", "y")}


# --- hearing ---------------------------------------------------------------------------------------


def test_a_child_that_comes_or_restarts_is_told_of_and_one_that_goes_on_is_not() -> None:
    parent = branch()
    assert parent.hear(0.0, "a", report("a", 5.0)) == "a is here"
    assert parent.hear(1.0, "a", report("a", 6.0)) is None
    assert parent.hear(2.0, "a", report("a", 0.1, boot="next")) == "a has restarted"


def test_a_report_that_was_overtaken_changes_nothing() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 5.0, settle_time_s=7.0))
    parent.hear(1.0, "a", report("a", 4.0))
    [(_, given_)] = parent.grants(1.0, LIMITS, 10.0)
    assert given_.t_echo_s == 5.0
    assert given_.duration_s == 11.0


def test_a_clock_that_leaps_ahead_is_followed() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 5.0))
    parent.hear(1.0, "a", report("a", 5000.0))
    assert parent.grants(1.0, LIMITS, 10.0)[0][1].t_echo_s == 5000.0


def test_a_repeated_report_proves_no_life() -> None:
    parent = branch()
    for second in range(8):
        parent.hear(float(second), "a", report("a", 5.0))
    assert not parent.alive(7.0, "a")


def test_a_stranger_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        branch().hear(0.0, "stranger", report("stranger", 0.0))


# --- granting --------------------------------------------------------------------------------------


def test_a_grant_goes_down_the_one_branch_that_it_is_for_and_holds_all_of_its_subtree() -> None:
    parent = branch(child("node", "x", "y", kind="EnergyNode"), child("a"))
    parent.hear(0.0, "node", report("node", 1.0))
    parent.hear(0.0, "a", report("a", 1.0))
    given_ = dict(parent.grants(0.5, LIMITS, 10.0))
    assert [entry.uuid for entry in given_["node"].limits] == ["x", "y"]
    assert given_["node"].amount.import_A == 32.0
    assert [entry.uuid for entry in given_["a"].limits] == ["a"]


def test_a_grant_ends_at_the_child_no_later_than_it_shall_at_the_parent() -> None:
    parent = branch()
    parent.hear(2.0, "a", report("a", 500.0))
    [(_, given_)] = parent.grants(4.0, LIMITS, 10.0)
    assert given_.t_echo_s + given_.duration_s == 512.0  # sent at 2.0 at the latest, so over at 14.0


def test_each_grant_is_newer_than_all_before() -> None:
    parent = branch()
    orders = []
    for second in range(3):
        for name in ("a", "b"):
            parent.hear(float(second), name, report(name, float(second)))
        orders += [given_.order for _, given_ in parent.grants(second, LIMITS, 10.0)]
    assert orders == sorted(orders)
    assert len(set(orders)) == 6


def test_children_that_are_silent_leaving_or_were_never_heard_get_nothing() -> None:
    parent = branch()
    assert parent.grants(0.0, LIMITS, 10.0) == []
    parent.hear(0.0, "a", report("a", 1.0))
    parent.hear(0.0, "b", report("b", 1.0, leaving=True))
    assert [name for name, _ in parent.grants(3.0, LIMITS, 10.0)] == ["a"]
    assert parent.grants(3.1, LIMITS, 10.0) == []


def test_an_evse_that_the_market_has_not_seen_keeps_what_it_has() -> None:
    parent = branch(child("a"), child("node", "x", kind="EnergyNode"))
    parent.hear(0.0, "a", report("a", 1.0))
    parent.hear(0.0, "node", report("node", 1.0))
    assert [name for name, _ in parent.grants(0.0, {}, 10.0)] == ["node"]


def test_a_grant_answers_the_life_that_was_heard_last() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 5.0))
    parent.hear(1.0, "a", report("a", 0.2, boot="next"))
    [(_, given_)] = parent.grants(1.0, LIMITS, 10.0)
    assert (given_.boot, given_.t_echo_s) == ("next", 0.2)


# --- restart of the parent -------------------------------------------------------------------------


@pytest.mark.parametrize("acked", [Order(1, 1), Order(1, 500), Order(7, 3)])
def test_a_parent_that_restarted_carries_on_after_its_former_life(acked: Order) -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 1.0, acked=acked))
    [(_, given_)] = parent.grants(0.0, LIMITS, 10.0)
    assert given_.order > acked
    assert given_.order.epoch > acked.epoch, "a late grant of the former life must never be the newer one"


def test_what_a_child_took_from_this_life_changes_no_epoch() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 1.0))
    [(_, first)] = parent.grants(0.0, LIMITS, 10.0)
    parent.hear(1.0, "a", report("a", 2.0, acked=first.order))
    [(_, second)] = parent.grants(1.0, LIMITS, 10.0)
    assert second.order == Order(first.order.epoch, first.order.seq + 1)


def test_a_child_that_claims_an_epoch_beyond_belief_is_not_followed() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 1.0, acked=Order(MAX_EPOCH_JUMP + 2, 1)))
    assert parent.grants(0.0, LIMITS, 10.0)[0][1].order.epoch == 1


# --- forgetting ------------------------------------------------------------------------------------


def test_a_silent_child_is_forgotten_only_when_its_limits_and_its_settle_time_are_over() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 1.0))
    parent.grants(0.5, LIMITS, 10.0)
    over_s = 10.5 * STRETCH + 11.0
    assert parent.gone(over_s - 0.01) == []
    assert [wants.uuid for wants in parent.wants(over_s - 0.01, WALL_US)] == ["a/not heard"]
    assert parent.gone(over_s) == ["a"]
    assert parent.gone(over_s + 1.0) == []
    assert parent.wants(over_s + 0.01, WALL_US) == ()


def test_a_silent_child_is_a_fixed_load_of_the_most_that_it_may_still_draw() -> None:
    parent = branch(child("a", fallback_A=6.0))
    parent.hear(0.0, "a", report("a", 1.0))
    for now_s, current_A in ((0.0, 20.0), (1.0, 9.0)):
        parent.grants(now_s, {"a": enforced("a", A=current_A)}, 10.0)

    def load_A(now_s: float) -> float | None:
        [load] = parent.wants(now_s, WALL_US)
        assert load.priority == 0
        return value_of(load.schedule_import[0].limits_to_root.ac_max_current_A)

    assert load_A(3.1) == 20.0  # the newer grant may have been lost
    assert load_A(10.0 * STRETCH + 11.1) == 9.0
    assert load_A(11.0 * STRETCH + 11.1) == 6.0


def test_a_silent_dc_child_is_a_fixed_load_of_its_power() -> None:
    parent = branch(child("a"))
    parent.hear(0.0, "a", report("a", 1.0))
    watts = LimitsRes(total_power_W=NumberWithSource(40e3, "fuse"))
    parent.grants(0.0, {"a": EnforcedLimits(uuid="a", valid_for=10, limits_root_side=watts)}, 10.0)
    [load] = parent.wants(5.0, WALL_US)
    assert load.schedule_import[0].limits_to_root.ac_max_current_A is None
    assert value_of(load.schedule_import[0].limits_to_root.total_power_W) == 40e3


def test_a_child_that_was_granted_nothing_is_forgotten_when_its_cars_have_settled() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 1.0))
    assert parent.gone(3.1) == ["a"]


def test_limits_of_the_parents_former_life_count_too() -> None:
    parent = branch(born_s=0.0)
    parent.hear(0.0, "a", report("a", 1.0))
    assert parent.gone(LONGEST_S * STRETCH + 10.9) == []
    assert parent.gone(LONGEST_S * STRETCH + 11.0) == ["a"]


def test_a_node_that_restarted_and_knows_no_settle_time_yet_does_not_shorten_it() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 1.0))
    parent.grants(0.5, LIMITS, 10.0)
    parent.hear(1.0, "a", report("a", 0.1, boot="next", settle_time_s=0.0))
    assert parent.gone(10.5 * STRETCH + 10.9) == []


def test_a_child_that_leaves_in_good_order_is_forgotten_without_the_wait_for_silence() -> None:
    parent = branch()
    parent.hear(0.0, "a", report("a", 1.0, leaving=True, settle_time_s=0.0))
    assert parent.gone(0.0) == ["a"]


def test_a_child_that_is_gone_is_a_fixed_load_of_its_fallback() -> None:
    parent = branch(child("a", fallback_A=6.0), child("b"))
    [load] = parent.wants(0.0, WALL_US)
    assert (load.uuid, load.node_type, load.priority) == ("a/not heard", NodeType.Evse, 0)
    assert value_of(load.schedule_import[0].limits_to_root.ac_max_current_A) == 6.0
    assert value_of(load.schedule_export[0].limits_to_root.ac_max_current_A) == 0.0


def test_a_child_that_comes_back_is_taken_up_again() -> None:
    parent = branch(child("a", fallback_A=6.0))
    parent.hear(0.0, "a", report("a", 1.0))
    parent.gone(50.0)
    assert parent.hear(60.0, "a", report("a", 61.0)) == "a is here"
    assert [wants.uuid for wants in parent.wants(60.0, WALL_US)] == ["a"]
    assert [name for name, _ in parent.grants(60.0, LIMITS, 10.0)] == ["a"]


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
    parent.hear(0.0, "node", report("node", 1.0, status=(own, below)))
    assert [(s.age_s, s.alive) for s in parent.status(1.0)] == [(1.0, True), (3.0, True)]
    assert [s.alive for s in parent.status(4.0)] == [False, False]


# --- sums ------------------------------------------------------------------------------------------


def test_import_and_export_are_summed_apart() -> None:
    summed = total([enforced("a", A=16.0, W=3e3), enforced("b", A=-10.0, W=-2e3)])
    assert summed == Amount(import_A=16.0, import_W=3e3, export_A=10.0, export_W=2e3)


def test_a_unit_in_which_one_has_no_limit_has_none_in_all() -> None:
    assert total([enforced("a", A=16.0), enforced("b", A=0.0, W=0.0)]) == Amount(import_A=16.0, export_A=0.0)


def test_the_sum_of_nothing_is_nothing_allowed() -> None:
    assert total([]) == Amount(import_A=0.0, import_W=0.0, export_A=0.0, export_W=0.0)


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
    over_s, settle_s = BORN_S + LONGEST_S * 1.1 / 0.9, 0.0
    first_heard_s: dict[tuple[str, float], float] = {}
    for pause_s, what, told_settle_s in story:
        now_s += pause_s
        if what in ("report", "reboot", "leave"):
            boot += what == "reboot"
            t_child_s = now_s + boot
        if what in ("report", "reboot", "leave", "repeat", "stale"):
            sent_s = t_child_s - 1.0 if what == "stale" else t_child_s
            told_settle_s = 0.0 if what == "stale" else told_settle_s
            settle_s = max(settle_s, told_settle_s)
            first_heard_s.setdefault((str(boot), sent_s), now_s)
            told = report("a", sent_s, boot=str(boot), settle_time_s=told_settle_s, leaving=what == "leave")
            parent.hear(now_s, "a", told)
        elif what == "grant":
            for _, given_ in parent.grants(now_s, LIMITS, 10.0):
                answered_s = first_heard_s[given_.boot, given_.t_echo_s]
                over_s = max(over_s, answered_s + given_.duration_s * 1.1 / 0.9)
        if parent.gone(now_s):
            assert now_s >= over_s + settle_s - 1e-9


@given(STORY)
def test_a_child_is_never_forgotten_before_its_last_limit_is_surely_over(
    story: list[tuple[float, str, float]],
) -> None:
    never_forgotten_too_soon(story)


def _told_last(self: Any, now_s: float) -> list[str]:
    for held in self._children.values():
        if held.report is not None:
            held.settle_time_s = held.report.settle_time_s
    return _gone(self, now_s)


def _last_grant_only(self: Any, *arguments: Any) -> Any:
    for held in self._children.values():
        held.granted_until_s = 0.0
    return _grants(self, *arguments)


def _forgets_the_silent(self: Any, now_s: float) -> list[str]:
    gone = [name for name in self._children if not self.alive(now_s, name)]
    for name in gone:
        self._children[name].report = None
    return gone


_gone, _grants = Branch.gone, Branch.grants


@pytest.mark.parametrize(
    ("owner", "name", "mutant"),
    [
        (branch_module, "STRETCH", 1.0),
        (Branch, "gone", _told_last),
        (Branch, "gone", _forgets_the_silent),
        (Branch, "grants", _last_grant_only),
    ],
)
def test_each_broken_rule_is_caught_by_the_property(
    owner: Any, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mutant)
    assert_caught(never_forgotten_too_soon, STORY)
