"""A site with an MQTT gateway, for tests without a broker."""

from __future__ import annotations

from actors.config import parse_site
from actors.site import Site

TEXT = """
active_modules:
  energy_root:
    module: EnergyManager
    connections: {energy_trunk: [floor]}
    external_limits: {everest_api: {heartbeat_timeout_s: 5, failsafe: {total_power_W: 4200}}}
  floor:
    module: EnergyNode
    config: {fuse_limit_A: 32}
    connections: {energy_trunk: [ac, dc]}
  ac: {module: EvseManager, config: {max_current_A: 16}}
  dc: {module: EvseManager, config: {charge_mode: DC, max_power_W: 15000}}
  mqtt: {module: MqttGateway}
"""


def site(text: str = TEXT) -> Site:
    return parse_site(text, "garage")
