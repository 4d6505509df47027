"""The plant's process and the driver, over real sockets."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.drivers import Driver
from actors.drivers.plant import PlantDriver
from actors.energy.fixed_load import MeterReading
from actors.energy.messages import Actuate, Reading
from actors.identities import make_keys
from actors.plant import process
from actors.plant.messages import (
    PlantCommand,
    PlantEvent,
    PlantReply,
    Plug,
    ResetBreaker,
    SetFixedLoad,
    SetMeter,
    Unplug,
    register_plant_messages,
)
from actors.plant.process import Plant, with_seed
from actors.plant.story import StoryError
from tests.plant.helpers import STEP_s, command, make_installation, make_site, steps, wait_until
from tests.transport.helpers import Friends
from transport import AddressError, Delivery, Keys, Registry, Wire

FAST: dict[str, Any] = {"reaction_time_s": 0.1, "ramp_A_per_s": 200}
BUSY_S = 0.5
"""A plant on a busy machine may step so late."""


def keys(identity: str) -> Keys:
    return Friends(identity, ("plant", "controller/panel", "controller/root", "operator/tester"))


def make_registry() -> Registry:
    registry = Registry()
    register_plant_messages(registry)
    return registry


class Client:
    """A process that drives some EVSEs, with all that it was told."""

    def __init__(self, name: str, address: str, *evses: str, identity: str = "controller/panel") -> None:
        self.wire = Wire(name=name, registry=make_registry(), keys=keys(identity))
        # What is asked by hand needs the key of an operator.
        self._hand = Wire(name=f"{name} by hand", registry=make_registry(), keys=keys("operator/tester"))
        self.readings: dict[str, list[Reading]] = defaultdict(list)
        self.metered: list[tuple[str, MeterReading]] = []
        self.driver: Driver = PlantDriver(
            self.wire, address, evses, self._note, ("panel",), lambda *read: self.metered.append(read)
        )
        self.driver.tick()
        self._replies: dict[str, PlantReply] = {}
        self._by_hand = self._hand.connect(address, self._answered, name="plant", peer="plant")
        self._asked = 0
        self._tick_due_s = 0.0
        self.wire.start()
        self._hand.start()

    def close(self) -> None:
        self.wire.stop()
        self._hand.stop()

    def _note(self, evse: str, reading: Reading) -> None:
        self.readings[evse].append(reading)

    def _answered(self, delivery: Delivery) -> None:
        if isinstance(delivery.message, PlantReply):
            self._replies[delivery.message.id] = delivery.message

    def last(self, evse: str = "evse_1") -> Reading | None:
        return self.readings[evse][-1] if self.readings[evse] else None

    def wait(self, condition: Callable[[Reading], bool], what: str, evse: str = "evse_1") -> Reading:
        def holds() -> bool:
            if time.monotonic() >= self._tick_due_s:
                self._tick_due_s = time.monotonic() + 1.0
                self.driver.tick()
            reading = self.last(evse)
            return reading is not None and condition(reading)

        wait_until(holds, what)
        reading = self.last(evse)
        assert reading is not None
        return reading

    def actuate(self, evse: str = "evse_1", **changes: Any) -> None:
        echo = self.wait(lambda reading: True, "a reading", evse)
        values = {"duration_s": 60.0, "limit_A": 16.0, "phase_count": 3, **changes}
        assert self.driver.actuate(evse, Actuate(t_echo_s=echo.t_hardware_s, boot=echo.boot, **values))

    def ask(self, event: PlantEvent) -> str | None:
        self._asked += 1
        name = f"{self._asked}"
        assert self._by_hand.send(PlantCommand(id=name, event=event))
        wait_until(lambda: name in self._replies, "a reply")
        return self._replies[name].error


@contextmanager
def running(plant: Plant) -> Iterator[Plant]:
    stop = threading.Event()
    thread = threading.Thread(target=plant.run, args=(stop,))
    thread.start()
    try:
        yield plant
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as closing:
        yield closing


def begin(stack: ExitStack, story: dict[str, Any], record: Path | None = None, **evses: Any) -> Plant:
    return stack.enter_context(
        running(Plant(make_site(story, **evses), "tcp://127.0.0.1:*", record, keys("plant")))
    )


def client(
    stack: ExitStack, name: str, plant: Plant, *evses: str, identity: str = "controller/panel"
) -> Client:
    made = Client(name, plant.address, *(evses or ("evse_1",)), identity=identity)
    stack.callback(made.close)
    return made


def test_readings_come_and_commands_work(stack: ExitStack) -> None:
    plant = begin(stack, {"cars": [{"evse": "evse_1", **FAST}]}, evse_1={}, evse_2={})
    driver = client(stack, "level_1", plant, "evse_1", "evse_2")
    driver.wait(lambda reading: reading.car_asks, "the car asks")
    assert driver.wait(lambda reading: True, "the other EVSE", "evse_2").plugged_in is False
    driver.actuate()
    reading = driver.wait(lambda reading: reading.currents_A == (16.0, 16.0, 16.0), "it charges")
    assert reading.limit_A == 16.0
    assert 50.0 < reading.limit_ends_in_s <= 60.0
    driver.actuate(limit_A=8.0)
    driver.wait(lambda reading: reading.currents_A == (8.0, 8.0, 8.0), "it follows")


def test_a_limit_that_is_not_renewed_runs_out(stack: ExitStack) -> None:
    plant = begin(stack, {"cars": [{"evse": "evse_1", **FAST}]}, evse_1={"fallback_limit_A": 6})
    driver = client(stack, "level_1", plant)
    driver.actuate(duration_s=1.0)
    driver.wait(lambda reading: reading.limit_A == 16.0, "the limit")
    reading = driver.wait(lambda reading: reading.limit_A == 6.0, "the fallback")
    assert reading.limit_ends_in_s == 0.0
    first = next(r for r in driver.readings["evse_1"] if r.limit_A == 16.0)
    ends_s = first.t_hardware_s + first.limit_ends_in_s
    assert ends_s <= first.t_hardware_s + 1.0, "it counts from the reading that is answered"
    assert ends_s <= reading.t_hardware_s <= ends_s + BUSY_S


def test_readings_are_due_at_least_each_second_and_for_currents_at_most_twice() -> None:
    ramping = {"evse": "evse_1", "reaction_time_s": 0, "ramp_A_per_s": 4, "battery_kWh": 1000}
    installation = make_installation({"cars": [ramping]})
    outlet = process.Outlet(installation.evses["evse_1"])
    sent_s: list[float] = []
    for now_s in steps(installation, 1000.0):
        if now_s > 12.0:
            break
        if outlet.due(now_s):
            sent_s.append(now_s)
            outlet.sent(now_s, outlet.evse.reading(now_s))
        if now_s == 2.0:
            command(installation, limit_A=16.0)
    gaps_s = [b - a for a, b in pairwise(sent_s)]
    assert max(gaps_s) <= 1.0
    ramp_gaps_s = [b - a for a, b in pairwise(at_s for at_s in sent_s if 2.2 < at_s < 6.0)]
    assert min(ramp_gaps_s) >= process.CURRENT_EVERY_s - 1e-6
    assert max(ramp_gaps_s) <= process.CURRENT_EVERY_s + STEP_s + 1e-6
    assert sum(at_s > 7.0 for at_s in sent_s) <= 6


def test_a_new_limit_and_a_contactor_that_opens_are_told_as_soon_as_hardware_answers() -> None:
    slow = {"evse": "evse_1", "reaction_time_s": 3, "battery_kWh": 1000}
    installation = make_installation({"cars": [slow]}, evse_1={"fallback_limit_A": 6})
    outlet = process.Outlet(installation.evses["evse_1"])
    evse = outlet.evse
    told: list[tuple[float, str, bool]] = []
    known_s = 0.0
    latest_s = 0.0
    for now_s in steps(installation, 30.0):
        for at_s, limit_A, duration_s in ((2.0, 16.0, 60.0), (10.02, 0.0, 60.0), (20.02, 10.0, 3.01)):
            if at_s <= now_s < at_s + STEP_s:
                command(installation, limit_A=limit_A, duration_s=duration_s, mark=f"life:{at_s}")
        if outlet.due(now_s):
            outlet.sent(now_s, evse.reading(now_s))
            told.append((now_s, evse.reading(now_s).mark, evse.reading(now_s).contactor_closed))
        if told[-1][1:] == (evse.watchdog.limit.mark, evse.contactor_closed):
            known_s = now_s
        latest_s = max(latest_s, now_s - known_s)
    assert process.ANSWER_s - STEP_s < latest_s <= process.ANSWER_s + STEP_s
    assert [mark for mark, _ in groupby(mark for _, mark, _ in told)] == [
        "",
        "life:2.0",
        "life:10.02",
        "life:20.02",
        "",
    ]


def test_commands_to_one_evse_keep_their_order_through_the_driver(stack: ExitStack) -> None:
    plant = begin(stack, {"cars": []})
    driver = client(stack, "level_1", plant)
    for number in range(1, 300):
        driver.actuate(limit_A=6.0 + number % 20, mark=f"life:{number}")
    driver.wait(lambda reading: reading.mark == "life:299", "the last")
    marks = [r.mark for r in driver.readings["evse_1"] if r.mark]
    numbers = [int(mark.partition(":")[2]) for mark in marks]
    assert numbers == sorted(numbers)


def test_only_the_driver_that_began_last_is_told_and_obeyed(stack: ExitStack) -> None:
    plant = begin(stack, {"cars": [{"evse": "evse_1", **FAST}]})
    old = client(stack, "old", plant)
    old.wait(lambda reading: True, "the old driver is served")
    new = client(stack, "new", plant)
    new.wait(lambda reading: True, "the new driver is served")
    old.driver.tick()
    old.actuate(limit_A=10.0)
    new.actuate(limit_A=14.0)
    new.wait(lambda reading: reading.limit_A == 14.0, "the new driver's limit")
    assert not [r for r in new.readings["evse_1"] if r.limit_A == 10.0]
    assert not [r for r in old.readings["evse_1"] if r.limit_A == 14.0]


@pytest.mark.parametrize("identity", ["controller/root", "operator/tester"])
def test_a_key_that_does_not_host_an_evse_neither_hears_nor_drives_it(
    stack: ExitStack, identity: str
) -> None:
    plant = begin(stack, {"cars": [{"evse": "evse_1", **FAST}]})
    rightful = client(stack, "panel", plant)
    thief = client(stack, "panel", plant, identity=identity)
    thief.driver.tick()
    echo = rightful.wait(lambda reading: True, "the rightful driver is served")
    for _ in range(20):
        told = Actuate(
            t_echo_s=echo.t_hardware_s, boot=echo.boot, duration_s=60.0, limit_A=10.0, phase_count=3
        )
        assert thief.driver.actuate("evse_1", told)
    wait_until(lambda: thief.wire.counters()["plant"].waiting == 0, "the thief has spoken")
    rightful.actuate(limit_A=14.0)
    rightful.wait(lambda reading: reading.limit_A == 14.0, "the rightful driver's limit")
    assert 10.0 not in {reading.limit_A for reading in rightful.readings["evse_1"]}
    assert not thief.readings["evse_1"]


def test_a_restarted_plant_is_found_again_by_its_driver(stack: ExitStack, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/plant.sock"
    site = make_site({"cars": [{"evse": "evse_1"}]})
    with running(Plant(site, address, None, keys("plant"))) as plant:
        driver = client(stack, "level_1", plant)
        driver.wait(lambda reading: reading.plugged_in, "the first plant")
    count = len(driver.readings["evse_1"])
    with running(Plant(site, address, None, keys("plant"))):

        def heard() -> bool:
            driver.driver.tick()
            return len(driver.readings["evse_1"]) > count

        wait_until(heard, "the second plant")
        assert driver.wait(lambda reading: True, "a reading").limit_A == 0.0


def test_the_plant_can_be_driven_by_hand(stack: ExitStack) -> None:
    plant = begin(stack, {"cars": []})
    tester = client(stack, "tester", plant)
    assert tester.ask(Plug(car={"evse": "evse_1", "kind": "city", **FAST})) is None
    tester.wait(lambda reading: reading.plugged_in, "the car")
    assert tester.ask(Plug(car={"evse": "evse_1"})) == "evse_1 is taken"
    tester.actuate(limit_A=20.0)
    tester.wait(lambda reading: reading.currents_A == (20.0, 0.0, 0.0), "it charges")
    assert tester.ask(SetFixedLoad(node="panel", currents_A=(500.0, 0.0, 0.0))) is None
    tester.wait(lambda reading: reading.fault == "no supply", "the breaker trips")
    assert tester.ask(SetFixedLoad(node="panel", currents_A=(0.0, 0.0, 0.0))) is None
    assert tester.ask(ResetBreaker(node="panel")) is None
    tester.wait(lambda reading: reading.currents_A[0] > 0.0, "it charges again")
    assert tester.ask(Unplug(evse="evse_1")) is None
    reading = tester.wait(lambda reading: not reading.plugged_in, "the car is gone")
    assert reading.power_W == 0.0
    assert "no EVSE" in (tester.ask(Plug(car={"evse": "evse_7"})) or "")
    assert "expected an EnergyManager" in (
        tester.ask(SetFixedLoad(node="evse_1", currents_A=(1.0, 1.0, 1.0))) or ""
    )
    assert "no breaker" in (tester.ask(ResetBreaker(node="root")) or "")


def test_a_meter_shows_what_flows_at_its_node_until_it_breaks(stack: ExitStack) -> None:
    plant = begin(stack, {"cars": [], "fixed_loads": [{"node": "panel", "at_s": 0, "currents_A": [3, 2, 0]}]})
    tester = client(stack, "tester", plant)
    shown = tester.metered

    def shows(L1_A: float) -> bool:
        return bool(shown) and shown[-1][1].currents_A == (L1_A, 2.0, 0.0)

    wait_until(lambda: shows(3.0), "the load")
    assert tester.ask(Plug(car={"evse": "evse_1", "kind": "city", "phases": 1, **FAST})) is None
    tester.actuate(limit_A=20.0)
    wait_until(lambda: shows(23.0), "the load and a car")
    assert {node for node, _ in shown} == {"panel"}
    assert shown[-1][1] != shown[0][1], "its clock goes on"
    assert tester.ask(SetMeter(node="panel", state="frozen")) is None
    assert tester.ask(Unplug(evse="evse_1")) is None
    count = len(shown)
    wait_until(lambda: len(shown) >= count + 3, "it still says something")
    assert shown[-1] == shown[-2]
    assert tester.ask(SetMeter(node="panel", state="dead")) is None
    count = len(shown)
    tester.wait(lambda reading: not reading.plugged_in, "readings go on")
    assert tester.ask(SetMeter(node="panel", state="ok")) is None
    wait_until(lambda: shows(3.0), "it is mended")
    assert "could have a meter" in (tester.ask(SetMeter(node="evse_1", state="ok")) or "")


def test_a_flood_is_bounded_and_told(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "MAX_INBOX", 4)
    caplog.set_level(logging.WARNING, "amptree.plant")
    plant = Plant(make_site({"cars": []}), "tcp://127.0.0.1:*", None, keys("plant"))
    message = Delivery(
        port_name="plant", peer="p", identity="controller/panel", source="", target="evse_1", kind="watch",
        message=PlantReply(id="x"), size=1,
    )  # fmt: skip
    for _ in range(10):
        plant._on_message(message)
    with running(plant):
        wait_until(lambda: "messages lost" in caplog.text, "told")
    assert "6 messages lost: the inbox of 4 was full" in caplog.text


def test_the_record_holds_ten_samples_a_second_and_can_be_read(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "plant.jsonl"
    with running(
        Plant(make_site({"cars": [{"evse": "evse_1", **FAST}]}), "tcp://127.0.0.1:*", path, keys("plant"))
    ) as plant:
        driver = client(stack, "level_1", plant)
        driver.actuate()
        driver.wait(lambda reading: reading.currents_A[0] == 16.0, "it charges")
        first = driver.readings["evse_1"][0].t_hardware_s
        driver.wait(lambda reading: reading.t_hardware_s > first + 1.5, "one second and a half")
    head, *samples = [json.loads(line) for line in path.read_text().splitlines()]
    assert (head["site"], head["seed"]) == ("test", 1)
    assert datetime.fromisoformat(head["start"]).tzinfo is not None
    span_s = samples[-1]["t"] - samples[0]["t"]
    assert 2 * span_s < len(samples) <= 10 * span_s + 2, "fewer only where the machine is busy"
    last = samples[-1]
    assert last["evses"]["evse_1"] == {
        "limit_A": 16.0, "currents_A": [16.0, 16.0, 16.0], "phases": 3, "state": "C",
    }  # fmt: skip
    assert last["breakers"]["panel"] == {"currents_A": [16.0, 16.0, 16.0], "rating_A": 63.0, "tripped": False}


def test_what_cannot_begin_says_so_at_once_and_leaves_nothing_open(tmp_path: Path) -> None:
    site = make_site({"cars": []})
    with pytest.raises(AddressError):
        Plant(site, "tcp://nowhere", None, keys("plant"))
    with pytest.raises(OSError, match="No such file"):
        Plant(site, "tcp://127.0.0.1:*", tmp_path / "no" / "folder.jsonl", keys("plant"))
    with pytest.raises(StoryError):
        Plant(with_seed(site, -1), "tcp://127.0.0.1:*", None, keys("plant"))
    assert with_seed(site, 7).plant.story == {"cars": [], "seed": 7}


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    modules = {
        "root": {"module": "EnergyManager", "connections": {"energy_trunk": ["evse_1"]}},
        "evse_1": {"module": "EvseManager"},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"active_modules": modules, "plant": {"seed": 4}}))
    make_keys(tmp_path / "keys" / "small", ["plant"])
    return path


def verb(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.main", "plant", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "AMPTREE_RUN_DIR": str(tmp_path / "run"),
            "AMPTREE_KEYS_DIR": str(tmp_path / "keys"),
        },
    )


@pytest.mark.processes
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_code_0_and_a_whole_record(
    tmp_path: Path, site_file: Path, signum: signal.Signals
) -> None:
    record = tmp_path / "plant.jsonl"
    running_plant = verb(
        tmp_path, str(site_file), "--listen", "tcp://127.0.0.1:*", "--record", str(record), "--seed", "9"
    )
    try:
        wait_until(lambda: record.exists() and record.read_bytes().count(b"\n") > 3, "it records")
        running_plant.send_signal(signum)
        _, told = running_plant.communicate(timeout=10)
    finally:
        running_plant.kill()
        running_plant.wait()
    assert running_plant.returncode == 0, told
    assert record.read_bytes().endswith(b"\n")
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert lines[0]["seed"] == 9
    assert len(lines) > 4
    assert "Traceback" not in told


@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "has no plant.listen; say where to listen with --listen ADDRESS"),
        (["--listen", "tcp://nowhere"], "malformed"),
        (["--listen", "tcp://127.0.0.1:*", "--record", "/nowhere/x"], "/nowhere/x: cannot be written"),
        (["--listen", "tcp://127.0.0.1:*", "--seed", "-1"], "plant.seed: expected an integer, at least 0"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_code_1(
    tmp_path: Path, site_file: Path, arguments: list[str], told: str
) -> None:
    ended = verb(tmp_path, str(site_file), *arguments)
    _, error = ended.communicate(timeout=20)
    assert ended.returncode == 1
    assert told in error
    assert error.count("\n") == 1
