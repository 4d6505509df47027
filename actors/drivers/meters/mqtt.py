"""Meters at a broker: one connection for all of a controller that are at the same one.

Only what is sent now is a reading: what the broker kept from before is left out, and it keeps nothing for us
while we are away, or a meter that died long ago would seem to be alive.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from actors import clock
from actors.drivers.meters.links import Job, MqttMeter
from actors.drivers.meters.telling import Teller
from actors.drivers.meters.values import Assembly, NotAReadingError
from actors.mqtt.broker import Broker, BrokerError
from actors.mqtt.config import BrokerConfig
from actors.mqtt.message import Arrived

PAYLOAD_MAX_B = 16 * 1024
"""Of a message of a meter."""
BEGIN_AGAIN_S = 10.0
"""Between two trials to make a client of the broker."""


class MqttMeters:
    """Reads meters of one broker."""

    def __init__(
        self, config: BrokerConfig, client_id: str, folder: Path, jobs: Iterable[Job], teller: Teller
    ) -> None:
        """Files are sought from `folder` on."""
        self._config = config
        self._client_id = client_id
        self._folder = folder
        self._teller = teller
        self._jobs = tuple(jobs)
        self._nodes = tuple(job.node for job in self._jobs)
        self._meters: dict[str, list[tuple[str, Assembly]]] = {}
        """By topic."""
        self._broker: Broker | None = None
        self._begin_due_s = 0.0

    def tick(self) -> None:
        """Connect, if there is no client yet, or its thread has ended."""
        now_s = clock.steady_s()
        if self._broker is not None and not self._broker.running():
            self.stop()
        if self._broker is None and now_s >= self._begin_due_s:
            self._begin_due_s = now_s + BEGIN_AGAIN_S
            self._begin()

    def stop(self) -> None:
        """Disconnect; idempotent."""
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def _begin(self) -> None:
        self._meters = {}
        for job in self._jobs:
            assert isinstance(job.link, MqttMeter)
            assembly = Assembly(job)
            for topic in dict.fromkeys(topic for topic, _ in job.link.places()):
                self._meters.setdefault(topic, []).append((job.node, assembly))
        try:
            self._broker = Broker(
                self._config,
                self._client_id,
                self._folder,
                None,
                [(topic, 0) for topic in self._meters],
                keeps=False,
                on_message=self._arrived,
                on_up=self._up,
                on_down=self._down,
            )
        except BrokerError as error:
            self._down(str(error))
            return
        self._broker.start()

    # --- on the client's thread ----------------------------------------------------------------------

    def _up(self) -> None:
        for node in self._nodes:
            self._teller.trouble(node, f"nothing came from {self._config.address()} yet")

    def _down(self, why: str) -> None:
        for node in self._nodes:
            self._teller.trouble(node, f"not connected with {self._config.address()}: {why}")

    def _arrived(self, message: Arrived) -> None:
        if message.retained:
            return
        for node, assembly in self._meters.get(message.topic, ()):
            try:
                if message.size > PAYLOAD_MAX_B:
                    raise NotAReadingError(f"a message has more than {PAYLOAD_MAX_B // 1024} KiB")
                reading = assembly.take(clock.steady_s(), message.topic, message.payload)
            except NotAReadingError as error:
                self._teller.trouble(node, str(error))
                continue
            if reading is not None:
                self._teller.reading(node, reading)
