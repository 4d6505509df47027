"""A site at a real broker: what it tells, what it is told, and what becomes of it when that fails."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.energy.packing import entries_of
from actors.mqtt.message import PAYLOAD_MAX_B
from tests.integration.brokers import Listener, Mosquitto, broker, needs_mosquitto
from tests.integration.conftest import ROOT, RunningSite, amptree, plugged, site_data, wait_for

pytestmark = needs_mosquitto

Begin = Callable[..., RunningSite]
V = 230
EVSES = ["evse_1a", "evse_1b", "evse_2a", "evse_2b", "evse_2c"]
LEVEL, LEVEL_EVSES = "floor_2_node", EVSES[2:]
API = "everest_api/1/external_energy_limits_consumer"
OWN = "everest/hierarchical"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with broker(tmp_path / "broker") as one:
        yield one


def with_gateway(mosquitto: Mosquitto, cars: list[str], **config: Any) -> dict[str, Any]:
    data = site_data("hierarchical.yaml", [plugged(evse) for evse in cars])
    gateway = {"host": "127.0.0.1", "port": mosquitto.port, **config}
    data["active_modules"]["mqtt"] = {"module": "MqttGateway", "config": gateway}
    return data


def power_in_force_W(site: RunningSite, evses: Sequence[str] = EVSES) -> float:
    held = site.record()[-1]["evses"]
    return float(sum(held[evse]["limit_A"] for evse in evses)) * 3 * V


def answer(listener: Listener, topic: str, **right: Any) -> dict[str, Any]:
    """What became of a message."""
    told: dict[str, Any] = listener.heard(topic, lambda got: all(got.get(k) == v for k, v in right.items()))
    return told


@pytest.mark.long
def test_a_site_is_watched_limited_and_tried_over_a_broker(
    begin: Begin, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    data = with_gateway(mosquitto, EVSES)
    data["active_modules"][LEVEL]["external_limits"] = {"dso": {"lpc": {"heartbeat_timeout_s": 8}}}
    site = begin.data(data, "hierarchical")  # type: ignore[attr-defined]
    with Listener(mosquitto.port, f"{OWN}/#", f"{API}/+/e2m/result") as listener:
        # The two subscriptions of the documentation, with mosquitto_sub; all of it is retained.
        wait_for("an EVSE is told", lambda: listener.newest.get(f"{OWN}/evse_2c/energy_grid/state"))
        told = mosquitto.sub("-v", "-t", "everest/+/energy_mgmt/+", "--retained-only", "-W", "1")
        assert {line.split()[0].rpartition("/")[2] for line in told} >= {
            "state",
            "limits",
            "optimizer",
            "alarms",
        }
        told = mosquitto.sub("-v", "-t", "everest/+/evse_1a/energy_grid/+", "--retained-only", "-W", "1")
        assert {line.split()[0].rpartition("/")[2] for line in told} >= {
            "request",
            "limits",
            "current",
            "state",
        }
        assert listener.newest[f"{OWN}/mqtt/availability"] == b"online"

        # The documentation's grid example, and plain numbers beside it; the most restrictive wins.
        grid = {
            "uuid": "grid-connection-1",
            "limits_root_side": {"total_power_W": 22e3, "ac_max_current_A": 32},
        }
        mosquitto.pub(f"{OWN}/energy_mgmt/set_limits", json.dumps(grid))
        done = answer(listener, f"{OWN}/energy_mgmt/result", ok=True)
        assert done["told"] == "limits of grid-connection-1 are set until they are cleared"
        wait_for("22 kW hold", lambda: power_in_force_W(site) <= 22e3 + 1)
        mosquitto.pub(f"{OWN}/energy_root/set_limit_watts", "15000")
        answer(listener, f"{OWN}/energy_root/result", ok=True)
        wait_for("15 kW hold", lambda: power_in_force_W(site) <= 15e3 + 1)
        listener.heard(f"{OWN}/evse_1a/energy_grid/limits", lambda limits: "mqtt_watts" in json.dumps(limits))
        wait_for("it is told", lambda: listener.newest.get(f"{OWN}/energy_root/limit_watts") == b"15000")
        mosquitto.pub(f"{OWN}/energy_root/set_limit_watts", "none")
        assert answer(listener, f"{OWN}/energy_root/result")["told"] == "limits of mqtt_watts are cleared"
        wait_for("22 kW hold again", lambda: power_in_force_W(site) == pytest.approx(22e3, abs=10))

        solar_battery_and_reserve(site, mosquitto, listener)
        prices(site, mosquitto, listener)
        grid_operator(site, mosquitto, listener)
        garbage(site, mosquitto, listener, tmp_path)
        flood(site, mosquitto, listener)
        broker_that_dies(site, mosquitto, listener)


def solar_battery_and_reserve(site: RunningSite, mosquitto: Mosquitto, listener: Listener) -> None:
    """The documentation's messages, as they stand there; the most restrictive wins."""
    text = (ROOT / "docs" / "mqtt.md").read_text()
    shown = re.findall(
        r"mosquitto_pub -t (\S+) -m '(.*\"uuid\": \"(solar|battery|building_reserve)\".*)'", text
    )
    assert [source for _, _, source in shown] == ["solar", "building_reserve", "battery"]
    for topic, message, source in shown:
        assert topic == "everest/SITE/energy_root/set_limits"
        mosquitto.pub(f"{OWN}/energy_root/set_limits", message)
        answer(
            listener,
            f"{OWN}/energy_root/result",
            ok=True,
            told=f"limits of {source} are set until they are cleared",
        )
    lowest_W = min(json.loads(message)["limits_root_side"]["total_power_W"] for _, message, _ in shown)
    wait_for("the least of them holds", lambda: power_in_force_W(site) == pytest.approx(lowest_W, abs=10))
    for _, _, source in shown:
        mosquitto.pub(f"{OWN}/energy_root/clear_limits", source)
        answer(listener, f"{OWN}/energy_root/result", told=f"limits of {source} are cleared")
    wait_for("22 kW hold again", lambda: power_in_force_W(site) == pytest.approx(22e3, abs=10))


