"""`amptree simulate-faults`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.simulation.checker import Violation
from actors.simulation.liveness import Liveness
from actors.simulation.plan import Knobs
from actors.simulation.run import Result
from tools import simulate_faults
from tools.main import main

SHORT = ("simulate-faults", "--evses", "2", "--hours", "0.01", "--seed", "8")


def result(seed: int, *violations: Violation, live_after_s: float = 3.0) -> Result:
    return Result(
        seed=seed,
        events=10,
        sim_s=1800.0,
        cpu_s=2.0,
        hash="",
        evses=3,
        interval_s=1.0,
        violations=violations,
        violation_count=len(violations),
        highest_share=1.0,
        liveness=Liveness(live_after_s=live_after_s),
    )


OVERLOAD = Violation(kind="overload", at_s=12.34, where="n0", text="41 A flow through n0, 40 A may")


def test_a_short_run_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SHORT) == 0
    out = capsys.readouterr().out
    assert "overloads" in out
    assert "failed" not in out


def test_as_json_with_several_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main((*SHORT, "--json", "--jobs", "2")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["overloads"], found["failed"], found["stories"]) == (0, {}, [])
    assert found["runs"] >= 1


def test_a_replay_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main((*SHORT, "--replay")) == 0
    assert "twice the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kinds", "knobs"),
    [
        ((), Knobs(evses=2)),
        (("any",), Knobs(evses=2, tight=True)),
        (("sleeper", "heirs", "sleeper"), Knobs(evses=2, tight=True, spots=("sleeper", "heirs"))),
        (("sleeper", "any"), Knobs(evses=2, tight=True)),
    ],
)
def test_tight_spots_may_be_all_that_happens(
    kinds: tuple[str, ...], knobs: Knobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Knobs] = []

    def run_seed(seed: int, knobs: Knobs) -> Result:
        asked.append(knobs)
        return result(seed)

    monkeypatch.setattr(simulate_faults, "run_seed", run_seed)
    assert main((*SHORT, *(word for kind in kinds for word in ("--tight", kind)))) == 0
    assert asked == [knobs]


def test_a_kind_of_tight_spot_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main((*SHORT, "--tight", "orphans"))
    assert "invalid choice: 'orphans'" in capsys.readouterr().err


def test_a_site_of_a_file_takes_the_place_of_drawn_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = Path(__file__).parents[2] / "configs" / "single_charger.yaml"
    assert main(("simulate-faults", str(path), "--hours", "0.01", "--seed", "8", "--replay")) == 0
    assert "twice the same" in capsys.readouterr().out
    assert main(("simulate-faults", str(path), "--panels", "3")) == 1
    assert "are for drawn sites" in capsys.readouterr().err
    (tmp_path / "empty.yaml").write_text("active_modules: {root: {module: EnergyManager}}")
    assert main(("simulate-faults", str(tmp_path / "empty.yaml"))) == 1
    assert "empty.yaml: there is no EvseManager" in capsys.readouterr().err
    assert main(("simulate-faults", str(tmp_path / "none.yaml"))) == 1
    assert "none.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["x", "-1", "1.5", ""])
def test_a_seed_that_is_none_is_told(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main((*SHORT, f"--seed={seed}"))
    assert caught.value.code == 2
    assert f"{seed!r} is neither a whole number from 0 on nor `new`" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--evses", "0"), ("--panels", "0"), ("--jobs", "0"), ("--hours", "0")])
def test_wrong_numbers_are_told(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main((*SHORT, *wrong)) == 1
    assert wrong[0] in capsys.readouterr().err


def test_a_failure_stands_in_the_table_and_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate_faults, "run_seed", lambda seed, knobs: result(seed, OVERLOAD))
    assert main(("simulate-faults", "--hours", "1", "--no-shrink")) == 1
    told = capsys.readouterr()
    assert told.err == "from seed 0: 0.50 of 1 simulated hours, 1 run, 1 failed\n"
    lines = told.out.splitlines()
    assert "seeds                0 to 1" in lines
    assert "fullest fuse         100.0%" in lines
    assert [line.split() for line in lines if line.startswith("overloads")] == [["overloads", "2"]]
    assert "seed 1 failed: overload at 12.3 s: 41 A flow through n0, 40 A may" in lines


def test_a_run_that_only_came_back_late_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Violation(kind="slow", at_s=200.0, where="root", text="32 s after all was mended, of 30 s")
    monkeypatch.setattr(simulate_faults, "run_seed", lambda seed, knobs: result(seed, late))
    assert main(("simulate-faults", "--hours", "0.1", "--no-shrink")) == 3
    monkeypatch.setattr(
        simulate_faults, "run_seed", lambda seed, knobs: result(seed, OVERLOAD if seed else late)
    )
    assert main(("simulate-faults", "--hours", "1", "--no-shrink")) == 1


def test_ctrl_c_prints_what_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(seed: int, knobs: object) -> Result:
        if seed == 2:
            raise KeyboardInterrupt
        return result(seed, live_after_s=float(seed))

    monkeypatch.setattr(simulate_faults, "run_seed", stopped)
    assert main(("simulate-faults", "--hours", "9")) == 130
    out = capsys.readouterr().out
    assert "simulated hours      1.00" in out
    assert "worst 1 s (seed 1)" in out


def test_ctrl_c_ends_all_processes_at_once() -> None:
    command = [sys.executable, "-m", "tools.main", "simulate-faults", "--hours", "1e6", "--jobs", "2"]
    done = subprocess.Popen(
        [*command, "--evses", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heeds_ctrl_c,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stderr is not None
    assert "1 run" in done.stderr.readline()
    os.killpg(done.pid, signal.SIGINT)  # as a terminal does: all processes get it
    out, errors = done.communicate(timeout=60)  # until the last of them has closed its end
    assert done.returncode == 130
    assert "overloads" in out
    assert "Traceback" not in errors


def _heeds_ctrl_c() -> None:
    """A shell has what it runs in the background ignore it, and all that this begins."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_killed_it_leaves_no_worker_behind() -> None:
    killed = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tools.main",
            "simulate-faults",
            "--hours",
            "1e6",
            "--jobs",
            "2",
            "--evses",
            "2",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert killed.stderr is not None
    assert "1 run" in killed.stderr.readline()
    killed.kill()
    killed.communicate(timeout=60)  # until the last of them has closed its end
    assert killed.returncode == -signal.SIGKILL
