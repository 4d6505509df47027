"""What EVerest's API tells of the site's modules, to clients that ask."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.gateways.gathering import Below
from actors.gateways.mqtt import topics as names
from actors.gateways.mqtt.requests import EVEREST_API
from actors.gateways.mqtt.telemetry import capabilities
from actors.site import MqttLink

HEARTBEAT_S = 1.0
"""Between two heartbeats."""
COMMUNICATION_CHECK_S = 5
"""How often clients say that they are there, where nothing else is declared."""


def reply(below: Below, gateway: MqttLink, what: str, name: str) -> bytes | None:
    """The answer to a question; None: there is nothing to tell."""
    if what == names.GET_CAPABILITIES:
        return msgspec.json.encode(capabilities(below.site, name))
    apis = [api for module_id in below.modules for api in _apis(below, gateway, module_id)]
    if what == names.QUERY:
        apis = [api for api in apis if api["type"] == name]
    return msgspec.json.encode({"apis": apis}) if apis else None


def _apis(below: Below, gateway: MqttLink, module_id: str) -> list[dict[str, Any]]:
    module = below.site.modules[module_id]
    declared = next((s for s in module.sources if s.name == EVEREST_API), None)
    check_s = None if declared is None else declared.heartbeat_timeout_s
    if declared is not None and declared.grid is not None:
        check_s = declared.grid.heartbeat_timeout_s
    monitoring = {
        "heartbeat_period_ms": int(HEARTBEAT_S * 1000),
        "communication_check_period_s": max(1, int(check_s or COMMUNICATION_CHECK_S)),
    }
    kinds = [names.LIMITS_API] if gateway.config.accept_limits else []
    kinds += [names.EVSE_API] if module.kind == "EvseManager" else []
    return [
        {
            "module_id": module_id,
            "type": kind,
            "version": names.API_VERSION,
            "communication_monitoring": monitoring,
        }
        for kind in kinds
    ]
