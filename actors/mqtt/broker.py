"""The connection to a broker: Eclipse Paho's client behind a few verbs.

Paho's thread only calls back; what it brings is put aside there and dealt with by the actor. What is
published while there is no connection is lost if its quality of service is 0, else it waits.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from actors.mqtt.config import BrokerConfig
from actors.mqtt.message import Arrived, arrived

LOG = logging.getLogger("amptree.mqtt")

REMEDY = "pip install 'amptree[mqtt]'"
SESSION_EXPIRY_S = 3_600
"""The broker keeps what is sent to us so long while we are away (MQTT 5)."""
PACKET_MAX_B = 8 * 1024 * 1024
"""Larger packets the broker does not send us at all (MQTT 5). What is smaller, and too large, is answered."""
QUEUED_MAX = 1_000
"""Messages that wait for the broker's acknowledgement, or for a connection."""
UNSENT_MAX = 20_000
"""Messages that a slow broker has not taken yet; more are not sent."""
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 30
FAREWELL_S = 1.0
FILTERS_IN_ONE = 100
"""Topic filters of one subscription."""
PASSWORD_MAX_B = 4_096


class BrokerError(Exception):
    """There can be no connection as configured; the message says why in one line."""


class _Socket(ssl.SSLSocket):
    """Closes itself where the handshake fails; Paho forgets it then."""

    def do_handshake(self, block: bool = False) -> None:
        """As ever."""
        try:
            super().do_handshake(block)
        except (OSError, ValueError):
            self.close()
            raise


