"""The connection itself: TLS and login, what was sent while nobody listened, and what cannot be."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from actors.clock import steady_s
from actors.gateways.gathering import Below
from actors.gateways.hosting import REVIVE_S, HostedGateway
from actors.mqtt.broker import Broker, BrokerError
from actors.mqtt.message import Arrived
from actors.site import MqttGatewayConfig
from actors.state import StateFolder
from tests.certificates import make_certificate
from tests.gateways.mqtt_sites import site
from tests.integration.brokers import broker, needs_mosquitto
from tests.integration.conftest import free_ports, wait_for


class Ends:
    """What a broker's client told."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self.ups = 0
        self.whys: list[str] = []

    def up(self) -> None:
        self.ups += 1


def client(config: MqttGatewayConfig, folder: Path, ends: Ends) -> Broker:
    return Broker(
        config,
        "amptree-test",
        folder,
        ("test/availability", b"offline"),
        [("test/in/#", 1)],
        on_message=ends.messages.put,
        on_up=ends.up,
        on_down=ends.whys.append,
    )


@contextmanager
def connected(config: MqttGatewayConfig, folder: Path, ends: Ends) -> Iterator[Broker]:
    one = client(config, folder, ends)
    before = ends.ups
    one.start()
    try:
        wait_for("connected", lambda: ends.ups > before)
        yield one
    finally:
        one.stop()
        wait_for("its thread has ended", lambda: not one.running())


@needs_mosquitto
def test_tls_and_login_are_needed_where_the_broker_wants_them(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "garage", "s3cret"], check=True)
    settings = f"certfile {tmp_path}/cert.pem\nkeyfile {tmp_path}/key.pem\npassword_file {passwords}"
    (tmp_path / "right").write_text("s3cret\n")
    (tmp_path / "wrong").write_text("secret\n")
    with broker(tmp_path / "broker", f"{settings}\nallow_anonymous false") as mosquitto:
        config = MqttGatewayConfig(
            host="127.0.0.1",
            port=mosquitto.port,
            tls=True,
            ca_file="cert.pem",
            username="garage",
            password_file="right",
        )
        ends = Ends()
        with connected(config, tmp_path, ends) as one:
            assert one.publish("test/in/x", b"over TLS", qos=1)
            assert ends.messages.get(timeout=10).payload == b"over TLS"
        assert not [why for why in ends.whys if "Success" not in why and "Normal" not in why]

        for changed, words in (
            ({"password_file": "wrong"}, "refuses"),
            ({"ca_file": None}, "certificate verify failed"),
            ({"tls": False, "ca_file": None}, ""),
        ):
            refused = Ends()
            other = client(msgspec.structs.replace(config, **changed), tmp_path, refused)
            other.start()
            wait_for("it is refused", lambda told=refused: told.whys)  # type: ignore[misc]
            assert words in refused.whys[0]
            assert refused.ups == 0
            other.stop()


@needs_mosquitto
@pytest.mark.parametrize("version", [5, "3.1.1"])
def test_what_is_sent_while_nobody_listens_is_not_lost_and_the_last_will_is_told(
    tmp_path: Path, version: int | str
) -> None:
    with broker(tmp_path / "broker") as mosquitto:
        config = MqttGatewayConfig(host="127.0.0.1", port=mosquitto.port, mqtt_version=version)  # type: ignore[arg-type]
        ends = Ends()
        mosquitto.pub("test/in/old", "kept by the broker from before", "-r")
        with connected(config, tmp_path, ends) as one:
            assert one.publish("test/availability", b"online", qos=1, retain=True)
            if version != 5:
                assert ends.messages.get(timeout=10).retained  # MQTT 5 does not even send it
        mosquitto.pub("test/in/x", "while away")
        with connected(config, tmp_path, ends):
            told = ends.messages.get(timeout=10)
            while told.retained:
                told = ends.messages.get(timeout=10)
            assert (told.topic, told.payload) == ("test/in/x", b"while away")
        said = mosquitto.sub("-t", "test/availability", "-C", "1", "-W", "5")
        assert said == ["offline"]


@needs_mosquitto
def test_it_connects_again_by_itself(tmp_path: Path) -> None:
    with broker(tmp_path / "broker") as mosquitto:
        ends = Ends()
        config = MqttGatewayConfig(host="127.0.0.1", port=mosquitto.port)
        with connected(config, tmp_path, ends) as one:
            mosquitto.kill()
            wait_for("it is seen", lambda: not one.connected)
            assert not one.publish("test/x", b"lost")
            assert one.publish("test/in/x", b"waits", qos=1)
            mosquitto.start()
            wait_for("it is back", lambda: ends.ups == 2)
            assert ends.messages.get(timeout=10).payload == b"waits"


@needs_mosquitto
def test_an_answer_bears_the_correlation_of_its_question(tmp_path: Path) -> None:
    with broker(tmp_path / "broker") as mosquitto:
        ends = Ends()
        with connected(MqttGatewayConfig(host="127.0.0.1", port=mosquitto.port), tmp_path, ends) as one:
            one.publish("test/in/x", b"answer", qos=1, correlation=b"4711")
            assert ends.messages.get(timeout=10).correlation == b"4711"


def test_an_absent_broker_is_told_and_no_error(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    ends = Ends()
    one = client(MqttGatewayConfig(host="127.0.0.1", port=port), tmp_path, ends)
    one.start()
    wait_for("it is told", lambda: ends.whys)
    assert ends.whys[0] == "Connection refused"
    one.stop()
    wait_for("its thread has ended", lambda: not one.running())


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MqttGatewayConfig(username="x", password_file="nowhere"), "nowhere: No such file"),
        (MqttGatewayConfig(tls=True, ca_file="nowhere.pem"), "nowhere.pem: No such file"),
    ],
)
def test_files_that_cannot_be_read_are_told_in_one_line(
    config: MqttGatewayConfig, words: str, tmp_path: Path
) -> None:
    with pytest.raises(BrokerError, match=words):
        client(config, tmp_path, Ends())


def test_without_paho_one_line_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt", None)
    with pytest.raises(BrokerError, match=r"^MQTT needs Eclipse Paho: pip install 'amptree\[mqtt\]'$"):
        client(MqttGatewayConfig(), tmp_path, Ends())


def test_a_gateway_that_dies_is_begun_again_and_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt", None)
    told = site()
    hosted = HostedGateway(told.gateways["mqtt"], Below(told, "energy_root", {}), StateFolder(tmp_path))
    hosted.tick(now_s := steady_s())
    hosted.tick(now_s + 1.0)
    wait_for("it says what it lacks", lambda: "amptree[mqtt]" in hosted.status.told)
    hosted._handle.tell("x", key=None)
    first = hosted._handle._ref
    assert first is not None
    first.tell("not by its handle")  # which no actor bears
    wait_for("it is dead", lambda: not hosted._handle.alive())
    hosted.tick(now_s + 2.0)
    assert hosted._handle._ref is first
    hosted.tick(now_s + REVIVE_S + 1.0)
    assert hosted._handle.alive()
    hosted.end()(5.0)
    assert not hosted._handle.alive()
