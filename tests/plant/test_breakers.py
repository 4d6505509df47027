"""The trip curve against the points of IEC 60898-1, type B."""

from __future__ import annotations

import pytest

from actors.plant.breakers import Breaker

STEP_s = 0.05


def trips_after_s(breaker: Breaker, x: float, until_s: float) -> float | None:
    """When it trips, carrying x times its rating on L2; None if not until `until_s`."""
    for k in range(1, round(until_s / STEP_s) + 1):
        if breaker.step(STEP_s, (0.0, x * breaker.rating_A, 0.0)) == "trip":
            return k * STEP_s
    return None


@pytest.mark.parametrize("rating_A", [16.0, 63.0, 400.0])
def test_it_carries_its_conventional_non_tripping_current_for_hours_then_trips_at_the_tripping_one(
    rating_A: float,
) -> None:
    breaker = Breaker(rating_A)
    assert trips_after_s(breaker, 1.13, 2 * 3600) is None
    assert trips_after_s(breaker, 1.45, 3600) is not None


@pytest.mark.parametrize(
    ("x", "earliest_s", "latest_s"),
    [(1.45, 1.0, 3600.0), (2.55, 1.0, 60.0), (3.0, 0.1, 45.0), (5.0, 0.0, 0.1)],
)
def test_from_cold_it_trips_within_the_bounds_of_the_standard(
    x: float, earliest_s: float, latest_s: float
) -> None:
    tripped_s = trips_after_s(Breaker(32.0), x, latest_s)
    assert tripped_s is not None
    assert earliest_s <= tripped_s < latest_s or (x == 5.0 and tripped_s == STEP_s)


def test_a_warm_breaker_trips_sooner_than_a_cold_one() -> None:
    warm, cold = Breaker(32.0), Breaker(32.0)
    assert trips_after_s(warm, 1.0, 300) is None
    warm_s, cold_s = trips_after_s(warm, 1.45, 3600), trips_after_s(cold, 1.45, 3600)
    assert warm_s is not None
    assert cold_s is not None
    assert warm_s < cold_s == pytest.approx(56.1, abs=0.1)


def test_heating_does_not_depend_on_the_length_of_steps() -> None:
    fine, coarse = Breaker(32.0), Breaker(32.0)
    times = {}
    for breaker, step_s in ((fine, 0.05), (coarse, 0.5)):
        k = 0
        while breaker.step(step_s, (64.0, 0.0, 0.0)) != "trip":
            k += 1
        times[step_s] = k * step_s
    assert times[0.05] == pytest.approx(times[0.5], abs=0.5)


def test_overload_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    breaker = Breaker(10.0)
    loads = [9.0, 10.0, 10.005, 10.1, 11.0, 10.0, 9.0]
    told = [breaker.step(STEP_s, (0.0, 0.0, load)) for load in loads]
    assert told == [None, None, None, "overload", None, "over", None]


def test_feeding_in_heats_as_well() -> None:
    breaker = Breaker(10.0)
    assert breaker.step(STEP_s, (-31.0, 0.0, 0.0)) == "trip"


def test_a_fuse_of_nothing_carries_nothing() -> None:
    breaker = Breaker(0.0)
    assert breaker.step(STEP_s, (0.0, 0.0, 0.0)) is None
    assert breaker.step(STEP_s, (0.1, 0.0, 0.0)) == "trip"
