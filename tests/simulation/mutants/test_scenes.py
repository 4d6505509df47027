"""Every deliberate break of the protocol is seen by its scene, which ends well without it."""

from __future__ import annotations

import pytest

from tests.model.mutants import MUTANTS as EXPLORED
from tests.simulation.mutants.__main__ import main
from tests.simulation.mutants.breaks import BREAKS, BY_NAME, Break
from tests.simulation.mutants.hunt import hunt
from tests.simulation.mutants.scenes import SCENES, Scene

STORIES = {scene.__name__: scene for scene in SCENES.values()}


@pytest.mark.parametrize("scene", STORIES.values(), ids=STORIES)
def test_each_scene_ends_well_with_the_protocol_as_it_is(scene: Scene) -> None:
    scene()


@pytest.mark.parametrize("mutant", BREAKS, ids=lambda mutant: mutant.name)
def test_each_broken_rule_is_seen_by_its_scene(mutant: Break) -> None:
    with mutant.broken(), pytest.raises(AssertionError):
        SCENES[mutant.name]()


def test_every_break_has_a_name_of_its_own_and_a_scene() -> None:
    assert len(BY_NAME) == len(BREAKS)
    assert SCENES.keys() == BY_NAME.keys()


def test_what_is_said_to_be_explored_is_explored() -> None:
    explored = {mutant.name for mutant in EXPLORED if not mutant.only_live}
    assert {mutant.explored for mutant in BREAKS} - {""} <= explored


def test_a_broken_rule_is_whole_again_afterwards() -> None:
    for mutant in BREAKS:
        with mutant.broken():
            pass
    for scene in STORIES.values():
        scene()


def test_the_command_tells_how_each_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["renewing ignores", "dead lives", "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| mutant",
        "| renewing ignores the capacity",
        "| dead lives are believed",
    ]


def test_a_survivor_ends_the_command_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCENES, "renewing ignores the capacity", lambda: None)
    assert main(["renewing ignores"]) == 1
    assert "SURVIVES: renewing ignores the capacity" in capsys.readouterr().out


def test_a_hunt_ends_with_what_it_found() -> None:
    with BY_NAME["raise without room, unchecked"].broken():
        found = hunt(1000, 5)
    assert (found.found, found.seeds) == ("overload", 1)
    assert hunt(1000, 2).found == ""
