"""What a message from the broker asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

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
from actors.energy.external_checks import check_name
from actors.gateways.limit_forms import FormError, is_prices, is_short, read_limits
from actors.gateways.mqtt import topics
from actors.gateways.mqtt.topics import Topics, Way
from actors.json_text import Malformed, decoded
from actors.mqtt.message import PAYLOAD_MAX_B, Arrived
from actors.site import Site

EVEREST_API = "everest_api"
"""The source of limits that come by EVerest's API, which knows no names of sources."""
OPERATOR = "mqtt"
"""The source of limits that name none."""
PRICES = "mqtt_prices"
"""The source of prices."""
NUMBER_MAX = 1e9
"""No limit is larger, in whatever unit."""
CLEAR = "none"
"""Instead of a number: no limit."""
PER_PHASE, PHASES = "ac_max_current_per_phase_A", ("L1", "L2", "L3")
TEXT_MAX_B = 128
"""Of a message that is a number or a name."""

_NUMBERS = {"set_limit_watts": ("total_power_W", "W"), "set_limit_amps": ("ac_max_current_A", "A")}
_ENTRY_KEYS = ("timestamp", "limits_to_root", "limits_to_leaves", "conversion_efficiency", "price_per_kwh")
_SETPOINT_KEYS = ("timestamp", "setpoint")
_SCHEDULES = {
    "schedule_import": _ENTRY_KEYS,
    "schedule_export": _ENTRY_KEYS,
    "schedule_setpoints": _SETPOINT_KEYS,
}


class AskError(ValueError):
    """The message cannot be carried out; says why in one line."""


class Tell(Struct, frozen=True):
    """Something for a module."""

    target: str
    event: SourceEvent
    told: str
    """What was done, once it was."""


class Reply(Struct, frozen=True):
    """Something to be told of ourselves."""

    what: str
    name: str
    reply_to: str


class Renew(Struct, frozen=True):
    """Home Assistant has begun anew."""


class Nothing(Struct, frozen=True):
    """Nothing has to be done."""

    told: str


Ask = Tell | Reply | Renew | Nothing


class Reader:
    """Reads messages for a site. `modules` are those that can be reached."""

    def __init__(self, site: Site, modules: list[str], names: Topics) -> None:
        self._site = site
        self._modules = frozenset(modules)
        self._topics = names

    def read(self, way: Way, message: Arrived) -> Ask:
        """What a message asks for. Raises AskError."""
        if message.too_large():
            raise AskError(f"the message is too large: {message.size} bytes; at most {PAYLOAD_MAX_B}")
        if way.verb == topics.HOME_ASSISTANT:
            return Renew() if message.payload == b"online" else Nothing("")
        if message.retained:
            raise AskError(
                "a retained message may be stale and is not heeded; send it without retain, "
                "and declare in the site's file what must hold from the start"
            )
        if way.verb in (topics.DISCOVER, topics.QUERY):
            return Reply(way.verb, way.name, self._reply_to(message))
        module_id = self._topics.module_id(way.name)
        if module_id not in self._modules:
            known = module_id in self._site.modules or module_id in self._site.elsewhere
            where = "below this controller" if known else f"in site {self._site.name}"
            raise AskError(f"no module {module_id[:80]!r} {where}")
        match way.verb:
            case topics.GET_CAPABILITIES:
                return Reply(way.verb, module_id, self._reply_to(message))
            case topics.SET:
                limits = _everest_limits(_json(message))
                source, external = _limits(limits, EVEREST_API)
                return Tell(module_id, SetLimits(source=source, limits=external), _set(source))
            case topics.CHECK:
                return self._check(module_id, message)
            case "set_limits":
                return self._set_limits(module_id, message)
            case "set_limit_watts" | "set_limit_amps":
                return self._set_number(module_id, way.verb, message)
            case "set_prices":
                raw = _json(message)
                if not is_prices(raw):
                    raise AskError("expected prices: schedule_import and schedule_export of EVerest")
                source, external = _limits(raw, PRICES)
                told = f"prices of {source} are set until they are cleared"
                return Tell(module_id, SetLimits(source=source, limits=external), told)
            case "clear_limits":
                source = _name(message)
                return Tell(module_id, ClearLimits(source=source), _cleared(source))
            case "cancel_delay":
                source = _name(message)
                told = f"the random delay of {source} is cancelled"
                return Tell(module_id, CancelDelay(source=source), told)
            case _:
                source = _name(message)
                return Tell(module_id, Heartbeat(source=source), f"{source} was heard")

    def _set_limits(self, module_id: str, message: Arrived) -> Ask:
        raw = _json(message)
        for_s = None
        if is_short(raw) and raw.get("valid_for") is not None:
            for_s = raw["valid_for"]
            if isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0 < for_s <= NUMBER_MAX:
                raise AskError(f"valid_for: expected seconds above 0, got {_shown(for_s)}")
        source, limits = _limits(raw, None)
        event = SetLimits(source=source, limits=limits, for_s=None if for_s is None else float(for_s))
        return Tell(module_id, event, _set(source, for_s))

    def _set_number(self, module_id: str, verb: str, message: Arrived) -> Ask:
        field, unit = _NUMBERS[verb]
        source = f"{OPERATOR}_{'watts' if unit == 'W' else 'amps'}"
        text = _text(message)
        if text.lower() == CLEAR:
            return Tell(module_id, ClearLimits(source=source), _cleared(source))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= NUMBER_MAX or "_" in text:
            raise AskError(f"expected a plain number of {unit}, at least 0, or {CLEAR}; got {_shown(text)}")
        limits = short_form(ShortLimits(**{field: value}), source)
        return Tell(module_id, SetLimits(source=source, limits=limits), f"{value:g} {unit}: {_set(source)}")

    def _check(self, module_id: str, message: Arrived) -> Ask:
        """A sign of life counts where its source must be heard, and there it cannot be called off."""
        alive = _json(message)
        if not isinstance(alive, bool):
            raise AskError(f"expected true or false, got {_shown(alive)}")
        watched = any(
            s.name == EVEREST_API and (s.heartbeat_timeout_s is not None or s.grid is not None)
            for s in self._site.modules[module_id].sources
        )
        if not watched:
            return Nothing(
                f"nobody is watched: the file sets no heartbeat_timeout_s for {EVEREST_API} at {module_id}"
            )
        if not alive:
            return Nothing(f"{module_id} goes on watching {EVEREST_API}, as its file says")
        return Tell(module_id, Heartbeat(source=EVEREST_API), f"{EVEREST_API} was heard")

    def _reply_to(self, message: Arrived) -> str:
        """Where EVerest's API wants its answer: named in the message, or as MQTT 5 does."""
        raw = _json(message) if message.payload.strip() else {}
        headers = raw.get("headers") if isinstance(raw, dict) else None
        reply_to = headers.get("replyTo") if isinstance(headers, dict) else None
        if reply_to is None:
            reply_to = message.reply_to
        if not isinstance(reply_to, str):
            raise AskError('headers.replyTo is missing: {"headers": {"replyTo": "TOPIC"}}')
        if fault := self._topics.fault_of_reply(reply_to):
            raise AskError(f"headers.replyTo: {fault}")
        return reply_to


