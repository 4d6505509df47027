"""The names of topics, out and in."""

from __future__ import annotations

import pytest

from actors.gateways.mqtt.topics import Topics, Way
from tests.gateways.mqtt_sites import TEXT, site

TOPICS = Topics(site(), "", "mqtt", "homeassistant")
API = "everest_api/1/external_energy_limits_consumer"


def test_the_documentations_subscriptions_find_what_is_told() -> None:
    """`everest/+/energy_mgmt/+` and `everest/+/evse_1/energy_grid/+`."""
    assert TOPICS.alias("limits") == "everest/garage/energy_mgmt/limits"
    assert TOPICS.telemetry("energy_root", "limits") == "everest/garage/energy_root/limits"
    assert TOPICS.telemetry("ac", "limits") == "everest/garage/ac/energy_grid/limits"


def test_a_root_or_another_module_of_that_name_has_no_alias() -> None:
    renamed = site(TEXT.replace("energy_root", "energy_mgmt"))
    names = Topics(renamed, "", "mqtt", None)
    assert names.alias("limits") is None
    assert names.telemetry("energy_mgmt", "limits") == "everest/garage/energy_mgmt/limits"
    other = Topics(site(TEXT.replace("floor", "energy_mgmt")), "", "mqtt", None)
    assert other.alias("limits") is None
    assert other.module_id("energy_mgmt") == "energy_mgmt"
    assert TOPICS.module_id("energy_mgmt") == "energy_root"


def test_a_prefix_goes_before_all_but_home_assistants() -> None:
    names = Topics(site(), "berlin/", "mqtt", "ha")
    assert names.availability == "berlin/everest/garage/mqtt/availability"
    assert names.limits_api("ac", "heartbeat") == f"berlin/{API}/ac/e2m/heartbeat"
    assert names.discovery("x") == "ha/device/x/config"
    assert names.way_in(f"berlin/{API}/ac/m2e/set_external_limits") == Way(
        "set_external_limits", "ac", api=True
    )
    assert names.way_in(f"{API}/ac/m2e/set_external_limits") is None


@pytest.mark.parametrize(
    ("topic", "way"),
    [
        ("everest/garage/ac/set_limit_watts", Way("set_limit_watts", "ac")),
        ("everest/garage/energy_mgmt/heartbeat", Way("heartbeat", "energy_mgmt")),
        ("everest/garage/ac/energy_grid/limits", None),
        ("everest/other/ac/set_limit_watts", None),
        ("everest/garage/ac/set_limit_watts/more", None),
        ("everest_api/discover", Way("discover", api=True)),
        ("everest_api/query-modules/x", Way("query-modules", "x", api=True)),
        (f"{API}/ac/m2e/capabilities/get", Way("capabilities/get", "ac", api=True)),
        (f"{API}/ac/m2e/communication_check", Way("communication_check", "ac", api=True)),
        (f"{API}/ac/e2m/heartbeat", None),
        (f"{API.replace('/1/', '/2/')}/ac/m2e/communication_check", None),
        ("homeassistant/status", Way("status")),
        (f"everest/garage/{'x' * 65_000}/set_limits", None),
        ("", None),
    ],
)
def test_ways_in_are_told_apart(topic: str, way: Way | None) -> None:
    assert TOPICS.way_in(topic) == way


def test_whatever_is_subscribed_has_a_way_in() -> None:
    for pattern, _ in TOPICS.filters(["ac"], accept_limits=True):
        assert TOPICS.way_in(pattern.replace("+", "ac")) is not None


def test_a_gateway_that_takes_no_limits_listens_to_none() -> None:
    watched = [topic for topic, _ in TOPICS.filters(["ac"], accept_limits=False)]
    assert not [topic for topic in watched if "set_" in topic or "clear" in topic or "check" in topic]
    assert f"{API}/ac/m2e/capabilities/get" in watched


@pytest.mark.parametrize(
    "topic",
    ["", "a/+/b", "a/#", "$SYS/x", "x" * 600, "a\0b", "everest_api/discover", "everest/garage/ac/set_limits"],
)
def test_answers_go_nowhere_where_they_would_do_harm(topic: str) -> None:
    assert TOPICS.fault_of_reply(topic)


def test_answers_go_where_a_client_wants_them() -> None:
    assert TOPICS.fault_of_reply(f"{API}/ac/e2m/capabilities/4711") is None
    assert TOPICS.fault_of_reply("your/arbitrary/reply/topic") is None
