"""How long a site takes from `amptree up` to a limit in force at every EVSE, each with a car waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tools.bench.rows import Row
from tools.bench.running import RunningSite, running
from tools.bench.sites import Size
from tools.errors import UserError

BENCH = "startup"
SIZES = (Size(evses=1_000, controllers=10), Size(evses=1_000, controllers=1))
QUICK_SIZES = (Size(evses=100, controllers=4),)
LOOK_EVERY_S = 2.0
TIMEOUT_S = 60.0
"""From when all modules are there."""


def measure_startup(*, quick: bool = False) -> Iterator[Row]:
    """Seconds, of each size. Raises UserError when an EVSE had no limit."""
    for size in QUICK_SIZES if quick else SIZES:
        with running(size) as site:
            took_s = _last_limit_s(site) - site.begun_s
        yield Row(bench=BENCH, name=size.name, what=size.what, figures={"to_the_last_limit_s": took_s})


def _last_limit_s(site: RunningSite) -> float:
    """When the last EVSE had its first limit."""
    deadline_s = time.monotonic() + TIMEOUT_S
    first_s: dict[str, float] = {}
    while len(first_s) < site.size.evses:
        missing = site.size.evses - len(first_s)
        if time.monotonic() > deadline_s:
            raise UserError(f"{missing} of {site.size.evses} EVSEs have no limit yet")
        time.sleep(LOOK_EVERY_S)
        for change in site.changes():
            if change.limit_A > 0:
                first_s.setdefault(change.evse, change.at_s)
    return max(first_s.values())
