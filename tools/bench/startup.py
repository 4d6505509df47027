"""How long a site takes from `amptree up` to a limit in force at every EVSE, each with a car waiting.

Twice: to the last EVSE's first limit, and to where each has its fair share: at first those that were heard
early have more, and a car has its settle time to come down before another is given what it leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.bench.rows import Chooses, Row, all_of_them
from tools.bench.running import RunningSite, running
from tools.bench.sites import HIGH_A, Size

BENCH = "startup"
SIZES = (*(Size(evses=1_000, controllers=n) for n in (10, 1, 4, 20)), Size(evses=5_000, controllers=1))
QUICK_SIZES = (Size(evses=100, controllers=4),)


def measure_startup(*, quick: bool = False, only: Chooses = all_of_them) -> Iterator[Row]:
    """Seconds, of each size. Raises UserError when an EVSE had no limit."""
    for size in filter(lambda size: only(size.name), QUICK_SIZES if quick else SIZES):
        with running(size) as site:
            fair_s = site.last_change_s(HIGH_A) - site.begun_s
            first_s = _first_limits_s(site) - site.begun_s
        figures = {"to_the_last_limit_s": first_s, "to_fair_shares_s": fair_s}
        yield Row(bench=BENCH, name=size.name, what=size.what, figures=figures)


def _first_limits_s(site: RunningSite) -> float:
    """When the last EVSE had its first limit."""
    first_s: dict[str, float] = {}
    for change in site.changes():
        if change.limit_A > 0:
            first_s.setdefault(change.evse, change.at_s)
    return max(first_s.values())
