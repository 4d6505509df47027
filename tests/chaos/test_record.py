"""The plant's record against every fuse: what is an overload, what is not, and what a story expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.config import load_site, parse_site
from tools.chaos.record import Judge, guards, read_record
from tools.chaos.story import Expectation

ROOT = Path(__file__).parents[2]
GARAGE = load_site(ROOT / "configs" / "garage.yaml")
EVSES = [m.id for m in GARAGE.modules.values() if not m.children]
LEVELS = ("level_1_node", "level_2_node", "level_3_node")
RATINGS = {"level_1_node": 63.0, "level_2_node": 63.0, "level_3_node": 32.0}


def sample(
    t: float, loads: dict[str, float], limit_A: float = 8.0, fixed: dict[str, float] | None = None
) -> Any:
    """A line of a record; loads on L1."""
    breakers = {
        n: {"currents_A": [loads.get(n, 0.0), 0.0, 0.0], "rating_A": RATINGS[n], "tripped": False}
        for n in LEVELS
    }
    root = loads.get("energy_root", sum(loads.get(n, 0.0) for n in LEVELS))
    line: dict[str, Any] = {
        "t": t,
        "evses": {
            e: {"limit_A": limit_A, "currents_A": [0.0, 0.0, 0.0], "phases": 3, "state": "C"} for e in EVSES
        },
        "breakers": breakers,
        "loads": {"energy_root": [root, 0.0, 0.0]},
    }
    if fixed:
        line["fixed"] = {node: [current_A, 0.0, 0.0] for node, current_A in fixed.items()}
    return line


def overloads(*lines: Any, site: Any = GARAGE) -> dict[str, int]:
    judge = Judge(site, 0.0)
    for line in lines:
        judge.see(line)
    return {t.guard.name: t.overloads for t in judge.tallies if t.overloads}


def test_every_fuse_and_every_permanent_limit_is_guarded() -> None:
    found = {(g.node, g.rating_A, g.fuse) for g in guards(GARAGE)}
    assert found == {("energy_root", 100.0, False), *((n, RATINGS[n], True) for n in LEVELS)}


@pytest.mark.parametrize(("load_A", "over"), [(32.0, 0), (32.159, 0), (32.161, 1), (-40.0, 1)])
def test_half_a_percent_over_the_rating_is_an_overload(load_A: float, over: int) -> None:
    assert overloads(sample(1.0, {"level_3_node": load_A})) == ({"level_3_node": over} if over else {})


def test_a_single_sample_is_enough_and_any_phase_counts() -> None:
    bad = sample(1.1, {})
    bad["breakers"]["level_1_node"]["currents_A"] = [0.0, 0.0, 64.0]
    assert overloads(sample(1.0, {}), bad, sample(1.2, {})) == {"level_1_node": 1}


def test_what_the_grid_connection_allows_for_good_is_guarded_like_a_fuse() -> None:
    assert overloads(sample(1.0, {"level_1_node": 60.0, "level_2_node": 41.0})) == {"energy_root (limit)": 1}


def with_reserve(reserve_A: float) -> Any:
    data = yaml.safe_load((ROOT / "configs" / "garage.yaml").read_text())
    limit = {"limit": {"ac_max_current_A": 63 - reserve_A}}
    data["active_modules"]["level_1_node"]["external_limits"] = {"reserve": limit}
    return parse_site(yaml.safe_dump(data), "garage")


def test_a_fixed_load_within_its_declared_worst_case_excuses_nothing() -> None:
    line = sample(1.0, {"level_1_node": 64.0}, fixed={"level_1_node": 10.0})
    assert overloads(line, site=with_reserve(10.0)) == {"level_1_node": 1, "level_1_node (limit)": 1}


def test_a_fixed_load_beyond_it_is_not_ours_but_the_cars_limit_still_holds() -> None:
    line = sample(1.0, {"level_1_node": 64.0}, fixed={"level_1_node": 12.0})
    judge = Judge(with_reserve(10.0), 0.0)
    judge.see(line)
    fuse = next(t for t in judge.tallies if t.guard.name == "level_1_node")
    assert (fuse.overloads, fuse.excused) == (0, 1)
    limit = next(t for t in judge.tallies if t.guard.name == "level_1_node (limit)")
    assert limit.max_A == pytest.approx(52.0)  # of the cars alone: within 53 A
    assert limit.overloads == limit.excused == 0


def expectations(*lines: Any, **what: Any) -> list[str]:
    given = {"below": "level_2_node", "from_s": 10.0, "until_s": 20.0, **what}
    judge = Judge(GARAGE, 100.0, (Expectation(**given),))
    for line in lines:
        judge.see(line)
    return [unmet.found for unmet in judge.unmet]


def test_fallback_is_expected_of_each_evse_in_each_sample() -> None:
    before, at, late = sample(105.0, {}), sample(110.0, {}, limit_A=6.0), sample(115.0, {}, limit_A=6.1)
    assert expectations(before, at, state="fallback") == []
    assert expectations(before, at, late, late, state="fallback") == ["6.1 A are in force at evse_21"]
    assert expectations(before, at, sample(120.1, {}), state="fallback") == []


def test_settled_is_expected_of_what_is_drawn_too() -> None:
    drawing = sample(110.0, {}, limit_A=6.0)
    drawing["evses"]["evse_23"]["currents_A"] = [6.0, 0.0, 6.1]
    assert expectations(drawing, state="fallback") == []
    assert expectations(drawing, state="settled") == ["evse_23 draws 6.1 A"]


def test_full_is_what_was_in_force_before_the_story() -> None:
    start = sample(99.0, {}, limit_A=10.0)
    assert expectations(start, sample(110.0, {}, limit_A=9.6), state="full") == []
    assert expectations(start, sample(110.0, {}, limit_A=9.4), state="full") == [
        "37.6 A of the 40.0 A before"
    ]
    assert expectations(start, sample(110.0, {}, limit_A=9.9), state="full", share=1.0) != []


def test_more_than_before_at_one_does_not_make_up_for_less_at_another() -> None:
    start, uneven = sample(99.0, {}, limit_A=10.0), sample(110.0, {}, limit_A=10.0)
    uneven["evses"]["evse_21"]["limit_A"], uneven["evses"]["evse_22"]["limit_A"] = 20.0, 0.0
    assert expectations(start, uneven, state="full") == ["30.0 A of the 40.0 A before"]


def test_a_record_that_was_cut_off_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "plant.jsonl"
    whole = [json.dumps(line) for line in ({"site": "garage"}, sample(1.0, {}), sample(1.1, {}))]
    file.write_text("\n".join([*whole, whole[-1][:40]]))
    assert [line["t"] for line in read_record(file)] == [1.0, 1.1]
