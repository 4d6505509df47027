"""`fixed_load_A` of a node, and its `meter:`."""

from __future__ import annotations

import pytest

from actors.config import ConfigError, parse_site
from actors.drivers.meters.links import MODELS, ModbusMeter, MqttMeter, RegisterMap
from actors.energy.fixed_load import MeterConfig
from actors.site import Site


def site(config: str, meter: str = "", evse: str = "", below: str = "{}") -> Site:
    return parse_site(
        f"""
        root: {{module: EnergyManager, connections: {{energy_trunk: [node]}}}}
        node: {{module: EnergyNode, config: {{{config}}}, connections: {{energy_trunk: [below]}}{meter}}}
        below: {{module: EnergyNode, config: {below}, connections: {{energy_trunk: [evse]}}}}
        evse: {{module: EvseManager, config: {{{evse}}}}}
        """,
        "test",
    )


def faults(*args: str, **more: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        site(*args, **more)
    return str(caught.value).splitlines()


def test_a_meter_and_what_is_declared() -> None:
    found = site("fuse_limit_A: 63, fixed_load_A: 20", ", meter: {timeout_s: 5}", below="{fixed_load_A: 8}")
    assert found.modules["node"].meter == MeterConfig(timeout_s=5.0)
    assert [found.fixed_load_A(m) for m in ("root", "node", "below", "evse")] == [20.0, 20.0, 8.0, 0.0]


def test_a_node_keeps_what_the_nodes_below_it_have_declared() -> None:
    assert site("fuse_limit_A: 63", below="{fixed_load_A: 8}").fixed_load_A("node") == 8.0


@pytest.mark.parametrize(
    ("config", "meter", "more", "fault"),
    [
        ("fixed_load_A: 20", ", meter: {}", {}, "node.meter: a meter without a fuse_limit_A"),
        ("fuse_limit_A: 63", ", meter: {}", {}, "node.meter: a meter without a fixed_load_A"),
        (
            "fuse_limit_A: 63, fixed_load_A: 20",
            ", meter: {driver: plan}",
            {},
            'node.meter.driver: no driver "plan"; known: plant, mqtt, modbus; did you mean "plant"?',
        ),
        (
            "fuse_limit_A: 63, fixed_load_A: 20",
            ", meter: {timeout_s: 0}",
            {},
            "node.meter.timeout_s: expected a number above 0, got 0",
        ),
        ("fuse_limit_A: 63, fixed_load_A: 64", "", {}, "the fixed load, 64 A, exceeds 63 A"),
        (
            "fuse_limit_A: 63, fixed_load_A: 5",
            "",
            {"below": "{fixed_load_A: 8}"},
            "5 A are less than what the nodes below have for theirs, 8 A in all",
        ),
        (
            "fuse_limit_A: 63, fixed_load_A: 50",
            "",
            {"evse": "fallback_limit_A: 16"},
            "16 A in all, exceed 13 A that are left without 50 A of fixed load; lower their fallback_limit_A",
        ),
        (
            "fuse_limit_A: 63, fixed_load_A: 50, fallback_limit_A: 16",
            "",
            {},
            "16 A exceed the fuse of 63 A without 50 A of fixed load",
        ),
    ],
)
def test_what_cannot_be(config: str, meter: str, more: dict[str, str], fault: str) -> None:
    assert any(fault in line for line in faults(config, meter, **more))


NODE = "fuse_limit_A: 63, fixed_load_A: 20"
ONE_PHASE = f"{NODE}, phase_count: 1"
MQTT = "driver: mqtt, host: broker"
MODBUS = "driver: modbus, host: 10.0.0.4"


@pytest.mark.parametrize(
    ("config", "meter", "link"),
    [
        (
            NODE,
            f"{MQTT}, tls: true, topic: x/y, values: [a.L1, a.L2, a.L3], timeout_s: 5",
            MqttMeter(host="broker", tls=True, topic="x/y", values=("a.L1", "a.L2", "a.L3")),
        ),
        (
            NODE,
            f"{MQTT}, topics: [x/1, x/2, x/3], value: current, unit: W, margin_A: 5",
            MqttMeter(host="broker", topics=("x/1", "x/2", "x/3"), value="current", unit="W"),
        ),
        (ONE_PHASE, f"{MQTT}, topic: x", MqttMeter(host="broker", topic="x")),
        (
            NODE,
            f"{MODBUS}, model: sdm630, unit_id: 7",
            ModbusMeter(host="10.0.0.4", unit_id=7, model="sdm630", registers=MODELS["sdm630"]),
        ),
        (
            ONE_PHASE,
            f"{MODBUS}, framer: rtu, registers: {{addresses: [9], type: int16, scale: 0.1, unit: mA}}",
            ModbusMeter(
                host="10.0.0.4",
                framer="rtu",
                registers=RegisterMap(addresses=(9,), type="int16", scale=0.1, unit="mA"),
            ),
        ),
    ],
)
def test_how_a_meter_is_reached(config: str, meter: str, link: MqttMeter | ModbusMeter) -> None:
    assert site(config, f", meter: {{{meter}}}").modules["node"].meter_link == link


@pytest.mark.parametrize(
    ("meter", "fault"),
    [
        (f"{MQTT}", "node.meter: expected either topic, with values, or topics, one for each phase"),
        (f"{MQTT}, topic: x, values: [a]", "node.meter.values: expected a path for each of 3 phases, got 1"),
        (f"{MQTT}, topic: x, values: [a, b, a]", "node.meter.values: two phases have the same path"),
        (f"{MQTT}, topic: x, values: [a, b, 'c..d']", "node.meter.values[2]: expected names and positions"),
        (f"{MQTT}, topic: 'x/#', values: [a, b, c]", "node.meter.topic: expected a topic, at most 512 bytes"),
        (f"{MQTT}, topics: [x, y, y]", "node.meter.topics: expected a topic for each of 3 phases, got 2"),
        (f"{MQTT}, topics: [x, y, z], values: [a]", "node.meter.values: is for topic"),
        (f"{MQTT}, topics: [x, y, z], unit: V", "node.meter.unit: expected A, W, kW or mA, got"),
        (f"{MQTT}, topics: [x, y, z], unit: W", "node.meter.margin_A: must cover reactive current"),
        (f"{MQTT}, topics: [x, y, z], ca_file: x", "node.meter.ca_file: has no effect without tls: true"),
        (f"{MQTT}, topics: [x, y, z], tpoic: x", 'node.meter.tpoic: unknown key; did you mean "topic"?'),
        ("driver: modbus, model: sdm630", "node.meter.host: missing: where the meter or its gateway is"),
        (f"{MODBUS}", "node.meter: expected either a model (sdm630, abb_b23, abb_b24) or registers"),
        (f"{MODBUS}, model: sdm360", 'node.meter.model: no model "sdm360"; known: sdm630, abb_b23'),
        (
            f"{MODBUS}, registers: {{}}",
            "node.meter.registers.addresses: expected one for each phase, 3, got 0",
        ),
        (
            f"{MODBUS}, registers: {{addresses: [6, 7, 8]}}",
            "node.meter.registers.addresses: a float32 takes 2 registers: 6 and 7 overlap",
        ),
        (
            f"{MODBUS}, registers: {{addresses: [6, 8, 65535]}}",
            "node.meter.registers.addresses: a float32 at 65535 goes beyond the last register",
        ),
        (
            f"{MODBUS}, registers: {{addresses: [6, 8, -1]}}",
            "node.meter.registers.addresses: expected a list",
        ),
        (f"{MODBUS}, registers: {{scale: 0, addresses: [6, 8, 10]}}", "registers.scale: must not be 0"),
        (f"{MODBUS}, registers: {{adresses: [6, 8, 10]}}", 'unknown key; did you mean "addresses"?'),
        (f"{MODBUS}, registers: {{type: int64}}", "expected float32, int16, int32, uint16 or uint32"),
    ],
)
def test_what_cannot_be_of_a_link(meter: str, fault: str) -> None:
    assert any(fault in line for line in faults(NODE, f", meter: {{{meter}}}"))


def test_only_a_node_has_a_meter() -> None:
    with pytest.raises(ConfigError, match=r"root.meter: only an EnergyNode has a meter"):
        parse_site("root: {module: EnergyManager, meter: {}}", "test")
