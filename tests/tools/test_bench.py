"""`amptree bench`: what it makes of a plant's stamps, runs that are kept and compared, and a small site."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from actors.config import load_site
from tools.bench import decrease, end_to_end, startup, usage
from tools.bench.decrease import STAGES, decreases, measure_decrease
from tools.bench.end_to_end import Trial, delays
from tools.bench.inline import InlineSite
from tools.bench.rows import Row
from tools.bench.running import Change
from tools.bench.runs import load, percentile, ratios, run_of, save
from tools.bench.sites import Size, evse_names, write_site
from tools.errors import UserError
from tools.main import main

TINY = Size(evses=6, controllers=2)


def row(**figures: float) -> Row:
    return Row(bench="steady", name="6 on 2", what="six", figures=figures, reach={"cpu_cores": 0.5})


def test_a_delay_ends_when_the_last_evse_has_the_new_limit() -> None:
    trials = [Trial(at_s=10.0, each_A=8.0), Trial(at_s=12.0, each_A=12.0)]
    changes = [
        Change(at_s=9.9, evse="a", limit_A=8.0),  # before it was set
        Change(at_s=10.1, evse="a", limit_A=8.0),
        Change(at_s=10.2, evse="b", limit_A=10.0),  # on its way
        Change(at_s=10.3, evse="b", limit_A=8.0),
        Change(at_s=10.9, evse="a", limit_A=8.0),  # again
        Change(at_s=12.05, evse="b", limit_A=12.0),
        Change(at_s=12.04, evse="a", limit_A=12.0),
    ]
    assert delays(trials, changes, 2) == [pytest.approx(0.3), pytest.approx(0.05)]


def test_an_evse_that_never_came_to_its_limit_is_a_fault() -> None:
    with pytest.raises(UserError, match="1 of 2 EVSEs did not come to 8 A"):
        delays([Trial(at_s=10.0, each_A=8.0)], [Change(at_s=10.1, evse="a", limit_A=8.0)], 2)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == expected
    assert percentile([7.0], percent) == 7.0


def test_a_saved_run_is_compared_figure_by_figure(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    before = run_of([row(cpu_cores=0.4, gone=1.0, nothing=0.0)])
    save(before, file)
    assert load(file) == before
    now = run_of([row(cpu_cores=0.6, new=1.0, nothing=1.0)])
    assert ratios(now, load(file)) == {("steady", "6 on 2", "cpu_cores"): pytest.approx(1.5)}


def test_a_file_that_is_no_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    with pytest.raises(UserError, match="No such file"):
        load(file)
    file.write_text("{}")
    with pytest.raises(UserError, match="no saved run"):
        load(file)


def test_an_unknown_benchmark_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "stedy"]) == 2
    assert "known: market, decrease, end-to-end, steady, startup" in capsys.readouterr().err


@pytest.mark.parametrize("size", [TINY, Size(evses=250, controllers=1), Size(evses=1_000, controllers=20)])
def test_a_site_has_its_evses_on_so_many_controllers(size: Size, tmp_path: Path) -> None:
    site = load_site(write_site(size, "bench", tmp_path))
    hosts = {site.controller_of(evse).name for evse in evse_names(size)}
    assert len(hosts) == size.controllers
    assert len(site.controllers) == (1 if size.controllers == 1 else size.controllers + 1)
    assert max(len(module.children) for module in site.modules.values()) <= 100


def test_what_a_process_uses_is_read_of_the_kernel() -> None:
    before_s = usage.cpu_s(os.getpid())
    while usage.cpu_s(os.getpid()) < before_s + 0.02:
        sum(range(100_000))
    assert usage.memory_B(os.getpid()) > 1_000_000
    assert usage.threads(os.getpid()) >= 1


def test_where_the_time_of_a_decrease_goes_is_told_by_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decrease, "QUICK_SIZES", (TINY,))
    (one,) = measure_decrease(quick=True)
    assert list(one.figures) == [*(f"{stage}_ms" for stage in STAGES), "all_ms"]
    assert {name for name, ms in one.figures.items() if ms == 0.0} == {"floors_market_ms"}


def test_an_evse_that_was_not_lowered_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    site = InlineSite(TINY, tmp_path)
    actuate = site.plant.actuate

    def one_is_deaf(now_s: float, evse_id: str, command: Any) -> str | None:
        return None if evse_id == "evse_1" and command.limit_A < 12.0 else actuate(now_s, evse_id, command)

    monkeypatch.setattr(site.plant, "actuate", one_is_deaf)
    with pytest.raises(UserError, match="1 EVSEs are not at 8 A, but at 12 A"):
        decreases(site, 1)


@pytest.mark.long
@pytest.mark.processes
def test_a_small_site_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_to_end, "QUICK_SIZES", (TINY,))
    monkeypatch.setattr(startup, "QUICK_SIZES", (TINY,))
    monkeypatch.setattr(end_to_end, "QUICK_PAIRS", 1)
    rows = [*end_to_end.measure_end_to_end(quick=True), *startup.measure_startup(quick=True)]
    assert [(one.bench, one.name) for one in rows] == [("end-to-end", "6 on 2"), ("startup", "6 on 2")]
    assert all(value > 0.0 for one in rows for value in one.figures.values())
