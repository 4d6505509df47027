"""Hypothesis profiles: the default is quick, `HYPOTHESIS_PROFILE=long` looks for a good while."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
SLOW = [HealthCheck.too_slow]

# No deadlines: how long a busy machine takes for an example says nothing.
settings.register_profile(
    "quick",
    deadline=None,
    max_examples=60,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=SLOW,
)
settings.register_profile("long", deadline=None, max_examples=5000, suppress_health_check=SLOW)
settings.load_profile(PROFILE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long search has no time limit."""
    if PROFILE == "long":
        for item in items:
            item.add_marker(pytest.mark.timeout(0))