def prices(site: RunningSite, mosquitto: Mosquitto, listener: Listener) -> None:
    """Of both directions, in the request that the market is asked, beside the limits of others."""

    def at(hours: float, value: float) -> dict[str, Any]:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + hours * 3600))
        return {"timestamp": stamp, "value": value, "currency": "EUR"}

    told = {"schedule_import": [at(0, 0.31), at(0.5, -0.02)], "schedule_export": [at(0, 0.08)]}
    mosquitto.pub(f"{OWN}/energy_root/set_prices", json.dumps(told))
    answer(listener, f"{OWN}/energy_root/result", ok=True)
    wait_for("they are told", lambda: listener.json(f"{OWN}/energy_root/prices") == told)

    def asked() -> Any:
        status = site.try_status(with_request=True)
        request = None if status is None or status.optimizer is None else status.optimizer.request
        if (
            request is None
            or len(entries_of(request.schedule_import)) < 2
            or not entries_of(request.schedule_export)[0].price_per_kwh
        ):
            return None
        return request

    request = wait_for("they are asked with", asked)
    assert [e.price_per_kwh["value"] for e in request.schedule_import] == [0.31, -0.02]
    assert request.schedule_export[0].price_per_kwh["value"] == 0.08
    assert all(e.limits_to_root.total_power_W.value == 22e3 for e in request.schedule_import)
    mosquitto.pub(f"{OWN}/energy_root/clear_limits", "mqtt_prices")
    wait_for("they are gone", lambda: listener.newest[f"{OWN}/energy_root/prices"] == b"null")


def grid_operator(site: RunningSite, mosquitto: Mosquitto, listener: Listener) -> None:
    """A grid operator's box at one level, through the states of LPC."""
    to = f"{OWN}/{LEVEL}"

    def is_in(state: str, watts: float | None) -> None:
        told = listener.heard(f"{to}/energy_grid/sources", lambda all_of: all_of[0]["state"] == state)
        limits = told[0]["limits"]
        assert (limits is None) == (watts is None)
        if watts is not None:
            assert limits["schedule_import"][0]["limits_to_root"]["total_power_W"]["value"] == watts
            wait_for(f"{watts} W hold", lambda: power_in_force_W(site, LEVEL_EVSES) <= watts + 1)

    def sets(watts: float) -> None:
        limit = {"uuid": "dso", "limits_root_side": {"total_power_W": watts}}
        mosquitto.pub(f"{to}/set_limits", json.dumps(limit))

    assert listener.json(f"{to}/energy_grid/sources")[0]["state"] == "init"
    sets(9000)
    assert "no heartbeat within the last 60 s" in answer(listener, f"{to}/result", ok=False)["error"]
    mosquitto.pub(f"{to}/heartbeat", "dso")
    sets(9000)
    is_in("limited", 9000)
    mosquitto.pub(f"{to}/heartbeat", "dso")
    mosquitto.pub(f"{to}/clear_limits", "dso")
    is_in("unlimited/controlled", None)
    is_in("failsafe", 4200)
    wait_for("it is an alarm", lambda: b"dso" in listener.newest[f"{to}/energy_grid/alarms"])
    mosquitto.pub(f"{to}/clear_limits", "dso")
    answer(listener, f"{to}/result", ok=False)
    mosquitto.pub(f"{to}/heartbeat", "dso")
    sets(6000)
    is_in("limited", 6000)
    is_in("failsafe", 4200)
    wait_for("the other level has the rest", lambda: power_in_force_W(site) == pytest.approx(22e3, abs=10))


