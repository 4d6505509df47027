"""The server that OCPP chargers connect to: who gets in, and what becomes of garbage. Real websockets."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from actors.clock import steady_s
from actors.drivers import DriverError
from actors.drivers.chargers import Served
from actors.drivers.kinds import OcppChargersConfig
from actors.drivers.ocpp.driver import OcppDriver
from actors.energy.messages import Actuate, Reading
from actors.energy.modules import EvseManagerConfig
from actors.ocpp.library import FRAME_MAX_B, SOCKET_MAX_B
from tests.certificates import make_certificate
from tests.integration.conftest import free_ports

WAIT_S = 15.0
SERVED = Served(
    evse_id="evse",
    charger="CP-1",
    config=EvseManagerConfig(driver="ocpp", fallback_limit_A=6.0),
    phases=3,
    voltage_V=230.0,
    longest_s=0.0,
)


class Running:
    """A driver with one charger, and what it told."""

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None, **more: Any) -> None:
        (self.port,) = free_ports(1)
        (folder / "passwords").write_text("CP-1 secret\n")
        self.readings: list[Reading] = []
        self._tls = tls
        config = OcppChargersConfig(
            host="127.0.0.1", port=self.port, passwords_file="passwords", call_timeout_s=1, **more
        )
        self.driver = OcppDriver("chargers", config, (SERVED,), folder, lambda _, r: self.readings.append(r))
        wait_for("it listens", self._listens)

    def _listens(self) -> bool:
        with pytest.raises((OSError, InvalidStatus)) as caught:
            self.connect("nobody")
        return isinstance(caught.value, InvalidStatus)

    def connect(
        self, identity: str = "CP-1", password: str | None = "secret", protocol: str = "ocpp1.6"
    ) -> ClientConnection:
        """As a charger does. Raises InvalidStatus where it is refused."""
        pair = base64.b64encode(f"{identity}:{password}".encode()).decode()
        headers = {} if password is None else {"Authorization": f"Basic {pair}"}
        return connect(
            f"{'ws' if self._tls is None else 'wss'}://127.0.0.1:{self.port}/any/{identity}",
            ssl=self._tls,
            subprotocols=[Subprotocol(protocol)],
            additional_headers=headers,
            proxy=None,
            open_timeout=WAIT_S,
        )


def wait_for(what: str, condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    one = Running(tmp_path)
    yield one
    one.driver.stop()


def ask(socket: ClientConnection, frame: str | list[Any]) -> Any:
    """Send a frame and return what it is answered; calls that come meanwhile are refused."""
    socket.send(frame if isinstance(frame, str) else json.dumps(frame))
    return hear(socket, lambda answer: answer[0] != 2)


def hear(socket: ClientConnection, wanted: Callable[[Any], bool], status: str = "Rejected") -> Any:
    while True:
        heard = json.loads(socket.recv(WAIT_S))
        if wanted(heard):
            return heard
        if heard[0] == 2:
            answer = {"status": status} if heard[2] != "GetConfiguration" else {}
            socket.send(json.dumps([3, heard[1], answer]))


def is_told(action: str) -> Callable[[Any], bool]:
    return lambda frame: bool(frame[0] == 2 and frame[2] == action)


BOOT = [2, "boot", "BootNotification", {"chargePointModel": "m", "chargePointVendor": "v"}]


@pytest.mark.parametrize(
    ("identity", "password", "status"),
    [("CP-2", "secret", 404), ("CP-1", "wrong", 401), ("CP-1", None, 401), ("", "secret", 404)],
)
def test_strangers_are_turned_away(
    running: Running, identity: str, password: str | None, status: int
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        running.connect(identity, password)
    assert caught.value.response.status_code == status


def test_a_charger_without_a_version_of_ours_is_turned_away(running: Running) -> None:
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        running.connect(protocol="ocpp1.5").recv(WAIT_S)


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ('[2,"7","Reboot",{}]', [4, "7", "NotImplemented"]),
        ('[2,"7","Heartbeat",{"a":1}]', [4, "7", "FormationViolation"]),
        ('[2,"7","StatusNotification",{"connectorId":"x"}]', [4, "7", None]),
        (
            '[2,"7","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"T","sampledValue":[{"value":NaN}]}]}]',
            [4, "7", None],
        ),
        ('[2,"7","Heartbeat"]', [4, "7", "ProtocolError"]),
        ('[2,"7","Heartbeat",{}', [4, "7", "FormationViolation"]),
        ('[2,"7",{"a":[' + "[" * 100_000, [4, "7", None]),
        (json.dumps([2, "7", "DataTransfer", {"vendorId": "x", "data": "x" * FRAME_MAX_B}]), [4, "7", None]),
    ],
)
def test_garbage_is_answered_and_changes_nothing(running: Running, frame: str, answer: list[Any]) -> None:
    with running.connect() as socket:
        found = ask(socket, frame)
        assert found[:2] == answer[:2]
        assert answer[2] in (None, found[2])
        assert ask(socket, [2, "8", "Heartbeat", {}])[:2] == [3, "8"]


def test_garbage_without_an_id_is_passed_over(running: Running) -> None:
    with running.connect() as socket:
        for frame in (
            "",
            "{}",
            "[]",
            "null",
            "[9]",
            '[2,7,"Heartbeat",{}]',
            "\x00",
            '[3,"nobody",{}]',
            '[4,"x"]',
        ):
            socket.send(frame)
        socket.send(b"\xff\x00")
        assert ask(socket, [2, "8", "Heartbeat", {}])[:2] == [3, "8"]


def test_a_message_beyond_all_bounds_ends_its_connection_and_the_next_is_as_ever(running: Running) -> None:
    with running.connect() as socket, pytest.raises(ConnectionClosed):  # noqa: PT012
        socket.send("x" * (SOCKET_MAX_B + 1))
        while True:
            socket.recv(WAIT_S)
    with running.connect() as socket:
        assert ask(socket, BOOT)[2]["status"] == "Accepted"


def test_a_flood_has_to_wait_and_is_answered(running: Running) -> None:
    with running.connect() as socket:
        for number in range(300):
            socket.send(json.dumps([2, f"{number}", "Heartbeat", {}]))
        hear(socket, lambda frame: frame[:2] == [3, "299"])


def test_a_new_connection_of_a_charger_takes_the_place_of_the_old(running: Running) -> None:
    with running.connect() as old, running.connect() as new:
        assert ask(new, BOOT)[2]["status"] == "Accepted"
        with pytest.raises(ConnectionClosed):  # noqa: PT012
            while True:
                old.recv(WAIT_S)


def become_ready(running: Running, socket: ClientConnection) -> dict[str, Any]:
    """Take the default, which is returned."""
    ask(socket, BOOT)
    told = hear(socket, is_told("SetChargingProfile"))
    default: dict[str, Any] = told[3]["csChargingProfiles"]
    accept(socket, told)
    for _ in range(4):  # two keys of configuration, status and values
        told = hear(
            socket, lambda frame: is_told("ChangeConfiguration")(frame) or is_told("TriggerMessage")(frame)
        )
        accept(socket, told)
    wait_for("it is ready", lambda: running.readings)
    return default


def accept(socket: ClientConnection, told: list[Any]) -> None:
    socket.send(json.dumps([3, told[1], {"status": "Accepted"}]))


def wish(running: Running, mark: str, limit_A: float) -> None:
    command = Actuate(t_echo_s=steady_s(), duration_s=60.0, mark=mark, limit_A=limit_A, phase_count=3)
    assert running.driver.actuate("evse", command)


def limit_of(told: list[Any]) -> float:
    (period,) = told[3]["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"]
    return float(period["limit"])


def test_a_charger_is_set_up_told_its_limit_and_missed(running: Running) -> None:
    with running.connect() as socket:
        default = become_ready(running, socket)
        assert default["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 6.0}]
        assert "duration" not in default["chargingSchedule"]
        assert running.readings[-1].limit_A == 6.0

        wish(running, "a:1", 16.0)
        told = hear(socket, is_told("SetChargingProfile"))
        profile = told[3]["csChargingProfiles"]
        assert profile["stackLevel"] == default["stackLevel"] + 1
        assert 55 <= profile["chargingSchedule"]["duration"] <= 60
        wish(running, "a:2", 8.0)
        running.driver.tick()
        assert running.readings[-1].limit_A == 6.0, "it has not been answered yet"
        accept(socket, told)
        told = hear(socket, is_told("SetChargingProfile"))
        assert (running.readings[-1].limit_A, running.readings[-1].mark) == (16.0, "a:1")
        accept(socket, told)
        wait_for("it holds less", lambda: running.readings[-1].mark == "a:2")
        assert running.readings[-1].limit_A == 8.0
    wait_for("it is missed", lambda: not running.driver._links)
    count = len(running.readings)
    running.driver.tick()
    with running.connect():
        pass
    assert len(running.readings) == count, "no readings of a charger that is not there"


def test_a_late_answer_is_set_right(running: Running) -> None:
    with running.connect() as socket:
        become_ready(running, socket)
        wish(running, "a:1", 16.0)
        much = hear(socket, is_told("SetChargingProfile"))
        wish(running, "a:2", 8.0)
        little = hear(socket, is_told("SetChargingProfile"))
        assert (limit_of(much), limit_of(little)) == (16.0, 8.0)
        accept(socket, little)
        wait_for("it holds less", lambda: running.readings[-1].limit_A == 8.0)
        assert running.readings[-1].mark == "a:1", "what was not answered may yet be carried out"
        accept(socket, much)
        again = hear(socket, is_told("SetChargingProfile"))
        assert limit_of(again) == 8.0
        accept(socket, again)
        wait_for("nothing else is in force", lambda: running.readings[-1].mark == "a:2")


def test_a_charger_that_begins_anew_gets_its_default_and_its_limit_anew(running: Running) -> None:
    with running.connect() as socket:
        become_ready(running, socket)
        wish(running, "a:1", 16.0)
        accept(socket, hear(socket, is_told("SetChargingProfile")))
        wait_for("it holds it", lambda: running.readings[-1].limit_A == 16.0)
        assert "duration" not in become_ready(running, socket)["chargingSchedule"]
        told = hear(socket, is_told("SetChargingProfile"))
        assert limit_of(told) == 16.0


def test_a_limit_of_a_transaction_is_told_in_each(tmp_path: Path) -> None:
    running = Running(tmp_path, limit_profile="TxProfile")
    stamp = "2026-03-01T10:20:30Z"

    def is_at_default() -> bool:
        running.driver.tick()
        return running.readings[-1].limit_A == 6.0

    try:
        with running.connect() as socket:
            become_ready(running, socket)
            wish(running, "a:1", 16.0)
            for _ in range(2):
                begin = {"connectorId": 1, "idTag": "x", "meterStart": 0, "timestamp": stamp}
                begun = ask(socket, [2, "begin", "StartTransaction", begin])[2]["transactionId"]
                told = hear(socket, is_told("SetChargingProfile"))
                assert told[3]["csChargingProfiles"]["transactionId"] == begun
                accept(socket, told)
                wait_for("it holds it", lambda: running.readings[-1].limit_A == 16.0)
                end = {"meterStop": 0, "timestamp": stamp, "transactionId": begun}
                ask(socket, [2, "end", "StopTransaction", end])
                wait_for("it is at its default", is_at_default)
    finally:
        running.driver.stop()


def test_with_tls_a_charger_shows_its_own_certificate(tmp_path: Path) -> None:
    for name in ("server", "CP-1", "CP-2"):
        make_certificate(tmp_path, f"{name}.crt", f"{name}.key", name)
    both = tmp_path / "chargers.crt"
    both.write_text((tmp_path / "CP-1.crt").read_text() + (tmp_path / "CP-2.crt").read_text())

    def client(name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=tmp_path / "server.crt")
        context.load_cert_chain(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        return context

    files = {"cert_file": "server.crt", "key_file": "server.key", "client_ca_file": "chargers.crt"}
    running = Running(tmp_path, client("CP-1"), **files)
    try:
        with running.connect() as socket:
            assert ask(socket, BOOT)[2]["status"] == "Accepted"
        with pytest.raises(InvalidStatus) as caught:
            running.connect(password="wrong")
        assert caught.value.response.status_code == 401
        running._tls = client("CP-2")
        with pytest.raises(InvalidStatus) as caught:
            running.connect()
        assert caught.value.response.status_code == 403
    finally:
        running.driver.stop()


def test_a_charger_that_takes_no_default_is_told_of_and_gets_no_limit(running: Running) -> None:
    with running.connect() as socket:
        ask(socket, BOOT)
        hear(socket, is_told("TriggerMessage"))
        wait_for("it is told of", lambda: bool(running.readings))
        reading = running.readings[-1]
        assert reading.fault == "does not take its default limit, to which it would fall back (Rejected)"
        assert reading.mark == ""


def test_what_cannot_be_as_configured_is_told_at_once(tmp_path: Path) -> None:
    config = OcppChargersConfig(passwords_file="none")
    with pytest.raises(DriverError, match=r"chargers: .*none: cannot be read: No such file"):
        OcppDriver("chargers", config, (SERVED,), tmp_path, lambda *_: None)
    config = OcppChargersConfig(without_passwords=True, cert_file="none.crt", key_file="none.key")
    with pytest.raises(DriverError, match=r"none\.crt, .*none\.key: cannot be used"):
        OcppDriver("chargers", config, (SERVED,), tmp_path, lambda *_: None)
