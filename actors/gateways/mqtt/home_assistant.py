"""What Home Assistant is told so that the site shows up there by itself: a device for each module.

It is its discovery by device (since Home Assistant 2024.11): one message a device, with its parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from actors.energy.types import EvseState
from actors.gateways.mqtt.requests import CLEAR
from actors.gateways.mqtt.topics import Topics
from actors.site import EvseManagerConfig, MqttLink, Site

ORIGIN = {"name": "amptree"}
LIMIT_MAX_W = 1_000_000
LIMIT_MAX_A = 2_000

_POWER = {"device_class": "power", "unit_of_measurement": "W", "state_class": "measurement"}
_CURRENT = {"device_class": "current", "unit_of_measurement": "A", "state_class": "measurement"}


def announcements(
    site: Site, gateway: MqttLink, topics: Topics, modules: list[str]
) -> Iterator[tuple[str, bytes]]:
    """A topic and its content for each device."""
    for module_id in modules:
        device: dict[str, Any] = {
            "identifiers": [_device(site, module_id)],
            "name": f"{site.name} {module_id}",
            "manufacturer": "amptree",
            "model": site.modules[module_id].kind,
        }
        parent = site.modules[module_id].parent
        if parent is not None and parent in modules:
            device["via_device"] = _device(site, parent)
        content = {
            "device": device,
            "origin": ORIGIN,
            "availability_topic": topics.availability,
            "components": dict(_components(site, gateway, topics, module_id)),
        }
        yield topics.discovery(_device(site, module_id)), msgspec.json.encode(content)


def _device(site: Site, module_id: str) -> str:
    """Home Assistant takes letters, digits, "_" and "-" only."""
    return f"amptree_{site.name}_{module_id}".replace(".", "-")


def _components(
    site: Site, gateway: MqttLink, topics: Topics, module_id: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    def part(key: str, platform: str, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
        unique_id = f"{_device(site, module_id)}_{key}"
        return key, {"platform": platform, "unique_id": unique_id, "name": name, **more}

    def told(what: str, template: str = "", **more: Any) -> dict[str, Any]:
        value = {"value_template": template} if template else {}
        return {"state_topic": topics.telemetry(module_id, what), **value, **more}

    if isinstance(site.modules[module_id].config, EvseManagerConfig):
        states = [*(state.value for state in EvseState), "silent"]
        yield part("state", "sensor", "State", **told("state"), device_class="enum", options=states)
        yield part(
            "in_force", "sensor", "Limit in force", **told("in_force", _value("ac_max_current_A")), **_CURRENT
        )
    else:
        yield part("state", "sensor", "State", **told("state"))
        limit = "{{ ((value_json or {}).ac_max_current_A or {}).value | default('None') }}"
        yield part("limit", "sensor", "Current limit", **told("limits", limit), **_CURRENT)
        limit = "{{ ((value_json or {}).total_power_W or {}).value | default('None') }}"
        yield part("limit_power", "sensor", "Power limit", **told("limits", limit), **_POWER)
    yield part("power", "sensor", "Power", **told("current", _value("power_W")), **_POWER)
    for phase in ("L1", "L2", "L3")[: site.phase_count(module_id)]:
        yield part(phase, "sensor", f"Current {phase}", **told("current", _value(phase)), **_CURRENT)
    yield part(
        "alarm",
        "binary_sensor",
        "Alarm",
        **told("alarms", "{{ 'ON' if value_json else 'OFF' }}"),
        device_class="problem",
        json_attributes_topic=topics.telemetry(module_id, "alarms"),
        json_attributes_template="{{ {'alarms': value_json} | tojson }}",
    )
    if not gateway.config.accept_limits:
        return
    for key, name, unit, most in (
        ("watts", "power", "W", LIMIT_MAX_W),
        ("amps", "current", "A", LIMIT_MAX_A),
    ):
        command = topics.setter(module_id, f"set_limit_{key}")
        limits = {
            "min": 0,
            "max": most,
            "step": 1,
            "mode": "box",
            "device_class": name,
            "unit_of_measurement": unit,
        }
        yield part(
            f"set_{key}",
            "number",
            f"Set {name} limit",
            **told(f"limit_{key}"),
            command_topic=command,
            **limits,
        )
        yield part(
            f"clear_{key}", "button", f"Clear {name} limit", command_topic=command, payload_press=CLEAR
        )


def _value(member: str) -> str:
    """A number of a JSON object; unknown where the object or the number is null."""
    return f"{{{{ (value_json or {{}}).{member} | default('None') }}}}"
