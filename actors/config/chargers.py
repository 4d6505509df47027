"""Modules that link EVSEs with their chargers, and what EVSEs say of them.

chargers:
  module: OcppChargers
  config: {port: 9000, passwords_file: /etc/amptree/chargers}
evse_1:
  module: EvseManager
  config: {driver: ocpp, charger: CP-0815, connector_id: 1}
"""

from __future__ import annotations

import re
from typing import Any

from actors.config.faults import Faults, Path, did_you_mean, shown
from actors.config.fields import check_name, mapping, values
from actors.config.gateways import check_broker
from actors.drivers.kinds import (
    CHARGERS,
    Chargers,
    ChargersConfig,
    EverestChargersConfig,
    OcppChargersConfig,
)
from actors.energy.modules import EvseManagerConfig

DRIVERS = ("plant", *(driver for driver, _ in CHARGERS.values()))

_HOST = re.compile(r"[^\s/]{1,255}")
_IDENTITY = re.compile(r"[A-Za-z0-9*=+|@._-]{1,48}")
_PREFIX = re.compile(r"[^+#$\x00-\x1f\x7f/][^+#\x00-\x1f\x7f]{0,99}")
_MODULE = re.compile(r"[A-Za-z0-9_.{}-]{1,64}")
_NO_TOPIC = frozenset("*=+|@")
_KEYS = ("module", "config")


def read_chargers(module_id: str, kind: str, raw: dict[str, Any], path: Path, faults: Faults) -> Chargers:
    """One such module; what is wrong with it becomes faults."""
    check_name(module_id, path, faults)
    for key in raw:
        if key not in _KEYS:
            faults.add((*path, key), f"unknown key{did_you_mean(key, _KEYS)}")
    place = (*path, "config")
    _, config_type = CHARGERS[kind]
    given = values(config_type, mapping(raw.get("config"), place, faults), place, faults)
    config = config_type(**given)
    _check_config(config, place, faults)
    return Chargers(id=module_id, kind=kind, config=config)


def _check_config(config: ChargersConfig, path: Path, faults: Faults) -> None:
    match config:
        case OcppChargersConfig():
            _check_ocpp(config, path, faults)
        case EverestChargersConfig():
            _check_everest(config, path, faults)


def _check_everest(config: EverestChargersConfig, path: Path, faults: Faults) -> None:
    check_broker(config, path, faults)
    if config.topic_prefix and not _PREFIX.fullmatch(config.topic_prefix):
        told = "expected the begin of a topic, at most 100 characters, without wildcards"
        faults.add((*path, "topic_prefix"), f"{told}; got {shown(config.topic_prefix)}")
    for key in ("evse_module", "limits_module"):
        name = getattr(config, key)
        if not _MODULE.fullmatch(name):
            told = "expected a module's name, in which {charger} may stand"
            faults.add((*path, key), f"{told}; got {shown(name)}")
    if config.reaction_s > config.min_lease_s / 4:
        most_s = config.min_lease_s / 4
        faults.add(
            (*path, "reaction_s"),
            f"{config.reaction_s:g} s are too long: a limit must be renewed before it; at most a quarter of "
            f"min_lease_s, {most_s:g} s",
        )


def _check_ocpp(config: OcppChargersConfig, path: Path, faults: Faults) -> None:
    if not _HOST.fullmatch(config.host):
        faults.add((*path, "host"), f"expected a name or address, got {shown(config.host)}")
    if (config.cert_file is None) != (config.key_file is None):
        faults.add(path, "cert_file and key_file belong together")
    if config.client_ca_file is not None and config.cert_file is None:
        faults.add((*path, "client_ca_file"), "has no effect without cert_file and key_file")
    if config.passwords_file is not None and config.without_passwords:
        faults.add((*path, "without_passwords"), "not beside passwords_file: they have passwords, or none")
    known = config.passwords_file is not None or config.client_ca_file is not None
    if not (known or config.without_passwords):
        faults.add(
            path,
            "no passwords_file: name a file with each charger's identity and password, or say "
            "without_passwords: true where nobody else can connect",
        )
    if config.call_timeout_s > config.min_lease_s / 2:
        most_s = config.min_lease_s / 2
        faults.add(
            (*path, "call_timeout_s"),
            f"{config.call_timeout_s:g} s are too long: a limit that was not answered must be told again in "
            f"time; at most half of min_lease_s, {most_s:g} s",
        )


def check_driver(evse_id: str, config: EvseManagerConfig, path: Path, faults: Faults) -> None:
    """What an EVSE says of its charger."""
    if config.driver not in DRIVERS:
        remedy = did_you_mean(config.driver, DRIVERS)
        faults.add(
            (*path, "driver"), f'no driver "{config.driver[:40]}"; known: {", ".join(DRIVERS)}{remedy}'
        )
    elif config.driver == "plant":
        if config.charger is not None:
            faults.add((*path, "charger"), "has no effect with the driver plant")
    elif not _IDENTITY.fullmatch(config.charger or evse_id):
        where = path if config.charger is None else (*path, "charger")
        faults.add(
            where,
            f"expected a charger's identity, 1 to 48 letters, digits or any of * = + | @ . _ -, got "
            f"{shown(config.charger or evse_id)}",
        )
    elif config.driver == "everest" and _NO_TOPIC.intersection(config.charger or evse_id):
        where = path if config.charger is None else (*path, "charger")
        told = "a charger's name stands in topics, without any of * = + | @"
        faults.add(where, f"{told}; got {shown(config.charger)}")
