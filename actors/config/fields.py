"""Mappings of the file to typed values, field by field, so that all faults are found at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from actors.config.faults import Faults, Path, did_you_mean, shown

MAX_NUMBER = 1e9
"""No value of a site is larger, in whatever unit."""
MAX_NAME = 64
_START = 'a letter, digit or "_"'
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def values(cls: type[msgspec.Struct], raw: Mapping[str, Any], path: Path, faults: Faults) -> dict[str, Any]:
    """The fields of `cls` that `raw` sets, converted; unknown keys and wrong values become faults.

    A wrong value is left out, so that later checks go on with the field's default.
    """
    types = _types(cls)
    converted = {}
    for key, value in raw.items():
        if key not in types:
            faults.add((*path, key), f"unknown key{did_you_mean(key, types)}")
            continue
        try:
            converted[key] = _converted(value, types[key])
        except msgspec.ValidationError:
            faults.add((*path, key), _expectation(value, types[key]))
    return converted


@cache
def _types(cls: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(cls)}


def mapping(value: Any, path: Path, faults: Faults) -> dict[str, Any]:
    """A mapping; one without entries may also be left empty. Anything else is a fault."""
    if isinstance(value, dict):
        return value
    if value is not None:
        faults.add(path, f"expected a mapping, got {shown(value)}")
    return {}


def check_name(name: str, path: Path, faults: Faults) -> None:
    """Names become parts of topics, sockets and file names."""
    if not name:
        faults.add(path, "a name must not be empty")
    elif len(name) > MAX_NAME:
        faults.add(path, f"a name has at most {MAX_NAME} characters, got {len(name)}")
    elif not _NAME.fullmatch(name):
        faults.add(path, f'a name is made of letters, digits, "_", "-" and ".", and starts with {_START}')


def _converted(value: Any, wanted: Any) -> Any:
    if value is None:  # a key left empty; "no limit" is said by leaving the key out
        raise msgspec.ValidationError
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= MAX_NUMBER:  # also NaN
            raise msgspec.ValidationError
        if isinstance(_expected(wanted), inspect.IntType) and value == int(value):
            value = int(value)
    return msgspec.convert(value, wanted)


def _expectation(value: Any, wanted: Any) -> str:
    expected = _expected(wanted)
    message = f"expected {_described(expected)}, got {shown(value)}"
    if value is None:
        message += "; leave the key out for its default"
    if isinstance(value, str) and isinstance(expected, inspect.LiteralType):
        message += did_you_mean(value, map(str, expected.values))
    return message


@cache
def _expected(wanted: Any) -> inspect.Type:
    """The type without its None."""
    info = inspect.type_info(wanted)
    if isinstance(info, inspect.UnionType):
        (info,) = (part for part in info.types if not isinstance(part, inspect.NoneType))
    return info


def _described(expected: inspect.Type) -> str:
    match expected:
        case inspect.IntType() | inspect.FloatType():
            noun = "an integer" if isinstance(expected, inspect.IntType) else "a number"
            if expected.gt is not None:
                return f"{noun} above {expected.gt:g}"
            if expected.ge is not None and expected.le is not None:
                return f"{noun} from {expected.ge:g} to {expected.le:g}"
            return noun if expected.ge is None else f"{noun}, at least {expected.ge:g}"
        case inspect.LiteralType():
            *first, last = map(str, expected.values)
            return f"{', '.join(first)} or {last}"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return "text"
        case inspect.ListType() | inspect.VarTupleType():
            return "a list"
    return "a mapping"
