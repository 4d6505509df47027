"""What a site tells a broker, and Home Assistant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from actors.energy.amount import Amount
from actors.energy.external import ShortLimits, SourceStatus, short_form
from actors.energy.market import allocate
from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.energy.types import EnergyManagerConfig, LimitsRes, NumberWithSource
from actors.gateways.mqtt.home_assistant import announcements
from actors.gateways.mqtt.telemetry import capabilities, telemetry
from actors.gateways.mqtt.topics import Topics
from actors.site import MqttLink
from tests.energy.market.building import LATER, NOW, NOW_US, changing_site
from tests.gateways.mqtt_sites import TEXT, site

SITE = site()
TOPICS = Topics(SITE, "", "mqtt", "homeassistant")
EVSE = ModuleStatus(
    id="ac",
    kind="EvseManager",
    controller="energy_root",
    state="Charging",
    wants_A=16.0,
    limit=LimitsRes(ac_max_current_A=NumberWithSource(16.0, "floor/fuse")),
    granted=Amount(16.0, 11040.0),
    exposure=Amount(16.0, 11040.0),
    in_force_A=16.0,
    phases=3,
    currents_A=(15.9, 15.8, 15.7),
    power_W=10902.0,
)
ROOT = ModuleStatus(id="energy_root", kind="EnergyManager", controller="energy_root", state="ok")


def told(*modules: ModuleStatus, optimizer: OptimizerStatus | None = None) -> dict[str, Any]:
    contents = telemetry(SITE, TOPICS, modules, optimizer, 1_800_000_000_000_000)
    return {
        topic: content.decode()
        if topic.endswith(("state", "limit_watts", "limit_amps"))
        else json.loads(content)
        for topic, content in contents.items()
    }


def test_an_evse_tells_what_it_wants_has_and_draws() -> None:
    reason = "ac gets 16 A, bound by: floor/fuse"
    own = told(EVSE, optimizer=OptimizerStatus(reasons=(reason,)))
    at = "everest/garage/ac/energy_grid"
    assert own[f"{at}/state"] == "Charging"
    assert own[f"{at}/request"] == {"ac_max_current_A": 16.0, "total_power_W": None}
    assert own[f"{at}/limits"]["ac_max_current_A"] == {"value": 16.0, "source": "floor/fuse"}
    assert own[f"{at}/limits"]["reason"] == reason
    assert own[f"{at}/in_force"] == {"ac_max_current_A": 16.0, "total_power_W": None, "phases": 3}
    assert own[f"{at}/current"] == {"L1": 15.9, "L2": 15.8, "L3": 15.7, "power_W": 10902.0}
    assert own[f"{at}/alarms"] == []


def test_of_a_silent_module_nothing_is_told_that_may_be_true_no_more() -> None:
    own = told(replace(EVSE, alive=False, age_s=9.0, note="not heard"))
    at = "everest/garage/ac/energy_grid"
    assert own[f"{at}/state"] == "silent"
    assert own[f"{at}/current"] is None
    assert own[f"{at}/in_force"] is None
    assert own[f"{at}/alarms"] == ["silent", "not heard"]
    enforced = own["everest_api/1/evse_manager_consumer/ac/e2m/enforced_limits"]
    assert (enforced["valid_for"], enforced["limits_root_side"]) == (0, {})


def test_enforced_limits_are_everests_and_no_more_than_granted() -> None:
    topic = "everest_api/1/evse_manager_consumer/ac/e2m/enforced_limits"
    enforced = told(EVSE)[topic]
    assert enforced["uuid"] == "ac"
    assert enforced["valid_for"] == 10
    assert enforced["limits_root_side"] == {"ac_max_current_A": {"value": 16.0, "source": "floor/fuse"}}
    assert enforced["schedule"][0]["limits_to_root"] == enforced["limits_root_side"]
    waiting = told(replace(EVSE, granted=Amount(6.0, 4140.0)))[topic]
    assert waiting["limits_root_side"]["ac_max_current_A"] == {"value": 6.0, "source": "ac/waits for room"}


def test_what_the_market_foresees_is_told_as_entries() -> None:
    allocation, _ = allocate(changing_site("ac"), EnergyManagerConfig(), NOW_US)
    own = told(EVSE, optimizer=OptimizerStatus(forecast=tuple(allocation)))
    enforced = own["everest_api/1/evse_manager_consumer/ac/e2m/enforced_limits"]
    currents = [(e["timestamp"], e["limits_to_root"]["ac_max_current_A"]) for e in enforced["schedule"]]
    assert currents == [
        (NOW, {"value": 8.0, "source": "ac/A"}),
        (LATER, {"value": 20.0, "source": "root/A"}),
    ]


def test_the_root_tells_the_same_by_its_other_name() -> None:
    own = told(ROOT, optimizer=OptimizerStatus(runs=7))
    assert own["everest/garage/energy_root/optimizer"]["runs"] == 7
    assert own["everest/garage/energy_mgmt/optimizer"] == own["everest/garage/energy_root/optimizer"]


def test_sources_are_told_with_the_failsafe_as_an_alarm() -> None:
    limits = short_form(ShortLimits(total_power_W=22000.0), "mqtt_watts")
    sources = (
        SourceStatus(name="mqtt_watts", state="set", limits=limits),
        SourceStatus(name="grid", state="failsafe", silent_s=17.0),
    )
    own = told(replace(ROOT, sources=sources))
    assert own["everest/garage/energy_root/limit_watts"] == "22000"
    assert own["everest/garage/energy_root/limit_amps"] == "None"
    assert [s["name"] for s in own["everest/garage/energy_root/sources"]] == ["mqtt_watts", "grid"]
    assert own["everest/garage/energy_root/alarms"] == ["source grid is silent: its failsafe holds"]


@pytest.mark.parametrize(
    ("module", "current_A", "phases", "power_W"),
    [
        ("ac", 16, 3, 11040),
        ("dc", 32, 3, 15000),
        ("floor", 32, 3, 22080),
        ("energy_root", 32, 3, 22080),
    ],
)
def test_capabilities_are_everests(module: str, current_A: float, phases: int, power_W: float) -> None:
    assert capabilities(SITE, module) == {
        "max_current_A": current_A,
        "max_phase_count": phases,
        "nominal_voltage_V": 230.0,
        "total_power_W": power_W,
    }


def test_a_node_without_a_fuse_can_do_what_those_below_it_can() -> None:
    free = site(TEXT.replace("config: {fuse_limit_A: 32}", "config: {}"))
    assert capabilities(free, "floor")["max_current_A"] == 16 + 32


# --- Home Assistant ----------------------------------------------------------------------------------


def devices(text: str = TEXT) -> dict[str, Any]:
    told_site = site(text)
    names = Topics(told_site, "", "mqtt", "homeassistant")
    gateway = told_site.gateways["mqtt"]
    assert isinstance(gateway, MqttLink)
    made = announcements(told_site, gateway, names, list(told_site.modules))
    return {topic: json.loads(content) for topic, content in made}


def test_each_module_is_a_device_below_its_parent() -> None:
    made = devices()
    assert len(made) == 4
    device = made["homeassistant/device/amptree_garage_ac/config"]
    assert device["device"]["identifiers"] == ["amptree_garage_ac"]
    assert device["device"]["via_device"] == "amptree_garage_floor"
    assert device["origin"] == {"name": "amptree"}
    assert device["availability_topic"] == "everest/garage/mqtt/availability"


def test_each_part_has_what_home_assistant_needs_and_its_topics_are_told() -> None:
    told_topics = telemetry(
        SITE, TOPICS, (EVSE, ROOT, replace(EVSE, id="dc"), replace(ROOT, id="floor")), None, 0
    )
    seen = set()
    for device in devices().values():
        for part in device["components"].values():
            assert part["platform"] in ("sensor", "binary_sensor", "number", "button")
            assert part["unique_id"] not in seen
            seen.add(part["unique_id"])
            if part["platform"] != "button":
                assert part["state_topic"] in told_topics
            if part["platform"] in ("number", "button"):
                assert TOPICS.way_in(part["command_topic"]) is not None
    assert len(seen) > 20


def test_without_limits_there_is_nothing_to_press() -> None:
    only_watched = TEXT.replace(
        "mqtt: {module: MqttGateway}", "mqtt: {module: MqttGateway, config: {accept_limits: false}}"
    )
    kinds = {
        part["platform"]
        for device in devices(only_watched).values()
        for part in device["components"].values()
    }
    assert kinds == {"sensor", "binary_sensor"}
