"""`amptree up` as a supervisor: what dies is begun again, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.clock import steady_s
from actors.rundir import RunDir
from tests.integration.conftest import (
    UNHURRIED_VALID_FOR_S,
    RunningSite,
    plugged,
    site_data,
    unhurried,
    wait_for,
)

pytestmark = pytest.mark.processes


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RunningSite]:
    """A supervised one."""
    cars = [plugged(evse) for evse in ("evse_1a", "evse_1b", "evse_2a")]
    data = unhurried(site_data("hierarchical.yaml", cars, settle_time_s=11))
    site = RunningSite(tmp_path, data, "hierarchical")
    site.restarts = True
    yield site
    site.end()


@pytest.mark.long
def test_a_controller_that_is_killed_is_begun_again_and_nobody_notices(site: RunningSite) -> None:
    site.begin()
    before = {evse: there["limit_A"] for evse, there in site.settled().items()}
    old, killed_s = site.pid("floor_1_node"), steady_s()
    site.kill("floor_1_node")
    # For an instant a lock that is taken names nobody yet, or who held it last.
    wait_for(
        "it is begun again",
        lambda: RunDir(site.name).holders().get("floor_1_node", {}).get("pid", old) != old,
    )
    wait_for("all are known again", site.complete)
    wait_for("a limit is over", lambda: site.record()[-1]["t"] > killed_s + UNHURRIED_VALID_FOR_S + 3)
    record = [line for line in site.record() if line["t"] >= killed_s]
    for evse, limit_A in before.items():
        assert {line["evses"][evse]["limit_A"] for line in record} == {limit_A}
    assert site.end() == 0


def test_without_its_plant_a_site_ends(site: RunningSite) -> None:
    site.begin()
    site.kill("plant")
    assert site.up.wait(60) == 1
    assert RunDir(site.name).holders() == {}
