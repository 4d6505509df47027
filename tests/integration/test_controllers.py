"""Controllers that die, come back, and start late, as real processes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.clock import steady_s
from actors.energy.amount import Amount
from actors.energy.messages import ModuleStatus
from actors.rundir import RunDir, state_dir
from actors.state import StateFolder
from tests.integration.conftest import (
    ROOT,
    SETTLE_TIME_S,
    UNHURRIED_VALID_FOR_S,
    RunningSite,
    amptree,
    plugged,
    site_data,
    unhurried,
    wait_for,
)
from tools.client import Client
from tools.errors import UserError

Begin = Callable[..., RunningSite]

VALID_FOR_S = 10
"""Ten update intervals of one second."""
LONGEST_GRANT_S = 14 * 1.1 / 0.9
"""With four intervals on its way, and the clocks' error."""
WATCHDOG_S = 0.2
"""The plant looks each 0.05 s and records each 0.1 s; one that comes late records late, and nothing in between."""

FALLBACK_A = 6
"""In configs/garage.yaml, of every EVSE."""
GARAGE = [f"evse_{level}{place}" for level in (1, 2, 3) for place in (1, 2, 3, 4)]


def limits(line: dict[str, Any], level: int) -> list[float]:
    return [v["limit_A"] for e, v in line["evses"].items() if e.startswith(f"evse_{level}")]


@pytest.mark.long
def test_a_killed_controller_falls_back_in_time_and_is_taken_up_again(begin: Begin) -> None:
    site = begin("garage.yaml", [plugged(evse) for evse in GARAGE])
    site.settled()
    before = site.record()[-1]
    assert min(limits(before, 2)) > FALLBACK_A

    killed_s = steady_s()
    site.kill("level_2")
    wait_for("level 2 is at its fallback", lambda: set(limits(site.record()[-1], 2)) == {FALLBACK_A})
    record = [line for line in site.record() if line["t"] >= killed_s]
    above_s = max(line["t"] for line in record if set(limits(line, 2)) != {FALLBACK_A})
    assert above_s - killed_s <= VALID_FOR_S + WATCHDOG_S
    # The others go on, with no less than before.
    for level in (1, 3):
        assert all(min(limits(line, level)) >= min(limits(before, level)) - 0.002 for line in record)
    modules = site.modules()
    assert not modules["evse_21"].alive
    assert modules["evse_11"].alive
    exposure = modules["level_2_node"].exposure
    assert exposure is not None
    assert exposure.import_A >= 4 * FALLBACK_A

    site.restart("level_2")
    wait_for("level 2 charges again", lambda: min(limits(site.record()[-1], 2)) > FALLBACK_A)
    wait_for("all modules are heard", site.complete)
    after = site.settled()
    assert [after[f"evse_2{place}"]["limit_A"] for place in (1, 2, 3, 4)] == limits(before, 2)


@pytest.mark.long
def test_a_level_that_is_cut_off_is_an_island_within_its_fallback(begin: Begin) -> None:
    data = site_data("garage.yaml", [plugged(evse) for evse in GARAGE])
    data["active_modules"]["level_1_node"]["config"]["fallback_limit_A"] = 32
    site = begin.data(data, "garage")  # type: ignore[attr-defined]
    site.settled()
    before = limits(site.record()[-1], 1)
    assert sum(before) > 32
    killed_s = steady_s()
    site.kill("main")
    wait_for("level 1 keeps to its fallback", lambda: sum(limits(site.record()[-1], 1)) <= 32)
    record = [line for line in site.record() if line["t"] >= killed_s]
    above_s = max(line["t"] for line in record if sum(limits(line, 1)) > 32)
    assert VALID_FOR_S - 6 <= above_s - killed_s <= VALID_FOR_S + WATCHDOG_S
    wait_for("the grant of the root is over", lambda: site.record()[-1]["t"] > killed_s + VALID_FOR_S + 2)
    # It goes on sharing what it may have: nobody fell to less than a fair part of it.
    assert limits(site.record()[-1], 1) == pytest.approx([8, 8, 8, 8])
    (level,) = (m for m in site.client.status().modules if m.id == "level_1_node")
    assert level.note == "limit has run out: fallback"


# Of a level with its EVSEs, what these may draw is known only a settle time after the restart, longer than
# what was left of their limits; what they hold is renewed all the same.
@pytest.mark.long
@pytest.mark.parametrize("killed", ["energy_root", "floor_1_node"])
def test_a_controller_may_die_and_come_back_and_nobody_notices(begin: Begin, killed: str) -> None:
    cars = [plugged(evse) for evse in ("evse_1a", "evse_1b", "evse_2a")]
    data = unhurried(site_data("hierarchical.yaml", cars, settle_time_s=11))
    site = begin.data(data, "hierarchical")  # type: ignore[attr-defined]
    before = {e: v["limit_A"] for e, v in site.settled().items()}
    killed_s = steady_s()
    site.kill(killed)
    site.restart(killed)
    wait_for("all are known again", site.complete)
    time_again_s = killed_s + UNHURRIED_VALID_FOR_S + 3
    wait_for("longer than a limit lasts has passed", lambda: site.record()[-1]["t"] > time_again_s)
    record = [line for line in site.record() if line["t"] >= killed_s]
    for evse in ("evse_1a", "evse_1b", "evse_2a"):
        assert {line["evses"][evse]["limit_A"] for line in record} == {before[evse]}


