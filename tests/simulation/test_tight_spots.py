"""Tight spots: what only they show, and that the protocol stands in each of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.simulation import tight_spots
from actors.simulation.plan import Knobs
from actors.simulation.run import run
from tests.simulation.mutants.breaks import BY_NAME
from tests.simulation.mutants.hunt import hunt

SPOTS = {spot.__name__: spot for spot in tight_spots._SPOTS}
HUNT_RUNS = 60


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """All runs have nothing but tight spots of one kind."""

    def choose(name: str) -> None:
        monkeypatch.setattr(tight_spots, "_SPOTS", (SPOTS[name],))

    return choose


@pytest.mark.parametrize("name", SPOTS)
def test_no_spot_is_too_tight(name: str, only: Callable[[str], None]) -> None:
    only(name)
    for seed in range(2):
        assert run(seed, Knobs(evses=4, hurt_s=240.0, tight=True)).violations == ()


def test_two_late_readings_of_a_former_life_prove_nothing(only: Callable[[str], None]) -> None:
    only("former_reading")
    knobs = Knobs(evses=5, tight=True)
    assert run(20_362, knobs).violations == ()
    with BY_NAME["a contactor proves something without our newest mark"].broken():
        assert run(20_362, knobs).violations


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("_late_raise", "known by an old epoch"),
        ("_obedient", "what a fenced child holds is dropped"),
        ("deaf_hardware", "what ran out unseen is over at once"),
        ("late_reading", "a contactor proves something without our newest mark"),
        ("second_life", "what was told to the hardware's former life is taken"),
        ("former_reading", "a contactor proves something without our newest mark"),
        ("former_report", "struck out without committed"),
        ("two_managers", "lost memory is zero"),
    ],
)
def test_a_rule_that_hardly_matters_elsewhere_is_missed_here(
    name: str, broken: str, only: Callable[[str], None]
) -> None:
    only(name)
    with BY_NAME[broken].broken():
        assert any(hunt(seed, 1).found for seed in range(1, 2 * HUNT_RUNS, 2))
