"""The ledger's rules one by one; what they promise together is in test_ledger_promise.py."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from actors.energy.amount import UNLIMITED, Amount
from actors.energy.ledger import (
    FORMER_LIVES_MAX,
    MAX_EPOCH_JUMP,
    RHO,
    STRETCH,
    TURNS_MAX,
    InvariantError,
    Ledger,
)
from actors.energy.messages import Order
from tests.energy.builders import mutated
from tests.energy.family import FUSE_A, LONGEST_S, SETTLE_S, Family, ampere

SETTLED_S = SETTLE_S * (1 + RHO)


# --- exposure --------------------------------------------------------------------------------------


def test_a_child_that_was_granted_nothing_counts_with_its_fallback() -> None:
    assert Family(fallbacks_A={"a": 6.0}).exposure_A("a") == 6.0


def test_a_grant_counts_until_it_is_surely_over_and_currents_have_settled() -> None:
    family = Family()
    family.tell("a")
    family.now_s = 2.0
    family.give(a=20.0)  # 12 s from the report at 0 s on
    over_s = 12.0 * STRETCH + SETTLED_S
    family.now_s = over_s - 0.01
    assert family.exposure_A("a") == 20.0
    family.now_s = over_s + 0.01
    assert family.exposure_A("a") == 0.0


def test_without_a_report_the_largest_of_all_grants_counts() -> None:
    family = Family()
    family.tell("a")
    for A in (20.0, 12.0, 9.0):
        family.give(a=A)
    assert family.exposure_A("a") == 20.0
    assert family.latest_A("a") == 9.0, "what it was lowered to is all that it has without asking"


def test_a_report_strikes_out_what_was_before_the_grant_taken_and_nothing_else() -> None:
    family = Family()
    family.charging("a", 30.0)
    family.give(a=10.0)
    taken = family.orders["a"]
    family.give(a=20.0)
    family.now_s += 1.0
    family.tell("a", acked=taken, holds_A=10.0, flows_A=10.0)
    assert family.exposure_A("a") == 20.0, "what was sent after it may still be taken"
    family.now_s += 1.0
    family.tell("a", acked=family.orders["a"], holds_A=20.0, flows_A=10.0)
    assert family.exposure_A("a") == 20.0, "it may draw all that it holds"


def test_what_a_child_says_to_flow_counts_until_all_that_it_held_is_over() -> None:
    family = Family()
    family.charging("a", 30.0)
    family.give(a=10.0)
    family.tell("a", 50.0, acked=family.orders["a"], holds_A=10.0, flows_A=30.0)
    told_s = family.now_s
    family.now_s = told_s + LONGEST_S * STRETCH + SETTLED_S - 0.01
    assert family.exposure_A("a") == 30.0
    family.now_s += 0.02
    assert family.exposure_A("a") == 0.0


def test_a_settle_time_that_is_told_may_be_longer_than_configured_but_never_counts_shorter() -> None:
    for told_s, counted_s in ((20.0, 22.0), (0.0, SETTLED_S)):
        family = Family()
        family.tell("a", settle_time_s=told_s)
        family.give(a=20.0)
        family.now_s = 10.0 * STRETCH + counted_s - 0.01
        assert family.exposure_A("a") == 20.0
        family.now_s += 0.02
        assert family.exposure_A("a") == 0.0


def test_all_together_are_the_sum_and_not_known_while_one_is_not() -> None:
    family = Family(fallbacks_A={"a": 6.0, "b": 8.0})
    assert family.ledger.committed(0.0) == ampere(14.0)
    assert Family(kept_epoch=1).ledger.committed(0.0) is None


# --- raising ---------------------------------------------------------------------------------------


def test_a_raise_gets_the_part_for_which_there_is_room_and_tells_who_is_waited_for() -> None:
    family = Family()
    family.charging("a", 20.0)
    assert family.give(a=10.0, b=22.0) == {"a": 10.0, "b": 12.0}
    assert family.waits == {"a": "", "b": "a, which may still draw 20 A"}


def test_renewing_and_lowering_wait_for_nobody() -> None:
    family = Family()
    family.charging("a", 20.0)
    assert family.give(a=20.0, capacity_A=20.0) == {"a": 20.0}
    assert family.give(a=5.0) == {"a": 5.0}


def test_a_capacity_that_drops_lowers_at_once_and_raises_nobody() -> None:
    family = Family()
    family.charging("a", 32.0)
    assert family.give(a=32.0, b=10.0, capacity_A=16.0) == {"a": 16.0, "b": 0.0}


def test_the_same_wishes_are_planned_anew_when_there_is_more_room_or_less_to_hand_out() -> None:
    family = Family()
    family.charging("a", 20.0)
    wishes = {"a": ampere(10.0), "b": ampere(22.0)}

    def planned_A(capacity_A: float) -> dict[str, float]:
        planned = family.ledger.plan(family.now_s, wishes, ampere(capacity_A))
        return {name: plan.amount.import_A for name, plan in planned.items()}

    assert planned_A(32.0) == {"a": 10.0, "b": 12.0}
    assert planned_A(16.0) == {"a": 10.0, "b": 0.0}
    family.give(a=10.0)
    assert planned_A(32.0) == {"a": 10.0, "b": 12.0}
    family.now_s += 1.0
    family.tell("a", acked=family.orders["a"], holds_A=10.0, flows_A=10.0)
    assert planned_A(32.0) == {"a": 10.0, "b": 22.0}


@pytest.mark.parametrize("forgotten", [" or last[1] != capacity", " or last[2] != stand"])
def test_that_they_are_planned_anew_is_seen(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "plan", mutated(Ledger.plan, forgotten, ""))
    with pytest.raises(AssertionError):
        test_the_same_wishes_are_planned_anew_when_there_is_more_room_or_less_to_hand_out()


def test_a_child_that_the_market_has_not_seen_keeps_its_room() -> None:
    family = Family()
    family.charging("a", 20.0)
    assert family.give(b=32.0) == {"b": 12.0}


def test_a_limit_below_the_fallbacks_breaks_no_promise() -> None:
    family = Family(fallbacks_A={"a": 6.0, "b": 6.0})
    family.tell("a")
    family.tell("b")
    assert family.give(a=0.0, b=0.0, capacity_A=5.0) == {"a": 0.0, "b": 0.0}


@pytest.mark.parametrize("part", Amount.__struct_fields__)
def test_each_part_is_raised_within_its_own_room(part: str) -> None:
    family = Family()
    family.charging("a", 0.0)
    wish = Amount(16.0, 16.0, 16.0, 16.0)
    room = replace(wish, **{part: 9.0})
    assert family.ledger.plan(family.now_s, {"a": wish}, room)["a"].amount == room


def test_export_gives_no_room_to_import() -> None:
    family = Family()
    for name in ("a", "b"):
        family.tell(name)
    wishes = {"a": Amount(export_A=20.0), "b": Amount(import_A=40.0)}
    planned = family.ledger.plan(0.0, wishes, Amount(import_A=32.0, export_A=32.0))
    assert planned["b"].amount == ampere(32.0)


# --- the invariant ---------------------------------------------------------------------------------


def test_a_raise_over_fuse_or_capacity_is_told_with_all_accounts() -> None:
    family = Family()
    for name in ("a", "b"):
        family.tell(name)
        family.ledger.note(0.0, name, family.ledger.next_order(), 10.0, ampere(20.0))
    before = {"a": Amount(), "b": Amount()}
    for fuse_A, capacity_A in ((32.0, 99.0), (99.0, 32.0)):
        with pytest.raises(InvariantError, match=r"40 in import_A exceed 32.*a 20 A, b 20 A"):
            family.ledger.check(0.0, ampere(fuse_A), ampere(capacity_A), before)
    family.ledger.check(0.0, ampere(40.0), ampere(40.0), before)


def test_what_was_raised_while_the_capacity_was_higher_breaks_nothing() -> None:
    family = Family()
    family.charging("a", 32.0)
    assert family.give(a=32.0, capacity_A=10.0) == {"a": 10.0}


def test_a_report_that_was_under_way_for_so_long_that_all_is_over_is_no_broken_invariant() -> None:
    family = Family()
    order = family.charging("a", 32.0)
    family.now_s = 60.0
    family.tell("b", flows_A=0.0)
    assert family.give(b=32.0) == {"b": 32.0}
    family.now_s = 61.0
    family.tell("a", 2.0, acked=order, holds_A=32.0, flows_A=32.0)
    assert family.give(a=10.0, b=32.0) == {"a": 0.0, "b": 32.0}


# --- lives of a child ------------------------------------------------------------------------------


def test_who_comes_or_comes_anew_is_told_and_who_goes_on_is_not() -> None:
    family = Family()
    heard = [family.tell("a", t, boot=boot) for t, boot in ((5.0, "x"), (6.0, "x"), (7.0, "y"))]
    assert [(h.first, h.restarted, h.stale) for h in heard] == [
        (True, False, False),
        (False, False, False),
        (False, True, False),
    ]


def test_of_two_reports_of_a_life_the_one_sent_later_counts() -> None:
    family = Family()
    family.tell("a", 5.0)
    assert family.tell("a", 5.0).stale
    assert family.tell("a", 4.0).stale
    assert not family.tell("a", 5000.0).stale, "a clock may leap"


def test_a_late_report_of_a_former_life_is_not_believed_while_the_present_one_speaks() -> None:
    family = Family()
    family.tell("a", 5.0, boot="x")
    family.tell("a", 5.2, boot="y")
    assert family.tell("a", 5.5, boot="x").stale
    family.now_s = 3.1
    assert family.tell("a", 5.5, boot="x").stale, "repeated"
    assert family.tell("a", 5.6, boot="x").restarted, "the other one has fallen silent"


def test_a_life_whose_clock_is_behind_is_believed_when_the_present_one_has_fallen_silent() -> None:
    family = Family()
    family.tell("a", 500.0, boot="x")
    assert family.tell("a", 1.0, boot="y").stale, "on one machine it would have come before"
    family.now_s = 3.1
    assert family.tell("a", 4.1, boot="y").restarted


def test_who_goes_on_speaking_is_followed_after_a_late_report_of_a_former_life_was() -> None:
    family = Family()
    family.tell("a", 5.0, boot="x")
    family.tell("a", 6.0, boot="y")
    family.now_s = 3.1
    assert family.tell("a", 5.5, boot="x").restarted, "the other one has fallen silent"
    family.now_s = 3.3
    assert family.tell("a", 9.3, boot="y").stale
    family.now_s = 4.0
    assert family.tell("a", 10.0, boot="y").stale, "late reports may come one after the other"
    family.now_s = 4.1
    assert family.tell("a", 10.1, boot="y").restarted, "it alone has spoken for a while"


def test_a_life_whose_clock_is_behind_is_followed_too_after_a_late_report_of_a_former_one_was() -> None:
    family = Family()  # it begins anew itself, and knows of no former lives
    family.tell("a", 1.0, boot="y")
    assert family.tell("a", 1000.0, boot="x").restarted, "from before the child's machine began anew"
    family.now_s = 0.3
    assert family.tell("a", 1.3, boot="y").stale
    family.now_s = 1.1
    assert family.tell("a", 2.1, boot="y").restarted


def test_two_lives_in_turn_are_no_late_reports() -> None:
    family = Family()
    family.tell("a", 0.0, boot="x")
    family.tell("a", 0.5, boot="y")
    doubts = []
    for turn in range(1, TURNS_MAX + 2):
        family.now_s += 3.1
        doubts += [family.tell("a", t, boot=boot).doubt for t, boot in ((turn, "x"), (turn + 0.5, "y"))]
    assert [doubt for doubt in doubts if doubt] == ["two lives of it speak in turn"]
    family.tell("b", flows_A=0.0)
    assert family.give(a=10.0, b=10.0) == {"a": 0.0, "b": 10.0}
    assert family.waits["a"] == "raised no more: two lives of it speak in turn"
    family.now_s += LONGEST_S * STRETCH + 1.0
    family.tell("a", 99.0, boot="x")
    assert family.give(a=10.0, b=10.0) == {"a": 10.0, "b": 10.0}


def test_a_burst_of_late_reports_of_a_former_life_is_no_second_life() -> None:
    family = Family()
    family.tell("a", 0.0, boot="x")
    family.tell("a", 0.5, boot="y")
    for late in range(1, 20):
        assert family.tell("a", late, boot="x").stale
    assert family.tell("a", 1.0, boot="y").doubt == ""


def test_only_so_many_former_lives_are_remembered() -> None:
    family = Family()
    for life in range(100):
        family.tell("a", float(life), boot=str(life))
    assert len(family.ledger.accounts["a"].former) == FORMER_LIVES_MAX


def test_a_new_life_is_believed_only_by_what_it_has_taken() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.tell("a", 2.0, boot="second", flows_A=0.0)
    assert family.exposure_A("a") == 32.0
    family.give(a=4.0)
    family.tell("a", 3.0, boot="second", acked=family.orders["a"], holds_A=4.0, flows_A=0.0)
    assert family.exposure_A("a") == 4.0


def test_a_stranger_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        Family().tell("stranger")


# --- doubts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "doubt"),
    [
        ({"fallback": ampere(8.0)}, "its fallback is 8 A, not 6 A"),
        ({"config_digest": "other"}, "its configuration is another"),
        (
            {"acked": Order(MAX_EPOCH_JUMP + 2, 1)},
            f"it claims to follow epoch {MAX_EPOCH_JUMP + 2}, here is 1",
        ),
    ],
)
def test_who_differs_from_the_configuration_is_raised_no_more(told: dict[str, Any], doubt: str) -> None:
    family = Family(fallbacks_A={"a": 6.0, "b": 0.0}, digest="ours")
    family.tell("a", config_digest="ours")
    assert family.give(a=10.0) == {"a": 10.0}
    family.now_s = 1.0
    assert family.tell("a", **told).doubt == doubt
    assert family.give(a=12.0) == {"a": 10.0}, "renewed, not raised"
    assert family.waits["a"] == f"raised no more: {doubt}"
    assert family.ledger.epoch == 1
    family.now_s = 2.0
    assert family.tell("a", **told).doubt == "", "said once"
    family.now_s = 3.0
    family.tell("a", fallback=ampere(6.0), config_digest="ours")
    assert family.give(a=12.0) == {"a": 12.0}


def test_a_larger_fallback_counts_and_a_smaller_one_does_not() -> None:
    family = Family(fallbacks_A={"a": 6.0})
    for told_A, counted_A in ((8.0, 8.0), (2.0, 6.0)):
        family.now_s += 1.0
        family.tell("a", fallback=ampere(told_A))
        assert family.exposure_A("a") == counted_A


# --- epochs ----------------------------------------------------------------------------------------


def test_an_epoch_is_kept_before_it_is_used() -> None:
    ledger = Ledger({}, longest_s=LONGEST_S, silent_s=3.0, now_s=0.0, kept_epoch=4)
    assert (ledger.to_keep, ledger.may_send(1e9)) == (5, False)
    ledger.kept(4)
    assert not ledger.may_send(1e9)
    ledger.kept(5)
    assert ledger.may_send(0.0)
    assert ledger.next_order() == Order(5, 1)


def test_after_a_restart_nobody_is_raised_until_all_have_taken_a_fence_and_told_what_flows() -> None:
    family = Family(kept_epoch=1)
    fences = {name: family.fence() for name in ("a", "b")}
    family.tell("a", acked=fences["a"], holds_A=20.0, flows_A=15.0)
    assert family.give(a=32.0) == {"a": 20.0}, "renewed"
    assert family.waits["a"] == "b, whose limits from before a restart are not known yet"
    family.now_s = 1.0
    family.tell("b", acked=Order(1, 7), holds_A=12.0, flows_A=12.0)
    assert family.ledger.exposure(1.0, "b") is UNLIMITED, "a grant of a former life proves nothing"
    family.now_s = 2.0
    family.tell("b", acked=fences["b"], holds_A=6.0, flows_A=None)
    assert family.ledger.exposure(2.0, "b") is UNLIMITED, "it does not know what flows"
    family.now_s = 3.0
    assert family.tell("b", acked=fences["b"], holds_A=6.0, flows_A=2.0).became_known
    assert family.exposure_A("b") == 6.0
    assert family.give(a=32.0) == {"a": FUSE_A - 6.0}


def test_a_silent_child_is_known_when_all_grants_of_former_lives_are_surely_over() -> None:
    family = Family(kept_epoch=1, fallbacks_A={"a": 0.0, "b": 6.0})
    family.now_s = LONGEST_S * STRETCH + SETTLED_S - 0.01
    assert family.ledger.exposure(family.now_s, "b") is UNLIMITED
    family.now_s += 0.02
    assert family.exposure_A("b") == 6.0
    family.tell("a", flows_A=0.0)
    assert family.give(a=32.0) == {"a": 26.0}


@pytest.mark.parametrize("acked", [Order(7, 3), Order(2, 1)])
def test_a_child_that_follows_a_later_life_of_ours_makes_us_come_after_it(acked: Order) -> None:
    family = Family(kept_epoch=1)
    family.tell("a", acked=acked, flows_A=0.0)
    assert family.ledger.epoch == acked.epoch + 1
    assert not family.ledger.may_send(0.0), "kept first"
    family.ledger.kept(acked.epoch + 1)
    assert family.ledger.next_order() == Order(acked.epoch + 1, 1)
    assert family.ledger.exposure(0.0, "b") is UNLIMITED


def test_what_a_child_took_from_this_life_changes_no_epoch() -> None:
    family = Family()
    family.charging("a", 10.0)
    assert family.ledger.epoch == 1


def test_nobody_waits_for_one_that_only_keeps_its_fallback() -> None:
    ledger = Ledger(
        {"idle": (ampere(6.0), 11.0), "car": (ampere(0.0), 11.0)},
        longest_s=14.0,
        silent_s=3.0,
        now_s=0.0,
        kept_epoch=0,
    )
    planned = ledger.plan(0.0, {"idle": ampere(0.0), "car": ampere(20.0)}, ampere(20.0))
    assert planned["car"].amount == ampere(14.0)
    assert planned["car"].waits_for == "room above"
