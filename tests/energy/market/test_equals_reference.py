"""The closed form equals the round-by-round market, whatever the site."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.energy.market.agreement import assert_agreement
from tests.energy.market.worlds import Features, Story, stories, story_of


@given(stories())
def test_equals_the_reference_on_any_site(story: Story) -> None:
    assert_agreement(story)


@settings(max_examples=settings().max_examples // 2)
@given(stories(switching=True, watts=True, minimums=True, setpoints=False, evses=4, steps=6))
def test_equals_the_reference_over_steps_with_phase_switching(story: Story) -> None:
    assert_agreement(story)


@given(stories(setpoints=True, setpoint_priorities=True, schedules=False))
def test_equals_the_reference_where_setpoints_of_unequal_priority_cross(story: Story) -> None:
    assert_agreement(story)


@given(stories(watts=True, dc=True, tiers=True, schedules=False, odd_numbers=True))
def test_equals_the_reference_where_ampere_and_watt_traders_share_limits(story: Story) -> None:
    assert_agreement(story)


FOUND = {
    # Two crossing limits are used up by the same purchase: the one that allows less of it stops it.
    "crossing limits end in one purchase": Features(
        seed=195430368, evses=12, levels=4, watts=True, mixed_phases=True, minimums=False,
        schedules=True, setpoints=True, setpoint_priorities=True, export=True, switching=True,
        odd_numbers=True,
    ),
    # The power offered is that of three phases and the hysteresis to the watt, but for rounding.
    "power on a threshold": Features(
        seed=135, evses=12, levels=1, watts=True, schedules=True, efficiency=True, switching=True, steps=3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("found", FOUND.values(), ids=FOUND.keys())
def test_counterexamples_found_earlier_stay_fixed(found: Features) -> None:
    assert_agreement(story_of(found))
