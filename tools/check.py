"""`amptree check`: is a site's file sound, and what tree does it describe?"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from actors.config import ConfigError, load_site
from actors.drivers.kinds import EverestChargersConfig, OcppChargersConfig
from actors.drivers.meters.links import ModbusMeter, MqttMeter
from actors.site import (
    Chargers,
    Controller,
    EnergyManagerConfig,
    EnergyNodeConfig,
    EvseManagerConfig,
    Gateway,
    Module,
    OcppLink,
    Site,
    SourceConfig,
)

WIDTH = 100
DETAILS_WIDTH = 46  # what most modules need beside their name, kind and controller


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a site's YAML file")
    parser.add_argument("--json", action="store_true", help="print each tree as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the tree of each file, or its faults on stderr; 1 when any file has one."""
    sites: list[Site] = []
    faulty = False
    for file in options.files:
        try:
            sites.append(load_site(file))
        except ConfigError as error:
            faulty = True
            for fault in error.faults:
                print(f"{file}: {fault}", file=sys.stderr)
    if options.json:
        trees = [as_json(site) for site in sites]
        if trees:
            print(json.dumps(trees[0] if len(options.files) == 1 else trees, indent=2))
    else:
        for number, site in enumerate(sites):
            print("\n" * (number > 0) + _encodable("\n".join(as_text(site))))
    return 1 if faulty else 0


def as_text(site: Site) -> Iterator[str]:
    """The tree, a line or two a module; then what was not taken from the file, or changed."""
    hosts = _hosts(site)
    evses = sum(module.kind == "EvseManager" for module in site.modules.values())
    yield f"site {site.name}: {_count(len(site.modules), 'module')}, {_count(evses, 'EVSE')}"
    yield f"from {site.path}, digest {site.digest}"
    yield ""
    yield from _controllers(site)
    yield ""
    branches = list(_branches(site, site.root, "", ""))
    left = max(len(branch) for _, branch, _ in branches)
    kind_width = max(len(module.kind) for module in site.modules.values())
    host_width = max(map(len, hosts.values()))
    for module_id, branch, below in branches:
        module = site.modules[module_id]
        head = f"{branch:{left}}  {module.kind:{kind_width}}  {hosts[module_id]:{host_width}}  "
        if len(head) > WIDTH - DETAILS_WIDTH:  # a deep tree or long names: details go below, each by itself
            yield head.rstrip()
            head = f"{below if len(below) <= WIDTH - DETAILS_WIDTH else '':4}    "
            indent = head
        else:
            indent = below.ljust(len(head))
        yield from _wrapped(head, indent, _described(site, module))
        for source in module.sources:
            yield from _wrapped(indent, indent, f"source {source.name}: {_source(source)}")
        if module.meter is not None:
            yield from _wrapped(
                indent, indent, f"meter {_meter(module)}; {site.fixed_load_A(module_id):g} A without it"
            )
    if site.chargers:
        yield ""
        for chargers in site.chargers.values():
            host = next(c.name for c in site.controllers.values() if chargers.id in c.chargers)
            yield from _wrapped("", "    ", f"{chargers.id}  {chargers.kind}  {host}  {_chargers(chargers)}")
    if site.gateways:
        yield ""
        for gateway in site.gateways.values():
            host = next(c.name for c in site.controllers.values() if gateway.id in c.gateways)
            yield from _wrapped("", "    ", f"{gateway.id}  {gateway.kind}  {host}  {_gateway(gateway)}")
    if site.ignored:
        yield ""
        yield "Ignored or amended:"
        for ignored in site.ignored:
            yield from _wrapped("  ", "    ", f"{ignored.path}: {ignored.what}")


def as_json(site: Site) -> dict[str, Any]:
    """The site as plain data, its modules nested as in the tree."""
    hosts = _hosts(site)

    def tree(module_id: str) -> dict[str, Any]:
        module = site.modules[module_id]
        return {
            "id": module.id,
            "kind": module.kind,
            "controller": hosts[module_id],
            "phase_count": site.phase_count(module_id),
            "fallback_A": site.fallback_A(module_id),
            "config": msgspec.to_builtins(module.config),
            "sources": msgspec.to_builtins(module.sources),
            "children": [tree(child) for child in module.children],
        }

    return {
        "site": site.name,
        "path": site.path,
        "digest": site.digest,
        "controllers": msgspec.to_builtins(site.controllers),
        "tree": tree(site.root),
        "chargers": msgspec.to_builtins(site.chargers),
        "gateways": msgspec.to_builtins(site.gateways),
        "ignored": msgspec.to_builtins(site.ignored),
    }


def _hosts(site: Site) -> dict[str, str]:
    return {module_id: c.name for c in site.controllers.values() for module_id in c.modules}


def _controllers(site: Site) -> Iterator[str]:
    width = max(map(len, site.controllers))
    for controller in site.controllers.values():
        yield f"controller {controller.name:{width}}  {_place(controller)}"
    if site.plant.listen is not None:
        yield f"plant {'':{width}}       {site.plant.listen}"


def _place(controller: Controller) -> str:
    where = "on this machine" if controller.listen is None else f"listens on {controller.listen}"
    return f"{where}, hosts {_count(len(controller.modules), 'module')}"


def _branches(site: Site, module_id: str, first: str, rest: str) -> Iterator[tuple[str, str, str]]:
    """Each module's id drawn at its place, and what stands in front of further lines about it.

    root
    ├── node      first: "├── ", rest: "│   "
    │   └── evse
    └── evse
    """
    children = site.modules[module_id].children
    yield module_id, first + module_id, rest + ("│   " if children else "    ")
    for child in children[:-1]:
        yield from _branches(site, child, rest + "├── ", rest + "│   ")
    for child in children[-1:]:
        yield from _branches(site, child, rest + "└── ", rest + "    ")


