"""`amptree limit`: set, clear or renew an external limit on a node of a running site."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from actors.energy.external import (
    ClearLimits,
    Heartbeat,
    SetLimits,
    ShortLimits,
    SourceEvent,
    SourceRefusedError,
    short_form,
)
from actors.energy.types import ExternalLimits
from tools.client import Client, add_site_argument, find_site
from tools.errors import UserError

_POWER = {"": 1.0, "w": 1.0, "kw": 1e3, "mw": 1e6}
_CURRENT = {"": 1.0, "a": 1.0}
_TIME = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _quantity(units: dict[str, float], example: str) -> Any:
    def parse(text: str) -> float:
        match = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
        if match is None or match[2].lower() not in units:
            raise argparse.ArgumentTypeError(f"{text!r} is not a quantity such as {example}")
        return float(match[1]) * units[match[2].lower()]

    return parse


power_W = _quantity(_POWER, "22kW or 4200")
current_A = _quantity(_CURRENT, "32A or 32")
duration_s = _quantity(_TIME, "10m, 90s or 2h")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("node", metavar="NODE", help="any module of the tree: root, node or EVSE")
    parser.add_argument(
        "--source", default="operator", metavar="NAME", help="who sets it (default: operator)"
    )
    limits = parser.add_argument_group("limits (the most restrictive source wins)")
    limits.add_argument("--power", type=power_W, metavar="P", help="import, in total: 22kW, 4200")
    limits.add_argument("--current", type=current_A, metavar="I", help="import, per phase: 32A")
    limits.add_argument("--export-power", type=power_W, metavar="P", help="export, in total")
    limits.add_argument("--export-current", type=current_A, metavar="I", help="export, per phase")
    limits.add_argument("--setpoint", type=power_W, metavar="P", help="target; negative discharges")
    limits.add_argument(
        "--json", metavar="FILE", help="EVerest's ExternalLimits or {uuid, limits_root_side}; - for stdin"
    )
    parser.add_argument("--for", dest="for_s", type=duration_s, metavar="TIME", help="ends by itself: 10m")
    parser.add_argument("--clear", action="store_true", help="withdraw the source's limits")
    parser.add_argument("--heartbeat", action="store_true", help="only say that the source is there")
    add_site_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Send it to the node and say what became of it."""
    event = _event(options)
    with Client(find_site(options.site)) as client:
        client.set_source(options.node, event)
    match event:
        case SetLimits(for_s=for_s):
            until = "until it is cleared" if for_s is None else f"for {for_s:g} s"
            print(f"{options.node}: limits of {event.source} are set {until}")
        case ClearLimits():
            print(f"{options.node}: limits of {event.source} are cleared")
        case Heartbeat():
            print(f"{options.node}: {event.source} was heard")
    return 0


def _event(options: argparse.Namespace) -> SourceEvent:
    short = ShortLimits(
        total_power_W=options.power,
        ac_max_current_A=options.current,
        export_total_power_W=options.export_power,
        export_ac_max_current_A=options.export_current,
        setpoint_W=options.setpoint,
    )
    chosen = [short != ShortLimits(), options.json is not None, options.clear, options.heartbeat]
    if sum(chosen) != 1:
        raise UserError(
            "give limits (--power, --current, …), --json FILE, --clear or --heartbeat: one of these"
        )
    if options.clear:
        return ClearLimits(source=options.source)
    if options.heartbeat:
        return Heartbeat(source=options.source)
    try:
        if options.json is None:
            return SetLimits(
                source=options.source, limits=short_form(short, options.source), for_s=options.for_s
            )
        source, limits = _from_json(_read(options.json), options.source)
    except SourceRefusedError as error:
        raise UserError(str(error)) from error
    return SetLimits(source=source, limits=limits, for_s=options.for_s)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error


def _from_json(text: str, source: str) -> tuple[str, ExternalLimits]:
    """EVerest's form, or the page's {uuid, limits_root_side: {…}}, whose uuid names the source."""
    try:
        raw = json.loads(text)
        if isinstance(raw, dict) and "limits_root_side" in raw:
            side = raw["limits_root_side"]
            plain = {k: v["value"] if isinstance(v, dict) else v for k, v in side.items()}
            name = str(raw.get("uuid", source))
            return name, short_form(msgspec.convert(plain, ShortLimits), name)
        return source, msgspec.convert(raw, ExternalLimits)
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"not external limits: {error}") from error
