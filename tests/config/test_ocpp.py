"""A module that is a charge point to a CSMS."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actors.config import ConfigError, parse_site
from actors.site import OcppGatewayConfig, OcppLink, Site

TREE = """
root: {module: EnergyManager, external_limits: {dso: {lpc: {}}, ocpp_offline: {heartbeat_timeout_s: 300, failsafe: {total_power_W: 11000}}}}
floor: {module: EnergyNode, connections: {energy_grid: root}}
a: {module: EvseManager, config: {connector_id: 2}, connections: {energy_grid: floor}}
b: {module: EvseManager, config: {connector_id: 1}, connections: {energy_grid: floor}}
c: {module: EvseManager, config: {connector_id: 1}, connections: {energy_grid: root}}
"""
URL = "url: 'wss://csms.example/ocpp'"


def load(text: str) -> Site:
    return parse_site(TREE + text, "test")


def link(connections: str = "") -> OcppLink:
    more = f", connections: {{evse_energy_sink: {connections}}}" if connections else ""
    ocpp = load(f"ocpp: {{module: OCPP{more}}}").gateways["ocpp"]
    assert isinstance(ocpp, OcppLink)
    return ocpp


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


def test_without_connections_the_site_and_all_its_evses_are_the_charge_point() -> None:
    assert (link().station, link().evses) == ("root", ("a", "b", "c"))
    assert link().config == OcppGatewayConfig()


def test_evses_are_numbered_by_connector_id_where_that_goes_up() -> None:
    assert link("[a, b]").evses == ("b", "a")
    assert link("[a, c]").evses == ("c", "a")
    assert link("[a, b, c]").evses == ("a", "b", "c")
    assert link("[a]").evses == ("a",)


def test_a_node_is_the_station() -> None:
    assert (link("floor").station, link("floor").evses) == ("floor", ("b", "a"))
    assert (link("[b, floor, a]").station, link("[b, floor, a]").evses) == ("floor", ("b", "a"))


def test_connections_may_be_written_as_everest_does() -> None:
    assert link("[{module_id: a, implementation_id: external_limits}]").evses == ("a",)


def test_everests_own_ocpp_module_is_left_to_it() -> None:
    site = load(
        "ocpp: {module: OCPP, config_module: {ChargePointConfigPath: x.json}, connections: {auth: [{module_id: auth, implementation_id: main}]}}"
    )
    assert site.gateways == {}
    assert [(i.path, i.what) for i in site.ignored] == [("ocpp", "OCPP")]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("urll: x", 'ocpp.config.urll: unknown key; did you mean "url"?'),
        ("url: 'http://csms'", "ocpp.config.url: expected ws://HOST/PATH or wss://HOST/PATH"),
        ("url: 'ws:///path'", "ocpp.config.url: expected ws://HOST"),
        ("url: 'ws://host:99999/'", "ocpp.config.url: expected ws://HOST"),
        ("url: 'ws://me:secret@host/'", "no login, query or fragment"),
        ("url: 'ws://host/', ca_file: x", "ocpp.config.ca_file: has no effect without a wss:// url"),
        (f"{URL}, cert_file: x", "cert_file and key_file belong together"),
        ("protocol: ocpp2.1", 'expected ocpp1.6 or ocpp2.0.1, got "ocpp2.1"'),
        ("RequestCompositeScheduleUnit: kW", "expected A or W"),
        ("charge_point_id: 'a b'", "ocpp.config.charge_point_id: expected 1 to 48"),
        ("id_tag: ''", "ocpp.config.id_tag: expected 1 to 20"),
        ("source: ''", "ocpp.config.source: expected 1 to 64"),
        ("source: ocpp_offline", "must be different names"),
        ("source: dso", "root.external_limits.dso: profiles hold also without a CSMS"),
        ("offline_source: dso", "root.external_limits.dso: needs heartbeat_timeout_s"),
        ("grid_operator_source: dso", "OCPP 1.6 has no ChargingStationExternalConstraints"),
        (
            "protocol: ocpp2.0.1, grid_operator_source: grid",
            "ocpp.config.grid_operator_source: root declares no such",
        ),
        ("ping_interval_s: 0", "ocpp.config.ping_interval_s: expected a number from 1 to 3600"),
    ],
)
def test_faults_of_its_configuration(config: str, told: str) -> None:
    found = faults(f"ocpp: {{module: OCPP, config: {{{config}}}}}")
    assert any(told in line for line in found), found


@pytest.mark.parametrize(
    ("connections", "told"),
    [
        ("{evse_energy_sink: [d]}", 'ocpp.connections.evse_energy_sink[0]: no module "d" in this file'),
        ("{evse_energy_sink: [a, a]}", "duplicate name: a is listed twice"),
        ("{evse_energy_sink: [root, floor]}", "floor is a second node"),
        ("{evse_energy_sink: [floor, c]}", "c is not below floor"),
        ("{evse_energy_sinks: [a]}", 'unknown connection; did you mean "evse_energy_sink"?'),
        ("{evse_energy_sink: [5]}", "expected a module's name, got 5"),
        (
            "{evse_energy_sink: [{module_id: a, implementation_id: energy_grid}]}",
            'expected "external_limits"',
        ),
        ("{evse_energy_sink: [ocpp]}", 'no module "ocpp" in this file'),
    ],
)
def test_faults_of_its_connections(connections: str, told: str) -> None:
    found = faults(f"ocpp: {{module: OCPP, connections: {connections}}}")
    assert any(told in line for line in found), found


def test_it_must_run_above_its_modules() -> None:
    controllers = "controllers: {main: {modules: [root]}, level: {modules: [floor, ocpp]}}"
    found = faults(f"ocpp: {{module: OCPP}}\n{controllers}")
    assert any("root is not below controller level, where ocpp runs" in line for line in found), found
    site = load(f"ocpp: {{module: OCPP, connections: {{evse_energy_sink: [floor]}}}}\n{controllers}")
    assert site.controllers["level"].gateways == ("ocpp",)


def test_two_of_them_need_sources_of_their_own() -> None:
    two = "one: {module: OCPP}\ntwo: {module: OCPP, config: {source: %s}}"
    assert any("needs a name of its own" in line for line in faults(two % "ocpp"))
    assert list(load(two % "other").gateways) == ["one", "two"]


def test_the_example_loads() -> None:
    text = (Path(__file__).parents[2] / "configs" / "ocpp.yaml").read_text()
    site = parse_site(text, "ocpp")
    assert isinstance(site.gateways["ocpp"], OcppLink)
    assert yaml.safe_load(text)["active_modules"]["ocpp"]["module"] == "OCPP"
