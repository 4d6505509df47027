"""The whole site: sums on each phase, tripping breakers, stories that repeat."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from actors.config import parse_site
from actors.plant.installation import Installation, RefusedError
from actors.plant.story import parse_story
from actors.plant.wiring import wire
from actors.site import Site
from tests.plant.helpers import command, go, make_installation, steps

TREE = """
active_modules:
  root: {module: EnergyManager, connections: {energy_trunk: [main]}}
  main:
    module: EnergyNode
    config: {fuse_limit_A: 100}
    connections: {energy_trunk: [left, right, evse_main]}
  left:
    module: EnergyNode
    config: {fuse_limit_A: 32}
    connections: {energy_trunk: [evse_l1, evse_l2, evse_l3]}
  right:
    module: EnergyNode
    config: {phase_count: 1}
    connections: {energy_trunk: [evse_r1, evse_r2]}
  evse_main: {module: EvseManager}
  evse_l1: {module: EvseManager, config: {phase_count: 1}}
  evse_l2: {module: EvseManager, config: {phase_count: 1}}
  evse_l3: {module: EvseManager, config: {phase_count: 2}}
  evse_r1: {module: EvseManager}
  evse_r2: {module: EvseManager, config: {phase_count: 1}}
"""


def tree(plant: dict[str, Any]) -> tuple[Site, Installation]:
    site = parse_site(TREE + "plant: " + json.dumps(plant), "tree")
    return site, Installation(site, parse_story(site.plant.story, site), 0.0)


def test_single_phase_modules_are_spread_and_stay_on_the_phases_of_their_parent() -> None:
    site, _ = tree({"cars": []})
    wired = wire(site)
    assert wired["main"] == wired["left"] == wired["evse_main"] == (0, 1, 2)
    assert (wired["evse_l1"], wired["evse_l2"], wired["evse_l3"]) == ((0,), (1,), (2, 0))
    assert wired["right"] == wired["evse_r1"] == wired["evse_r2"] == (1,)


def test_a_node_carries_the_sum_of_what_is_below_on_each_phase() -> None:
    cars = [
        {"evse": evse, "kind": kind, "at_s": at_s}
        for evse, kind, at_s in (
            ("evse_main", "large", 0),
            ("evse_l1", "family", 3),
            ("evse_l2", "city", 1),
            ("evse_l3", "hybrid", 2),
            ("evse_r1", "early", 5),
            ("evse_r2", "family", 4),
        )
    ]
    loads = [
        {"node": "main", "at_s": 1, "currents_A": [1, 2, 3]},
        {"node": "right", "at_s": 2, "currents_A": [0, 4, 0]},
        {"node": "left", "at_s": 3, "currents_A": [-5, 0, 1.5]},
        {"node": "main", "at_s": 20, "currents_A": [0, 0, 0]},
    ]
    site, plant = tree({"cars": cars, "fixed_loads": loads, "breakers": "record"})
    rng = random.Random(7)
    for now_s in steps(plant, 40.0):
        for evse in plant.evses:
            if rng.random() < 0.05:
                command(plant, evse, limit_A=rng.choice([0.0, 6.0, 16.0, 32.0]))
        for node, load_A in plant.loads_A.items():
            below = [plant.evses[m] for m in site.subtree(node) if m in plant.evses]
            inside = [m for m in site.subtree(node) if m in plant.loads_A]
            for phase in range(3):
                total_A = sum(evse.currents_A[phase] for evse in below)
                total_A += sum(plant.fixed_A.get(m, (0.0, 0.0, 0.0))[phase] for m in inside)
                assert load_A[phase] == pytest.approx(total_A), (now_s, node, phase)
    assert plant.loads_A["main"][1] > 20


def test_a_tripped_breaker_cuts_what_is_below_until_it_is_reset_and_nothing_else() -> None:
    cars = [{"evse": evse, "kind": "city", "cable_A": 63} for evse in ("evse_main", "evse_l1", "evse_l2")]
    _, plant = tree({"cars": cars})
    for evse in ("evse_main", "evse_l1", "evse_l2"):
        command(plant, evse)
    plant.set_fixed_load("left", (20.0, 0.0, 0.0))
    go(plant, 25.0)
    assert plant.breakers["left"].overloaded
    go(plant, 120.0)
    assert plant.breakers["left"].tripped
    assert plant.loads_A["left"] == (0.0, 0.0, 0.0)
    assert plant.loads_A["main"] == (32.0, 0.0, 0.0)
    reading = plant.evses["evse_l2"].reading(120.0)
    assert (reading.fault, reading.currents_A) == ("no supply", (0.0, 0.0, 0.0))
    loud = [notice.text for notice in plant.take_notices() if notice.loud]
    assert [text.split(":")[0] for text in loud] == ["breaker left is overloaded", "BREAKER left TRIPS"]

    plant.set_fixed_load("left", (0.0, 0.0, 0.0))
    plant.reset_breaker("left")
    go(plant, 150.0)
    assert plant.loads_A["left"] == (32.0, 32.0, 0.0)
    with pytest.raises(RefusedError, match="no breaker at 'right'"):
        plant.reset_breaker("right")


def test_breakers_that_only_record_cut_nothing() -> None:
    _, plant = tree({"cars": [{"evse": "evse_l1", "kind": "city"}], "breakers": "record"})
    command(plant, "evse_l1")
    plant.set_fixed_load("left", (80.0, 0.0, 0.0))
    go(plant, 30.0)
    assert plant.breakers["left"].tripped
    assert plant.loads_A["left"][0] == 112.0


def test_the_same_seed_gives_the_same_record_and_another_one_another() -> None:
    def record(seed: int, step_s: float = 0.05) -> list[bytes]:
        _, plant = tree({"seed": seed})
        lines = []
        for now_s in steps(plant, 60.0, step_s):
            if round(now_s / 0.05) % 20 == 0:
                for evse in plant.evses:
                    command(plant, evse, limit_A=10.0)
            lines.append(msgspec.json.encode(plant.sample()))
        return lines

    assert record(1) == record(1)
    assert record(1) != record(2)


def test_by_default_every_evse_gets_a_car_within_twenty_seconds_one_after_the_other() -> None:
    _, plant = tree({})
    came_s: dict[str, float] = {}
    kinds = set()
    for now_s in steps(plant, 600.0, 0.1):
        for evse in plant.evses.values():
            if evse.car is not None:
                came_s.setdefault(evse.id, now_s)
                kinds.add(evse.car.car.kind)
        if now_s == pytest.approx(20.1):
            assert set(came_s) == set(plant.evses)
            assert len(set(came_s.values())) == len(came_s)
    assert min(came_s.values()) >= 2.0
    assert len(kinds) >= 4
    texts = [notice.text for notice in plant.take_notices()]
    assert sum("leaves" in text for text in texts) >= 5
    assert sum("comes" in text for text in texts) > len(plant.evses)


def test_without_cars_none_come() -> None:
    _, plant = tree({"cars": []})
    go(plant, 100.0)
    assert plant.take_notices() == []


def test_at_the_end_of_the_story_all_cars_leave_and_none_come() -> None:
    _, plant = tree({"end_s": 30})
    go(plant, 29.0)
    assert all(evse.car is not None for evse in plant.evses.values())
    go(plant, 400.0)
    assert all(evse.car is None for evse in plant.evses.values())


def test_arrivals_over_all_come_to_evses_that_are_free() -> None:
    _, plant = tree({"arrivals": {"gap_of": "site", "gap_s": 2, "stay_s": 60}})
    go(plant, 300.0)
    texts = [notice.text for notice in plant.take_notices()]
    assert not [text for text in texts if "taken" in text]
    assert sum("comes" in text for text in texts) > 20


def test_a_second_car_at_an_evse_is_refused_and_drives_on() -> None:
    plant = make_installation({"cars": [{"evse": "evse_1", "at_s": 10}]})
    visit = plant.story.cars[0]
    plant.plug(visit)
    with pytest.raises(RefusedError, match="evse_1 is taken"):
        plant.plug(visit)
    go(plant, 11.0)
    assert plant.take_notices()[-1].text == "evse_1: is taken, family car drives on"
    plant.unplug("evse_1")
    with pytest.raises(RefusedError, match="no car at evse_1"):
        plant.unplug("evse_1")
    with pytest.raises(RefusedError, match="no EVSE 'x'"):
        plant.unplug("x")


def test_a_car_stays_as_long_as_it_said_whoever_was_there_before() -> None:
    plant = make_installation({"cars": [{"evse": "evse_1", "stay_s": 20}]})
    go(plant, 5.0)
    plant.unplug("evse_1")
    plant.plug(plant.story.cars[0])
    go(plant, 24.0)
    assert plant.evses["evse_1"].car is not None
    go(plant, 26.0)
    assert plant.evses["evse_1"].car is None


def test_a_plant_that_was_held_up_finds_out_what_its_hardware_did_meanwhile() -> None:
    held, stepped = (make_installation({"cars": [{"evse": "evse_1"}]}) for _ in range(2))
    for plant in (held, stepped):
        command(plant, limit_A=16.0, duration_s=30.0)
        go(plant, 20.0)
    held.step(60.0)
    go(stepped, 60.0)
    assert held.evses["evse_1"].current_A == stepped.evses["evse_1"].current_A == 0.0
    socs = [plant.evses["evse_1"].car.soc_percent for plant in (held, stepped)]  # type: ignore[union-attr]
    assert socs[0] == pytest.approx(socs[1], abs=0.001)
