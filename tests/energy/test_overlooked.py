"""Faults that a hostile reading of the code found, and simulation had not: each with its story."""

from __future__ import annotations

from typing import Any

import pytest

from actors.energy.amount import Amount
from actors.energy.branch import Branch
from actors.energy.ledger import BELIEVABLE, JUMPS_MAX, Ledger
from actors.energy.messages import Grant, MarketAnswer, ModuleStatus, Order, Report
from actors.energy.node import NodeCore
from actors.energy.types import EnergyManagerConfig
from actors.plant.watchdog import Watchdog
from tests.energy.builders import (
    VOLT,
    actuates,
    at,
    child,
    enforced,
    evse,
    grant,
    reading,
    report,
    reports,
    said,
    trunk,
)
from tests.energy.family import ampere

HARDWARE_S = 100.0
"""Its clock when ours is at 0."""


def ledger(**more: Any) -> Ledger:
    """Two children, 32 A for both."""
    made = Ledger(
        {"a": (ampere(0.0), 5.0), "b": (ampere(0.0), 5.0)},
        longest_s=14.0,
        silent_s=3.0,
        now_s=0.0,
        **({"kept_epoch": 0} | more),
    )
    made.kept(made.epoch)
    return made


def told(name: str, boot: str, t_s: float, **more: Any) -> Report:
    return Report(child=name, boot=boot, t_child_s=t_s, settle_time_s=5.0, **more)


def test_what_a_former_life_left_is_not_taken_for_the_fence_that_was_sent_last() -> None:
    made = ledger(kept_epoch=1)
    made.hear(0.3, told("a", "a1", 0.3))
    made.hear(0.5, told("b", "b1", 0.5, acked=Order(1, 9), holds=ampere(16.0), committed=ampere(0.0)))
    first, last = made.next_order(), made.next_order()
    made.hear(0.7, told("a", "a1", 0.7, acked=first, holds=ampere(16.0), committed=ampere(16.0)))
    made.hear(1.4, told("b", "b2", 1.4))  # a new life, before anything else was sent
    made.hear(4.9, told("b", "b1", 1.0, acked=last, holds=ampere(16.0), committed=ampere(0.0)))
    assert made.exposure(4.9, "b") == ampere(16.0)
    assert made.plan(4.9, {"a": ampere(32.0)}, ampere(32.0))["a"].amount == ampere(16.0)


def test_one_who_tells_of_currents_beyond_belief_drowns_nobody_else() -> None:
    made = ledger()
    for name in ("a", "b"):
        made.hear(0.0, told(name, "1", 0.0, committed=ampere(0.0)))
    made.note(0.0, "b", made.next_order(), 10.0, ampere(16.0))
    heard = made.hear(1.0, told("a", "1", 1.0, committed=Amount(1e300, 1e300)))
    assert heard.stale
    assert heard.doubt
    assert made.plan(1.0, {"a": ampere(32.0)}, ampere(32.0))["a"].amount == ampere(0.0)
    made.hear(2.0, told("a", "1", 2.0, committed=Amount(BELIEVABLE)))
    assert made.plan(2.0, {"b": ampere(32.0)}, ampere(32.0))["b"].amount == ampere(16.0)


def test_a_child_that_names_ever_later_epochs_is_not_followed_for_long() -> None:
    made = ledger()
    for turn in range(JUMPS_MAX + 3):
        made.kept(made.epoch)
        later = Order(made.epoch, 10_000)
        heard = made.hear(float(turn), told("a", "1", float(turn), acked=later, committed=ampere(0.0)))
    assert made.epoch == 1 + JUMPS_MAX
    assert heard.doubt or made.accounts["a"].doubt


def test_a_new_life_takes_over_only_what_is_in_force_still() -> None:
    watchdog = Watchdog(0.0)
    life = evse(boot="life1", settle_time_s=5.0)

    def read(t_s: float) -> Any:
        watchdog.expire(HARDWARE_S + t_s)
        return reading(
            HARDWARE_S + t_s,
            limit_A=watchdog.limit.limit_A,
            limit_ends_in_s=watchdog.ends_in_s(HARDWARE_S + t_s),
            mark=watchdog.limit.mark,
        )

    def step(core: Any, t_s: float, event: Any) -> list[str | None]:
        return [watchdog.take(HARDWARE_S + t_s, a) for a in actuates(core.step(at(t_s), event))]

    step(life, 8.0, read(8.0))
    step(life, 9.2, grant(9.0, 1, enforced(A=26.0), boot="life1"))
    late = read(10.0)
    step(life, 10.1, grant(10.0, 2, enforced(A=6.0), boot="life1"))
    assert watchdog.limit.limit_A == 6.0
    assert step(evse(boot="life2", settle_time_s=5.0, born_s=10.3), 10.5, late) != [None]
    assert watchdog.limit.limit_A == 6.0, "what its former life had lowered stays lowered"
    assert step(evse(boot="life3", settle_time_s=5.0, born_s=10.6), 10.7, read(10.7)) == [None]


