"""`amptree check`: the tree as text and JSON, and faults on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.main import main

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
EVEREST = ROOT / "tests" / "data" / "everest-configs"

PRIORITY = """\
site priority: 5 modules, 3 EVSEs
from {path}, digest {digest}

controller energy_mgmt      on this machine, hosts 1 module
controller grid_connection  on this machine, hosts 4 modules

energy_mgmt           EnergyManager  energy_mgmt      230 V, every 1 s, fallback 0 A
└── grid_connection   EnergyNode     grid_connection  fuse 40 A, 3 phases, fallback 0 A
    │                                                 source building_reserve: import 17000 W
    │                                                 source solar: import 18000 W
    ├── evse_vip      EvseManager    grid_connection  AC 6-16 A, 3 phases, priority 1, fallback 0 A
    ├── evse_regular  EvseManager    grid_connection  AC 6-32 A, 3 phases, priority 5, fallback 0 A
    └── evse_guest    EvseManager    grid_connection  AC 6-32 A, 3 phases, priority 5, fallback 0 A
"""

SOURCES = """\
active_modules:
  root:
    module: EnergyManager
    config: {switch_3ph1ph_while_charging_mode: Both}
    connections: {energy_trunk: [a_charger_with_quite_a_long_name_of_its_own]}
    external_limits:
      grid:
        limit: {total_power_W: 11000, ac_max_current_A: 16, export_total_power_W: 0}
        heartbeat_timeout_s: 60
        failsafe: {total_power_W: 4200}
      battery: {limit: {setpoint_W: -3000}}
      solar: {}
  a_charger_with_quite_a_long_name_of_its_own:
    module: EvseManager
    config: {charge_mode: DC, max_power_W: 50000}
  slac: {module: EvseSlac}
plant: {listen: "tcp://127.0.0.1:7499"}
"""


def test_the_tree_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    path = CONFIGS / "priority.yaml"
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    digest = out.splitlines()[1].rpartition(" ")[2]
    assert out == PRIORITY.format(path=path, digest=digest)


def test_sources_and_long_names_find_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "home.yaml"
    path.write_text(SOURCES)
    assert main(["check", str(path)]) == 0
    _, _, shown = capsys.readouterr().out.partition("\n\n")
    assert (
        shown
        == """\
controller root  on this machine, hosts 2 modules
plant            tcp://127.0.0.1:7499

root                                             EnergyManager  root
│       230 V, every 1 s, phase switching Both, fallback 0 A
│       source grid: import 11000 W and 16 A, export 0 W; silent for 60 s: import 4200 W
│       source battery: setpoints -3000 W
│       source solar: no limit yet
└── a_charger_with_quite_a_long_name_of_its_own  EvseManager    root
            DC 6-32 A, 50000 W, 3 phases, priority 5, fallback 0 A

Ignored or amended:
  active_modules.slac: EvseSlac
"""
    )


def test_which_charger_is_which_evse_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(CONFIGS / "ocpp_chargers.yaml"), str(CONFIGS / "everest.yaml")]) == 0
    out = capsys.readouterr().out
    assert "ocpp charger cp1 connector 1" in out
    assert "ocpp charger DE-4711-B connector 1" in out
    assert "everest charger evse_3" in out


@pytest.mark.parametrize(
    "file", [*sorted(CONFIGS.glob("*.yaml")), *sorted(EVEREST.glob("*.yaml"))], ids=lambda f: f.stem
)
def test_every_example_is_sound_and_fits_the_screen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(file)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    tree = captured.out.replace(str(file), "FILE")
    assert max(map(len, tree.splitlines())) <= 100


def test_all_faults_go_to_stderr_with_the_files_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: {module: EnergyNode, config: {fuse_limit_A: -1}}")
    assert main(["check", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"{path}: a.config.fuse_limit_A: expected a number, at least 0, got -1",
        f"{path}: no EnergyManager; one module must be the root of the tree",
        f"{path}: a: has no parent; list it in the energy_trunk of its node",
    ]


def test_several_files_are_all_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(CONFIGS / "single_charger.yaml"), str(tmp_path / "none.yaml"), str(CONFIGS / "garage.yaml")]
    assert main(["check", *files]) == 1
    captured = capsys.readouterr()
    assert "site single_charger: 2 modules, 1 EVSE\n" in captured.out
    assert "\n\nsite garage: 16 modules, 12 EVSEs\n" in captured.out
    assert captured.err == f"{files[1]}: cannot be read: No such file or directory\n"


def test_json_nests_the_modules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(CONFIGS / "garage.yaml")]) == 0
    site = json.loads(capsys.readouterr().out)
    level = site["tree"]["children"][0]
    assert (level["id"], level["controller"], level["fallback_A"]) == ("level_1_node", "level_1", 24.0)
    assert [evse["config"]["connector_id"] for evse in level["children"]] == [1, 2, 3, 4]
    assert site["controllers"]["main"]["listen"] == "tcp://127.0.0.1:7400"


def test_json_of_several_files_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(CONFIGS / "garage.yaml"), str(CONFIGS / "priority.yaml")]) == 0
    assert [site["site"] for site in json.loads(capsys.readouterr().out)] == ["garage", "priority"]


def test_a_deep_tree_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = "".join(
        f"n{n}: {{module: EnergyNode, connections: {{energy_trunk: [n{n + 1}]}}}}\n" for n in range(98)
    )
    path = tmp_path / "deep.yaml"
    path.write_text(
        "root: {module: EnergyManager, connections: {energy_trunk: [n0]}}\n"
        + nodes
        + "n98: {module: EnergyNode}"
    )
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-2].split()[1] == "n98"


@pytest.mark.processes
def test_the_command_works_where_text_is_ascii() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.main", "check", str(CONFIGS / "hierarchical.yaml")],
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "|-- floor_1_node  EnergyNode" in done.stdout
    assert "    `-- evse_2c   EvseManager" in done.stdout
