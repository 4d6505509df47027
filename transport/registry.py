"""Which message types may cross the wire, and by which names.

The transport knows none: those who own a message type register it. Types are found by a name from
this table only, so a peer can make us build nothing that was not registered.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from transport.options import NAME_MAX


class Registry:
    """Message types and their names on the wire. Filled first, only read afterwards."""

    def __init__(self) -> None:
        self._kinds: dict[type[Struct], str] = {}
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}

    def add(self, message_type: type[Struct], kind: str) -> None:
        """Register `message_type` as `kind`.

        Raises TypeError for what is not a Struct or cannot be decoded, ValueError for a double and
        for an empty or too long name.
        """
        if not (isinstance(message_type, type) and issubclass(message_type, Struct)):
            raise TypeError(f"{message_type!r} is not a msgspec Struct; it cannot be the message {kind!r}")
        if not 0 < len(kind) <= NAME_MAX:
            raise ValueError(f"the kind of {message_type.__name__} needs 1 to {NAME_MAX} characters")
        if kind in self._decoders:
            raise ValueError(f"the kind {kind!r} is registered twice")
        if message_type in self._kinds:
            raise ValueError(f"{message_type.__name__} is registered twice, as {self._kinds[message_type]!r}")
        self._decoders[kind] = msgspec.msgpack.Decoder(message_type)
        self._kinds[message_type] = kind

    def kind_of(self, message: Struct) -> str:
        """The name of a message's type. Raises TypeError if it is not registered."""
        try:
            return self._kinds[type(message)]
        except KeyError:
            raise TypeError(f"{type(message).__name__} is not registered as a message") from None

    def decoder(self, kind: str) -> msgspec.msgpack.Decoder[Any] | None:
        """The decoder of `kind`; None if nobody registered it."""
        return self._decoders.get(kind)