def garbage(site: RunningSite, mosquitto: Mosquitto, listener: Listener, folder: Path) -> None:
    """Each has a clear answer, and the site is as before."""
    huge = folder / "huge.json"
    huge.write_bytes(b'{"schedule_import": [' + b" " * PAYLOAD_MAX_B)
    for topic, payload, words in (
        (f"{API}/evse_1a/m2e/set_external_limits", "{", "malformed JSON"),
        (f"{API}/evse_1a/m2e/set_external_limits", "{}", "schedule_import, schedule_export"),
        (f"{API}/energy_root/m2e/set_external_limits", huge, "too large"),
        (f"{API}/energy_root/m2e/communication_check", "perhaps", "malformed JSON"),
        (f"{OWN}/energy_root/set_limit_watts", "22kW", "expected a plain number of W"),
        (f"{OWN}/energy_root/set_limits", '{"limits_root_side": {"total_power_kW": 22}}', "total_power_kW"),
        (f"{OWN}/energy_root/set_limits", '{"limits_root_side": {"total_power_W": -1}}', "not negative"),
        (f"{OWN}/energy_root/clear_limits", "nobody", "no source 'nobody' here"),
        (f"{OWN}/cellar/set_limit_amps", "5", "no module 'cellar'"),
    ):
        if isinstance(payload, Path):
            mosquitto.pub_file(topic, payload)
        else:
            mosquitto.pub(topic, payload)
        name = topic.split("/")[3 if topic.startswith("everest_api") else 2]
        result = f"{API}/{name}/e2m/result" if topic.startswith("everest_api") else f"{OWN}/{name}/result"
        told = answer(listener, result, ok=False)
        assert told["topic"] == topic
        assert words in told["error"]
    assert site.complete()
    assert power_in_force_W(site) == pytest.approx(22e3, abs=10)


def flood(site: RunningSite, mosquitto: Mosquitto, listener: Listener) -> None:
    """Thousands of limits at once: the newest counts, and it is told that others were dropped."""
    listener.forget()
    topic = f"{OWN}/energy_root/set_limit_watts"
    for watts in range(30_000, 33_000):
        listener.client.publish(topic, str(watts), qos=0)
    listener.client.publish(topic, "9000", qos=1).wait_for_publish(20)
    result = f"{OWN}/energy_root/result"
    told = listener.heard(result, lambda got: "9000 W" in got.get("told", ""))
    assert told["ok"]
    wait_for("the newest holds", lambda: power_in_force_W(site) <= 9e3 + 1)
    assert site.complete()
    (gateway,) = wait_for("status", site.try_status).gateways
    assert gateway.ok
    assert gateway.refused > 1000
    mosquitto.pub(topic, "none")
    listener.heard(result, lambda got: got.get("told") == "limits of mqtt_watts are cleared")


def broker_that_dies(site: RunningSite, mosquitto: Mosquitto, listener: Listener) -> None:
    """Limits stay, the site goes on, and all is told again when the broker is back."""
    wait_for("22 kW hold again", lambda: power_in_force_W(site) == pytest.approx(22e3, abs=10))
    runs = wait_for("status", site.try_status).optimizer
    mosquitto.kill()
    wait_for("it is seen", lambda: not wait_for("status", site.try_status).gateways[0].ok)
    assert "is not connected with" in amptree("status").stdout
    listener.forget()
    (mosquitto.folder / "mosquitto.db").unlink(missing_ok=True)  # and it has lost all that it kept
    mosquitto.start()
    wait_for("it is told again", lambda: listener.newest.get(f"{OWN}/mqtt/availability") == b"online")
    wait_for("all of it", lambda: f"{OWN}/evse_2c/energy_grid/limits" in listener.newest)
    assert listener.json(f"{OWN}/energy_root/limits")["total_power_W"]["value"] == 22e3
    after = wait_for("status", site.try_status).optimizer
    assert runs is not None
    assert after is not None
    assert after.runs > runs.runs
    assert power_in_force_W(site) == pytest.approx(22e3, abs=10)
    # What is sent to the new broker counts as before.
    mosquitto.pub(f"{OWN}/energy_root/set_limit_watts", "12000")
    listener.heard(f"{OWN}/energy_root/result", lambda got: got["ok"])
    wait_for("12 kW hold", lambda: power_in_force_W(site) <= 12e3 + 1)


