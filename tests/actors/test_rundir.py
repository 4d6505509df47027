"""Run folders: locks, addresses, and who may use them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.rundir import AlreadyRunningError, RunDir, RunDirError, running_sites


@pytest.fixture(autouse=True)
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AMPTREE_RUN_DIR", str(tmp_path))
    return tmp_path


def test_a_second_holder_is_told_who_is_first() -> None:
    with (
        RunDir("garage").lock("up", "site garage"),
        pytest.raises(AlreadyRunningError, match=rf"site garage is already running \(pid {os.getpid()}\)"),
        RunDir("garage").lock("up", "site garage"),
    ):
        pass


def test_holders_are_seen_while_they_hold() -> None:
    with RunDir("garage").lock("main", "controller main", controller="main", root=True):
        assert RunDir("garage").holders() == {
            "main": {"pid": os.getpid(), "controller": "main", "root": True}
        }
        assert running_sites() == ["garage"]
    assert RunDir("garage").holders() == {}
    assert running_sites() == []


def test_a_lock_ends_with_its_process() -> None:
    code = "import os; from actors.rundir import RunDir\nwith RunDir('garage').lock('up', ''): os._exit(9)"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 9
    with RunDir("garage").lock("up", "site garage"):
        pass


def test_a_socket_path_that_is_too_long_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPTREE_RUN_DIR", "/tmp/" + "x" * 100)
    with pytest.raises(RunDirError, match="set AMPTREE_RUN_DIR to a shorter path"):
        RunDir("garage").address("main")


def test_a_folder_that_others_can_write_to_is_refused(run_dir: Path) -> None:
    folder = run_dir / "garage"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(RunDirError, match="others can write there"):
        RunDir("garage").make()


def test_a_folder_that_cannot_be_made_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, run_dir: Path
) -> None:
    (run_dir / "file").write_text("")
    monkeypatch.setenv("AMPTREE_RUN_DIR", str(run_dir / "file"))
    with pytest.raises(RunDirError, match="set AMPTREE_RUN_DIR to a folder of yours"):
        RunDir("garage").make()