def _described(site: Site, module: Module) -> str:
    phases = _count(site.phase_count(module.id), "phase")
    fallback = f"fallback {site.fallback_A(module.id):g} A"
    config = module.config
    match config:
        case EnergyManagerConfig():
            switching = config.switch_3ph1ph_while_charging_mode
            parts = [
                f"{config.nominal_ac_voltage:g} V",
                f"every {config.update_interval} s",
                *([] if switching == "Never" else [f"phase switching {switching}"]),
                fallback,
            ]
        case EnergyNodeConfig():
            fuse = "no fuse" if config.fuse_limit_A is None else f"fuse {config.fuse_limit_A:g} A"
            parts = [fuse, phases, fallback]
        case EvseManagerConfig():
            parts = [
                f"{config.charge_mode} {config.min_current_A:g}-{config.max_current_A:g} A",
                *([] if config.max_power_W is None else [f"{config.max_power_W:g} W"]),
                phases + (" or 1" if config.supports_changing_phases_during_charging else ""),
                f"priority {config.priority}",
                fallback,
                *([] if config.driver == "plant" else [_charger(module.id, config)]),
            ]
    return ", ".join(parts)


def _charger(evse_id: str, config: EvseManagerConfig) -> str:
    connector = f" connector {config.connector_id}" if config.driver == "ocpp" else ""
    return f"{config.driver} charger {config.charger or evse_id}{connector}"


def _meter(module: Module) -> str:
    match module.meter_link:
        case MqttMeter() as link:
            return f"{link.address()} {', '.join(dict.fromkeys(topic for topic, _ in link.places()))}"
        case ModbusMeter() as link:
            return f"{link.address()} unit {link.unit_id} {link.model or ''}".rstrip()
        case None:
            return "of the plant"


def _gateway(gateway: Gateway) -> str:
    if isinstance(gateway, OcppLink):
        return _csms(gateway)
    config = gateway.config
    parts = [
        f"{config.host}:{config.port_in_use()}{' with TLS' if config.tls else ''}",
        f"MQTT {config.mqtt_version}",
        "takes limits" if config.accept_limits else "takes no limits",
        *(["announces the site to Home Assistant"] if config.home_assistant else []),
    ]
    return ", ".join(parts)


def _chargers(chargers: Chargers) -> str:
    config = chargers.config
    match config:
        case OcppChargersConfig():
            parts = [
                f"{config.host}:{config.port}{' with TLS' if config.cert_file else ''}",
                "without passwords" if config.without_passwords else "chargers are known",
                f"limits of {config.min_lease_s} s or more",
            ]
        case EverestChargersConfig():
            parts = [
                f"{config.address()}{' with TLS' if config.tls else ''}",
                f"MQTT {config.mqtt_version}",
                f"limits of {config.min_lease_s} s or more",
            ]
    return ", ".join(parts)


def _csms(link: OcppLink) -> str:
    """With the numbers by which the CSMS knows the modules."""
    config = link.config
    numbered = ", ".join(f"{number} {name}" for number, name in enumerate((link.station, *link.evses)))
    return ", ".join(
        [
            config.url or "no url: no CSMS",
            f"{config.protocol} in {config.RequestCompositeScheduleUnit}",
            f"sets the source {config.source}",
            *([f"grid operator {config.grid_operator_source}"] if config.grid_operator_source else []),
            f"EVSEs: {numbered}",
        ]
    )


def _source(source: SourceConfig) -> str:
    delay = f"; raises delayed up to {source.random_delay_s:g} s" if source.random_delay_s else ""
    if source.grid is not None:
        return f"grid operator (LPC); failsafe: {_limits(source.failsafe)}{delay}"
    parts = [_limits(source.limits)]
    if source.heartbeat_timeout_s is not None:
        parts.append(f"silent for {source.heartbeat_timeout_s:g} s: {_limits(source.failsafe)}")
    return "; ".join(parts) + delay


def _limits(limits: msgspec.Struct | None) -> str:
    """What a source sets now; of a schedule only that there is one."""
    parts = []
    for name, entries in msgspec.to_builtins(limits or {}).items():
        direction = name.removeprefix("schedule_")
        if len(entries) > 1:
            parts.append(f"{direction} schedule of {len(entries)} entries")
        elif entries:
            parts.append(f"{direction} {_entry(entries[0])}")
    return ", ".join(parts) or "no limit yet"


def _entry(entry: dict[str, Any]) -> str:
    numbers = {
        **entry.get("limits_to_root", {}),
        **entry.get("limits_to_leaves", {}),
        **entry.get("setpoint", {}),
    }
    units = {"total_power_W": "W", "ac_max_current_A": "A", "ac_current_A": "A"}
    values = {name: v["value"] if isinstance(v, dict) else v for name, v in numbers.items() if name in units}
    return " and ".join(f"{value:g} {units[name]}" for name, value in values.items()) or "schedule of 1 entry"


def _wrapped(head: str, indent: str, text: str) -> Iterator[str]:
    """The text beside its head, broken only behind commas, semicolons and colons."""
    unbroken = re.sub(r"(?<![,;:]) ", "\N{NO-BREAK SPACE}", text)
    for line in textwrap.wrap(unbroken, WIDTH - max(len(head), len(indent)), break_on_hyphens=False):
        yield head + line.replace("\N{NO-BREAK SPACE}", " ")
        head = indent


def _encodable(text: str) -> str:
    """The text with what this terminal or file can show."""
    encoding = sys.stdout.encoding or "ascii"
    if "utf" not in encoding.lower():
        text = text.translate(str.maketrans("├└│─", "|`|-"))
    return text.encode(encoding, "replace").decode(encoding)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
