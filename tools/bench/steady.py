"""What a site costs when nothing happens: CPU at one report and grant a second, and memory.

CPU is that of all processes but the plant. Memory of an EVSE is what the controllers hold beyond what they
hold where each has a single EVSE.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tools.bench.rows import Chooses, Row, all_of_them
from tools.bench.running import PLANT, RunningSite, running
from tools.bench.sites import HIGH_A, Size
from tools.bench.usage import cpu_s, memory_B, threads

BENCH = "steady"
SIZES = (
    Size(evses=1_000, controllers=10),
    Size(evses=100, controllers=1),
    Size(evses=1_000, controllers=1),
    Size(evses=5_000, controllers=1),
)
QUICK_SIZES = (Size(evses=100, controllers=4),)
SETTLE_S, QUICK_SETTLE_S = 15.0, 3.0
"""From when all EVSEs have their limit to when it is measured: until no car's current changes any more."""
MEASURE_S, QUICK_MEASURE_S = 30.0, 5.0
REACHES = {"1000 on 10": {"cpu_cores": 0.5, "memory_an_evse_kB": 150.0}}


def measure_steady(*, quick: bool = False, only: Chooses = all_of_them) -> Iterator[Row]:
    """CPU and memory of each size. Raises UserError."""
    for size in filter(lambda size: only(size.name), QUICK_SIZES if quick else SIZES):
        with running(Size(evses=size.controllers, controllers=size.controllers)) as site:
            time.sleep(QUICK_SETTLE_S)
            idle_B = sum(_memory(site).values())
        with running(size) as site:
            site.last_change_s(HIGH_A)
            time.sleep(QUICK_SETTLE_S if quick else SETTLE_S)
            cores = _cores(site, QUICK_MEASURE_S if quick else MEASURE_S)
            held_B = sum(_memory(site).values())
            most = max(threads(pid) for name, pid in site.pids().items() if name not in (PLANT, "up"))
        figures = {
            "cpu_cores": sum(used for name, used in cores.items() if name != PLANT),
            "plant_cpu_cores": cores[PLANT],
            "memory_an_evse_kB": (held_B - idle_B) / (size.evses - size.controllers) / 1e3,
            "threads_of_a_controller": float(most),
        }
        reach = REACHES.get(size.name, {})
        yield Row(bench=BENCH, name=size.name, what=size.what, figures=figures, reach=reach)


def _cores(site: RunningSite, for_s: float) -> dict[str, float]:
    """CPU seconds a second, of each process."""
    pids = site.pids()
    begin_s, before = time.monotonic(), {name: cpu_s(pid) for name, pid in pids.items()}
    time.sleep(for_s)
    after, end_s = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    return {name: (after[name] - before[name]) / (end_s - begin_s) for name in pids}


def _memory(site: RunningSite) -> dict[str, int]:
    """Of each controller (B)."""
    return {name: memory_B(pid) for name, pid in site.pids().items() if name not in (PLANT, "up")}
