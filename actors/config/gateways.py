"""Modules that link the site with the outside world.

mqtt:
  module: MqttGateway
  config: {host: broker.example, tls: true, username: garage, password_file: /etc/amptree/mqtt}

Those of a CSMS: see ocpp.py.
"""

from __future__ import annotations

import re
from typing import Any

from actors.config import ocpp
from actors.config.faults import Faults, Path, did_you_mean, shown
from actors.config.fields import check_name, mapping, values
from actors.mqtt.config import BrokerConfig
from actors.site import Gateway, MqttGatewayConfig, MqttLink

MQTT = "MqttGateway"
KINDS = (MQTT, ocpp.OCPP)
MAX_PREFIX = 64
MAX_TOPIC = 512

_KEYS = {MQTT: ("module", "config"), ocpp.OCPP: ("module", "config", "connections")}
_TOPIC = re.compile(r"[^+#$\x00-\x1f\x7f/][^+#\x00-\x1f\x7f]*")
_HOST = re.compile(r"[^\s/]{1,255}")


def is_gateway(name: str, raw: dict[str, Any]) -> bool:
    """Whether a module is a gateway of ours. EVerest has an OCPP module of its own, configured in its own
    way."""
    return name in KINDS and not (name == ocpp.OCPP and "config_module" in raw and "config" not in raw)


def read_gateway(module_id: str, name: str, raw: dict[str, Any], path: Path, faults: Faults) -> Gateway:
    """One gateway; what is wrong with it becomes faults."""
    check_name(module_id, path, faults)
    for key in raw:
        if key not in _KEYS[name]:
            faults.add((*path, key), f"unknown key{did_you_mean(key, _KEYS[name])}")
    place = (*path, "config")
    given = mapping(raw.get("config"), place, faults)
    if name == ocpp.OCPP:
        return ocpp.read_link(module_id, given, place, faults)
    config = MqttGatewayConfig(**values(MqttGatewayConfig, given, place, faults))
    _check(config, place, faults)
    return MqttLink(id=module_id, config=config)


def _check(config: MqttGatewayConfig, path: Path, faults: Faults) -> None:
    check_broker(config, path, faults)
    for key in ("topic_prefix", "discovery_prefix"):
        prefix = getattr(config, key)
        if prefix and not (_TOPIC.fullmatch(prefix) and len(prefix.encode()) <= MAX_PREFIX):
            told = f"expected the begin of a topic, at most {MAX_PREFIX} bytes, without wildcards"
            faults.add((*path, key), f"{told}; got {shown(prefix)}")
    if config.home_assistant and not config.discovery_prefix:
        faults.add((*path, "discovery_prefix"), "must not be empty")


def check_broker(config: BrokerConfig, path: Path, faults: Faults) -> None:
    """What must hold between the keys of a connection."""
    check_host(config.host, path, faults)
    if config.password_file is not None and config.username is None:
        faults.add(path, "password_file without username")
    if (config.cert_file is None) != (config.key_file is None):
        faults.add(path, "cert_file and key_file belong together")
    if not config.tls:
        for key in ("ca_file", "cert_file", "key_file"):
            if getattr(config, key) is not None:
                faults.add((*path, key), "has no effect without tls: true")


def check_host(host: str, path: Path, faults: Faults) -> None:
    """A name or an address."""
    if not _HOST.fullmatch(host):
        faults.add((*path, "host"), f"expected a name or address, got {shown(host)}")


def check_topic(topic: str, path: Path, faults: Faults) -> None:
    """A topic that is listened to."""
    if not _TOPIC.fullmatch(topic) or len(topic.encode(errors="replace")) > MAX_TOPIC:
        told = f"expected a topic, at most {MAX_TOPIC} bytes, without wildcards"
        faults.add(path, f"{told}; got {shown(topic)}")
