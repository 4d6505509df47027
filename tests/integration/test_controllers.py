"""Controllers that die, come back, and start late, as real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from actors.clock import steady_s
from actors.rundir import RunDir
from tests.integration.conftest import ROOT, RunningSite, plugged, site_data, wait_for
from tools.client import Client
from tools.errors import UserError

Begin = Callable[..., RunningSite]

VALID_FOR_S = 10
"""Ten update intervals of one second."""
OVER_S = VALID_FOR_S * 1.1 / 0.9 + 11 + 1
"""A limit, its clocks' error, the settle time of cars, and one interval."""
WATCHDOG_S = 0.2
"""The plant looks each 0.05 s and records each 0.1 s."""

FALLBACK_A = 6
"""In configs/garage.yaml, of every EVSE."""
GARAGE = [f"evse_{level}{place}" for level in (1, 2, 3) for place in (1, 2, 3, 4)]


def limits(line: dict[str, Any], level: int) -> list[float]:
    return [v["limit_A"] for e, v in line["evses"].items() if e.startswith(f"evse_{level}")]


def test_a_killed_controller_falls_back_in_time_and_is_taken_up_again(begin: Begin) -> None:
    site = begin("garage.yaml", [plugged(evse) for evse in GARAGE])
    # A silent level counts with the most that it was granted lately, and while cars arrive that is
    # more than its share: the others go on as they were only once all such grants have run out.
    site.settled(quiet_s=OVER_S)
    before = site.record()[-1]
    assert min(limits(before, 2)) > FALLBACK_A

    killed_s = steady_s()
    site.kill("level_2")
    wait_for("level 2 is at its fallback", lambda: set(limits(site.record()[-1], 2)) == {FALLBACK_A}, 20)
    record = [line for line in site.record() if line["t"] >= killed_s]
    fallen_s = next(line["t"] for line in record if set(limits(line, 2)) == {FALLBACK_A})
    assert fallen_s - killed_s <= VALID_FOR_S + WATCHDOG_S
    # The others go on, with no less than before.
    for level in (1, 3):
        assert all(min(limits(line, level)) >= min(limits(before, level)) - 0.002 for line in record)
    assert not site.modules()["evse_21"].alive
    assert site.modules()["evse_11"].alive

    site.restart("level_2")
    wait_for("level 2 charges again", lambda: min(limits(site.record()[-1], 2)) > FALLBACK_A, 20)
    wait_for("all modules are heard", site.complete)
    after = site.settled()
    assert [after[f"evse_2{place}"]["limit_A"] for place in (1, 2, 3, 4)] == limits(before, 2)


def test_the_root_may_die_and_come_back(begin: Begin) -> None:
    site = begin("hierarchical.yaml", [plugged("evse_1a"), plugged("evse_2a")])
    before = {e: v["limit_A"] for e, v in site.settled().items()}
    site.kill("energy_root")
    site.restart("energy_root")
    killed_s = steady_s()
    wait_for("the root knows all again", site.complete)
    time_again_s = killed_s + VALID_FOR_S + 3
    wait_for("longer than a limit lasts has passed", lambda: site.record()[-1]["t"] > time_again_s)
    record = [line for line in site.record() if line["t"] >= killed_s]
    for evse in ("evse_1a", "evse_2a"):
        # It was back before the limits had run out, so nobody noticed.
        assert all(line["evses"][evse]["limit_A"] == before[evse] for line in record)


def test_controllers_may_start_in_any_order_and_late(tmp_path: Path) -> None:
    file = tmp_path / "garage.yaml"
    data = site_data("garage.yaml", [plugged("evse_11"), plugged("evse_21")])
    file.write_text(yaml.safe_dump(data))
    address = RunDir("garage").address("plant")
    RunDir("garage").make()
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        command = [sys.executable, "-m", "tools.main", *arguments]
        processes.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL))

    def in_force(evse: str) -> float | None:
        with Client("garage", timeout_s=1.0) as client:
            try:
                modules = {m.id: m for m in client.status().modules}
            except UserError:
                return None
        return modules[evse].in_force_A if evse in modules and modules[evse].alive else None

    try:
        start("run", str(file), "--controller", "level_1")  # nobody above it, no hardware below
        wait_for("level 1 answers", lambda: "level_1" in RunDir("garage").holders())
        start("plant", str(file), "--listen", address)
        start("run", str(file), "--controller", "main")
        wait_for("evse_11 has its limit", lambda: (in_force("evse_11") or 0) > FALLBACK_A)
        assert in_force("evse_21") is None
        start("run", str(file), "--controller", "level_2")
        wait_for("evse_21 has its limit", lambda: (in_force("evse_21") or 0) > FALLBACK_A)
    finally:
        for process in reversed(processes):
            process.terminate()
        codes = [process.wait(20) for process in processes]
    assert codes == [0, 0, 0, 0]
    assert RunDir("garage").holders() == {}
