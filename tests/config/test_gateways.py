"""Modules that link the site with the outside world."""

from __future__ import annotations

import pytest

from actors.config import ConfigError, parse_site
from actors.site import MqttGatewayConfig, Site

TREE = """
root: {module: EnergyManager}
floor: {module: EnergyNode, connections: {energy_grid: root}}
evse: {module: EvseManager, connections: {energy_grid: floor}}
"""


def load(text: str) -> Site:
    return parse_site(TREE + text, "test")


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


def test_a_gateway_is_no_part_of_the_tree() -> None:
    site = load("mqtt: {module: MqttGateway, config: {host: broker.example, tls: true}}")
    assert list(site.modules) == ["root", "floor", "evse"]
    assert site.gateways["mqtt"].config == MqttGatewayConfig(host="broker.example", tls=True)
    assert site.gateways["mqtt"].config.port_in_use() == 8883
    assert site.digest == load("").digest


def test_it_runs_with_the_root_unless_a_controller_lists_it() -> None:
    gateway = "mqtt: {module: MqttGateway}\n"
    assert load(gateway).controllers["root"].gateways == ("mqtt",)
    listed = load(gateway + "controllers: {main: {modules: [root]}, level: {modules: [floor, mqtt]}}")
    assert listed.controllers["main"].gateways == ()
    assert listed.controllers["level"].gateways == ("mqtt",)
    assert listed.controllers["level"].modules == ("floor", "evse")
    assert listed.digest == load("controllers: {main: {modules: [root]}, level: {modules: [floor]}}").digest


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "mqtt: {module: MqttGateway, config: {hosts: x}}",
            'mqtt.config.hosts: unknown key; did you mean "host"?',
        ),
        ("mqtt: {module: MqttGateway, connections: {}}", "mqtt.connections: unknown key"),
        (
            "mqtt: {module: MqttGateway, config: {port: 0}}",
            "mqtt.config.port: expected an integer from 1 to 65535, got 0",
        ),
        (
            "mqtt: {module: MqttGateway, config: {mqtt_version: 4}}",
            "mqtt.config.mqtt_version: expected 5 or 3.1.1, got 4",
        ),
        ("mqtt: {module: MqttGateway, config: {host: a b}}", 'expected a name or address, got "a b"'),
        ("mqtt: {module: MqttGateway, config: {topic_prefix: 'a/#'}}", "without wildcards"),
        ("mqtt: {module: MqttGateway, config: {discovery_prefix: ''}}", "must not be empty"),
        ("mqtt: {module: MqttGateway, config: {password_file: x}}", "password_file without username"),
        ("mqtt: {module: MqttGateway, config: {ca_file: x}}", "has no effect without tls: true"),
        (
            "mqtt: {module: MqttGateway, config: {tls: true, cert_file: x}}",
            "cert_file and key_file belong together",
        ),
        (
            "mqtt: {module: MqttGateway}\nlow: {module: EvseManager, connections: {energy_grid: mqtt}}",
            "mqtt is of kind MqttGateway, which is no part of the energy tree",
        ),
        (
            "mqtt: {module: MqttGateway}\ncontrollers: {main: {modules: [root]}, outside: {modules: [mqtt]}}",
            "controllers.outside.modules: hosts no module of the tree; list at least one",
        ),
    ],
)
def test_faults_are_told_with_their_path(text: str, told: str) -> None:
    assert any(told in line for line in faults(text)), faults(text)


def test_a_misspelled_gateway_is_not_taken_for_a_stranger() -> None:
    (told,) = faults("mqtt: {module: MqttGatway}")
    assert told == 'mqtt.module: unknown kind "MqttGatway"; did you mean "MqttGateway"?'
