"""A building's load beside the cars, measured at their node, on a running site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import RunningSite, plugged, site_data, wait_for

Begin = Callable[..., RunningSite]
FUSE_A, DECLARED_A = 63.0, 40.0
RISES_S, DIES_S, BACK_S, FREEZES_S = 28.0, 38.0, 50.0, 70.0
"""After the plant has begun: each is seen before the next comes, also where the machine is busy."""
BEFORE, AFTER = [4, 9.7, 6], [4, 29.7, 6]
LEFT_A, LEFT_AFTER_A = FUSE_A - 11.0, FUSE_A - 31.0  # and the margin of 1 A, rounded up to half an ampere


def cars_A(sample: dict[str, Any]) -> float:
    """What the cars may draw."""
    return float(sum(evse["limit_A"] for evse in sample["evses"].values()))


@pytest.mark.long
def test_cars_get_what_the_building_leaves_as_long_as_its_meter_can_be_believed(begin: Begin) -> None:
    data = site_data("building_load.yaml", [plugged("evse_1"), plugged("evse_2")])
    data["plant"] |= {
        "fixed_loads": [
            {"node": "garage_node", "at_s": 0, "currents_A": BEFORE},
            {"node": "garage_node", "at_s": RISES_S, "currents_A": AFTER},
        ],
        "meters": [
            {"node": "garage_node", "at_s": DIES_S, "state": "dead"},
            {"node": "garage_node", "at_s": BACK_S, "state": "ok"},
            {"node": "garage_node", "at_s": FREEZES_S, "state": "frozen"},
        ],
    }
    data["active_modules"]["garage_node"]["meter"] |= {"frozen_s": 6, "hold_s": 5}
    site = begin.data(data, "building_load")  # type: ignore[attr-defined]

    def cars_get(amount_A: float) -> Callable[[], bool]:
        return lambda: cars_A(site.record()[-1]) == pytest.approx(amount_A, abs=0.01)

    wait_for("cars get all that is left", cars_get(LEFT_A))
    node = site.modules()["garage_node"]
    assert node.fixed_load == "11 A are kept for its fixed load (measured)"
    assert node.capacity_source == "garage_node/fuse less fixed load"

    wait_for("cars give way to the building", cars_get(LEFT_AFTER_A))
    wait_for("the meter is dead: what is declared counts", cars_get(FUSE_A - DECLARED_A))
    assert "its meter is silent for 5 s or more" in site.modules()["garage_node"].fixed_load
    wait_for("the meter is back", cars_get(LEFT_AFTER_A))
    wait_for("the meter is frozen: what is declared counts", cars_get(FUSE_A - DECLARED_A))
    assert "its meter shows the same for 6 s or more" in site.modules()["garage_node"].fixed_load
