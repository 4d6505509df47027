"""Each file of configs/ as real processes: what is in force at the plant is what the market answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from actors.config import load_site
from actors.energy.modules import EvseManagerConfig
from tests.integration.conftest import ROOT, RunningSite, amptree, plugged, wait_for

Begin = Callable[..., RunningSite]


def is_played(config: str) -> bool:
    """Whether the plant plays all of it; real chargers have tests of their own."""
    return not load_site(ROOT / "configs" / config).chargers


CONFIGS = [path.name for path in sorted((ROOT / "configs").glob("*.yaml")) if is_played(path.name)]


def evses_of(config: str) -> list[str]:
    site = load_site(ROOT / "configs" / config)
    return [m.id for m in site.modules.values() if isinstance(m.config, EvseManagerConfig)]


def longest_switch_s(config: str) -> float:
    """How long an EVSE may pause to change its phases."""
    modules = [m.config for m in load_site(ROOT / "configs" / config).modules.values()]
    evses = [c for c in modules if isinstance(c, EvseManagerConfig)]
    return max(
        (c.switch_3ph1ph_delay_s for c in evses if c.supports_changing_phases_during_charging), default=0.0
    )


def market_answer(site: RunningSite) -> dict[str, dict[str, Any]]:
    """What `amptree allocate` says to what the running market was asked last."""
    asked = amptree("status", "--request")
    assert asked.returncode == 0, asked.stderr
    answered = amptree("allocate", input=asked.stdout)
    assert answered.returncode == 0, answered.stdout
    (step,) = json.loads(answered.stdout)["results"]
    return {limits["uuid"]: limits["limits_root_side"] for limits in step}


@pytest.mark.parametrize(
    "config",
    [pytest.param(config, marks=pytest.mark.long if longest_switch_s(config) else ()) for config in CONFIGS],
)
def test_limits_in_force_at_the_plant_are_the_answer_of_the_market(config: str, begin: Begin) -> None:
    evses = evses_of(config)
    # One charge point stays empty where there are several, and cars differ.
    cars = [
        plugged(evse, phases=3 if number % 2 else 1, max_current_A=32 if number % 3 else 16)
        for number, evse in enumerate(evses)
        if len(evses) == 1 or number != 1
    ]
    site = begin(config, cars)
    wait_for("cars charge", lambda: any(m.state == "Charging" for m in site.modules().values()))
    in_force = site.settled(quiet_s=2.0 + longest_switch_s(config))
    answer = market_answer(site)
    assert set(answer) == set(evses)
    for evse in evses:
        limit_A = answer[evse]["ac_max_current_A"]["value"]
        assert in_force[evse]["limit_A"] == pytest.approx(limit_A, abs=0.002), evse
        assert max(in_force[evse]["currents_A"]) <= limit_A + 0.002
    assert any(line["evses"][e]["limit_A"] >= 6 for e in evses for line in site.record()[-1:])


def test_the_floors_of_the_page_share_their_fuses(begin: Begin) -> None:
    site = begin("hierarchical.yaml", [plugged(e) for e in evses_of("hierarchical.yaml")])
    in_force = site.settled()
    limits = {evse: values["limit_A"] for evse, values in in_force.items()}
    assert limits == {"evse_1a": 16, "evse_1b": 16, "evse_2a": 21, "evse_2b": 21, "evse_2c": 21}
    modules = site.modules()
    assert modules["evse_1a"].limit is not None
    assert modules["evse_1a"].limit.ac_max_current_A is not None
    assert modules["evse_1a"].limit.ac_max_current_A.source == "floor_1_node/fuse"
    assert modules["floor_1_node"].controller == "floor_1_node"
    wait_for(
        "the floor is at its fuse and not over it",
        lambda: site.modules()["floor_1_node"].currents_A == pytest.approx((32, 32, 32), abs=0.1),
    )
