"""`amptree limit`: set, clear or renew an external limit on a node of a running site.

Every limit names its source, also those inside given JSON: what holds a car back must lead to whoever
set it. So nothing that a file says is dropped silently; what cannot be kept is refused.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from actors.energy.external import (
    ClearLimits,
    Heartbeat,
    SetLimits,
    ShortLimits,
    SourceEvent,
    SourceRefusedError,
    short_form,
)
from actors.energy.types import (
    ExternalLimits,
    IntegerWithSource,
    LimitsReq,
    NumberWithSource,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
)
from tools.client import Client, add_site_argument, find_site
from tools.documents import Malformed, decoded
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


class _Value(Struct, frozen=True, forbid_unknown_fields=True):
    """A number, written as EVerest does."""

    value: float
    source: str = ""


_Number = float | _Value | UnsetType


class _Side(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limits_root_side`: what ShortLimits has. `null` is refused: it looks like a limit and sets none."""

    total_power_W: _Number = UNSET
    ac_max_current_A: _Number = UNSET
    export_total_power_W: _Number = UNSET
    export_ac_max_current_A: _Number = UNSET
    setpoint_W: _Number = UNSET
    setpoint_A: _Number = UNSET


class _Enforced(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits from now on, in the form of EVerest's EnforcedLimits."""

    limits_root_side: _Side
    uuid: str | UnsetType = UNSET
    valid_for: Any = None
    """Not heeded: a limit ends after `--for`, or when it is cleared."""
    schedule: tuple[Any, ...] = ()


_Form = TypeVar("_Form", _Enforced, ExternalLimits)
_Entry = TypeVar("_Entry", ScheduleReqEntry, ScheduleSetpointEntry)


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
        help="EVerest's ExternalLimits, or {uuid, limits_root_side} (its valid_for is not heeded, "
        "give --for); - for stdin",
    )
    parser.add_argument("--for", dest="for_s", type=duration_s, metavar="TIME", help="ends by itself: 10m")
    parser.add_argument("--clear", action="store_true", help="withdraw the source's limits")
    parser.add_argument("--heartbeat", action="store_true", help="only say that the source is there")
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
    if sum([gives_limits, options.json is not None, options.clear, options.heartbeat]) != 1:
        options.parser.error(
            "give limits (--power, --current, …), --json FILE, --clear or --heartbeat: one of these"
        )
    if options.for_s is None:
        return
    if options.clear or options.heartbeat:
        options.parser.error("--for is for limits; it does not go with --clear or --heartbeat")
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
    if not (isinstance(raw, dict) and "limits_root_side" in raw):
        source = DEFAULT_SOURCE if source is None else source
        return source, _with_source(_convert(raw, ExternalLimits, name), source)
    form = _convert(raw, _Enforced, name)
    if form.schedule:
        raise UserError(
            f"{name}: schedule: only limits_root_side would be set and the schedule be lost; "
            "give schedules as schedule_import and schedule_export"
        )
    numbers = {key: getattr(form.limits_root_side, key) for key in _Side.__struct_fields__}
    given = {k: v.value if isinstance(v, _Value) else v for k, v in numbers.items() if v is not UNSET}
    if not given:
        raise UserError(f"{name}: limits_root_side: no limit is given; give {', '.join(numbers)}")
    if source is None:
        source = DEFAULT_SOURCE if form.uuid is UNSET else form.uuid
    try:
        return source, short_form(ShortLimits(**given), source)
    except SourceRefusedError as error:
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


def _convert(raw: object, form: type[_Form], name: str) -> _Form:
    try:
        return msgspec.convert(raw, form)
    except RecursionError as error:
        raise UserError(f"{name}: not external limits: nested too deeply") from error
    except (msgspec.ValidationError, OverflowError) as error:
        raise UserError(f"{name}: not external limits: {error}") from error


def _with_source(limits: ExternalLimits, source: str) -> ExternalLimits:
    """The same limits, each with the source's name."""
    return ExternalLimits(
        schedule_import=tuple(_entry_with_source(entry, source) for entry in limits.schedule_import),
        schedule_export=tuple(_entry_with_source(entry, source) for entry in limits.schedule_export),
        schedule_setpoints=tuple(_entry_with_source(entry, source) for entry in limits.schedule_setpoints),
    )


def _entry_with_source(entry: _Entry, source: str) -> _Entry:
    if isinstance(entry, ScheduleSetpointEntry):
        if entry.setpoint is None:
            return entry
        name = _source_name(source, entry.setpoint.source)
        return msgspec.structs.replace(entry, setpoint=msgspec.structs.replace(entry.setpoint, source=name))
    return msgspec.structs.replace(
        entry,
        limits_to_root=_side_with_source(entry.limits_to_root, source),
        limits_to_leaves=_side_with_source(entry.limits_to_leaves, source),
    )


def _side_with_source(side: LimitsReq, source: str) -> LimitsReq:
    values = ((name, getattr(side, name)) for name in LimitsReq.__struct_fields__)
    named = {
        name: msgspec.structs.replace(value, source=_source_name(source, value.source))
        for name, value in values
        if isinstance(value, NumberWithSource | IntegerWithSource)
    }
    return msgspec.structs.replace(side, **named)


def _source_name(source: str, own: str) -> str:
    """The source's name, and what the JSON itself says, where that is something else."""
    if own in ("", source):
        return source
    return own if own.startswith(f"{source}/") else f"{source}/{own}"
