"""The drivers of meters against a real broker and a real Modbus server, and against nonsense."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType

from actors.clock import steady_s
from actors.config import parse_site
from actors.drivers.meters import modbus
from actors.drivers.meters.links import MODELS, Job, ModbusMeter
from actors.drivers.meters.making import MeterDriver, meter_drivers
from actors.drivers.meters.modbus import ModbusMeters, unit_keyword
from actors.drivers.meters.telling import Teller
from actors.energy.fixed_load import MeterReading, MeterTrouble
from tests.integration.brokers import Mosquitto, broker, needs_mosquitto
from tests.integration.conftest import wait_for
from tests.integration.modbus_meter import modbus_meter, nonsense


class Told:
    """What the drivers told of each node."""

    def __init__(self) -> None:
        self._all: dict[str, queue.SimpleQueue[MeterReading | MeterTrouble]] = {}
        self._lock = threading.Lock()

    def tell(self, node: str, what: MeterReading | MeterTrouble) -> None:
        self._of(node).put(what)

    def _of(self, node: str) -> queue.SimpleQueue[MeterReading | MeterTrouble]:
        with self._lock:
            return self._all.setdefault(node, queue.SimpleQueue())

    def forget(self, node: str) -> None:
        while not self._of(node).empty():
            self._of(node).get()

    def reading(self, node: str, timeout_s: float = 60.0) -> MeterReading:
        told = self._next(node, MeterReading, lambda _: True, timeout_s)
        assert isinstance(told, MeterReading)
        return told

    def trouble(self, node: str, words: str, timeout_s: float = 60.0) -> str:
        told = self._next(node, MeterTrouble, lambda told: words in told.why, timeout_s)
        assert isinstance(told, MeterTrouble)
        return told.why

    def none(self, node: str) -> bool:
        return self._of(node).empty()

    def _next(self, node: str, kind: Any, right: Callable[[Any], bool], timeout_s: float) -> Any:
        deadline_s, seen = steady_s() + timeout_s, []
        while (left_s := deadline_s - steady_s()) > 0:
            try:
                told = self._of(node).get(timeout=left_s)
            except queue.Empty:
                break
            seen.append(told)
            if isinstance(told, kind) and right(told):
                return told
        raise AssertionError(f"{node}: not told within {timeout_s:g} s; but {seen[-5:]}")


@contextmanager
def reading(**meters: str) -> Iterator[Told]:
    """Drivers of a site with a node for each of these meters."""
    nodes = "\n".join(
        f"{node}: {{module: EnergyNode, config: {{fuse_limit_A: 63, fixed_load_A: 20}}, meter: {{{meter}}}}}"
        for node, meter in meters.items()
    )
    root = f"root: {{module: EnergyManager, connections: {{energy_trunk: [{', '.join(meters)}]}}}}"
    told = Told()
    drivers: list[MeterDriver] = meter_drivers(
        parse_site(f"{root}\n{nodes}", "test"), "root", meters, told.tell
    )
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.1):
            for driver in drivers:
                driver.tick()

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        yield told
    finally:
        stop.set()
        ticking.join()
        for driver in drivers:
            driver.stop()


# --- MQTT --------------------------------------------------------------------------------------------

JSON = "topic: hall, values: [I.0, I.1, I.2]"
TOPICS = "topics: [yard/1, yard/2, yard/3]"


def say(mosquitto: Mosquitto, *currents_A: float, retain: bool = False) -> None:
    mosquitto.pub("hall", json.dumps({"I": currents_A}), *(["-r"] if retain else []))


@needs_mosquitto
@pytest.mark.parametrize("version", ["5", '"3.1.1"'])
def test_meters_at_one_broker_share_a_connection_which_comes_back(version: str, tmp_path: Path) -> None:
    with broker(tmp_path / "broker", "allow_anonymous true\nlog_type notice") as mosquitto:
        say(mosquitto, 9, 9, 9, retain=True)
        at = f"driver: mqtt, host: 127.0.0.1, port: {mosquitto.port}, mqtt_version: {version}"
        with reading(hall=f"{at}, {JSON}", yard=f"{at}, {TOPICS}") as told:
            told.trouble("hall", f"nothing came from 127.0.0.1:{mosquitto.port} yet")
            say(mosquitto, 1, 2, 3)
            assert told.reading("hall").currents_A == (1.0, 2.0, 3.0), "not what was retained"
            for phase in "231":
                mosquitto.pub(f"yard/{phase}", phase)
            assert told.reading("yard").currents_A == (1.0, 2.0, 3.0)

            mosquitto.kill()
            told.trouble("hall", f"not connected with 127.0.0.1:{mosquitto.port}: ")
            told.trouble("yard", "Connection refused")
            mosquitto.start()
            told.trouble("hall", "nothing came")
            say(mosquitto, 4, 5, 6)
            assert told.reading("hall").currents_A == (4.0, 5.0, 6.0)
            assert told.none("yard") or told.trouble("yard", "nothing came")


@needs_mosquitto
def test_garbage_and_floods_of_a_broker_are_refused_and_the_meter_goes_on(tmp_path: Path) -> None:
    with broker(tmp_path / "broker") as mosquitto:
        at = f"driver: mqtt, host: 127.0.0.1, port: {mosquitto.port}"
        with reading(hall=f"{at}, {JSON}, unit: mA") as told:
            told.trouble("hall", "nothing came")
            huge = tmp_path / "huge"
            huge.write_text(json.dumps({"I": [1, 2, 3], "more": "x" * 300_000}))
            mosquitto.pub_file("hall", huge)
            told.trouble("hall", "a message has more than 16 KiB")
            mosquitto.pub("hall", "[" * 9_000)
            told.trouble("hall", "neither JSON nor a number")
            mosquitto.pub("hall", '{"I": [1, 2]}')
            told.trouble("hall", "there is no I.2 in a message")
            flood = tmp_path / "flood"
            flood.write_text('{"I": [1000, "?", 3]}\n' * 3_000 + '{"I": [1000, 2000, 3000]}\n')
            lines = ["mosquitto_pub", "-p", str(mosquitto.port), "-t", "hall", "-l"]
            with flood.open("rb") as stream:
                subprocess.run(lines, stdin=stream, check=True, timeout=20)
            assert told.reading("hall").currents_A == (1.0, 2.0, 3.0)


# --- Modbus ------------------------------------------------------------------------------------------


def at(port: int, **more: Any) -> str:
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    return f"driver: modbus, host: 127.0.0.1, port: {port}, model: sdm630, interval_s: 0.2{keys}"


@pytest.mark.parametrize("framer", [FramerType.SOCKET, FramerType.RTU])
def test_a_meter_is_read_again_and_again_and_found_again(framer: FramerType) -> None:
    name = "rtu" if framer == FramerType.RTU else "tcp"
    with modbus_meter(framer=framer) as meter, reading(hall=at(meter.port, framer=name)) as told:
        assert told.reading("hall").currents_A == (1.0, 2.0, 3.0)
        meter.currents_A[1] = (4.0, 5.0, 6.5)
        wait_for("the new currents", lambda: told.reading("hall").currents_A == (4.0, 5.0, 6.5))
        meter.stop()
        told.trouble("hall", f"not connected with 127.0.0.1:{meter.port}: Connection refused")
        meter.start()
        told.forget("hall")
        assert told.reading("hall").currents_A == (4.0, 5.0, 6.5)


def test_a_meter_that_refuses_or_shows_nonsense_is_not_read() -> None:
    with modbus_meter() as meter, reading(hall=at(meter.port)) as told:
        told.reading("hall")
        meter.refuses = True
        told.trouble("hall", f"unit 1 at 127.0.0.1:{meter.port} refuses: it has failed")
        meter.refuses = False
        told.reading("hall")
        meter.currents_A[1] = (1.0, float("nan"), 3.0)
        told.trouble("hall", "it shows nan A")


def test_an_answer_that_is_late_is_none_and_holds_up_no_other_for_long() -> None:
    with modbus_meter(1, 2) as meter:
        meter.pause_s[2] = 1.5
        with reading(hall=at(meter.port), yard=at(meter.port, unit_id=2)) as told:
            told.trouble("yard", f"unit 2 at 127.0.0.1:{meter.port}: no answer within 1 s")
            told.forget("hall")
            assert told.reading("hall", 5.0).currents_A == (1.0, 2.0, 3.0)
            meter.pause_s[1] = 0.7
            told.trouble("hall", "reading it takes 0.")
            meter.pause_s = {1: 0.0, 2: 0.0}
            meter.currents_A[1] = (7.0, 8.0, 9.0)
            wait_for("the other is read", lambda: told.reading("yard").currents_A == (1.0, 2.0, 3.0))
            wait_for("the new currents", lambda: told.reading("hall").currents_A == (7.0, 8.0, 9.0))


def half(asked: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(asked[:4] + b"\x00\x0f\x01\x04\x0c" + b"\x3f\x80")


def shorter(asked: bytes, writer: asyncio.StreamWriter) -> None:
    """Two phases where three were asked for."""
    writer.write(asked[:4] + b"\x00\x0b\x01\x04\x08" + b"\x3f\x80\x00\x00" * 2)


def other_function(asked: bytes, writer: asyncio.StreamWriter) -> None:
    """As if holding registers had been asked for."""
    writer.write(asked[:4] + b"\x00\x0f\x01\x03\x0c" + b"\x3f\x80\x00\x00" * 3)


def earlier(asked: bytes, writer: asyncio.StreamWriter) -> None:
    """The answer to another request."""
    writer.write(b"\x7f\x7f" + asked[2:4] + b"\x00\x0f\x01\x04\x0c" + b"\x3f\x80\x00\x00" * 3)


def garbage(asked: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\xff" * 5_000)


def hangs_up(asked: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


def whole(asked: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(asked[:4] + b"\x00\x0f\x01\x04\x0c" + b"\x3f\x80\x00\x00" * 3)


@pytest.mark.parametrize("answer", [half, shorter, other_function, earlier, garbage, hangs_up])
def test_nonsense_is_no_reading(
    answer: Callable[[bytes, asyncio.StreamWriter], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus, "ANSWER_TIMEOUT_S", 0.4)
    monkeypatch.setattr(modbus, "RECONNECT_MIN_S", 0.1)
    answers = [answer]
    with nonsense(lambda asked, writer: answers[0](asked, writer)) as port, reading(hall=at(port)) as told:
        told.trouble("hall", "unit 1 at")
        told.trouble("hall", "unit 1 at")
        while not told.none("hall"):
            assert isinstance(told._of("hall").get(), MeterTrouble)
        answers[0] = whole
        assert told.reading("hall").currents_A == (1.0, 1.0, 1.0)


def test_older_versions_of_pymodbus_call_the_unit_slave() -> None:
    def older(address: int, *, count: int = 1, slave: int = 1) -> None: ...
    def newer(address: int, *, count: int = 1, device_id: int = 1) -> None: ...

    assert (unit_keyword(older), unit_keyword(newer)) == ("slave", "device_id")


def test_a_job_without_modbus_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymodbus", None)
    told = Told()
    link = ModbusMeter(host="127.0.0.1", registers=MODELS["sdm630"])
    meters = ModbusMeters([Job(node="hall", link=link, lag_s=0.5, voltage_V=230.0)], Teller(told.tell))
    meters.tick()
    told.trouble("hall", "Modbus needs pymodbus 3.8 or later: pip install 'amptree[modbus]'")
    meters.stop()
