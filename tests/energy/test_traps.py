"""Known traps, each as it would happen. Each is caught again when the rule against it is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.energy import ledger as ledger_module
from actors.energy.actuator import Actuator
from actors.energy.ledger import Ledger
from actors.energy.messages import Order
from tests.energy.builders import mutated, reading
from tests.energy.family import LONGEST_S, SETTLE_S, Family, ampere


def test_renewing_a_high_grant_whose_room_has_meanwhile_been_promised_elsewhere() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=16.0)
    family.now_s += 1.0
    family.tell("a", acked=family.orders["a"], holds_A=16.0, flows_A=16.0)
    family.tell("b", flows_A=0.0)
    assert family.give(b=16.0) == {"b": 16.0}
    assert family.give(a=32.0) == {"a": 16.0}, "it once had 32 A"


def test_a_decrease_that_is_only_sent_frees_nothing() -> None:
    family = Family()
    family.charging("a", 32.0)
    assert family.give(a=16.0, b=16.0) == {"a": 16.0, "b": 0.0}
    assert family.waits["b"] == "a, which may still draw 32 A"
    assert family.give(a=16.0, b=16.0) == {"a": 16.0, "b": 0.0}


def test_an_acknowledgement_before_the_subtree_has_really_fallen() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=16.0)
    lowered = family.orders["a"]
    family.now_s += 0.1
    family.tell("a", acked=lowered, holds_A=16.0, flows_A=32.0)
    assert family.give(a=16.0, b=16.0) == {"a": 16.0, "b": 0.0}
    family.now_s += SETTLE_S
    family.tell("a", acked=lowered, holds_A=16.0, flows_A=16.0)
    family.tell("b", flows_A=0.0)
    assert family.give(a=16.0, b=16.0) == {"a": 16.0, "b": 16.0}


def test_an_acknowledgement_by_one_that_does_not_know_what_flows() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=16.0)
    family.now_s += 0.1
    family.tell("a", acked=family.orders["a"], holds_A=16.0, flows_A=None)
    assert family.give(b=16.0) == {"b": 0.0}


def test_what_was_told_before_the_grant_that_it_would_free() -> None:
    family = Family()
    order = family.charging("a", 6.0)
    family.give(a=32.0)
    family.now_s += 0.1
    family.tell("a", acked=order, holds_A=6.0, flows_A=6.0)
    assert family.exposure_A("a") == 32.0, "it may take that any moment"


def test_a_low_meter_reading_taken_for_obedience() -> None:
    actuator = Actuator(ampere(0.0), SETTLE_S)
    actuator.tell("32", ampere(32.0), 10.0, 0.0)
    actuator.read(0.1, reading(0.1, mark="32", limit_A=32.0, limit_ends_in_s=9.9))
    actuator.read(13.0, reading(13.0, mark="32", limit_A=32.0, contactor_closed=False))
    actuator.tell("32 again", ampere(32.0), 23.0, 13.0)
    actuator.tell("16", ampere(16.0), 23.0, 13.0)
    drawn = {"currents_A": (10.0, 10.0, 10.0), "power_W": 6900.0}
    actuator.read(13.1, reading(13.1, mark="16", limit_A=16.0, limit_ends_in_s=9.9, **drawn))
    assert actuator.committed(13.1) == ampere(32.0), "the car has not reacted yet, and may take all of it"
    assert actuator.committed(13.1 + SETTLE_S * 1.1) == ampere(16.0)


def test_an_evse_that_crashes_after_a_decrease_and_comes_back_without_memory() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=0.0)
    family.now_s += 0.1
    family.tell("a", acked=family.orders["a"], holds_A=0.0, flows_A=32.0)
    family.now_s += 1.0
    family.tell("a", boot="second")
    family.tell("b", flows_A=0.0)
    assert family.give(a=0.0, b=32.0) == {"a": 0.0, "b": 0.0}
    family.now_s += 1.0
    family.tell("a", boot="second", acked=family.orders["a"], flows_A=None)
    assert family.give(b=32.0) == {"b": 0.0}, "it knows its grant, but not yet what flows"
    family.now_s += 1.0
    family.tell("a", boot="second", acked=Order(1, 4), flows_A=0.0)
    assert family.give(b=32.0) == {"b": 32.0}


def test_what_is_held_over_two_fences_in_a_row() -> None:
    family = Family(kept_epoch=1)
    family.tell("a", acked=Order(1, 9), holds_A=32.0, flows_A=10.0)
    family.tell("b", flows_A=0.0)
    first, second = family.fence(), family.fence()
    for order in (first, second):
        family.now_s += 0.1
        family.tell("a", acked=order, holds_A=32.0, flows_A=10.0)
        assert family.exposure_A("a") == 32.0, "its own limit may be gone any moment"
    family.tell("b", acked=family.fence(), flows_A=0.0)
    assert family.give(b=22.0) == {"b": 0.0}
    assert family.latest_A("a") == 32.0


def test_a_report_that_was_overtaken_by_a_higher_one() -> None:
    family = Family()
    family.charging("a", 32.0)
    family.give(a=0.0)
    family.now_s += 1.0
    family.tell("a", 2.0, acked=family.orders["a"], flows_A=32.0)
    assert family.tell("a", 0.5, acked=Order(1, 1), flows_A=0.0).stale
    assert family.exposure_A("a") == 32.0


def test_a_late_report_of_a_dead_life_frees_nothing_of_what_the_new_one_was_granted() -> None:
    family = Family()
    order = family.charging("a", 6.0)
    family.now_s += 1.0
    family.tell("a", 3.0, boot="second", flows_A=6.0)
    family.give(a=32.0)
    family.now_s += 5.0
    family.tell("a", 4.0, acked=order, holds_A=6.0, flows_A=6.0)
    assert family.exposure_A("a") == 32.0


def test_a_parent_that_lost_its_epoch_waits_until_no_former_grant_can_look_newer() -> None:
    family = Family(kept_epoch=None, now_s=100.0)
    assert not family.ledger.may_send(100.0 + LONGEST_S * 1.1 / 0.9 - 0.1)
    assert family.ledger.may_send(100.0 + LONGEST_S * 1.1 / 0.9)


def test_a_former_life_that_is_met_only_by_its_grants() -> None:
    family = Family(kept_epoch=1)
    family.tell("a", acked=family.fence(), flows_A=0.0)
    family.tell("b", 1.0, acked=family.fence(), flows_A=0.0)
    family.tell("b", 2.0, acked=Order(7, 3), flows_A=0.0)
    assert family.ledger.epoch == 8
    assert family.give(a=16.0) == {"a": 0.0}, "what that life granted a is not known either"


def test_islands_of_two_levels_that_together_exceed_the_fuse() -> None:
    family = Family(fallbacks_A={"panel": 12.0, "b": 6.0})
    family.tell("panel", flows_A=0.0)
    family.tell("b", flows_A=0.0)
    assert family.give(b=32.0) == {"b": 20.0}, "the panel may take its 12 A without asking"


STORIES: list[tuple[Callable[[], None], str, str, str]] = [
    (
        test_renewing_a_high_grant_whose_room_has_meanwhile_been_promised_elsewhere,
        "latest",
        "if newest is None or now_s >= newest.until_s:\n        return account.fallback",
        "return ampere(32.0)",
    ),
    (
        test_an_acknowledgement_before_the_subtree_has_really_fallen,
        "_strike_out",
        "account.committed_until_s = committed,",
        "account.committed_until_s = NOTHING,",
    ),
    (
        test_an_acknowledgement_by_one_that_does_not_know_what_flows,
        "_strike_out",
        "if committed is None:\n        return",
        "if committed is None:\n        committed = NOTHING",
    ),
    (
        test_what_was_told_before_the_grant_that_it_would_free,
        "_strike_out",
        "entry.order >= acked",
        "entry.order == acked",
    ),
    (
        test_an_evse_that_crashes_after_a_decrease_and_comes_back_without_memory,
        "_follow_life",
        "account.entries = (*account.entries, left)",
        "pass",
    ),
    (
        test_what_is_held_over_two_fences_in_a_row,
        "_strike_out",
        "not account.was_granted(acked)",
        "not account.known",
    ),
    (
        test_a_report_that_was_overtaken_by_a_higher_one,
        "hear",
        "report.t_child_s <= account.told_s",
        "False",
    ),
    (
        test_a_former_life_that_is_met_only_by_its_grants,
        "_begin_epoch",
        "account.known = account.fenced = False",
        "pass",
    ),
]


@pytest.mark.parametrize(("story", "method", "before", "after"), STORIES)
def test_each_trap_is_caught(
    story: Callable[[], None], method: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "ampere", ampere, raising=False)
    mutant: Any = mutated(getattr(Ledger, method), before, after)
    monkeypatch.setattr(Ledger, method, mutant)
    with pytest.raises(AssertionError):
        story()
