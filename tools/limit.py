"""`amptree limit`: set, clear or renew an external limit on a node of a running site."""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import Any

from actors.energy.external import (
    CancelDelay,
    ClearLimits,
    Heartbeat,
    SetLimits,
    ShortLimits,
    SourceEvent,
    SourceRefusedError,
    short_form,
)
from actors.energy.types import ExternalLimits
from actors.gateways.limit_forms import FormError, read_limits
from actors.json_text import Malformed, decoded
from tools.client import Client, add_site_argument, find_site
from tools.errors import UserError
from tools.keyrings import add_keys_argument

DEFAULT_SOURCE = "operator"
MOST_BYTES = 4 * 1024 * 1024
"""Of a JSON document; the longest schedules that a node takes are far smaller."""

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
        "--source",
        metavar="NAME",
        help=f"who sets it (default: the uuid in the JSON file, else {DEFAULT_SOURCE}); "
        "goes before a uuid, and into every limit of the JSON",
    )
    limits = parser.add_argument_group("limits (the most restrictive source wins)")
    limits.add_argument("--power", type=power_W, metavar="P", help="import, in total: 22kW, 4200")
    limits.add_argument("--current", type=current_A, metavar="I", help="import, per phase: 32A")
    limits.add_argument("--export-power", type=power_W, metavar="P", help="export, in total")
    limits.add_argument("--export-current", type=current_A, metavar="I", help="export, per phase")
    limits.add_argument(
        "--setpoint", type=power_W, metavar="P", help="target; negative discharges: --setpoint=-5kW"
    )
    limits.add_argument(
        "--json",
        metavar="FILE",
        help="EVerest's ExternalLimits, {uuid, limits_root_side} (its valid_for is not heeded, give --for), "
        "or EVerest's EnergyPriceSchedule; - for stdin",
    )
    parser.add_argument("--for", dest="for_s", type=duration_s, metavar="TIME", help="ends by itself: 10m")
    parser.add_argument("--clear", action="store_true", help="withdraw the source's limits")
    parser.add_argument("--heartbeat", action="store_true", help="only say that the source is there")
    parser.add_argument("--cancel-delay", action="store_true", help="do not wait for its random delay")
    add_site_argument(parser)
    add_keys_argument(parser)
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Send it to the node and say what became of it. Ends with exit code 2 on wrong usage."""
    event = event_of(options)
    with Client(find_site(options.site), keys=options.keys) as client:
        warning = client.set_source(options.node, event)
    print(f"{options.node}: {_told(event)}")
    if warning is not None:
        print(f"amptree limit: {warning}", file=sys.stderr)
    return 0


def _told(event: SourceEvent) -> str:
    match event:
        case SetLimits(for_s=None):
            return f"limits of {event.source} are set until they are cleared"
        case SetLimits(for_s=for_s):
            return f"limits of {event.source} are set for {for_s:g} s"
        case ClearLimits():
            return f"limits of {event.source} are cleared"
        case CancelDelay():
            return f"the random delay of {event.source} is cancelled"
        case Heartbeat():
            return f"{event.source} was heard"


def event_of(options: argparse.Namespace) -> SourceEvent:
    """What the arguments say. Raises UserError; wrong usage ends the process with exit code 2."""
    short = ShortLimits(
        total_power_W=options.power,
        ac_max_current_A=options.current,
        export_total_power_W=options.export_power,
        export_ac_max_current_A=options.export_current,
        setpoint_W=options.setpoint,
    )
    _check_usage(options, gives_limits=short != ShortLimits())
    source = DEFAULT_SOURCE if options.source is None else options.source
    if options.clear:
        return ClearLimits(source=source)
    if options.cancel_delay:
        return CancelDelay(source=source)
    if options.heartbeat:
        return Heartbeat(source=source)
    if options.json is not None:
        source, limits = from_json(options.json, options.source)
        return SetLimits(source=source, limits=limits, for_s=options.for_s)
    _check_quantities(options)
    try:
        return SetLimits(source=source, limits=short_form(short, source), for_s=options.for_s)
    except SourceRefusedError as error:
        raise UserError(str(error)) from error


def _check_usage(options: argparse.Namespace, *, gives_limits: bool) -> None:
    bare = (options.clear, options.heartbeat, options.cancel_delay)
    if sum([gives_limits, options.json is not None, *bare]) != 1:
        options.parser.error(
            "give limits (--power, --current, …), --json FILE, --clear, --heartbeat or --cancel-delay: "
            "one of these"
        )
    if options.for_s is None:
        return
    if any(bare):
        options.parser.error("--for is for limits; it goes with nothing else")
    if not 0 < options.for_s < math.inf:
        options.parser.error(f"--for needs a time above 0 s, got {options.for_s:g} s")


def _check_quantities(options: argparse.Namespace) -> None:
    """As `short_form` does, in the words of the options."""
    for name in ("power", "current", "export_power", "export_current"):
        value = getattr(options, name)
        if value is not None and not 0 <= value < math.inf:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} must be finite and not negative, got {value:g}")


def from_json(file: str, source: str | None) -> tuple[str, ExternalLimits]:
    """Source and limits out of a file, `-` for stdin. Raises UserError that names it.

    `source` goes before a uuid in the file; without either it is DEFAULT_SOURCE.
    """
    name = "stdin" if file == "-" else file
    raw = decoded(_read(file, name))
    if isinstance(raw, Malformed):
        raise UserError(f"{name}: {raw.reason}")
    try:
        return read_limits(raw, source, DEFAULT_SOURCE)
    except FormError as error:
        raise UserError(f"{name}: {error}") from error


def _read(file: str, name: str) -> bytes:
    try:
        if file == "-":
            text = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                text = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror or error}") from error
    if len(text) > MOST_BYTES:
        raise UserError(f"{name}: larger than {MOST_BYTES} bytes")
    return text
