"""The driver of a controller's chargers that run EVerest: one client of the broker that they are at.

What comes in is dealt with on the client's thread, what the tree wants on the EVSEs'; a lock stands between.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from actors import clock
from actors.drivers import DriverError
from actors.drivers.chargers import Served
from actors.drivers.everest.evse import EverestEvse
from actors.drivers.everest.messages import HEARD, MessageError
from actors.drivers.kinds import EverestChargersConfig
from actors.energy.messages import Actuate, Reading
from actors.mqtt.broker import Broker, BrokerError
from actors.mqtt.message import Arrived

LOG = logging.getLogger("amptree.chargers")

EVSE_API, LIMITS_API = "evse_manager_consumer", "external_energy_limits_consumer"
BEGIN_AGAIN_S = 10.0
"""Between two trials to make a client of the broker."""
TOLD_EACH_S = 0.9
"""A reading is told so often at least while a charger is there, and with each change."""
SAID_EACH_S = 60.0
"""Between two lines of the log about the same EVSE."""


class _Charger:
    """An EVSE and its topics."""

    def __init__(self, now_s: float, served: Served, config: EverestChargersConfig) -> None:
        self.evse = EverestEvse(now_s, served, config.reaction_s)
        prefix, evse, limits = (
            text.replace("{charger}", served.charger)
            for text in (config.topic_prefix, config.evse_module, config.limits_module)
        )
        self.heard = f"{prefix}everest_api/1/{EVSE_API}/{evse}/e2m"
        to_evse = f"{prefix}everest_api/1/{EVSE_API}/{evse}/m2e"
        to_node = f"{prefix}everest_api/1/{LIMITS_API}/{limits}/m2e"
        self.checks = tuple(f"{to}/communication_check" for to in (to_evse, to_node))
        self.limits = f"{to_node}/set_external_limits"
        self.no_delay = f"{to_evse}/random_delay_disable"
        self.told: Reading | None = None
        self.told_s = self.said_s = float("-inf")

    @property
    def id(self) -> str:
        """Of the EVSE."""
        return self.evse.served.evse_id


class EverestDriver:
    """Serves the EVSEs `served`."""

    def __init__(
        self,
        name: str,
        config: EverestChargersConfig,
        served: tuple[Served, ...],
        folder: Path,
        on_reading: Callable[[str, Reading], None],
    ) -> None:
        """Files are sought from `folder` on. Raises DriverError; an absent broker is no error."""
        self._name, self._config, self._folder = name, config, folder
        self._on_reading = on_reading
        self._lock = threading.RLock()
        now_s = clock.steady_s()
        self._chargers = {one.evse_id: _Charger(now_s, one, config) for one in served}
        self._by_topic: dict[str, tuple[_Charger, str]] = {}
        for charger in self._chargers.values():
            for what in HEARD:
                other, _ = self._by_topic.setdefault(f"{charger.heard}/{what}", (charger, what))
                if other is not charger:
                    raise DriverError(
                        f"{name}: {other.id} and {charger.id} have the same topics, {charger.heard}: give "
                        "each its own charger, and {charger} a place in topic_prefix or evse_module"
                    )
        if len({charger.limits for charger in self._chargers.values()}) < len(self._chargers):
            raise DriverError(f"{name}: several EVSEs have the same limits_module")
        self._broker: Broker | None = None
        self._up = False
        self._begin_due_s = float("-inf")
        self._said = ""

    def actuate(self, evse_id: str, command: Actuate) -> bool:
        """Tell a charger what the tree lets it have."""
        with self._lock:
            now_s, charger = clock.steady_s(), self._chargers[evse_id]
            refused = charger.evse.want(now_s, command)
            if refused is not None:
                LOG.debug("%s: a limit is not taken: %s", evse_id, refused)
                return False
            self._serve(now_s, charger)
            return self._up

    def tick(self) -> None:
        """Connect; tell the chargers that we are there; readings."""
        with self._lock:
            now_s = clock.steady_s()
            if self._broker is not None and not self._broker.running():
                self._end()
                self._is_down("its client has ended")
            if self._broker is None and now_s >= self._begin_due_s:
                self._begin_due_s = now_s + BEGIN_AGAIN_S
                self._begin()
            for charger in self._chargers.values():
                for topic in charger.checks:
                    self._publish(topic, b"true")
                self._serve(now_s, charger)

    def stop(self) -> None:
        """Disconnect. What the chargers were told runs out by itself."""
        with self._lock:
            self._end()

    # --- the connection -----------------------------------------------------------------------------

    def _begin(self) -> None:
        try:
            self._broker = Broker(
                self._config,
                self._config.client_id or f"amptree-{self._name}-{secrets.token_hex(4)}",
                self._folder,
                None,
                [(topic, 0) for topic in self._by_topic],
                keeps=False,
                on_message=self._arrived,
                on_up=self._is_up,
                on_down=self._is_down,
            )
        except BrokerError as error:
            self._is_down(str(error))
            return
        self._broker.start()

    def _end(self) -> None:
        self._up = False
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def _is_up(self) -> None:
        """On the client's thread."""
        with self._lock:
            self._up, self._said = True, ""
            LOG.info("%s is connected with %s", self._name, self._config.address())
            now_s = clock.steady_s()
            for charger in self._chargers.values():
                charger.evse.lose(now_s)
                self._serve(now_s, charger)

    def _is_down(self, why: str) -> None:
        with self._lock:
            self._up = False
            for charger in self._chargers.values():
                charger.evse.lose(clock.steady_s())
            if why != self._said:
                self._said = why
                LOG.warning("%s: not connected with %s: %s", self._name, self._config.address(), why)

    def _publish(self, topic: str, content: bytes, *, keep: bool = False) -> bool:
        broker = self._broker
        return broker is not None and self._up and broker.publish(topic, content, qos=int(keep), retain=keep)

    # --- chargers -----------------------------------------------------------------------------------

    def _arrived(self, message: Arrived) -> None:
        """On the client's thread."""
        charger, what = self._by_topic.get(message.topic, (None, ""))
        if charger is None or message.retained or message.too_large():
            return
        with self._lock:
            now_s = clock.steady_s()
            try:
                charger.evse.hear(now_s, what, message.payload)
            except MessageError as error:
                if now_s >= charger.said_s + SAID_EACH_S:
                    charger.said_s = now_s
                    LOG.warning("%s: its charger's %s is not understood: %s", charger.id, what, error)
                return
            self._serve(now_s, charger)

    def _serve(self, now_s: float, charger: _Charger) -> None:
        """Tell it what is due, and its EVSE what is new."""
        if not self._up:
            return
        wall_ms = clock.now().wall_us // 1000
        default = charger.evse.default_message(now_s, wall_ms)
        if default is not None:
            self._publish(charger.limits, default, keep=True)
            self._publish(charger.no_delay, b"{}")
        order = charger.evse.order(now_s, wall_ms)
        if order is not None:
            self._publish(charger.limits, order)
        reading = charger.evse.reading(now_s)
        if reading is None:
            return
        told = charger.told
        is_new = told is None or not reading.shows_the_same(told) or reading.mark != told.mark
        if is_new or now_s >= charger.told_s + TOLD_EACH_S:
            charger.told, charger.told_s = reading, now_s
            self._on_reading(charger.id, reading)