def test_a_grant_in_ampere_holds_where_the_market_spoke_of_watts_only() -> None:
    core = evse(charge_mode="DC", max_power_W=50e3, max_current_A=100.0)
    core.step(at(1.0), reading(1.0, limit_W=0.0))
    offered = grant(0.0, 1, enforced(W=50e3), amount=Amount(20.0, 50e3))
    [message] = actuates(core.step(at(1.1), offered))
    assert (message.limit_A, message.limit_W) == pytest.approx((20.0, 20.0 * 3 * VOLT))


def test_a_grant_that_allows_what_is_no_number_is_not_taken() -> None:
    core = evse()
    core.step(at(1.0), reading(1.0))
    for amount in (Amount(float("nan"), 1e4), Amount(float("inf"), 1e4), Amount(-1.0, 1e4)):
        assert actuates(core.step(at(1.1), grant(0.0, 1, enforced(A=16.0), amount=amount))) == []


def test_a_status_under_another_name_is_that_of_the_child() -> None:
    branch = Branch((child("a"),), EnergyManagerConfig(), 0.0, kept_epoch=0)
    status = (ModuleStatus(id="b", kind="EvseManager", controller="main"),)
    branch.hear(0.0, report("a", 0.0, status=status))
    assert [module.id for module in branch.status(0.1)] == ["a"]


def test_what_ends_while_the_market_answers_is_told_all_the_same() -> None:
    core = NodeCore(trunk("panel", child("a"), fuse_A=32.0), "boot", at(0.0), kept_epoch=0)
    core.step(at(0.0), None)
    [full] = reports(core.step(at(5.0), MarketAnswer()))
    assert full.child == "panel"
    assert said(core.step(at(5.1), None)) == []


def test_grants_are_still_taken_after_one_that_was_none() -> None:
    core = evse()
    core.step(at(1.0), reading(1.0))
    core.step(at(1.1), grant(0.0, 2, enforced(A=16.0), amount=Amount(float("nan"))))
    taken: Grant = grant(0.0, 1, enforced(A=16.0))
    assert [message.limit_A for message in actuates(core.step(at(1.2), taken))] == [16.0]


def test_of_two_readings_of_one_instant_the_one_that_comes_last_proves_nothing() -> None:
    core = evse(settle_time_s=11.0)

    def mark_of(effects: list[Any]) -> str:
        return actuates(effects)[-1].mark

    first = mark_of(core.step(at(0.0), reading(HARDWARE_S, contactor_closed=False)))
    core.step(at(0.1), reading(HARDWARE_S + 0.1, mark=first, contactor_closed=False))
    mark_of(core.step(at(0.2), grant(0.2, 1, enforced(A=32.0))))
    low = mark_of(core.step(at(0.3), grant(0.2, 2, enforced(A=6.0))))
    # Both reach the hardware in one burst: for an instant 32 A are in force, and the car has seen it.
    core.step(at(1.0), reading(HARDWARE_S + 0.9, mark=low, limit_A=6.0, limit_ends_in_s=9.0))
    core.step(at(1.1), reading(HARDWARE_S + 0.9, mark=first, contactor_closed=False))
    [told_] = reports(core.step(at(1.3), None)) or [core._short_report(at(1.3))]
    assert told_.committed is not None
    assert told_.committed.import_A == 32.0


def test_a_machine_that_restarts_at_once_is_believed_before_its_former_life_is_silent() -> None:
    made = ledger()
    made.hear(0.0, told("a", "first", 500.0))
    assert made.hear(0.5, told("a", "second", 0.2)).stale, "it could be a late one"
    assert made.hear(0.6, told("a", "second", 0.3)).stale
    assert made.hear(0.7, told("a", "first", 500.7)).stale is False, "it was one"
    assert made.hear(1.5, told("a", "second", 1.2)).stale, "the present one has spoken since"
    assert made.hear(2.5, told("a", "second", 2.2)).restarted
    assert made.hear(2.6, told("a", "first", 502.0)).stale
