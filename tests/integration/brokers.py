"""A mosquitto broker of a test's own, and its clients."""

from __future__ import annotations

import json
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.integration.conftest import free_ports, wait_for

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None or shutil.which("mosquitto_pub") is None,
    reason="needs mosquitto: apt-get install mosquitto mosquitto-clients",
)


class Mosquitto:
    """One broker on a free port of this machine."""

    def __init__(self, folder: Path, settings: str = "allow_anonymous true") -> None:
        folder.mkdir(exist_ok=True)
        (self.port,) = free_ports(1)
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nlog_type error\nlog_type warning\n{settings}\n"
            f"persistence true\npersistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true\n"
            "user root\n"
        )

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert MOSQUITTO is not None
        command = [MOSQUITTO, "-c", str(self.folder / "mosquitto.conf")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_for("the broker listens", self._listens)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "mosquitto has ended"
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pub(self, topic: str, message: str, *options: str) -> None:
        """mosquitto_pub, with quality of service 1."""
        command = ["mosquitto_pub", "-p", str(self.port), "-q", "1", "-t", topic, "-m", message, *options]
        subprocess.run(command, check=True, timeout=20)

    def pub_file(self, topic: str, file: Path) -> None:
        """mosquitto_pub of a file."""
        command = ["mosquitto_pub", "-p", str(self.port), "-q", "1", "-t", topic, "-f", str(file)]
        subprocess.run(command, check=True, timeout=20)

    def sub(self, *options: str) -> list[str]:
        """Lines of mosquitto_sub, which ends by its options (-C, -W)."""
        command = ["mosquitto_sub", "-p", str(self.port), *options]
        done = subprocess.run(command, check=False, timeout=40, capture_output=True, text=True)
        return done.stdout.splitlines()


class Listener:
    """A client that keeps all that it is told. Context manager."""

    def __init__(
        self, port: int, *filters: str, version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5
    ) -> None:
        self.newest: dict[str, bytes] = {}
        self.all: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=version)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe([(f, 1) for f in filters])
        self.client.on_message = self._take
        self._subscribed = False
        self.client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        self._port = port

    def __enter__(self) -> Self:
        self.client.connect("127.0.0.1", self._port, 10)
        self.client.loop_start()
        wait_for("subscribed", lambda: self._subscribed)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _take(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        self.newest[message.topic] = bytes(message.payload)
        self.all.put((message.topic, bytes(message.payload)))

    def json(self, topic: str) -> Any:
        """The newest of a topic; None when there is none."""
        content = self.newest.get(topic)
        return None if content is None else json.loads(content)

    def forget(self) -> None:
        """All that was told so far."""
        self.newest.clear()
        while not self.all.empty():
            self.all.get()

    def heard(
        self, topic: str, right: Callable[[Any], bool] = lambda _: True, timeout_s: float = 60.0
    ) -> Any:
        """Wait for JSON on a topic that is right."""
        deadline_s = time.monotonic() + timeout_s
        seen: list[Any] = []
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                got, content = self.all.get(timeout=left_s)
            except queue.Empty:
                break
            if got == topic:
                seen.append(json.loads(content))
                if right(seen[-1]):
                    return seen[-1]
        raise AssertionError(f"not told on {topic}; but {seen[-5:]}")


@contextmanager
def broker(folder: Path, settings: str = "allow_anonymous true") -> Iterator[Mosquitto]:
    """A running broker."""
    one = Mosquitto(folder, settings)
    one.start()
    try:
        yield one
    finally:
        one.kill()
