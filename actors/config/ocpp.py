"""A module that is a charge point to a CSMS, by itself; what it is connected with stands in sinks.py.

ocpp:
  module: OCPP
  config: {url: "wss://csms.example/ocpp", protocol: ocpp2.0.1, RequestCompositeScheduleUnit: A}
  connections: {evse_energy_sink: [energy_root, evse_1, evse_2]}
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from actors.config.faults import Faults, Path, shown
from actors.config.fields import values
from actors.energy.external_checks import MAX_NAME
from actors.site import OcppGatewayConfig, OcppLink

OCPP = "OCPP"
MAX_URL = 512
MAX_TAG = 20

_IDENTITY = re.compile(r"[A-Za-z0-9*_=:+|@.-]{1,48}")
_TLS_KEYS = ("ca_file", "cert_file", "key_file")


def read_link(module_id: str, given: dict[str, Any], path: Path, faults: Faults) -> OcppLink:
    """Its configuration; what is wrong with it becomes faults."""
    config = OcppGatewayConfig(**values(OcppGatewayConfig, given, path, faults))
    if config.url is not None:
        _check_url(config, config.url, path, faults)
    identity = config.charge_point_id
    if identity is not None and not _IDENTITY.fullmatch(identity):
        told = "expected 1 to 48 letters, digits or * - _ = : + | @ ."
        faults.add((*path, "charge_point_id"), f"{told}; got {shown(identity)}")
    if not 0 < len(config.id_tag) <= MAX_TAG:
        faults.add((*path, "id_tag"), f"expected 1 to {MAX_TAG} characters, got {shown(config.id_tag)}")
    if (config.cert_file is None) != (config.key_file is None):
        faults.add(path, "cert_file and key_file belong together")
    if config.grid_operator_source is not None and config.protocol == "ocpp1.6":
        told = "OCPP 1.6 has no ChargingStationExternalConstraints; it takes protocol: ocpp2.0.1"
        faults.add((*path, "grid_operator_source"), told)
    names = ("source", "offline_source", "grid_operator_source")
    for key in names:
        name = getattr(config, key)
        if name is not None and not (0 < len(name) <= MAX_NAME and name.isprintable()):
            faults.add((*path, key), f"expected 1 to {MAX_NAME} printable characters, got {shown(name)}")
    if len({getattr(config, key) for key in names}) < len(names):
        faults.add(path, f"{', '.join(names)} must be different names")
    return OcppLink(id=module_id, config=config)


def _check_url(config: OcppGatewayConfig, url: str, path: Path, faults: Faults) -> None:
    place = (*path, "url")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        faults.add(place, f"expected ws://HOST/PATH or wss://HOST/PATH, got {shown(url)}")
    elif parts.username is not None or parts.query or parts.fragment:
        faults.add(place, "no login, query or fragment can stand here; use password_file")
    elif parts.scheme == "ws":
        for key in _TLS_KEYS:
            if getattr(config, key) is not None:
                faults.add((*path, key), "has no effect without a wss:// url")
