"""What the market's cost depends on: not on the slice. (Figures: benchmark.py beside this file.)"""

from __future__ import annotations

from typing import Any

import pytest

from actors.energy.market import allocate, filling, rounds
from actors.energy.types import EnergyManagerConfig
from tests.energy.market.building import NOW_US, evse, node


@pytest.mark.parametrize("fuse_A", [10_000.0, 4_000.0, 2_000.0])
def test_the_work_of_a_run_does_not_depend_on_the_slice(
    fuse_A: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, filled = filling.fill, []

    def counted(*args: Any, **kwargs: Any) -> Any:
        filled.append(1)
        return fill(*args, **kwargs)

    monkeypatch.setattr(rounds, "fill", counted)
    panels = [
        node(f"panel_{p}", *(evse(f"evse_{p}_{i}") for i in range(5)), imports={"A": 75.0 + p})
        for p in range(20)
    ]
    site = node("root", *panels, imports={"A": fuse_A})
    counts = []
    for slice_ampere in (1.0, 0.5, 1e-5):
        filled.clear()
        allocate(site, EnergyManagerConfig(slice_ampere=slice_ampere), NOW_US)
        counts.append(len(filled))
    assert counts[0] > 0
    assert len(set(counts)) == 1
