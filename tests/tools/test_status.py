"""What `amptree status` prints."""

from __future__ import annotations

import json

from actors.energy.market import allocate
from actors.energy.messages import OptimizerStatus
from actors.energy.types import EnergyManagerConfig, PackedForecast
from tests.energy.market.building import LATER, NOW, NOW_US, changing_site
from tools.client import SiteStatus
from tools.status import as_json


def test_the_forecast_is_written_as_entries() -> None:
    forecast = tuple(allocate(changing_site(), EnergyManagerConfig(), NOW_US)[0])
    assert isinstance(forecast[0].schedule, PackedForecast)
    told = json.loads(
        as_json(SiteStatus(site="garage", modules=(), optimizer=OptimizerStatus(forecast=forecast)))
    )
    car = told["optimizer"]["forecast"][0]
    assert car["uuid"] == "car"
    phases = {"value": 3, "source": "car/phases"}
    assert car["schedule"] == [
        {"timestamp": at, "limits_to_root": {"ac_max_current_A": current, "ac_max_phase_count": phases}}
        for at, current in (
            (NOW, {"value": 8.0, "source": "car/A"}),
            (LATER, {"value": 20.0, "source": "root/A"}),
        )
    ]


def test_before_the_first_run_of_the_market_there_is_no_forecast() -> None:
    assert json.loads(as_json(SiteStatus(site="garage", modules=())))["optimizer"] is None
