"""What a user meets: clear lines for what is wrong, nothing left running, the screen, the installed command."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from actors.rundir import RunDir
from tests.integration.conftest import ROOT, RunningSite, amptree, plugged, site_data, wait_for
from tools.main import VERBS, main

Begin = Callable[..., RunningSite]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ["up", "/nowhere.yaml"],
            1,
            r"amptree up: /nowhere\.yaml: cannot be read: No such file or directory",
        ),
        (
            ["run", "configs/garage.yaml", "--controller", "level_9"],
            1,
            r"no controller 'level_9'.*known: main",
        ),
        (["plant", "configs/hierarchical.yaml"], 1, r"no plant\.listen; say where to listen with --listen"),
        (["status"], 1, r"amptree status: no site runs on this machine; start one with: amptree up FILE"),
        (["stop", "--site", "x"], 1, r"site x does not run here; running: none"),
        (["limit", "evse_1", "--power", "5kW"], 1, r"no site runs on this machine"),
        (["up", "configs/hierarchical.yaml", "--for", "-1"], 1, r"--for needs more than 0 seconds"),
        (["fly"], 2, r"argument VERB: invalid choice: 'fly'"),
        ([], 2, r"the following arguments are required: VERB"),
        (["limit", "x", "--power", "much"], 2, r"'much' is not a quantity such as 22kW"),
    ],
)
def test_mistakes_get_a_clear_line(arguments: list[str], code: int, line: str) -> None:
    done = amptree(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert re.search(line, done.stderr), done.stderr


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    overview = amptree("--help")
    assert overview.returncode == 0
    for verb in VERBS:
        assert re.search(rf"^ +{verb}\s", overview.stdout, re.MULTILINE)
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0
        assert "usage: amptree " + verb in capsys.readouterr().out


def test_the_version_is_shown() -> None:
    done = amptree("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"amptree \d+\.\d+\.\d+\n", done.stdout), done.stdout


def test_all_faults_of_a_file_come_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    text = (ROOT / "configs" / "hierarchical.yaml").read_text()
    file.write_text(
        text.replace("fuse_limit_A: 32", "fuse_limt_A: 32").replace("fuse_limit_A: 63", "fuse_limit_A: x")
    )
    done = amptree("up", str(file))
    assert done.returncode == 1
    assert done.stderr.count(str(file)) == 2
    assert "fuse_limt_A" in done.stderr


def test_a_second_of_the_same_is_refused_and_the_first_goes_on_until_it_is_stopped(begin: Begin) -> None:
    site = begin("hierarchical.yaml", [])
    done = amptree("up", str(site.file))
    assert done.returncode == 1
    assert "site hierarchical is already running" in done.stderr
    assert "end it with: amptree stop --site hierarchical" in done.stderr
    assert done.stderr.count("\n") == 1
    done = amptree("run", str(site.file), "--controller", "floor_1_node")
    assert done.returncode == 1
    assert "controller floor_1_node of site hierarchical is already running" in done.stderr
    assert site.complete()

    done = amptree("stop")
    assert done.stdout == "site hierarchical has stopped\n"
    assert site.up.wait(60) == 0


def test_a_port_in_use_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    data = site_data("garage.yaml", [])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        data["controllers"]["main"]["listen"] = address
        file = tmp_path / "garage.yaml"
        file.write_text(yaml.safe_dump(data))
        done = amptree("up", str(file), "--record", str(tmp_path / "record"))
    assert done.returncode == 1
    assert f"{address} is in use by another process" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "record").exists()  # no process was begun
    assert RunDir("garage").holders() == {}


def test_up_leaves_nothing_behind_when_it_is_killed(begin: Begin) -> None:
    site = begin("hierarchical.yaml", [])
    site.up.send_signal(signal.SIGKILL)
    site.up.wait()
    wait_for("its processes follow it", lambda: not RunDir("hierarchical").holders())


def test_up_for_a_while_ends_by_itself_and_records(tmp_path: Path) -> None:
    done = amptree(
        "up", "configs/single_charger.yaml", "--for", "6", "--record", str(tmp_path / "new" / "record")
    )
    assert done.returncode == 0, done.stderr
    files = {path.name for path in (tmp_path / "new" / "record").iterdir()}
    assert files == {"plant.jsonl", "plant.log", "energy_mgmt.log"}
    assert RunDir("single_charger").holders() == {}


def test_json_logs_are_one_object_a_line(tmp_path: Path) -> None:
    done = amptree("up", "configs/single_charger.yaml", "--for", "6", "--no-screen", "--log-format", "json")
    assert done.returncode == 0
    entries = [yaml.safe_load(line) for line in done.stderr.splitlines()]
    assert {"time", "level", "source", "message"} <= set(entries[0])
    assert any(entry["message"].startswith("controller energy_mgmt") for entry in entries)


def test_debug_logs_requests_trading_and_the_allocation_with_reasons(tmp_path: Path) -> None:
    data = site_data("multi_charger.yaml", [plugged("evse_1"), plugged("evse_2")])
    data["active_modules"]["energy_mgmt"]["config"]["debug"] = True
    file = tmp_path / "multi_charger.yaml"
    file.write_text(yaml.safe_dump(data))
    done = amptree("up", str(file), "--for", "5", "--no-screen")
    market = [line for line in done.stderr.splitlines() if " market: " in line]
    assert any("evse_1" in line and "request" in line for line in market), done.stderr[-3000:]
    assert any("evse_1 imports 32 A" in line for line in market)


def test_the_screen_shows_the_tree_and_ctrl_c_ends_all(tmp_path: Path) -> None:
    file = tmp_path / "hierarchical.yaml"
    data = site_data("hierarchical.yaml", [plugged("evse_1a"), plugged("evse_1b", phases=3)])
    file.write_text(yaml.safe_dump(data))
    leader, follower = pty.openpty()
    up = subprocess.Popen(
        [sys.executable, "-m", "tools.main", "up", str(file)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "170", "LINES": "40"},
        start_new_session=True,
        preexec_fn=_controlling_terminal,
    )
    os.close(follower)
    seen = ""
    try:
        deadline_s = time.monotonic() + 60
        while (
            not re.search(r"evse_1a\s+floor_1_node\s+\S*Charging.*16\.0 A x3", seen)
            and time.monotonic() < deadline_s
        ):
            if select.select([leader], [], [], 0.5)[0]:
                seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(leader, 65536).decode(errors="replace"))
        assert re.search(r"evse_1a\s+floor_1_node\s+\S*Charging.*16\.0 A x3", seen), seen[-4000:]
        assert "floor_1_node/fuse" in seen
        os.write(leader, b"\x03")
        assert up.wait(60) in (0, 130)
    finally:
        up.kill()
        up.wait()
        os.close(leader)
    assert RunDir("hierarchical").holders() == {}


def _controlling_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.long
def test_the_built_wheel_installs_a_command_that_works(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("amptree-*.whl")
    target = tmp_path / "installed"
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, capture_output=True
    )
    done = subprocess.run(
        [str(target / "bin" / "amptree"), "up", str(ROOT / "configs" / "single_charger.yaml"), "--for", "6"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "evse_manager" in done.stdout
    where = subprocess.run(
        [
            sys.executable,
            "-c",
            "import actors, tools, transport; print(actors.__file__, tools.__file__, transport.__file__)",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(file.startswith(str(target)) for file in where.stdout.split())