class Broker:
    """One client of one broker, which connects again by itself.

    `on_message`, `on_up` and `on_down` are called on Paho's thread, and may do little.
    """

    def __init__(
        self,
        config: BrokerConfig,
        client_id: str,
        folder: Path,
        will: tuple[str, bytes] | None,
        filters: Iterable[tuple[str, int]],
        *,
        keeps: bool = True,
        on_message: Callable[[Arrived], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
    ) -> None:
        """Files are sought from `folder` on. `will`: topic and content that the broker tells when we are
        gone. `keeps`: whether it keeps for us what is sent while we are away. Raises BrokerError."""
        self._paho, self._properties = _import_paho()
        self._config = config
        self._keeps = keeps
        self._will = will
        self._filters = list(filters)
        self._on_message, self._on_up, self._on_down = on_message, on_up, on_down
        self._five = config.mqtt_version == 5
        self._lock = threading.Lock()
        self._unsent = 0
        self.connected = False
        self._client = self._make_client(client_id, folder)
        self._why = "it does not answer"
        self._ended = False

    @property
    def address(self) -> str:
        """For people."""
        return self._config.address()

    def start(self) -> None:
        """Begin to connect; an absent broker is no error."""
        config = self._config
        start = {"clean_start": not self._keeps, "properties": self._connect_properties()}
        five = start if self._five else {}
        self._client.connect_async(config.host, config.port_in_use(), config.keepalive_s, **five)
        self._client.loop_start()

    def running(self) -> bool:
        """Whether it still tries."""
        return not self._ended

    def stop(self) -> None:
        """Tell the will as farewell and disconnect; takes FAREWELL_S at most. Idempotent."""
        if self.connected and self._will is not None:
            info = self._client.publish(*self._will, qos=1, retain=True)
            try:
                info.wait_for_publish(FAREWELL_S)
            except (ValueError, RuntimeError):  # it could not be sent; the will says it
                LOG.debug("no farewell to %s", self.address)
        self._client.disconnect()  # and its thread ends, within a second

    def publish(
        self,
        topic: str,
        content: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> bool:
        """Whether it was taken, to be sent or to wait. For one thread."""
        if qos == 0 and (not self.connected or self._unsent >= UNSENT_MAX):
            return False
        properties = None
        if self._five and correlation is not None:
            properties = self._properties.Properties(self._paho.PacketTypes.PUBLISH)
            properties.CorrelationData = correlation
        with self._lock:
            self._unsent += 1
        info = self._client.publish(topic, content, qos=qos, retain=retain, properties=properties)
        if info.rc not in (self._paho.MQTT_ERR_SUCCESS, self._paho.MQTT_ERR_NO_CONN):
            self._sent()
            return False
        return qos > 0 or info.rc == self._paho.MQTT_ERR_SUCCESS

    # --- making --------------------------------------------------------------------------------------

    def _make_client(self, client_id: str, folder: Path) -> Any:
        config, paho = self._config, self._paho
        client = paho.Client(
            callback_api_version=paho.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5 if self._five else paho.MQTTv311,
            clean_session=None if self._five else not self._keeps,
        )
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=True)
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        client.max_queued_messages_set(QUEUED_MAX)
        if config.username is not None:
            client.username_pw_set(config.username, _password(config, folder))
        if config.tls:
            files = (config.ca_file, config.cert_file, config.key_file)
            ca, cert, key = (None if name is None else str(folder / name) for name in files)
            try:
                context = ssl.create_default_context(cafile=ca)
                context.sslsocket_class = _Socket
                if cert is not None and key is not None:
                    context.load_cert_chain(cert, key)
                client.tls_set_context(context)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                named = ", ".join(name for name in (ca, cert, key) if name is not None)
                raise BrokerError(f"{named}: {_words(error)}") from error
        self._watch(client)
        client.on_connect = self._connected
        client.on_connect_fail = self._failed
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_publish = lambda *_: self._sent()
        client.on_message = self._arrived
        return client

    def _connect_properties(self) -> Any:
        if not self._five:
            return None
        properties = self._properties.Properties(self._paho.PacketTypes.CONNECT)
        if self._keeps:
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.MaximumPacketSize = PACKET_MAX_B
        return properties

    def _watch(self, client: Any) -> None:
        """Learn why it cannot connect, and that its thread has ended; Paho tells neither."""
        reconnect, loop_forever = client.reconnect, client.loop_forever

        def remembering() -> Any:
            try:
                return reconnect()
            except OSError as error:
                self._why = _words(error)
                raise

        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return loop_forever(*args, **kwargs)
            except Exception as error:  # whatever it is: the actor makes a new client
                LOG.exception("the client of %s has ended", self.address)
                self._lost(_words(error))
            finally:
                self._ended = True

        client.reconnect, client.loop_forever = remembering, guarded

    # --- on Paho's thread ----------------------------------------------------------------------------

    def _connected(self, client: Any, _: object, __: object, reason: Any, ___: object) -> None:
        if reason.is_failure:
            self._lost(f"the broker refuses: {reason}")
            return
        with self._lock:
            self._unsent = 0
        for start in range(0, len(self._filters), FILTERS_IN_ONE):
            client.subscribe([self._filter(*f) for f in self._filters[start : start + FILTERS_IN_ONE]])
        self.connected = True
        self._on_up()

    def _filter(self, topic: str, qos: int) -> tuple[str, Any]:
        if not self._five:
            return topic, qos
        options = self._paho.SubscribeOptions
        return topic, options(qos=qos, retainHandling=options.RETAIN_DO_NOT_SEND)

    def _subscribed(self, _: object, __: object, ___: int, reasons: list[Any], ____: object) -> None:
        if refused := [reason for reason in reasons if reason.is_failure]:
            LOG.warning("%s refuses %d subscriptions: %s", self.address, len(refused), refused[0])

    def _failed(self, _: object, __: object) -> None:
        self._lost(self._why)

    def _disconnected(self, _: object, __: object, ___: object, reason: Any, ____: object) -> None:
        self._lost(str(reason))

    def _lost(self, why: str) -> None:
        self.connected = False
        self._on_down(why)

    def _sent(self) -> None:
        with self._lock:
            self._unsent = max(0, self._unsent - 1)

    def _arrived(self, _: object, __: object, message: Any) -> None:
        properties = getattr(message, "properties", None)
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no topic of ours
        self._on_message(
            arrived(
                topic,
                bytes(message.payload),
                retained=bool(message.retain),
                reply_to=getattr(properties, "ResponseTopic", None),
                correlation=getattr(properties, "CorrelationData", None),
            )
        )


def _import_paho() -> tuple[Any, Any]:
    """Paho's client and properties. Raises BrokerError."""
    try:
        from paho.mqtt import client, properties
    except ImportError:
        raise BrokerError(f"MQTT needs Eclipse Paho: {REMEDY}") from None
    if not hasattr(client, "CallbackAPIVersion"):
        raise BrokerError(f"MQTT needs Eclipse Paho 2.0 or later: {REMEDY}")
    return client, properties


def _password(config: BrokerConfig, folder: Path) -> str | None:
    if config.password_file is None:
        return None
    path = folder / config.password_file
    try:
        with path.open("rb") as stream:
            first = stream.read(PASSWORD_MAX_B).splitlines()[:1]
        return first[0].decode() if first else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"{path}: {_words(error)}") from error


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return str(error)
    return str((isinstance(error, OSError) and error.strerror) or error)
