"""Tight spots: what only they show, and that the protocol stands in each of them."""

from __future__ import annotations

import pytest

from actors.simulation.plan import Knobs
from actors.simulation.run import run
from actors.simulation.tight_spots import KINDS
from tests.simulation.mutants.breaks import BY_NAME
from tests.simulation.mutants.hunt import hunt

HUNT_RUNS = 60


@pytest.mark.parametrize("kind", KINDS)
def test_no_spot_is_too_tight(kind: str) -> None:
    for seed in range(2):
        assert run(seed, Knobs(evses=4, hurt_s=240.0, tight=True, spots=(kind,))).violations == ()


def test_two_late_readings_of_a_former_life_prove_nothing() -> None:
    knobs = Knobs(evses=5, tight=True, spots=("former_reading",))
    assert run(20_362, knobs).violations == ()
    with BY_NAME["a contactor proves something without our newest mark"].broken():
        assert run(20_362, knobs).violations


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("late_raise", "known by an old epoch"),
        ("obedient", "what a fenced child holds is dropped"),
        ("deaf_hardware", "what ran out unseen is over at once"),
        ("late_reading", "a contactor proves something without our newest mark"),
        ("second_life", "what was told to the hardware's former life is taken"),
        ("former_reading", "a contactor proves something without our newest mark"),
        ("former_report", "struck out without committed"),
        ("two_managers", "lost memory is zero"),
    ],
)
def test_a_rule_that_hardly_matters_elsewhere_is_missed_here(kind: str, broken: str) -> None:
    with BY_NAME[broken].broken():
        assert any(hunt(seed, 1, spots=(kind,)).found for seed in range(1, 2 * HUNT_RUNS, 2))
