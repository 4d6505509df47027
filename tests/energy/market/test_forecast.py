"""What holds now does not depend on whether the slots to come are worked out as well."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given

from actors.energy.forecasts import forecast_of
from actors.energy.market import allocate
from actors.energy.types import EnforcedLimits, value_of
from tests.energy.market.worlds import Story, stories


def figures(limits: Iterable[EnforcedLimits]) -> list[float]:
    """Current, power and phases of all; -1 for none."""
    found: list[float] = []
    for entry in limits:
        now = entry.limits_root_side
        current_A, power_W = value_of(now.ac_max_current_A), value_of(now.total_power_W)
        phases = None if now.ac_max_phase_count is None else float(now.ac_max_phase_count.value)
        found += (-1.0 if value is None else value for value in (current_A, power_W, phases))
    return found


@given(stories(fallbacks=True, schedules=True))
def test_what_holds_now_is_the_same_without_a_forecast(story: Story) -> None:
    step = story.steps[0]
    whole, _ = allocate(step.request, story.config, step.start_us)
    now, _ = allocate(step.request, story.config, step.start_us, forecast=False)
    assert figures(now) == pytest.approx(figures(whole), rel=1e-9, abs=1e-9)
    assert [len(forecast_of(limits)) for limits in now] == [1] * len(now)
    assert figures(whole.active()) == figures(whole)


@given(stories(schedules=True, switching=True, watts=True, steps=3))
def test_phases_are_the_same_without_a_forecast(story: Story) -> None:
    memory = other = None
    for step in story.steps:
        whole, memory = allocate(step.request, story.config, step.start_us, memory)
        now, other = allocate(step.request, story.config, step.start_us, other, forecast=False)
        assert figures(now) == pytest.approx(figures(whole), rel=1e-9, abs=1e-9)