@pytest.mark.long
def test_all_cars_of_a_site_may_begin_at_once(begin: Begin) -> None:
    panels, places, main_A, fuse_A = 8, 50, 800, 125
    modules: dict[str, Any] = {
        "root": {
            "module": "EnergyManager",
            "config": {"update_interval": 2},
            "external_limits": {"mains": {"limit": {"ac_max_current_A": main_A}}},
        }
    }
    for panel in range(panels):
        config = {"fuse_limit_A": fuse_A}
        modules[f"panel_{panel}"] = {
            "module": "EnergyNode",
            "config": config,
            "connections": {"energy_grid": "root"},
        }
        for place in range(places):
            modules[f"evse_{panel}_{place}"] = {
                "module": "EvseManager",
                "config": {"settle_time_s": SETTLE_TIME_S},
                "connections": {"energy_grid": f"panel_{panel}"},
            }
    evses = [m for m in modules if m.startswith("evse")]
    data = {"active_modules": modules, "plant": {"cars": [plugged(e, at_s=10) for e in evses]}}
    site = begin.data(data, "burst")  # type: ignore[attr-defined]

    def in_force(line: dict[str, Any], panel: str = "") -> float:
        return float(sum(v["limit_A"] for e, v in line["evses"].items() if e.startswith(f"evse_{panel}")))

    wait_for("what there is is used", lambda: in_force(site.record()[-1]) >= main_A - 6, 90)
    for line in site.record():
        assert in_force(line) <= main_A + 0.01
        for panel in range(panels):
            assert in_force(line, f"{panel}_") <= fuse_A + 0.01


@pytest.mark.long
def test_without_a_place_for_its_epoch_nothing_is_granted_and_status_says_why(begin: Begin) -> None:
    site = begin("single_charger.yaml", [plugged("evse_manager")])
    root = site.client.status().modules[0].id
    site.settled()
    site.kill("energy_mgmt")
    draft = site.state / f"{root}.epoch.new"
    draft.mkdir()  # nobody, not even root, can write there
    site.restart("energy_mgmt")
    fault = f"{site.state / root}.epoch.json: cannot be written (Is a directory): {root} grants nothing; "
    wait_for("status says why", lambda: site.modules()[root].note.startswith(fault))
    assert "choose another with --state" in site.modules()[root].note
    assert site.modules()[root].granted in (None, Amount())
    wait_for("its car is at its fallback", lambda: limit_of(site, "evse_manager") == 0)
    draft.rmdir()
    wait_for("it goes on by itself", lambda: limit_of(site, "evse_manager") > 0)
    assert site.modules()[root].note == ""


def limit_of(site: RunningSite, evse: str) -> float:
    return float(site.record()[-1]["evses"][evse]["limit_A"])


@pytest.mark.long
def test_controllers_may_start_in_any_order_and_late(tmp_path: Path) -> None:
    file = tmp_path / "garage.yaml"
    data = site_data("garage.yaml", [plugged("evse_11"), plugged("evse_21")])
    file.write_text(yaml.safe_dump(data))
    address = RunDir("garage").address("plant")
    RunDir("garage").make()
    own = ["controller/main", "controller/level_1", "controller/level_2", "plant", "operator/tester"]
    assert amptree("keys", "new", *own, "--site", "garage").returncode == 0
    processes: list[subprocess.Popen[bytes]] = []
    log = tmp_path / "log"

    def start(*arguments: str) -> None:
        command = [sys.executable, "-m", "tools.main", *arguments]
        with open(log, "ab") as file:
            processes.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=file))

    def modules() -> dict[str, ModuleStatus]:
        with Client("garage", timeout_s=1.0) as client:
            try:
                return {m.id: m for m in client.status().modules}
            except UserError:
                return {}

    def in_force(evse: str) -> float | None:
        module = modules().get(evse)
        return module.in_force_A if module is not None and module.alive else None

    try:
        start("run", str(file), "--controller", "level_1")  # nobody above it, no hardware below
        wait_for("level 1 answers", lambda: "level_1" in RunDir("garage").holders())
        start("plant", str(file), "--listen", address)
        begun_s = steady_s()
        start("run", str(file), "--controller", "main")
        # Nothing is known of a former life, so nothing is granted while a grant of it may be in force.
        root = wait_for("the root answers", lambda: modules().get("energy_root"))
        assert re.fullmatch(r"grants nothing for 1\d s: its epoch was lost", root.note)
        assert "energy_root grants nothing for 17 s, until all that a former life may have" in log.read_text()
        wait_for("evse_11 has its limit", lambda: (in_force("evse_11") or 0) > FALLBACK_A)
        assert steady_s() - begun_s > LONGEST_GRANT_S
        assert in_force("evse_21") is None
        # Of a level that surely never granted anything nobody waits for what it did.
        assert StateFolder(state_dir() / "garage").begin_without_former_life(["level_2_node"]) is None
        start("run", str(file), "--controller", "level_2")
        wait_for("evse_21 has its limit", lambda: (in_force("evse_21") or 0) > FALLBACK_A)
    finally:
        for process in reversed(processes):
            process.terminate()
        codes = [process.wait(60) for process in processes]
    assert codes == [0, 0, 0, 0]
    assert RunDir("garage").holders() == {}
