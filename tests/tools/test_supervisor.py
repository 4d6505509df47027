"""When a dead process is begun again, and when it is left dead."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import supervisor as supervisor_module
from tools.supervisor import DEATHS_MAX, DEATHS_WINDOW_S, FIRST_PAUSE_S, Death, Restarts, Supervisor


def until(supervisor: Supervisor, enough: Callable[[list[Death]], bool]) -> list[Death]:
    """Tend it until the deaths are enough."""
    deaths: list[Death] = []
    deadline_s = time.monotonic() + 60.0
    while not enough(deaths):
        assert time.monotonic() < deadline_s, deaths
        deaths += supervisor.tend()
        time.sleep(0.01)
    return deaths


def test_what_dies_again_and_again_is_begun_up_to_a_bound_and_then_left_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(supervisor_module, "DEATHS_MAX", 2)
    supervisor = Supervisor(tmp_path, restarts=True)
    try:
        supervisor.begin("plant", ["allocate", str(tmp_path / "nowhere")])
        supervisor.begin("level_1", ["allocate", str(tmp_path / "nowhere")])
        deaths = until(supervisor, lambda found: any(death.gave_up for death in found))
    finally:
        supervisor.end()
    assert [death.again_in_s for death in deaths if death.name == "plant"] == [None]
    mine = [death for death in deaths if death.name == "level_1"]
    assert [death.gave_up for death in mine] == [False, False, True]
    assert all(f"{tmp_path}/nowhere" in death.line() for death in mine)
    assert (tmp_path / "level_1.log").read_text().count("nowhere") == 3
    assert supervisor.tend() == []


def test_what_is_held_stays_dead_until_it_is_released_and_costs_no_restart(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, restarts=True)
    try:
        supervisor.begin("plant", ["--version"])
        supervisor.begin(
            "level_1", ["allocate"]
        )  # reads what never comes: stdin is empty, so it ends by itself
        supervisor.signal("level_1", signal.SIGKILL, hold=True)
        (death,) = (d for d in until(supervisor, lambda found: len(found) == 2) if d.name == "level_1")
        assert death.again_in_s is None
        assert not death.gave_up
        assert supervisor.alive("level_1") is None
        supervisor.release("level_1")
        (again,) = until(supervisor, lambda found: len(found) == 1)
        assert again.name == "level_1"
        assert again.again_in_s == FIRST_PAUSE_S
    finally:
        supervisor.end()


def test_each_death_within_the_window_costs_twice_the_pause_up_to_a_bound() -> None:
    restarts = Restarts()
    pauses_s = [restarts.died(float(n)) for n in range(DEATHS_MAX)]
    assert pauses_s == [FIRST_PAUSE_S * 2**n for n in range(DEATHS_MAX)]
    assert restarts.died(float(DEATHS_MAX)) is None


def test_a_controller_that_dies_now_and_then_is_begun_again_at_once_for_ever() -> None:
    restarts = Restarts()
    assert {restarts.died(n * (DEATHS_WINDOW_S + 1)) for n in range(100)} == {FIRST_PAUSE_S}


def test_what_is_given_up_is_told_in_one_line_with_the_remedy() -> None:
    death = Death(name="level_1", code=1, words="no disk", again_in_s=None, gave_up=True)
    assert death.line() == (
        "level_1 has ended (exit code 1): no disk; it died more than 6 times within 60 s and is left dead: "
        "what is below it keeps to its fallbacks; mend the cause and start the site again"
    )
    killed = Death(name="level_1", code=-signal.SIGKILL, words="", again_in_s=0.2)
    assert killed.line() == "level_1 has ended (signal 9); it begins again in 0.2 s"
