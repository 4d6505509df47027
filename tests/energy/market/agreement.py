"""Does the product answer as the reference does?"""

from __future__ import annotations

import math

import pytest

from actors.energy import timestamps
from actors.energy.forecasts import forecast_of
from actors.energy.market import Memory, allocate
from actors.energy.types import LimitsRes, ScheduleResEntry
from tests.energy.market import reference
from tests.energy.market.worlds import Story

TOLERANCE_A = 1e-6
TOLERANCE_W = 1e-6 * 3 * 230.0


def assert_agreement(story: Story) -> None:
    """Both run the story; all that a caller can read must agree, and so must the memories."""
    memory: Memory | None = None
    contexts: reference.Contexts | None = None
    for number, step in enumerate(story.steps):
        allocation, memory = allocate(step.request, story.config, step.start_us, memory)
        slots, active, results, contexts = reference.allocate(
            step.request, story.config, step.start_us, contexts
        )
        assert [limits.uuid for limits in allocation] == [result.uuid for result in results]
        for limits, result in zip(allocation, results, strict=True):
            where, forecast = f"step {number}, {result.uuid}", forecast_of(limits)
            assert [timestamps.parse(entry.timestamp) for entry in forecast] == slots, where
            for entry, deal in zip(forecast, result.deals, strict=True):
                _assert_equal(entry.limits_to_root, deal, f"{where}, {entry.timestamp}")
            _assert_equal(limits.limits_root_side, result.deals[active], where)
            _assert_bound_is_named(result.uuid, forecast)
        for uuid, context in contexts.items():
            ours = memory.contexts[uuid]
            noted_us = -math.inf if ours.single_wanted_us is None else ours.single_wanted_us
            assert (noted_us, ours.switches, ours.phases) == (
                context.noted_us,
                context.switches,
                context.last_phases,
            ), f"step {number}, memory of {uuid}"


def _assert_equal(limits: LimitsRes, deal: reference.Deal, where: str) -> None:
    assert (limits.ac_max_current_A is not None) == deal.has_A, where
    assert (limits.total_power_W is not None) == deal.has_W, where
    phases = limits.ac_max_phase_count
    assert (None if phases is None else phases.value) == deal.phases, where
    if limits.ac_max_current_A is not None:
        assert limits.ac_max_current_A.value == pytest.approx(deal.A, abs=TOLERANCE_A, rel=0), where
    if limits.total_power_W is not None:
        assert limits.total_power_W.value == pytest.approx(deal.W, abs=TOLERANCE_W, rel=0), where


def _assert_bound_is_named(uuid: str, forecast: tuple[ScheduleResEntry, ...]) -> None:
    """Whatever is limited says by whom."""
    for entry in forecast:
        for number in (entry.limits_to_root.ac_max_current_A, entry.limits_to_root.total_power_W):
            assert number is None or number.source, f"{uuid}, {entry.timestamp}"
