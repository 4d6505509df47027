"""Stories: all faults of a file at once, with path and remedy; what is drawn can be told again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.config import ConfigError, load_site
from tools.chaos.draw import DEATHS_APART_S, draw_story
from tools.chaos.hosts import PLANT
from tools.chaos.site_file import BEGIN_S, GAP_S, LAST_COMES_S, plant_section
from tools.chaos.story import Cut, Disturb, Kill, Stop, Story, as_yaml, load_story, parse_story

ROOT = Path(__file__).parents[2]
SITE = load_site(ROOT / "configs" / "garage.yaml")
STORIES = sorted((ROOT / "configs" / "stories").glob("*.yaml"))


def faults_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_story(yaml.safe_load(text), SITE)
    return [f"{fault.path}: {fault.message}" for fault in caught.value.faults]


@pytest.mark.parametrize("file", STORIES, ids=lambda file: file.stem)
def test_the_example_stories_load_and_can_be_written_again(file: Path) -> None:
    story = load_story(str(file), SITE)
    assert story.faults
    assert parse_story(yaml.safe_load(as_yaml(story)), SITE) == story


def test_a_list_of_two_is_both_ways_and_a_mapping_one() -> None:
    story = parse_story(
        {
            "faults": [
                {"cut": ["main", "level_1"], "for_s": 1},
                {"cut": {"from": "plant", "to": "level_2"}, "for_s": 1},
            ]
        },
        SITE,
    )
    both, one = story.faults
    assert isinstance(both, Cut)
    assert isinstance(one, Cut)
    assert both.cut == (("main", "level_1"), ("level_1", "main"))
    assert one.cut == (("plant", "level_2"),)


def test_everything_that_is_wrong_is_told_at_once_with_path_and_remedy() -> None:
    text = """
    story: 5
    cars: stedy
    for_s: 100
    fault: []
    faults:
      - {at_s: 3, kil: level_1}
      - {at_s: 3, kill: level_9}
      - {at_s: -1, kill: level_1, for_s: 3}
      - {at_s: 3, pause: level_1}
      - {at_s: 3, pause: plant, for_s: 3}
      - {at_s: 90, pause: level_1, for_s: 20}
      - {at_s: 3, kill: level_1, pause: level_1, for_s: 3}
      - {at_s: 3, cut: [main, level_9], for_s: 3}
      - {at_s: 3, cut: main, for_s: 3}
      - {at_s: 3, disturb: [main, level_1], for_s: 3, loss: 30}
      - {at_s: 3, disturb: [plant, level_1], for_s: 3, reorder: true}
      - {at_s: 3, disturb: [main, level_1], for_s: 3, min_delay_s: 5}
      - {at_s: 3, wall_clock: main, for_s: 3}
      - {at_s: 3, limit: level_9_node, current_A: 3, for_s: 3}
      - 7
    expect:
      - {below: level_1_nod, state: full, from_s: 1, until_s: 2}
      - {below: level_1_node, state: full, from_s: 1, until_s: 2000}
      - {below: level_1_node, state: ful, from_s: 1, until_s: 2}
      - {below: level_1_node}
    """
    assert sorted(faults_of(text)) == sorted(
        [
            "story: expected text, got 5",
            'cars: expected changing, site or steady, got "stedy"; did you mean "steady"?',
            'fault: unknown key; did you mean "faults"?',
            "faults[0]: expected one of kill, stop, pause, cut, disturb, fill_disk, wall_clock, limit; it says none; "
            'did you mean "kill"?',
            'faults[1].kill: expected a controller of the site: main, level_1, level_2, level_3, got "level_9"; '
            'did you mean "level_3"?',
            "faults[2].at_s: expected a number from 0 to 86400, got -1",
            "faults[3].for_s: missing: how many seconds it lasts",
            'faults[4].pause: expected a controller of the site: main, level_1, level_2, level_3, got "plant"',
            "faults[5]: it ends at 110 s, after the story, which has for_s 100: make that longer",
            "faults[6]: expected one of kill, stop, pause, cut, disturb, fill_disk, wall_clock, limit; it says kill and pause",
            'faults[7].cut[1]: expected a controller of the site, or plant: main, level_1, level_2, level_3, plant, got "level_9"; '
            'did you mean "level_3"?',
            'faults[8].cut: expected [A, B] for both ways or {from: A, to: B} for one, got "main"',
            "faults[9].loss: expected a number from 0 to 1, got 30",
            "faults[10].reorder: hardware gets messages in their order (docs/safety.md); leave reorder out for the plant",
            "faults[11].min_delay_s: above max_delay_s, 0: give max_delay_s, too",
            "faults[12].ahead_s: missing: a number",
            'faults[13].limit: expected a module of the site, got "level_9_node"; did you mean "level_3_node"?',
            "faults[14]: expected a mapping, got 7",
            'expect[0].below: expected a module, got "level_1_nod"; did you mean "level_1_node"?',
            "expect[1].until_s: expected from_s <= until_s <= for_s + calm_s, which is 160",
            'expect[2].state: expected fallback, full or settled, got "ful"; did you mean "full"?',
            "expect[3].state: missing",
            "expect[3].from_s: missing",
            "expect[3].until_s: missing",
        ]
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"[", "is not YAML: "),
        (b"\xff", "is not YAML: "),
        (b"- 1", "expected a mapping with `faults:`, got a list"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    file = tmp_path / "story.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_story(str(file), SITE)
    (found,) = caught.value.faults
    assert found.message.startswith(fault)
    assert "\n" not in found.message


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats()
        | st.text(max_size=5)
        | st.sampled_from(["main", "plant", "level_1", "energy_root", 3, "steady"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "faults",
                        "expect",
                        "at_s",
                        "for_s",
                        "kill",
                        "cut",
                        "from",
                        "to",
                        "disturb",
                        "below",
                        "state",
                        "wall_clock",
                        "ahead_s",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_data_is_a_story_or_faults(data: Any) -> None:
    if not isinstance(data, dict):
        return
    try:
        story = parse_story(data, SITE)
    except ConfigError:
        return
    assert parse_story(yaml.safe_load(as_yaml(story)), SITE) == story


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([60.0, 600.0]))
def test_a_drawn_story_is_the_same_for_its_seed_and_can_be_told_again(seed: int, for_s: float) -> None:
    story = draw_story(SITE, seed, for_s, 90.0)
    assert story == draw_story(SITE, seed, for_s, 90.0)
    assert parse_story(yaml.safe_load(as_yaml(story)), SITE) == story
    died_s: dict[str, float] = {}
    for fault in story.faults:
        if isinstance(fault, Disturb):
            assert not (fault.reorder and any(PLANT in way for way in fault.disturb))
        if isinstance(fault, Kill | Stop):
            part = fault.kill if isinstance(fault, Kill) else fault.stop
            assert fault.at_s - died_s.get(part, -1e9) > DEATHS_APART_S - 0.2
            died_s[part] = fault.at_s


def test_cars_that_change_come_one_after_the_other_and_the_last_stays() -> None:
    story = Story(seed=3, cars="changing", for_s=300.0)
    cars = plant_section(SITE, story)["cars"]
    assert cars == plant_section(SITE, story)["cars"]
    for evse in {car["evse"] for car in cars}:
        visits = [car for car in cars if car["evse"] == evse]
        assert len(visits) > 3
        for one, other in pairwise(visits):
            assert one["at_s"] + one["stay_s"] < other["at_s"]
        assert "stay_s" not in visits[-1]
        assert visits[-1]["at_s"] <= BEGIN_S + 300.0 - LAST_COMES_S + 2 * GAP_S[1]
