"""The market's memory over a restart of the root: no session gets more switches than are allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors import market_runner
from actors.energy import timestamps
from actors.energy.effects import RunMarket
from actors.energy.market import Memory, market
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EvseState,
    IntegerWithSource,
    LimitsReq,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
)
from actors.market_runner import KeptSession, MarketRunner, Sessions
from actors.state import StateFolder

ALLOWED = 2
SITE = EnergyManagerConfig(
    switch_3ph1ph_while_charging_mode="Both",
    switch_3ph1ph_max_nr_of_switches_per_session=ALLOWED,
    switch_3ph1ph_time_hysteresis_s=0,
    switch_3ph1ph_power_hysteresis_W=0,
)
STAMP = "2026-01-01T00:00:00.000Z"
MANY_W, FEW_W = 11e3, 2e3


@pytest.fixture(autouse=True)
def _no_bound_on_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_runner, "KEEP_EVERY_S", 0.0)


def request(power_W: float, phases: int, state: EvseState = EvseState.Charging) -> EnergyFlowRequest:
    leaf = LimitsReq(
        ac_max_current_A=NumberWithSource(32.0, "evse"),
        ac_min_current_A=NumberWithSource(6.0, "evse"),
        ac_max_phase_count=IntegerWithSource(3, "evse"),
        ac_min_phase_count=IntegerWithSource(1, "evse"),
        ac_number_of_active_phases=phases,
        ac_supports_changing_phases_during_charging=True,
    )
    evse = EnergyFlowRequest(
        uuid="evse",
        node_type=NodeType.Evse,
        evse_state=state,
        schedule_import=(
            ScheduleReqEntry(timestamp=STAMP, limits_to_root=leaf, limits_to_leaves=LimitsReq()),
        ),
    )
    limits = LimitsReq(total_power_W=NumberWithSource(power_W, "sun"))
    entry = ScheduleReqEntry(timestamp=STAMP, limits_to_root=limits, limits_to_leaves=limits)
    return EnergyFlowRequest(
        uuid="root", node_type=NodeType.Generic, children=(evse,), schedule_import=(entry,)
    )


class Root:
    """A root that may be restarted between any two runs; its EVSE does what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.phases = 3
        self.switches = 0
        self.now_us = 1_767_225_600_000_000
        self.begin()

    def begin(self) -> None:
        state = StateFolder(self.folder)
        self.writes = self.written = 0

        def keep(sessions: Sessions) -> bool:
            self.writes += 1
            return state.keep_sessions("root", sessions)

        self.runner = MarketRunner(state.load_sessions("root"), keep)

    def run(self, power_W: float, state: EvseState = EvseState.Charging) -> None:
        self.now_us += 1_000_000
        answer = self.runner.run(RunMarket(request(power_W, self.phases, state), SITE, self.now_us, False))
        assert answer.error is None
        assert self.writes == self.written, "the disk holds up no limit"
        self.runner.keep_sessions()
        self.written = self.writes
        (limits,) = answer.limits
        wanted = limits.limits_root_side.ac_max_phase_count
        if wanted is None:
            return  # nothing may flow, so nothing changes
        self.switches += wanted.value != self.phases
        self.phases = wanted.value


def clouds() -> Iterator[float]:
    while True:
        yield from (MANY_W, MANY_W, FEW_W, FEW_W)


@pytest.mark.parametrize("restarts", [True, False])
def test_a_root_restarted_in_a_session_allows_no_more_switches(tmp_path: Path, restarts: bool) -> None:
    root = Root(tmp_path)
    for _, power_W in zip(range(40), clouds(), strict=False):
        root.run(power_W)
        if restarts:
            root.begin()
    assert root.switches == ALLOWED


def test_without_what_is_kept_it_would_allow_more(tmp_path: Path) -> None:
    root = Root(tmp_path)
    for _, power_W in zip(range(40), clouds(), strict=False):
        root.run(power_W)
        (tmp_path / "root.sessions.json").unlink(missing_ok=True)
        root.begin()
    assert root.switches > ALLOWED


def test_a_new_session_has_all_its_switches_again(tmp_path: Path) -> None:
    root = Root(tmp_path)
    for _, power_W in zip(range(12), clouds(), strict=False):
        root.run(power_W)
    root.run(MANY_W, EvseState.Unplugged)
    root.begin()
    root.phases, root.switches = 3, 0
    for _, power_W in zip(range(12), clouds(), strict=False):
        root.run(power_W)
    assert root.switches == ALLOWED


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    root = Root(tmp_path)
    for _ in range(20):
        root.run(MANY_W)
    assert root.writes == 1
    root.run(FEW_W)
    for _ in range(20):
        root.run(FEW_W)
    assert root.writes == 2


def test_sessions_in_which_nothing_is_new_are_not_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def kept(**values: Any) -> KeptSession:
        looked.append("")
        return KeptSession(**values)

    monkeypatch.setattr(market_runner, "KeptSession", kept)
    root = Root(tmp_path)
    for _ in range(5):
        root.run(MANY_W)
    assert len(looked) == 1
    root.run(FEW_W)
    assert len(looked) == 2


def test_writes_have_a_bounded_rate_and_none_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr(market_runner, "KEEP_EVERY_S", 1.0)
    monkeypatch.setattr("actors.market_runner.time.monotonic", lambda: now_s)
    root = Root(tmp_path)
    root.run(MANY_W)
    root.run(FEW_W)
    root.run(FEW_W)
    assert root.writes == 1
    now_s = 1.0
    root.run(FEW_W)
    assert root.writes == 2
    assert StateFolder(tmp_path).load_sessions("root")["evse"].phases == 1


def test_what_could_not_be_written_is_tried_again() -> None:
    tried: list[Sessions] = []

    def fail(sessions: Sessions) -> bool:
        tried.append(sessions)
        return False

    runner = MarketRunner(None, fail)
    for second in range(3):
        runner.run(RunMarket(request(MANY_W, 3), SITE, 1_767_225_600_000_000 + second * 1_000_000, False))
        runner.keep_sessions()
    assert len(tried) == 3


def test_an_island_keeps_nothing() -> None:
    runner = MarketRunner()
    assert runner.run(RunMarket(request(MANY_W, 3), SITE, 1_767_225_600_000_000, False)).error is None
    assert isinstance(runner._memory, Memory)


def test_where_schedules_have_too_many_moments_for_a_forecast_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(market, "MOST_CELLS", 5)
    site = replace(SITE, schedule_total_duration=3)
    answer = MarketRunner().run(RunMarket(request(MANY_W, 3), site, timestamps.parse(STAMP), False))
    assert answer.error is None
    assert [entry.uuid for entry in answer.limits] == ["evse"]
    assert answer.status.slots == 1
