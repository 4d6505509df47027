"""How long a run of the market takes: `python -m tests.energy.market.benchmark`.

Prints, for sites of 10 to 1,000 EVSEs, the median of runs on a new request (compiled each time), on
the same request again, and of reading all results; and the plain round-by-round reference once. Then
1,000 EVSEs in two tiers, 300 of them idle, without and with fallbacks.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from actors.energy.market import Memory, allocate
from actors.energy.packing import all_packed
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig
from tests.energy.market import reference
from tests.energy.market.building import NOW_US, evse, node

RUNS = 15


def median_ms(run: Callable[[], object]) -> float:
    """Median of some runs, after one that does not count."""
    run()
    times = []
    for _ in range(RUNS):
        begin_s = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin_s) * 1000)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    config = EnergyManagerConfig()
    print(f"{'EVSEs':>6} {'new request':>12} {'same again':>12} {'read all':>12} {'reference':>12}   (ms)")
    for count in (10, 100, 1000):
        per_panel = min(20, count // 2)
        panels = [
            node(
                f"panel_{p}",
                *(evse(f"evse_{p}_{i}") for i in range(per_panel)),
                imports={"A": 15.0 * per_panel + p},
            )
            for p in range(count // per_panel)
        ]
        site = all_packed(node("root", *panels, imports={"A": 14.0 * count}))
        allocation, memory = allocate(site, config, NOW_US)
        fresh = median_ms(lambda site=site: allocate(site, config, NOW_US, Memory()))  # type: ignore[misc]
        again = median_ms(lambda site=site, memory=memory: allocate(site, config, NOW_US, memory))  # type: ignore[misc]
        read = median_ms(lambda allocation=allocation: list(allocation))  # type: ignore[misc]
        begin_s = time.perf_counter()
        reference.allocate(site, config, NOW_US)
        plain = (time.perf_counter() - begin_s) * 1000
        print(f"{count:>6} {fresh:>12.2f} {again:>12.2f} {read:>12.2f} {plain:>12.1f}")
    print("1,000 EVSEs, 300 idle: new request, same again (ms)")
    for tiers in ((5,), (1, 5)):
        for fallback_A in (None, 6.0):
            site = _with_idle_ones(tiers, fallback_A)
            _, memory = allocate(site, config, NOW_US)
            fresh = median_ms(lambda site=site: allocate(site, config, NOW_US, Memory()))  # type: ignore[misc]
            again = median_ms(lambda site=site, memory=memory: allocate(site, config, NOW_US, memory))  # type: ignore[misc]
            print(f"  {len(tiers)} tiers, fallback {fallback_A} A: {fresh:.2f} {again:.2f}")


def _with_idle_ones(tiers: tuple[int, ...], fallback_A: float | None) -> EnergyFlowRequest:
    def one(i: int) -> EnergyFlowRequest:
        imports = {"A": 0.0} if i % 10 < 3 else None
        priority = tiers[i % len(tiers)]
        return evse(f"evse_{i}", imports=imports, priority=priority, fallback_A=fallback_A)

    panels = [
        node(f"panel_{p}", *(one(20 * p + i) for i in range(20)), imports={"A": 300.0 + p}) for p in range(50)
    ]
    return all_packed(node("root", *panels, imports={"A": 10_000.0}))


if __name__ == "__main__":
    main()
