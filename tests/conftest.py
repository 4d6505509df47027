"""Hypothesis profiles: the default is quick, `HYPOTHESIS_PROFILE=long` looks for a good while; and how tests
are shared among workers.

Tests of whole sites mostly wait, all others compute. So there are more workers than cores, and each gets its
part of both, mixed; those that are marked `long` come first, so that none begins when all else is done.
"""

from __future__ import annotations

import os
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
        items[:] = mixed(items, workers)


def mixed(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """`--dist=worksteal` cuts the list into as many equal pieces as there are workers, one for each at first."""
    waiting = [item for item in items if item.path.is_relative_to(SITES) or item.get_closest_marker("long")]
    waiting.sort(key=lambda item: item.get_closest_marker("long") is None)
    waits = set(waiting)
    computing = iter([item for item in items if item not in waits])
    order: list[pytest.Item] = []
    for worker in range(workers):
        mine = waiting[worker::workers]
        piece = (len(items) - len(order)) // (workers - worker)
        others = list(islice(computing, max(piece - len(mine), 0)))
        ends = [number * len(others) // max(len(mine), 1) for number in range(len(mine) + 1)]
        for item, (begin, end) in zip(mine, pairwise(ends), strict=True):
            order += [item, *others[begin:end]]
        order += others if not mine else []
    return [*order, *computing]
