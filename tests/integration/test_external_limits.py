"""The page's grid, solar and reserve examples, and what ends an external limit, on a running site."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import RunningSite, amptree, plugged, site_data, wait_for

Begin = Callable[..., RunningSite]
V = 230


def power_in_force_W(site: RunningSite, phases: int = 3) -> float:
    return float(sum(v["limit_A"] for v in site.record()[-1]["evses"].values())) * phases * V


def source_of_limit(site: RunningSite, module: str) -> str | None:
    limit = site.modules()[module].limit
    return None if limit is None or limit.ac_max_current_A is None else limit.ac_max_current_A.source


@pytest.mark.long
def test_grid_solar_and_reserve_limits_of_the_page(begin: Begin, tmp_path: Path) -> None:
    evses = ["evse_1a", "evse_1b", "evse_2a", "evse_2b", "evse_2c"]
    site = begin("hierarchical.yaml", [plugged(evse) for evse in evses])
    site.settled()
    assert power_in_force_W(site) == pytest.approx((32 + 63) * 3 * V, abs=10)

    # Grid: 22 kW and 32 A, as the page writes it.
    grid = {"uuid": "grid-connection-1", "limits_root_side": {"total_power_W": 22e3, "ac_max_current_A": 32}}
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    done = amptree("limit", "energy_root", "--json", str(tmp_path / "grid.json"))
    assert done.stdout == "energy_root: limits of grid-connection-1 are set until they are cleared\n", (
        done.stderr
    )
    wait_for("22 kW hold", lambda: power_in_force_W(site) <= 22e3 + 1)
    site.settled()
    assert power_in_force_W(site) == pytest.approx(22e3, abs=10)  # 31.88 A: the watts bind before 32 A

    # Solar production plus grid import, by another source: the most restrictive wins.
    assert amptree("limit", "energy_root", "--power", "15kW", "--source", "solar").returncode == 0
    wait_for("15 kW hold", lambda: power_in_force_W(site) <= 15e3 + 1)
    root = site.modules()["energy_root"]
    assert root.capacity_source == "grid-connection-1"  # the ampere limit; the watts are the sun's
    assert root.capacity_W == 15e3
    assert amptree("limit", "energy_root", "--source", "solar", "--clear").returncode == 0

    # Reserve: 5 kW of 22 kW are for the building, for a while; it begins before what was free is taken
    # again, since an increase waits until the currents that make room for it have come down.
    reserve = ("--power", "17kW", "--source", "building_reserve", "--for", "10s")
    assert amptree("limit", "energy_root", *reserve).returncode == 0
    wait_for("17 kW hold", lambda: 15e3 + 1 < power_in_force_W(site) <= 17e3 + 1)
    wait_for("the reserve ends by itself", lambda: power_in_force_W(site) == pytest.approx(22e3, abs=10))
    assert [s.name for s in site.modules()["energy_root"].sources] == ["grid-connection-1"]


def test_a_limit_on_an_evse_reaches_it_over_the_branch_and_frees_the_rest(begin: Begin) -> None:
    site = begin("hierarchical.yaml", [plugged(e) for e in ("evse_1a", "evse_1b")])
    site.settled()
    done = amptree("limit", "evse_1a", "--current", "10", "--source", "ocpp")
    assert done.returncode == 0, done.stderr
    wait_for("10 A hold at one", lambda: site.record()[-1]["evses"]["evse_1a"]["limit_A"] == 10)
    wait_for("the other gets the rest", lambda: site.record()[-1]["evses"]["evse_1b"]["limit_A"] == 22)
    wait_for("its reason is shown", lambda: source_of_limit(site, "evse_1a") == "ocpp")


def test_a_source_that_falls_silent_falls_to_its_failsafe(begin: Begin) -> None:
    data = site_data("hierarchical.yaml", [plugged("evse_1a")])
    data["active_modules"]["energy_root"]["external_limits"] = {
        "grid": {"heartbeat_timeout_s": 8, "failsafe": {"total_power_W": 4200}}
    }
    site = begin.data(data, "hierarchical")  # type: ignore[attr-defined]
    assert site.modules()["energy_root"].sources[0].state == "failsafe"  # until it was heard
    assert amptree("limit", "energy_root", "--power", "20kW", "--source", "grid").returncode == 0
    wait_for("20 kW hold", lambda: power_in_force_W(site) == pytest.approx(20e3, abs=10))
    wait_for("its failsafe holds", lambda: power_in_force_W(site) == pytest.approx(4200, abs=10))
    assert amptree("limit", "energy_root", "--heartbeat", "--source", "grid").returncode == 0
    assert site.modules()["energy_root"].sources[0].state == "failsafe"  # what it said before is stale


def test_an_external_limit_outlives_its_controller(begin: Begin) -> None:
    site = begin("hierarchical.yaml", [plugged("evse_1a")])
    site.restart_with_state("floor_1_node")
    assert amptree("limit", "floor_1_node", "--current", "8", "--source", "grid").returncode == 0
    wait_for("8 A hold", lambda: site.record()[-1]["evses"]["evse_1a"]["limit_A"] == 8)
    site.restart_with_state("floor_1_node")
    assert [s.name for s in site.modules()["floor_1_node"].sources] == ["grid"]
    site.settled()
    assert site.record()[-1]["evses"]["evse_1a"]["limit_A"] == 8


def test_limits_that_cannot_be_are_refused_in_one_line(begin: Begin) -> None:
    begin("hierarchical.yaml", [])
    for arguments, error in (
        (["nobody", "--power", "5kW"], "no module 'nobody' in site hierarchical"),
        (["energy_root", "--source", "grid", "--clear"], "no source 'grid' here; known: none"),
        (["energy_root", "--power=-5kW"], "must be finite and not negative"),
        (["energy_root", "--json", "/nowhere.json"], "/nowhere.json: cannot be read"),
    ):
        done = amptree("limit", *arguments)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert error in done.stderr
    done = amptree("limit", "energy_root")
    assert done.returncode == 2  # wrong usage
    assert (
        "give limits (--power, --current, …), --json FILE, --clear, --heartbeat or --cancel-delay: one of these"
        in done.stderr
    )


def test_a_limit_that_cannot_be_kept_holds_and_says_so(begin: Begin) -> None:
    site = begin("hierarchical.yaml", [])
    site.restart_with_state("floor_1_node")
    shutil.rmtree(site.state)
    site.state.write_text("a file where the folder should be")
    done = amptree("limit", "floor_1_node", "--current", "8", "--source", "grid[/]")
    assert done.returncode == 0
    assert "will not outlive a restart" in done.stderr
    shown = amptree("status")
    assert "grid[/]" in shown.stdout
