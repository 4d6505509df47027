"""Where CPU time goes from a lowered limit at the root until the hardware of the last EVSE holds it.

    command ─► root ─► market ─► root ═packing═► floors ─► their EVSEs ═packing═► plant

All in one process (`inline`): `end-to-end` has what threads, sockets and encryption cost besides, and what
order things come in. Milliseconds of CPU time by stage, of all floors and EVSEs together; medians.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from actors.energy.external import SetLimits, ShortLimits, short_form
from actors.energy.messages import Command
from tools.bench.inline import InlineSite
from tools.bench.rows import Chooses, Row, all_of_them
from tools.bench.sites import HIGH_A, LOW_A, ROOT, SOURCE, Size
from tools.errors import UserError

BENCH = "decrease"
SIZES = (Size(evses=1_000, controllers=10), Size(evses=100, controllers=1))
QUICK_SIZES = (Size(evses=40, controllers=4),)
PAIRS, QUICK_PAIRS = 10, 2
"""Decreases, each followed by an increase; the first warms up."""
BEGIN_S, REST_S = 16.0, 2.5
"""Until a new site is at rest, and after each change: then the root's last run is half an interval ago."""
CRUMB_A = 1e-3
STAGES = (
    *("root", "root_market", "packing", "unpacking", "floors", "floors_market", "evses", "plant"),
    "turns",  # of all actors: what their loops, handles and switchboards do
)


def measure_decrease(*, quick: bool = False, only: Chooses = all_of_them) -> Iterator[Row]:
    """Each size in turn. Raises UserError where an EVSE was not lowered."""
    for size in filter(lambda size: only(size.name), QUICK_SIZES if quick else SIZES):
        with tempfile.TemporaryDirectory(prefix="amptree-bench-") as folder:
            found = decreases(InlineSite(size, Path(folder)), QUICK_PAIRS if quick else PAIRS)
        figures = {f"{stage}_ms": statistics.median([ms[stage] for ms in found]) for stage in STAGES}
        figures["all_ms"] = statistics.median([sum(ms.values()) for ms in found])
        yield Row(bench=BENCH, name=size.name, what=size.what, figures=figures)


def decreases(site: InlineSite, pairs: int) -> list[dict[str, float]]:
    """Milliseconds of each, by stage. Raises UserError where an EVSE was not lowered."""
    site.go_on(BEGIN_S)
    found = []
    for _ in range(1 + pairs):
        _expect(site, HIGH_A)
        gc.collect()
        gc.disable()  # a controller looks for garbage seldom
        site.clock.begin()
        _set_limit(site, LOW_A)
        site.clock.mark("turns")
        gc.enable()
        found.append({stage: site.clock.used_s[stage] * 1e3 for stage in STAGES})
        _expect(site, LOW_A)
        site.go_on(REST_S)
        _set_limit(site, HIGH_A)
        site.go_on(REST_S)
    return found[1:]


def _set_limit(site: InlineSite, each_A: float) -> None:
    limits = short_form(ShortLimits(ac_max_current_A=each_A * len(site.limits_A())), SOURCE)
    event = SetLimits(source=SOURCE, limits=limits)
    site.tell(ROOT, Command(id="1", origin=ROOT, target=ROOT, event=event))


def _expect(site: InlineSite, each_A: float) -> None:
    if others := [limit_A for limit_A in site.limits_A() if abs(limit_A - each_A) > CRUMB_A]:
        raise UserError(f"{len(others)} EVSEs are not at {each_A:g} A, but at {others[0]:g} A and the like")
