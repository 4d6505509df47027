from __future__ import annotations

from typing import Any

import pytest

from actors.energy.amount import Amount
from actors.energy.effects import RunMarket
from actors.energy.external import Heartbeat, SetLimits, SourceConfig
from actors.energy.ledger import STRETCH, Ledger, Planned
from actors.energy.manager import ManagerCore
from actors.energy.messages import EpochKept, MarketAnswer, OptimizerStatus, Outcome
from actors.energy.packing import entries_of
from actors.energy.trunk import SHORTEST_GAP_S
from actors.energy.types import EnergyManagerConfig, value_of
from tests.energy.builders import (
    VOLT,
    at,
    child,
    command,
    enforced,
    grants,
    outcomes,
    report,
    runs,
    said,
    short,
    trunk,
)

ANSWER = MarketAnswer(limits=(enforced("a", A=16.0), enforced("b", A=10.0)), status=OptimizerStatus(slots=3))


def manager(interval_s: int = 1, **more: Any) -> ManagerCore:
    """A root with two EVSEs; its first run, at second 0, is over."""
    site = EnergyManagerConfig(update_interval=interval_s)
    core = ManagerCore(trunk("root", child("a"), child("b"), site=site, **more), at(0.0), kept_epoch=0)
    core.branch.ledger.kept(1)
    assert len(runs(core.step(at(0.0), None))) == 1
    return core


def both_heard(core: ManagerCore, now_s: float) -> list[RunMarket]:
    return [r for name in ("a", "b") for r in runs(core.step(at(now_s), report(name, now_s)))]


def test_the_market_runs_each_interval_on_all_that_was_heard() -> None:
    core = manager(interval_s=2)
    both_heard(core, 1.0)
    core.step(at(1.1), None)
    assert runs(core.step(at(2.9), None)) == []
    [run] = runs(core.step(at(3.1), None))
    assert [wants.uuid for wants in run.request.children] == ["a", "b"]
    assert run.start_us == at(3.1).wall_us
    assert core.due_s == pytest.approx(5.1)


def test_what_is_urgent_runs_it_at_once_but_not_more_often_than_it_can() -> None:
    core = manager(interval_s=60)
    [run] = runs(core.step(at(10.0), report("a", 1.0)))
    assert [wants.uuid for wants in run.request.children] == ["a"]
    assert runs(core.step(at(10.02), report("b", 1.0))) == []
    assert core.due_s == pytest.approx(10.0 + SHORTEST_GAP_S)
    [run] = runs(core.step(at(10.1), None))
    assert [wants.uuid for wants in run.request.children] == ["a", "b"]
    assert runs(core.step(at(11.0), report("a", 2.0))) == [], "nothing new"
    assert len(runs(core.step(at(11.0), report("a", 3.0, priority=True)))) == 1


def test_each_branch_is_sent_its_part_for_ten_intervals() -> None:
    core = manager(interval_s=2)
    both_heard(core, 1.0)
    passed = grants(core.step(at(1.5), ANSWER))
    assert {name: [e.uuid for e in g.limits] for name, g in passed.items()} == {"a": ["a"], "b": ["b"]}
    assert all(g.t_echo_s + g.duration_s == 21.5 for g in passed.values())
    assert core.optimizer.slots == 3


def test_without_an_answer_nothing_is_sent_and_the_reason_is_told() -> None:
    core = manager()
    both_heard(core, 1.0)
    effects = core.step(at(1.5), MarketAnswer(error="a.schedule_import[0]: no"))
    assert grants(effects) == {}
    assert said(effects) == ["no allocation: a.schedule_import[0]: no"]
    assert core.optimizer.error == "a.schedule_import[0]: no"
    core.step(at(1.6), ANSWER)
    assert core.optimizer.error is None
    assert core.optimizer.runs == 2


def test_an_external_limit_runs_the_market_at_once_and_its_end_wakes_it() -> None:
    core = manager(interval_s=60)
    [run] = runs(
        core.step(at(1.0), command("root", SetLimits(source="x", limits=short(total_power_W=9e3), for_s=5.0)))
    )
    assert value_of(entries_of(run.request.schedule_import)[0].limits_to_root.total_power_W) == 9e3
    assert core.due_s == 6.0
    [run] = runs(core.step(at(6.0), None))
    assert entries_of(run.request.schedule_import)[0].limits_to_root.total_power_W is None


