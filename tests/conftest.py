"""Hypothesis profiles: the default is quick, `HYPOTHESIS_PROFILE=long` looks for a good while; and how
many workers there are.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.sharing import mixed

SITES = Path(__file__).parent / "integration"
WORKERS_MAX = 16
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
SLOW = [HealthCheck.too_slow]

# Hundreds of processes are begun: where Python may keep no bytecode, each would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are cores, and one."""
    return min(2 * len(os.sched_getaffinity(0)) + 1, WORKERS_MAX)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A long search has no time limit; and each worker gets its part of what waits."""
    if PROFILE == "long":
        for item in items:
            item.add_marker(pytest.mark.timeout(0))
    workers: int = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    if workers > 1:
        waiting = [item for item in items if item.path.is_relative_to(SITES) or is_long(item)]
        waits = set(waiting)
        computing = [item for item in items if item not in waits]
        items[:] = mixed(sorted(waiting, key=is_long, reverse=True), computing, workers)


def is_long(item: pytest.Item) -> bool:
    """Whether it is marked so."""
    return item.get_closest_marker("long") is not None
