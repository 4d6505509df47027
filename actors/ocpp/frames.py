"""OCPP-J's frames: read without trust, judged by the schemas of their version, written.

    [2, ID, ACTION, PAYLOAD]   [3, ID, PAYLOAD]   [4, ID, CODE, DESCRIPTION, DETAILS]

What cannot be read is answered with a CALLERROR where it has an ID, else passed over.
"""

from __future__ import annotations

import decimal
import json
import re
from functools import cache
from typing import Any

from msgspec import Struct

from actors.energy.charging_profiles.profile import Version
from actors.ocpp.library import FRAME_MAX_B, library

ID_MAX = 36
"""Characters of a message's id."""
TOLD_MAX = 250
"""Characters of a CALLERROR's description; OCPP allows 255."""
ANSWERS_WITH_TENTHS = ("GetCompositeSchedule",)
CALLS_WITH_TENTHS = ("SetChargingProfile", "RemoteStartTransaction")
"""Where 1.6 wants numbers with one digit behind the point; in binary there are none, so they are judged as
decimals."""

_ID = re.compile(r'\s*\[\s*2\s*,\s*"([^"\\]{1,36})"')
_CODES = {
    "type": "TypeConstraintViolation",
    "required": "OccurrenceConstraintViolation",
    "minItems": "OccurrenceConstraintViolation",
    "maxItems": "OccurrenceConstraintViolation",
    "additionalProperties": "FormatViolation",
}
_CODES_16 = {
    "OccurrenceConstraintViolation": "OccurenceConstraintViolation",
    "FormatViolation": "FormationViolation",
}
"""1.6 spells them so."""


class Call(Struct, frozen=True):
    """Something is asked."""

    id: str
    action: str
    payload: dict[str, Any]


class Result(Struct, frozen=True):
    """The answer."""

    id: str
    payload: dict[str, Any]


class Error(Struct, frozen=True):
    """The answer, where there is none."""

    id: str
    code: str
    why: str


class Fault(Struct, frozen=True):
    """What is wrong with a frame or a payload."""

    code: str
    why: str


class Garbage(Struct, frozen=True):
    """No frame; `id` where it looks like a call that has one."""

    id: str | None
    fault: Fault


Frame = Call | Result | Error | Garbage


def read(text: str | bytes, version: Version) -> Frame:
    """Whatever comes in."""
    if isinstance(text, bytes):
        return Garbage(None, _fault(version, "FormatViolation", "a binary message"))
    found = _ID.match(text[:200])
    call_id = found and found[1]
    if len(text) > FRAME_MAX_B:
        told = f"the message is too large: {len(text)} characters; at most {FRAME_MAX_B}"
        return Garbage(call_id, _fault(version, "FormatViolation", told))
    try:
        frame = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return Garbage(call_id, _fault(version, "FormatViolation", f"not JSON: {error}"))
    match frame:
        case [2, str(own), str(action), dict(payload)] if 0 < len(own) <= ID_MAX:
            return Call(own, action, payload)
        case [3, str(own), dict(payload)]:
            return Result(own, payload)
        case [4, str(own), str(code), *rest]:
            return Error(own, code[:50], one_line(str(rest[0]) if rest else ""))
    return Garbage(call_id, Fault("ProtocolError", "not a CALL, CALLRESULT or CALLERROR"))


def write_call(call: Call) -> str:
    """As a frame."""
    return json.dumps([2, call.id, call.action, call.payload], separators=(",", ":"))


def write_answer(answer: Result | Error) -> str:
    """As a frame."""
    if isinstance(answer, Result):
        return json.dumps([3, answer.id, answer.payload], separators=(",", ":"))
    return json.dumps([4, answer.id, answer.code, answer.why[:TOLD_MAX], {}], separators=(",", ":"))


def fault_of(version: Version, action: str, payload: dict[str, Any], *, answer: bool = False) -> Fault | None:
    """What the version's schema has against the payload of a call, or of the answer to one."""
    if action not in actions(version):
        return Fault("NotImplemented", f"no action {action[:50]!r}")
    messages = library("ocpp.messages")
    tenths = version == "1.6" and action in (ANSWERS_WITH_TENTHS if answer else CALLS_WITH_TENTHS)
    try:
        if tenths:
            number: Any = decimal.Decimal
            payload = json.loads(json.dumps(payload), parse_float=number, parse_constant=_no_number)
        validator = messages.get_validator(3 if answer else 2, action, version, number if tenths else float)
        error = next(validator.iter_errors(payload), None)
    except (ArithmeticError, RecursionError, ValueError) as wrong:
        return Fault("PropertyConstraintViolation", f"a number that is none: {wrong!r}"[:TOLD_MAX])
    if error is None:
        return None
    path = ".".join(str(part) for part in error.absolute_path)
    code = _CODES.get(error.validator, "PropertyConstraintViolation")
    return _fault(version, code, f"{path}: {error.message}" if path else error.message)


@cache
def actions(version: Version) -> frozenset[str]:
    """All that the version knows."""
    enums = library(f"ocpp.v{version.replace('.', '')}.enums")
    return frozenset(action.value for action in enums.Action)


def one_line(text: str) -> str:
    """Short, and without what would break a line."""
    return "".join(c if c.isprintable() else "?" for c in text[:TOLD_MAX])


def _fault(version: Version, code: str, why: str) -> Fault:
    return Fault(_CODES_16.get(code, code) if version == "1.6" else code, one_line(why))


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
