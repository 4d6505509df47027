from __future__ import annotations

from typing import Any

import pytest

from actors.energy.effects import RunMarket
from actors.energy.external import Heartbeat, SetLimits, SourceConfig
from actors.energy.manager import SHORTEST_GAP_S, ManagerCore, MarketAnswer
from actors.energy.messages import OptimizerStatus, Outcome
from actors.energy.types import EnergyManagerConfig, value_of
from tests.energy.builders import (
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
    core = ManagerCore(trunk("root", child("a"), child("b"), site=site, **more), at(0.0))
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
    assert value_of(run.request.schedule_import[0].limits_to_root.total_power_W) == 9e3
    assert core.due_s == 6.0
    [run] = runs(core.step(at(6.0), None))
    assert run.request.schedule_import[0].limits_to_root.total_power_W is None


def test_a_source_that_falls_silent_wakes_it() -> None:
    source = SourceConfig(name="dso", heartbeat_timeout_s=5.0, failsafe=short(total_power_W=1e3))
    core = manager(interval_s=60, sources=(source,))
    core.step(at(1.0), command("root", SetLimits(source="dso", limits=short(total_power_W=9e3))))
    assert runs(core.step(at(2.0), command("root", Heartbeat(source="dso")))) == []
    assert core.due_s == 7.0
    [run] = runs(core.step(at(7.0), None))
    assert value_of(run.request.schedule_import[0].limits_to_root.total_power_W) == 1e3


def test_a_child_that_is_gone_frees_its_share_at_once() -> None:
    core = manager(interval_s=60)
    core.step(at(1.0), report("a", 1.0, settle_time_s=0.0))
    quiet_s = 1.0 + 14 * 60 * 1.1 / 0.9 + 1.0
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
    assert core.report_status(at(0.0))[0].limit is None
    both_heard(core, 1.0)
    core.step(at(1.0), ANSWER)
    limit = core.report_status(at(1.0))[0].limit
    assert limit is not None
    assert value_of(limit.ac_max_current_A) == 26.0
    assert limit.total_power_W is None
