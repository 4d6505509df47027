"""The `plant:` section: its types, its faults with their paths, what it leaves to chance."""

from __future__ import annotations

from typing import Any

import pytest

from actors.config import parse_site
from actors.plant.story import StoryError, parse_story, parse_visit
from tests.plant.helpers import make_site

SITE = make_site(evse_1={}, evse_2={"charge_mode": "DC", "max_power_W": 50_000}, evse_3={})


def faults(raw: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(StoryError) as caught:
        parse_story(raw, SITE)
    return dict(caught.value.faults)


def test_all_faults_are_told_at_once_with_their_paths() -> None:
    found = faults(
        {
            "speeed": 2,
            "seed": -1,
            "breakers": "triip",
            "cars": [
                {"evse": "evse_9", "phases": 4},
                {"evse": "evse_1", "battery": 3, "soc_percent": "half"},
                {"kind": "familly", "evse": "evse_1", "at_s": 1e12},
                "car",
            ],
            "arrivals": {"evses": ["evse_7"], "kinds": ["tram"], "gap_of": "town", "first_after_s": 30},
            "fixed_loads": [
                {"node": "evse_1", "currents_A": [1, 2, 3]},
                {"node": "panel", "currents_A": [1, 2]},
                {"node": "panel", "at_s": -1, "currents_A": [1, "x", 3], "amps": 1},
            ],
            "meters": [{"node": "evse_1", "state": "ok"}, {"node": "panel", "state": "broken", "at_s": -1}],
        }
    )
    assert set(found) == {
        "plant.speeed",
        "plant.seed",
        "plant.breakers",
        "plant.cars[0].evse",
        "plant.cars[0].phases",
        "plant.cars[1].battery",
        "plant.cars[1].soc_percent",
        "plant.cars[2].kind",
        "plant.cars[2].at_s",
        "plant.cars[2]",
        "plant.cars[3]",
        "plant.cars[3].evse",
        "plant.arrivals.evses[0]",
        "plant.arrivals.kinds[0]",
        "plant.arrivals.gap_of",
        "plant.arrivals.first_after_s",
        "plant.fixed_loads[0].node",
        "plant.fixed_loads[1].currents_A",
        "plant.fixed_loads[2].at_s",
        "plant.fixed_loads[2].currents_A",
        "plant.fixed_loads[2].amps",
        "plant.meters[0].node",
        "plant.meters[1].state",
        "plant.meters[1].at_s",
    }
    assert 'did you mean "speed"' in found["plant.speeed"]
    assert 'did you mean "family"' in found["plant.cars[2].kind"]
    assert "still taken by cars[1]" in found["plant.cars[2]"]


@pytest.mark.parametrize("key", ["cars", "fixed_loads", "meters"])
@pytest.mark.parametrize("value", [None, {}, "none", 3])
def test_a_list_must_be_one(key: str, value: object) -> None:
    assert list(faults({key: value})) == [f"plant.{key}"]


def test_a_kind_gives_what_a_car_does_not_say() -> None:
    story = parse_story({"cars": [{"evse": "evse_1", "kind": "city", "battery_kWh": 50}]}, SITE)
    (visit,) = story.cars
    assert (visit.phases, visit.max_current_A, visit.battery_kWh, visit.kind) == (1, 32.0, 50.0, "city")
    assert story.arrivals is None


def test_cars_at_one_evse_must_come_after_each_other() -> None:
    here = {"evse": "evse_1"}
    parse_story({"cars": [{**here, "at_s": 60}, {**here, "at_s": 0, "stay_s": 60}]}, SITE)
    found = faults({"cars": [{**here, "at_s": 60}, {**here, "at_s": 0, "stay_s": 61}]})
    assert list(found) == ["plant.cars[0]"]


def test_only_a_car_that_can_charge_with_dc_comes_to_a_dc_evse() -> None:
    found = faults({"cars": [{"evse": "evse_2", "kind": "hybrid"}]})
    assert "give max_power_W" in found["plant.cars[0]"]


def test_a_car_s_minimum_is_not_above_its_maximum() -> None:
    assert list(faults({"cars": [{"evse": "evse_1", "min_current_A": 17}]})) == [
        "plant.cars[0].min_current_A"
    ]


def test_arrivals_use_the_evses_that_no_car_is_written_for() -> None:
    story = parse_story({"cars": [{"evse": "evse_1"}], "arrivals": None}, SITE)
    assert story.arrivals is not None
    assert story.arrivals.evses == ["evse_2", "evse_3"]
    found = faults({"cars": [{"evse": "evse_1"}], "arrivals": {"evses": ["evse_1"]}})
    assert list(found) == ["plant.arrivals.evses[0]"]


def test_a_fixed_load_needs_phases_that_are_wired() -> None:
    text = """
    root: {module: EnergyManager, connections: {energy_trunk: [flat]}}
    flat: {module: EnergyNode, config: {phase_count: 1}, connections: {energy_trunk: [evse_1]}}
    evse_1: {module: EvseManager}
    """
    site = parse_site(text, "flats")
    parse_story({"fixed_loads": [{"node": "flat", "currents_A": [1, 0, 0]}]}, site)
    with pytest.raises(StoryError, match=r"fixed_loads\[0\].currents_A: flat is not wired to L2 and L3"):
        parse_story({"fixed_loads": [{"node": "flat", "currents_A": [1, 2, 3]}]}, site)


def test_a_visit_by_hand_is_read_like_one_of_the_story() -> None:
    assert parse_visit({"evse": "evse_1", "kind": "large"}, SITE).max_current_A == 32.0
    with pytest.raises(StoryError, match="evse: missing"):
        parse_visit({}, SITE)
