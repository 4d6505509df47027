"""`meter:` of an EnergyNode: what measures all that flows through its fuse.

meter:
  driver: modbus       # what reads it: plant, mqtt or modbus; its own keys stand beside
  host: 10.0.0.40
  model: sdm630
  timeout_s: 10        # silent for longer, and fixed_load_A counts
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec
from msgspec.structs import replace

from actors.config.faults import Faults, Path, did_you_mean, one_line, shown
from actors.config.fields import mapping, values
from actors.config.gateways import check_broker, check_host, check_topic
from actors.drivers.meters.links import MODELS, WATTS, Link, ModbusMeter, MqttMeter, RegisterMap
from actors.site import EnergyNodeConfig, MeterConfig, ModuleConfig

LINKS: dict[str, type[MqttMeter] | type[ModbusMeter] | None] = {
    "plant": None,
    "mqtt": MqttMeter,
    "modbus": ModbusMeter,
}
MAX_PATH = 200

_OWN = {field.name for field in msgspec.structs.fields(MeterConfig)}
_PATH = re.compile(r"[^.\x00-\x1f]+(\.[^.\x00-\x1f]+)*")


def read_meter(
    raw: Any, config: ModuleConfig, path: Path, faults: Faults
) -> tuple[MeterConfig | None, Link | None]:
    """The meter of a module, if it has one, and how it is reached."""
    if raw is None:
        return None, None
    given = mapping(raw, path, faults)
    driver = given.get("driver", "plant")
    kind = LINKS.get(driver) if isinstance(driver, str) else None
    own = {key: value for key, value in given.items() if kind is None or key in _OWN}
    meter = MeterConfig(**values(MeterConfig, own, path, faults))
    if not isinstance(config, EnergyNodeConfig):
        faults.add(path, "only an EnergyNode has a meter")
        return meter, None
    if config.fuse_limit_A is None:
        faults.add(path, "a meter without a fuse_limit_A: there is nothing to keep free for what it measures")
    elif config.fixed_load_A is None:
        faults.add(path, "a meter without a fixed_load_A: say what draws at most, for when it is silent")
    if meter.driver not in LINKS:
        text = f'no driver "{one_line(meter.driver, 40)}"; known: {", ".join(LINKS)}'
        faults.add((*path, "driver"), f"{text}{did_you_mean(meter.driver, LINKS)}")
    if kind is None:
        return meter, None
    rest = {key: value for key, value in given.items() if key not in _OWN}
    link: Link
    if kind is MqttMeter:
        link = _read_mqtt(rest, config.phase_count, path, faults)
        unit = link.unit
    else:
        link = _read_modbus(rest, config.phase_count, path, faults)
        unit = link.registers.unit
    if unit in WATTS and "margin_A" not in given:
        told = "must cover reactive current and low voltage where a meter tells watts"
        faults.add((*path, "margin_A"), f"{told}: say it, for example a quarter of fixed_load_A")
    return meter, link


def _read_mqtt(raw: dict[str, Any], phases: int, path: Path, faults: Faults) -> MqttMeter:
    link = MqttMeter(**values(MqttMeter, raw, path, faults))
    check_broker(link, path, faults)
    of_them = f"{phases} phase{'s' if phases > 1 else ''}"
    if (link.topic is None) == (not link.topics):
        faults.add(path, "expected either topic, with values, or topics, one for each phase")
    elif link.topic is not None:
        check_topic(link.topic, (*path, "topic"), faults)
        alone = phases == 1 and not link.values
        if not alone and len(link.values) != phases:
            faults.add((*path, "values"), f"expected a path for each of {of_them}, got {len(link.values)}")
        if link.value is not None and not alone:
            faults.add((*path, "value"), "is for topics; with topic the paths are values")
    else:
        for number, topic in enumerate(link.topics):
            check_topic(topic, (*path, "topics", number), faults)
        if len(link.topics) != phases or len(set(link.topics)) != phases:
            told = f"expected a topic for each of {of_them}, got {len(set(link.topics))}"
            faults.add((*path, "topics"), told)
        if link.values:
            faults.add((*path, "values"), "is for topic; with topics the path is value")
    paths: list[tuple[Path, str | None]] = [(("value",), link.value), (("clock",), link.clock)]
    paths += [(("values", number), each) for number, each in enumerate(link.values)]
    for place, each in paths:
        if each is not None and not (_PATH.fullmatch(each) and len(each) <= MAX_PATH):
            told = f"expected names and positions with dots between them, got {shown(each)}"
            faults.add((*path, *place), told)
    if len(set(link.values)) < len(link.values):
        faults.add((*path, "values"), "two phases have the same path")
    return link


def _read_modbus(raw: dict[str, Any], phases: int, path: Path, faults: Faults) -> ModbusMeter:
    own = mapping(raw.get("registers"), (*path, "registers"), faults)
    registers = RegisterMap(**values(RegisterMap, own, (*path, "registers"), faults))
    rest = {key: value for key, value in raw.items() if key != "registers"}
    link = replace(ModbusMeter(**values(ModbusMeter, rest, path, faults)), registers=registers)
    check_host(link.host, path, faults)
    if "host" not in raw:
        faults.add((*path, "host"), "missing: where the meter or its gateway is")
    if (link.model is None) == ("registers" not in raw):
        faults.add(path, f"expected either a model ({', '.join(MODELS)}) or registers")
    elif link.model is not None:
        known = MODELS.get(link.model)
        if known is None:
            text = f"no model {shown(link.model)}; known: {', '.join(MODELS)}"
            faults.add((*path, "model"), f"{text}{did_you_mean(link.model, MODELS)}; or say its registers")
            return link
        return replace(link, registers=replace(known, addresses=known.addresses[:phases]))
    else:
        _check_registers(registers, phases, (*path, "registers"), faults)
    return link


def _check_registers(registers: RegisterMap, phases: int, path: Path, faults: Faults) -> None:
    width, addresses = registers.width(), sorted(registers.addresses)
    if len(addresses) != phases:
        faults.add((*path, "addresses"), f"expected one for each phase, {phases}, got {len(addresses)}")
    for one, other in pairwise(addresses):
        if other < one + width:
            text = f"a {registers.type} takes {width} register{'s' if width > 1 else ''}: {one} and {other}"
            faults.add((*path, "addresses"), f"{text} overlap")
    if addresses and addresses[-1] + width > 65536:
        faults.add(
            (*path, "addresses"), f"a {registers.type} at {addresses[-1]} goes beyond the last register"
        )
    if registers.scale == 0.0:
        faults.add((*path, "scale"), "must not be 0")
    if width == 1 and registers.word_order == "little":
        faults.add((*path, "word_order"), f"a {registers.type} has one word only")
