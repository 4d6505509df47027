"""`amptree chaos` on real processes: a short story of each kind of fault, and that nothing is left of a run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.rundir import RunDir
from tests.integration.conftest import ROOT, amptree, site_data, wait_for

pytestmark = pytest.mark.processes

SETTLE_S = 11
STORY: dict[str, Any] = {
    "story": "a little of everything",
    "for_s": 20,
    "calm_s": 60,
    "faults": [
        {"at_s": 0.5, "kill": "floor_1_node"},
        {"at_s": 3, "pause": "floor_2_node", "for_s": 4},
        {"at_s": 4, "cut": {"from": "energy_root", "to": "floor_1_node"}, "for_s": 4},
        {"at_s": 5, "wall_clock": "energy_root", "ahead_s": 3600, "for_s": 10},
        {"at_s": 8, "fill_disk": "energy_root", "for_s": 4},
        {"at_s": 9, "kill": "energy_root"},
        {
            "at_s": 10,
            "disturb": ["plant", "floor_1_node"],
            "for_s": 8,
            "loss": 0.3,
            "damage": 0.4,
            "max_delay_s": 2,
        },
        {"at_s": 12, "stop": "floor_2_node", "for_s": 5},
        {
            "at_s": 14,
            "disturb": ["energy_root", "floor_1_node"],
            "for_s": 4,
            "reorder": True,
            "max_delay_s": 3,
        },
        {"at_s": 15, "limit": "energy_root", "current_A": 16, "for_s": 4},
    ],
}


def files(folder: Path, story: dict[str, Any]) -> list[str]:
    """Arguments that run a story on a small site."""
    site = folder / "hierarchical.yaml"
    site.write_text(yaml.safe_dump(site_data("hierarchical.yaml", [], settle_time_s=5)))
    told = folder / "told.yaml"
    told.write_text(yaml.safe_dump(story))
    return ["chaos", str(site), "--story", str(told), "--report", str(folder / "report")]


@pytest.mark.long
def test_no_fuse_is_overloaded_and_the_site_comes_back_to_work(tmp_path: Path, run_dir: Path) -> None:
    done = amptree(*files(tmp_path, STORY), timeout_s=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict: held" in done.stdout
    report = tmp_path / "report"
    result = json.loads((report / "result.json").read_text())
    assert result["ok"]
    assert result["overload_samples"] == 0
    assert result["samples"] > 150
    assert result["share_in_force"] > 0.3
    assert max(guard["max_A"] for guard in result["guards"]) > 30
    assert {"picture.svg", "site.yaml", "story.yaml", "plant.jsonl", "plant.log", "energy_root.log"} <= {
        file.name for file in report.iterdir()
    }
    # The faults did happen.
    logs = {name: (report / f"{name}.log").read_text() for name in ("energy_root", "floor_1_node", "plant")}
    assert 'faults on purpose: {"wall_offset_s":3600.0' in logs["energy_root"]
    assert (
        "cannot be written (No space left on device)" in logs["energy_root"]
        or "Permission denied" in logs["energy_root"]
    )
    assert "refused (bad_" in logs["plant"] + logs["floor_1_node"]
    assert RunDir("hierarchical").holders() == {}
    assert str(run_dir) not in Path("/proc/mounts").read_text()


def test_a_run_that_is_ended_leaves_nothing_running_and_did_not_hold(tmp_path: Path) -> None:
    story = {"for_s": 600, "faults": [{"at_s": 0, "pause": "floor_1_node", "for_s": 600}]}
    command = [sys.executable, "-m", "tools.main", *files(tmp_path, story)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "pause floor_1_node" in line:
                break
        run.send_signal(signal.SIGTERM)
        rest = run.stdout.read()
        assert run.wait(60) == 130
    assert "the run was ended before its end" in rest
    wait_for("all is over", lambda: RunDir("hierarchical").holders() == {})


def test_mistakes_get_a_line_each(tmp_path: Path) -> None:
    done = amptree(*files(tmp_path, {"faults": [{"kill": "nobody"}, {"at_s": "x", "kill": "energy_root"}]}))
    assert done.returncode == 1
    assert [line.partition("told.yaml: ")[2] for line in done.stderr.splitlines()] == [
        'faults[0].kill: expected a controller of the site: energy_root, floor_1_node, floor_2_node, got "nobody"',
        'faults[1].at_s: expected a number from 0 to 86400, got "x"',
    ]
    assert not (tmp_path / "report").exists()
