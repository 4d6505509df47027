"""What messages ask for, and how those are refused that ask for what cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.energy.external import CancelDelay, ClearLimits, Heartbeat, SetLimits
from actors.energy.types import LimitsReq, NumberWithSource
from actors.gateways.mqtt.requests import Ask, AskError, Nothing, Reader, Renew, Reply, Tell
from actors.gateways.mqtt.topics import Topics
from actors.mqtt.message import PAYLOAD_MAX_B, arrived
from tests.gateways.mqtt_sites import site

SITE = site()
TOPICS = Topics(SITE, "", "mqtt", "homeassistant")
READER = Reader(SITE, list(SITE.modules), TOPICS)
API = "everest_api/1/external_energy_limits_consumer"
NO_SCHEDULES: dict[str, Any] = {"schedule_import": [], "schedule_export": [], "schedule_setpoints": []}


def read(topic: str, content: Any = b"", **more: Any) -> Ask:
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    way = TOPICS.way_in(topic)
    assert way is not None
    return READER.read(way, arrived(topic, payload, **more))


def refused(topic: str, content: Any = b"", **more: Any) -> str:
    with pytest.raises(AskError) as caught:
        read(topic, content, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def set_by(topic: str, content: Any) -> SetLimits:
    ask = read(topic, content)
    assert isinstance(ask, Tell)
    assert isinstance(ask.event, SetLimits)
    return ask.event


def to_root(**limits: Any) -> dict[str, Any]:
    entry = {"timestamp": "2026-01-01T00:00:00Z", "limits_to_root": limits, "limits_to_leaves": {}}
    return {**NO_SCHEDULES, "schedule_import": [entry]}


def import_limits(content: Any) -> LimitsReq:
    made = set_by(f"{API}/ac/m2e/set_external_limits", content)
    return made.limits.schedule_import[0].limits_to_root


# --- EVerest's API -----------------------------------------------------------------------------------


def test_everests_limits_become_those_of_its_source() -> None:
    made = set_by(
        f"{API}/ac/m2e/set_external_limits", to_root(total_power_W={"value": 11000, "source": "ems"})
    )
    assert made.source == "everest_api"
    limit = made.limits.schedule_import[0].limits_to_root.total_power_W
    assert limit == NumberWithSource(11000.0, "everest_api/ems")


def test_everests_limits_need_all_three_schedules() -> None:
    for name in NO_SCHEDULES:
        given = {key: value for key, value in NO_SCHEDULES.items() if key != name}
        assert f"{name} missing" in refused(f"{API}/ac/m2e/set_external_limits", given)


def test_members_that_say_no_limit_are_left_out_and_others_refused() -> None:
    content = to_root(ac_max_current_A={"value": 10, "source": "x", "comment": "y"})
    content["schedule_import"][0]["note"] = "z"
    content["version"] = 7
    assert import_limits(content).ac_max_current_A == NumberWithSource(10.0, "everest_api/x")
    told = refused(f"{API}/ac/m2e/set_external_limits", to_root(total_power_kW={"value": 11, "source": "x"}))
    assert "total_power_kW" in told


def test_limits_of_each_phase_hold_for_all() -> None:
    per_phase = {"L1": 20, "L3": 12.5, "source": "x"}
    assert import_limits(to_root(ac_max_current_per_phase_A=per_phase)).ac_max_current_A == NumberWithSource(
        12.5, "everest_api/x"
    )
    both = to_root(ac_max_current_per_phase_A=per_phase, ac_max_current_A={"value": 10, "source": "y"})
    assert import_limits(both).ac_max_current_A == NumberWithSource(10.0, "everest_api/y")
    wrong = to_root(ac_max_current_per_phase_A={"L1": "20", "source": "x"})
    assert "ac_max_current_per_phase_A" in refused(f"{API}/ac/m2e/set_external_limits", wrong)


def test_no_phases_are_no_current() -> None:
    limits = import_limits(to_root(ac_max_phase_count={"value": 0, "source": "x"}))
    assert limits.ac_max_phase_count is None
    assert limits.ac_max_current_A == NumberWithSource(0.0, "everest_api/x")
    assert limits.total_power_W == NumberWithSource(0.0, "everest_api/x")


def test_the_example_of_everests_description_is_taken_as_it_stands() -> None:
    number, side = {"value": 0, "source": "string"}, {}
    for name in ("total_power_W", "ac_max_current_A", "ac_min_current_A"):
        side[name] = number
    side |= {"ac_max_phase_count": number, "ac_min_phase_count": number}
    side |= {"ac_supports_changing_phases_during_charging": True, "ac_number_of_active_phases": 1}  # type: ignore[dict-item]
    stamp = "2019-08-24T14:15:22Z"
    entry = {"timestamp": stamp, "limits_to_root": side, "limits_to_leaves": side, "conversion_efficiency": 1}
    entry["price_per_kwh"] = {"timestamp": stamp, "value": 0, "currency": "str"}
    setpoint = {"ac_current_A": 0, "total_power_W": 0, "priority": 1000, "source": "string"}
    setpoint["frequency_table"] = [{"frequency_Hz": 0, "total_power_W": 0}]
    schedules = {"schedule_import": [entry], "schedule_export": [entry]}
    schedules["schedule_setpoints"] = [{"timestamp": stamp, "setpoint": setpoint}]
    assert import_limits(schedules).total_power_W == NumberWithSource(0.0, "everest_api/string")


def test_a_sign_of_life_counts_where_it_is_declared() -> None:
    ask = read(f"{API}/energy_root/m2e/communication_check", b"true")
    assert isinstance(ask, Tell)
    assert ask.event == Heartbeat(source="everest_api")
    assert isinstance(read(f"{API}/energy_root/m2e/communication_check", b"false"), Nothing)
    assert isinstance(read(f"{API}/ac/m2e/communication_check", b"true"), Nothing)
    assert refused(f"{API}/ac/m2e/communication_check", b"1") == "expected true or false, got 1"


def test_questions_say_where_the_answer_goes() -> None:
    asked = {"headers": {"replyTo": "here"}}
    assert read(f"{API}/ac/m2e/capabilities/get", asked) == Reply("capabilities/get", "ac", "here")
    assert read("everest_api/discover", b"", reply_to="there") == Reply("discover", "", "there")
    assert "replyTo" in refused("everest_api/discover", b"{}")
    assert "wildcards" in refused("everest_api/discover", {"headers": {"replyTo": "#"}})


# --- short ways --------------------------------------------------------------------------------------


def test_the_documentations_short_form_is_taken() -> None:
    grid = {"uuid": "grid-connection-1", "limits_root_side": {"total_power_W": 22e3, "ac_max_current_A": 32}}
    made = set_by("everest/garage/energy_root/set_limits", grid)
    assert (made.source, made.for_s) == ("grid-connection-1", None)
    limits = made.limits.schedule_import[0].limits_to_root
    assert limits.total_power_W == NumberWithSource(22e3, "grid-connection-1")
    assert limits.ac_max_current_A == NumberWithSource(32.0, "grid-connection-1")
    assert set_by("everest/garage/ac/set_limits", {**grid, "valid_for": 90}).for_s == 90.0
    assert "valid_for" in refused("everest/garage/ac/set_limits", {**grid, "valid_for": "soon"})


def test_prices_are_schedules_that_limit_nothing() -> None:
    price = {"timestamp": "2026-01-01T00:00:00Z", "value": 0.31, "currency": "EUR"}
    made = set_by(
        "everest/garage/energy_root/set_prices", {"schedule_import": [price], "schedule_export": []}
    )
    assert made.source == "mqtt_prices"
    (entry,) = made.limits.schedule_import
    assert (entry.price_per_kwh, entry.limits_to_root, entry.timestamp) == (
        price,
        LimitsReq(),
        price["timestamp"],
    )
    assert made.limits.schedule_export == ()
    assert "expected prices" in refused("everest/garage/energy_root/set_prices", to_root())
    wrong = {"schedule_import": [{**price, "value": "cheap"}]}
    assert "value" in refused("everest/garage/energy_root/set_prices", wrong)


def test_plain_numbers_are_limits_and_none_clears_them() -> None:
    watts = set_by("everest/garage/energy_mgmt/set_limit_watts", b" 22000 ")
    assert watts.source == "mqtt_watts"
    assert watts.limits.schedule_import[0].limits_to_root.total_power_W == NumberWithSource(
        22e3, "mqtt_watts"
    )
    amps = set_by("everest/garage/ac/set_limit_amps", b"0")
    assert amps.limits.schedule_import[0].limits_to_root.ac_max_current_A == NumberWithSource(
        0.0, "mqtt_amps"
    )
    cleared = read("everest/garage/ac/set_limit_amps", b"None")
    assert isinstance(cleared, Tell)
    assert cleared.event == ClearLimits(source="mqtt_amps")


@pytest.mark.parametrize(
    "number", [b"22kW", b"", b"-1", b"nan", b"inf", b"1e99", b"1_0", b"{}", b"32A", b"x" * 500]
)
def test_what_is_no_plain_number_is_refused(number: bytes) -> None:
    assert "expected" in refused("everest/garage/ac/set_limit_watts", number)


def test_sources_are_cleared_and_heard_by_name() -> None:
    cleared = read("everest/garage/ac/clear_limits", b"grid")
    heard = read("everest/garage/ac/heartbeat", b"grid")
    assert isinstance(cleared, Tell)
    assert isinstance(heard, Tell)
    assert (cleared.event, heard.event) == (ClearLimits(source="grid"), Heartbeat(source="grid"))
    cancelled = read("everest/garage/ac/cancel_delay", b"grid")
    assert isinstance(cancelled, Tell)
    assert cancelled.event == CancelDelay(source="grid")
    assert "name" in refused("everest/garage/ac/clear_limits", b"")
    assert "UTF-8" in refused("everest/garage/ac/clear_limits", b"\xff")


# --- garbage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "malformed JSON"),
        (b"\xff\xfe", "malformed JSON"),
        (b"[" * 100_000, "malformed JSON"),
        (b"5", "expected"),
        (b"[]", "expected"),
        (b"null", "expected"),
        ({**NO_SCHEDULES, "schedule_import": 5}, "schedule_import"),
        ({**NO_SCHEDULES, "schedule_import": [5]}, "schedule_import"),
        (to_root(total_power_W=5), "total_power_W"),
        (to_root(total_power_W={"value": "5", "source": "x"}), "total_power_W"),
    ],
)
def test_garbage_is_refused_in_one_line(content: Any, words: str) -> None:
    told = refused(f"{API}/ac/m2e/set_external_limits", content)
    assert words in told or "external limits" in told


def test_a_huge_message_is_refused_with_its_size() -> None:
    told = refused(f"{API}/ac/m2e/set_external_limits", b"x" * (PAYLOAD_MAX_B + 1))
    assert str(PAYLOAD_MAX_B + 1) in told


def test_a_retained_limit_is_refused() -> None:
    assert "retained" in refused("everest/garage/ac/set_limit_watts", b"5", retained=True)


def test_a_module_that_is_not_there_is_named() -> None:
    assert refused("everest/garage/nobody/set_limit_watts", b"5") == "no module 'nobody' in site garage"
    elsewhere = Reader(SITE, ["ac"], TOPICS)
    way = TOPICS.way_in("everest/garage/dc/set_limit_watts")
    assert way is not None
    with pytest.raises(AskError, match="no module 'dc' below this controller"):
        elsewhere.read(way, arrived("everest/garage/dc/set_limit_watts", b"5"))


def test_home_assistants_birth_is_heard_also_when_retained() -> None:
    assert read("homeassistant/status", b"online", retained=True) == Renew()
    assert read("homeassistant/status", b"offline") == Nothing("")