class EverestClient(Listener):
    """As somebody writes it who has only EVerest's description of the API at hand."""

    def __init__(self, port: int, node: str) -> None:
        self.base = f"{API}/{node}"
        super().__init__(port, f"{self.base}/e2m/#", "client/answers/#")

    def set_watts(self, watts: float) -> None:
        limit = {"total_power_W": {"value": watts, "source": "ems"}}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry = {"timestamp": stamp, "limits_to_root": limit, "limits_to_leaves": {}}
        limits = {"schedule_import": [entry], "schedule_export": [], "schedule_setpoints": []}
        self.send("set_external_limits", limits)

    def send(self, what: str, content: Any) -> None:
        self.client.publish(f"{self.base}/m2e/{what}", json.dumps(content), qos=1)

    def ask(self, topic: str, reply_to: str) -> Any:
        self.client.publish(topic, json.dumps({"headers": {"replyTo": reply_to}}), qos=1)
        return self.heard(reply_to)


@pytest.mark.long
def test_a_client_of_everests_api_works_unchanged_and_its_silence_is_safe(
    begin: Begin, mosquitto: Mosquitto
) -> None:
    data = with_gateway(mosquitto, EVSES, mqtt_version="3.1.1", home_assistant=False)
    data["active_modules"]["energy_root"]["external_limits"] = {
        "everest_api": {"heartbeat_timeout_s": 5, "failsafe": {"total_power_W": 4200}}
    }
    site = begin.data(data, "hierarchical")  # type: ignore[attr-defined]
    with EverestClient(mosquitto.port, "energy_root") as client:
        beats = [client.heard(f"{client.base}/e2m/heartbeat") for _ in range(3)]
        assert beats == list(range(beats[0], beats[0] + 3))
        found = client.ask("everest_api/discover", "client/answers/discover")["apis"]
        mine = next(
            a for a in found if (a["module_id"], a["type"]) == ("energy_root", API.rpartition("/")[2])
        )
        assert mine["version"] == 1
        assert mine["communication_monitoring"]["communication_check_period_s"] == 5
        evses = client.ask("everest_api/query-modules/evse_manager_consumer", "client/answers/evses")["apis"]
        assert [a["module_id"] for a in evses] == EVSES
        can = client.ask(f"{client.base}/m2e/capabilities/get", "client/answers/capabilities")
        assert set(can) == {"max_current_A", "max_phase_count", "nominal_voltage_V", "total_power_W"}
        wait_for("it is retained, too", lambda: client.json(f"{client.base}/e2m/capabilities") == can)

        # While it says that it is there, its limits hold.
        client.set_watts(20e3)
        until_s = time.monotonic() + 7.0
        client.send("communication_check", True)

        def holds() -> bool:
            client.send("communication_check", True)
            return power_in_force_W(site) == pytest.approx(20e3, abs=10)

        wait_for("20 kW hold", holds)
        while time.monotonic() < until_s:
            client.send("communication_check", True)
            client.heard(f"{client.base}/e2m/heartbeat")
        assert site.modules()["energy_root"].sources[0].state == "set"
        assert power_in_force_W(site) == pytest.approx(20e3, abs=10)

        # When it stops, the failsafe holds; a sign of life alone does not end that, a new limit does.
        wait_for("the failsafe holds", lambda: power_in_force_W(site) <= 4200 + 1)
        client.send("communication_check", True)
        client.heard(f"{client.base}/e2m/heartbeat")
        assert site.modules()["energy_root"].sources[0].state == "failsafe"
        client.set_watts(15e3)
        wait_for("it is set again", lambda: site.modules()["energy_root"].sources[0].state == "set")

    with Listener(mosquitto.port, "everest_api/1/evse_manager_consumer/+/e2m/enforced_limits") as listener:
        topic = "everest_api/1/evse_manager_consumer/evse_1a/e2m/enforced_limits"
        enforced = listener.heard(topic)
        assert set(enforced) == {"uuid", "valid_for", "limits_root_side", "schedule"}
    # A broker that dies takes the client's signs of life with it: the failsafe holds.
    mosquitto.kill()
    wait_for("the failsafe holds", lambda: site.modules()["energy_root"].sources[0].state == "failsafe")
    wait_for("4.2 kW hold", lambda: power_in_force_W(site) <= 4200 + 1)
