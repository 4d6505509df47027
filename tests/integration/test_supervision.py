"""`amptree up` as a supervisor: what dies is begun again, within bounds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.clock import steady_s
from actors.rundir import RunDir
from tests.integration.conftest import RunningSite, plugged, site_data, wait_for
from tools.supervisor import DEATHS_MAX, DEATHS_WINDOW_S, FIRST_PAUSE_S, Death, Restarts

pytestmark = pytest.mark.processes

VALID_FOR_S = 10


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RunningSite]:
    """A supervised one."""
    cars = [plugged(evse) for evse in ("evse_1a", "evse_1b", "evse_2a")]
    site = RunningSite(tmp_path, site_data("hierarchical.yaml", cars, settle_time_s=11), "hierarchical")
    site.restarts = True
    yield site
    site.end()


def test_a_controller_that_is_killed_is_begun_again_and_nobody_notices(site: RunningSite) -> None:
    site.begin()
    before = {evse: there["limit_A"] for evse, there in site.settled().items()}
    old, killed_s = site.pid("floor_1_node"), steady_s()
    site.kill("floor_1_node")
    wait_for("it is begun again", lambda: "floor_1_node" in RunDir(site.name).holders())
    assert site.pid("floor_1_node") != old
    wait_for("all are known again", site.complete)
    wait_for("a limit is over", lambda: site.record()[-1]["t"] > killed_s + VALID_FOR_S + 3)
    record = [line for line in site.record() if line["t"] >= killed_s]
    for evse, limit_A in before.items():
        assert {line["evses"][evse]["limit_A"] for line in record} == {limit_A}
    assert site.end() == 0


def test_without_its_plant_a_site_ends(site: RunningSite) -> None:
    site.begin()
    site.kill("plant")
    assert site.up.wait(30) == 1
    assert RunDir(site.name).holders() == {}


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
