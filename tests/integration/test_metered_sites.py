"""A running site whose meters are at a broker and behind Modbus: cars get what the buildings leave."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.integration.brokers import Mosquitto, broker, needs_mosquitto
from tests.integration.conftest import RunningSite, plugged, wait_for
from tests.integration.modbus_meter import ModbusMeter, modbus_meter

Begin = Callable[..., RunningSite]
FUSE_A, DECLARED_A = 63.0, 40.0
RISES_S = 45.0
BEFORE_A, AFTER_A = 9.7, 34.7
LEFT_A, LEFT_AFTER_A = (
    32.0,
    FUSE_A - 36.0,
)  # a car's most; and with a margin of 1 A, rounded up to half an ampere
SETTLE_S = 3.0
LAG_S = 2.0
"""The plant writes its record, which the meters of this test show, each second."""
TAIL_B = 8_192
IN_TIME_S = 2.0 + SETTLE_S + LAG_S
"""Two update intervals and the settle time, and what the meters of this test are late."""


class Meters:
    """They show what flows at the plant's breakers, with a little noise as meters have."""

    def __init__(self, site: RunningSite, mosquitto: Mosquitto, modbus: ModbusMeter) -> None:
        self._site, self._modbus = site, modbus
        self.frozen = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", mosquitto.port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        self._client.loop_start()
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self._client.disconnect()
            self._client.loop_stop()

    def _run(self) -> None:
        noise = random.Random(1)
        shown: dict[str, Any] = {}
        while not self._stop.wait(0.2):
            sample = newest(self._site)
            if sample is None:
                continue
            if not self.frozen:
                shown = {
                    node: [current_A + noise.uniform(0, 0.05) for current_A in breaker["currents_A"]]
                    for node, breaker in sample["breakers"].items()
                }
            self._client.publish("meters/hall", json.dumps({"current": shown["hall_node"]}))
            L1, L2, L3 = shown["yard_node"]
            self._modbus.currents_A[1] = (L1, L2, L3)


def newest(site: RunningSite) -> dict[str, Any] | None:
    """The last sample of the plant's record, without reading all of it."""
    file = site.records / "plant.jsonl"
    if not file.exists():
        return None
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - TAIL_B))
        lines = stream.read().splitlines()[1:]
    whole = [line for line in lines if line.startswith(b"{") and line.endswith(b"}}")]
    return json.loads(whole[-1]) if whole else None


def two_halls(mosquitto: Mosquitto, modbus: ModbusMeter) -> dict[str, Any]:
    filters = {"lag_s": LAG_S, "hold_s": 3, "timeout_s": 3, "frozen_s": 4}
    meters = {
        "hall": {
            "driver": "mqtt",
            "host": "127.0.0.1",
            "port": mosquitto.port,
            "topic": "meters/hall",
            "values": ["current.0", "current.1", "current.2"],
        },
        "yard": {"driver": "modbus", "host": "127.0.0.1", "port": modbus.port, "model": "sdm630"},
    }
    nodes = {
        f"{where}_node": {
            "module": "EnergyNode",
            "config": {"fuse_limit_A": FUSE_A, "fixed_load_A": DECLARED_A},
            "meter": {**link, **filters},
            "connections": {"energy_trunk": [f"evse_{where}"]},
        }
        for where, link in meters.items()
    }
    evses = {
        f"evse_{where}": {"module": "EvseManager", "config": {"settle_time_s": SETTLE_S}} for where in meters
    }
    root = {"module": "EnergyManager", "connections": {"energy_trunk": list(nodes)}}
    loads = [
        {"node": node, "at_s": at_s, "currents_A": [current_A, current_A / 2, 6]}
        for node in nodes
        for at_s, current_A in ((0, BEFORE_A), (RISES_S, AFTER_A))
    ]
    cars = [plugged(evse) for evse in evses]
    return {
        "active_modules": {"energy_root": root, **nodes, **evses},
        "plant": {"cars": cars, "fixed_loads": loads, "breakers": "record"},
    }


@pytest.mark.long
@needs_mosquitto
def test_evses_give_way_to_a_building_and_a_meter_in_doubt_is_not_believed(
    begin: Begin, tmp_path: Path
) -> None:
    with broker(tmp_path / "broker") as mosquitto, modbus_meter() as modbus:
        site = begin.data(two_halls(mosquitto, modbus), "metered")  # type: ignore[attr-defined]
        meters = Meters(site, mosquitto, modbus)
        with meters.measuring():

            def cars_get(**amounts_A: float) -> Callable[[], bool]:
                def right() -> bool:
                    sample = newest(site)
                    evses = {} if sample is None else sample["evses"]
                    return bool(evses) and all(
                        evses[f"evse_{where}"]["limit_A"] == pytest.approx(amount_A, abs=0.01)
                        for where, amount_A in amounts_A.items()
                    )

                return right

            def fixed_load(where: str) -> str:
                return str(site.modules()[f"{where}_node"].fixed_load)

            wait_for("cars get all they can take", cars_get(hall=LEFT_A, yard=LEFT_A))
            wait_for("cars give way to the building", cars_get(hall=LEFT_AFTER_A, yard=LEFT_AFTER_A))
            assert fixed_load("hall") == fixed_load("yard") == "36 A are kept for its fixed load (measured)"
            wait_for("they have settled", lambda: over_s(site, settled=True))
            for node, seconds in over_s(site).items():
                assert seconds <= IN_TIME_S, f"{node} was over its fuse for {seconds:.1f} s"

            mosquitto.kill()
            meters.frozen = True
            declared_A = FUSE_A - DECLARED_A
            text = "40 A are kept for its fixed load (its meter"
            refused = f"not connected with 127.0.0.1:{mosquitto.port}: Connection refused"
            silent = f"{text} is silent for 3 s or more: {refused})"
            wait_for("one is silent", lambda: fixed_load("hall") == silent)
            frozen = f"{text} shows the same for 4 s or more)"
            wait_for("one is frozen", lambda: fixed_load("yard") == frozen)
            wait_for("cars get what the declared loads leave", cars_get(hall=declared_A, yard=declared_A))


def over_s(site: RunningSite, *, settled: bool = False) -> dict[str, float]:
    """For how long each breaker had more than its rating; with `settled` only if none has now."""
    record = site.record()
    over = dict.fromkeys(record[-1]["breakers"], 0.0)
    for before, line in pairwise(record):
        for node, breaker in line["breakers"].items():
            if max(breaker["currents_A"]) > breaker["rating_A"] + 0.01:
                over[node] += line["t"] - before["t"]
    if settled and any(max(b["currents_A"]) > b["rating_A"] + 0.01 for b in record[-1]["breakers"].values()):
        return {}
    return over
