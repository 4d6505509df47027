"""JSON from outside: a value, or one line that says why there is none."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec


class Malformed(NamedTuple):
    """A document that is not JSON, and why."""

    reason: str


def decoded(text: bytes) -> Any:
    """The value of a JSON text, or `Malformed`. NaN and infinities are read, so that whoever
    refuses them can say where they stand."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # json reads some more than msgspec, and its messages tell line and column
    try:
        return json.loads(text)
    except RecursionError:
        return Malformed("malformed JSON: nested too deeply")
    except ValueError as error:  # also text that is not UTF-8
        return Malformed(f"malformed JSON: {error}")