def _limits(raw: object, source: str | None) -> tuple[str, Any]:
    try:
        name, limits = read_limits(raw, source, OPERATOR)
        check_name(name)
    except (FormError, SourceRefusedError) as error:
        raise AskError(str(error)) from error
    return name, limits


def _everest_limits(raw: object) -> dict[str, Any]:
    """External limits as EVerest's clients may write them: all three schedules are there, members that
    EVerest's API does not know are left out, and what it knows and we do not is turned into what it
    means at least."""
    if not isinstance(raw, dict):
        raise AskError(f"expected an object with {', '.join(_SCHEDULES)}")
    if missing := [key for key in _SCHEDULES if key not in raw]:
        raise AskError(f"{', '.join(missing)} missing: EVerest's API needs {', '.join(_SCHEDULES)}")
    limits = {}
    for name, keys in _SCHEDULES.items():
        entries = raw[name]
        if isinstance(entries, list):
            entries = [
                {k: _side(v) if k.startswith("limits_to_") else v for k, v in entry.items() if k in keys}
                if isinstance(entry, dict)
                else entry
                for entry in entries
            ]
        limits[name] = entries
    return limits


def _side(side: Any) -> Any:
    """Limits of one side. Unknown members are left for the reader to refuse: they look like a limit."""
    if not isinstance(side, dict):
        return side
    side = dict(side)
    most = side.get(PER_PHASE)
    if isinstance(most, Mapping) and all(_is_number(most.get(phase, 0)) for phase in PHASES):
        del side[PER_PHASE]
        if values := [most[phase] for phase in PHASES if phase in most]:
            # What the weakest phase allows, all phases keep to.
            _lower(side, "ac_max_current_A", min(values), most.get("source"))
    maximum = side.get("ac_max_phase_count")
    if isinstance(maximum, Mapping) and maximum.get("value") == 0:  # no phase: nothing may flow
        del side["ac_max_phase_count"]
        for name in ("ac_max_current_A", "total_power_W"):
            _lower(side, name, 0.0, maximum.get("source"))
    minimum = side.get("ac_min_phase_count")
    if isinstance(minimum, Mapping) and minimum.get("value") == 0:  # no minimum
        del side["ac_min_phase_count"]
    return side


def _lower(side: dict[str, Any], name: str, value: float, source: object) -> None:
    given = side.get(name)
    other = given.get("value") if isinstance(given, Mapping) else None
    if given is None or (isinstance(other, int | float) and value < other):
        side[name] = {"value": value, "source": source if isinstance(source, str) else ""}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(message: Arrived) -> Any:
    value = decoded(message.payload)
    if isinstance(value, Malformed):
        raise AskError(_one_line(value.reason))
    return value


def _text(message: Arrived) -> str:
    if message.size > TEXT_MAX_B:
        raise AskError(f"expected a number or a name, got {message.size} bytes")
    try:
        return message.payload.decode().strip()
    except UnicodeDecodeError:
        raise AskError("expected text, got bytes that are not UTF-8") from None


def _name(message: Arrived) -> str:
    name = _text(message)
    try:
        check_name(name)
    except SourceRefusedError as error:
        raise AskError(str(error)) from error
    return name


def _set(source: str, for_s: float | None = None) -> str:
    return f"limits of {source} are set " + (
        "until they are cleared" if for_s is None else f"for {for_s:g} s"
    )


def _cleared(source: str) -> str:
    return f"limits of {source} are cleared"


def _shown(value: object) -> str:
    return _one_line(repr(value))[:80]


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:300]