def test_a_source_that_falls_silent_wakes_it() -> None:
    source = SourceConfig(name="dso", heartbeat_timeout_s=5.0, failsafe=short(total_power_W=1e3))
    core = manager(interval_s=60, sources=(source,))
    core.step(at(1.0), command("root", SetLimits(source="dso", limits=short(total_power_W=9e3))))
    assert runs(core.step(at(2.0), command("root", Heartbeat(source="dso")))) == []
    assert core.due_s == 7.0
    [run] = runs(core.step(at(7.0), None))
    assert value_of(entries_of(run.request.schedule_import)[0].limits_to_root.total_power_W) == 1e3


def test_a_child_that_is_gone_frees_its_share_at_once() -> None:
    core = manager(interval_s=60)
    core.step(at(1.0), report("a", 1.0, settle_time_s=0.0))
    quiet_s = 1.0 + 3 * 60 + 1.0
    core.step(at(quiet_s - 30.0), None)
    [run] = runs(core.step(at(quiet_s), report("b", 1.0)))
    assert [wants.uuid for wants in run.request.children] == ["b"]


def test_outcomes_for_the_root_go_to_its_client() -> None:
    assert [way for way, _ in outcomes(manager().step(at(0.5), Outcome(id="1", origin="root")))] == ["out"]


def test_its_status_is_that_of_the_whole_tree() -> None:
    core = manager()
    assert [(s.id, s.alive) for s in core.report_status(at(0.0))] == [
        ("root", True),
        ("a", False),
        ("b", False),
    ]
    assert core.report_status(at(0.0))[0].granted is None
    both_heard(core, 1.0)
    core.step(at(1.0), ANSWER)
    assert core.report_status(at(1.0))[0].granted == Amount(26.0, 26.0 * 3 * VOLT)


# --- the ledger --------------------------------------------------------------------------------------


def test_what_waits_for_a_decrease_is_granted_as_soon_as_that_is_confirmed() -> None:
    core = manager(interval_s=60, fuse_A=26.0)
    both_heard(core, 1.0)
    first = grants(core.step(at(1.5), ANSWER))
    for name, given in first.items():
        core.step(at(1.6), report(name, 1.6, acked=given.order, committed=given.amount))
    other = MarketAnswer(limits=(enforced("a", A=10.0), enforced("b", A=16.0)))
    second = grants(core.step(at(2.0), other))
    assert {name: g.amount.import_A for name, g in second.items()} == {"a": 10.0, "b": 10.0}
    assert core.branch.status(2.0) != ()
    effects = core.step(at(2.5), report("a", 2.5, acked=second["a"].order, committed=Amount(10.0, 6900.0)))
    assert runs(effects) == [], "the market has answered that already"
    assert grants(effects)["b"].amount.import_A == 16.0


def test_a_root_that_lost_its_epoch_grants_nothing_until_all_former_grants_are_over_and_says_so() -> None:
    core = ManagerCore(trunk("root", child("a"), child("b")), at(0.0), kept_epoch=None)
    core.step(at(0.0), None)
    core.step(at(0.1), EpochKept(epoch=1, ok=True))
    both_heard(core, 1.0)
    assert grants(core.step(at(1.0), ANSWER)) == {}
    assert "its epoch was lost" in core.report_status(at(1.0))[0].note
    over_s = 14.0 * STRETCH
    both_heard(core, over_s)
    core.step(at(over_s), None)
    core.step(at(over_s), EpochKept(epoch=1, ok=True))
    assert set(grants(core.step(at(over_s), ANSWER))) == {"a", "b"}


def test_a_broken_invariant_grants_only_fallbacks_until_all_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    core = manager(fuse_A=20.0)
    both_heard(core, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(
            Ledger, "plan", lambda self, now_s, wishes, room: {n: Planned(a) for n, a in wishes.items()}
        )
        effects = core.step(at(1.5), ANSWER)
    assert grants(effects) == {}
    assert "exposures of 26 in import_A exceed 20" in said(effects)[0]
    assert "an invariant was broken" in core.report_status(at(1.5))[0].note
    passed = grants(core.step(at(1.6), ANSWER))
    assert {name: g.amount.import_A for name, g in passed.items()} == {"a": 0.0, "b": 0.0}
    later_s = 1.5 + 14.0 * STRETCH + 11.0 * 1.1
    both_heard(core, later_s)
    passed = grants(core.step(at(later_s), ANSWER))
    assert sum(g.amount.import_A for g in passed.values()) == 20.0
