"""What is left of a run: the verdict and its reasons, and a picture that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from actors.config import load_site
from tests.chaos.test_record import sample
from tools.chaos.conduct import Course, Event
from tools.chaos.picture import COLOURS, OVER, draw
from tools.chaos.report import Result, conclude, judge, show, write_result
from tools.chaos.story import KINDS, Story, parse_story
from tools.view import console

SITE = load_site(Path(__file__).parents[2] / "configs" / "garage.yaml")
FAULTS: list[dict[str, Any]] = [
    {"at_s": 1, "kill": "level_1"},
    {"at_s": 2, "stop": "level_1", "for_s": 3},
    {"at_s": 3, "pause": "main", "for_s": 3},
    {"at_s": 4, "cut": ["main", "level_1"], "for_s": 2},
    {"at_s": 5, "disturb": ["plant", "level_1"], "for_s": 2, "loss": 0.1},
    {"at_s": 6, "fill_disk": "main", "for_s": 2},
    {"at_s": 7, "wall_clock": "main", "ahead_s": 60, "for_s": 2},
    {"at_s": 8, "limit": "energy_root", "current_A": 10, "for_s": 2},
]


def story(**what: Any) -> Story:
    return parse_story({"for_s": 10, "faults": FAULTS, **what}, SITE)


def course(**what: Any) -> Course:
    return Course(**{"begin_s": 100.0, "at_work_after_s": 1.0, **what})


def record(tmp_path: Path, *lines: Any) -> Path:
    file = tmp_path / "plant.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in ({"site": "garage"}, *lines)))
    return file


def conclusion(tmp_path: Path, told: Story, ran: Course, *lines: Any) -> Result:
    return conclude(SITE, told, ran, judge(SITE, told, ran, record(tmp_path, *lines)))


QUIET = [sample(99.0 + n / 10, {"level_1_node": 30.0}) for n in range(120)]


def test_a_quiet_run_held(tmp_path: Path) -> None:
    result = conclusion(tmp_path, story(), course(), *QUIET)
    assert result.ok
    assert result.faults_found == ()
    assert result.samples == 120
    assert result.share_in_force == 1.0
    assert {guard.node: guard.max_A for guard in result.guards}["level_1_node"] == 30.0


@pytest.mark.parametrize(
    ("what", "bad", "why"),
    [
        (
            {},
            sample(111.0, {"level_1_node": 63.4}),
            "level_1_node was overloaded in 1 samples: 63.40 A of 63 A at 11.0 s",
        ),
        ({"at_work_after_s": None, "stuck": ["evse_11 is not heard"]}, None, "stuck: evse_11 is not heard"),
        (
            {"died": [Event(at_s=3.0, text="main has ended (exit code 3)")]},
            None,
            "at 3.0 s: main has ended (exit code 3)",
        ),
        ({"stopped": True}, None, "the run was ended before its end"),
    ],
)
def test_a_run_that_did_not_hold_says_why(tmp_path: Path, what: dict[str, Any], bad: Any, why: str) -> None:
    result = conclusion(tmp_path, story(), course(**what), *QUIET, *([bad] if bad else []))
    assert not result.ok
    assert result.faults_found == (why,)


def test_a_run_without_a_record_did_not_hold(tmp_path: Path) -> None:
    assert not conclusion(tmp_path, story(), course()).ok


def test_an_expectation_that_was_not_met_fails_the_run(tmp_path: Path) -> None:
    expect = [{"below": "level_1_node", "state": "fallback", "from_s": 5, "until_s": 6}]
    result = conclusion(tmp_path, story(expect=expect), course(), *QUIET)
    assert result.unmet == (
        "expected fallback below level_1_node from 5 to 6 s; at 5.0 s 8 A are in force at evse_11",
    )
    assert not result.ok


def test_a_gap_in_the_record_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = conclusion(tmp_path, story(), course(), *QUIET, sample(120.0, {}))
    show(result, console())
    assert "the record has a gap of 9.1 s, of which nothing is known" in capsys.readouterr().out


def test_the_table_and_the_file_tell_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = conclusion(tmp_path, story(), course(), *QUIET)
    write_result(result, tmp_path / "result.json")
    assert msgspec.json.decode((tmp_path / "result.json").read_bytes(), type=Result) == result
    show(result, console())
    out = capsys.readouterr().out
    assert "verdict: held" in out
    assert "level_1_node" in out
    assert "30.00 A" in out


def test_the_picture_shows_every_guard_every_kind_of_fault_and_overloads(tmp_path: Path) -> None:
    told, ran = story(story="<all & more>"), course()
    lines = [*QUIET, sample(111.0, {"level_3_node": 33.0})]
    evidence = judge(SITE, told, ran, record(tmp_path, *lines))
    svg = draw(told, ran, evidence.tallies, title=f"garage: {told.story}", verdict="not held", ok=False)
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"garage: <all & more>", "energy_root", "level_3_node", "fuse 32 A", "limit 100 A"} <= set(texts)
    fills = [element.get("fill") for element in root.iter()]
    assert set(COLOURS) == set(KINDS)
    assert set(COLOURS.values()) <= set(fills)
    assert fills.count(OVER) == 1
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "4 s: cut main <> level_1 for 2 s" in titles
