"""From bytes off the network to a typed message, or to the reason why not.

A pure function of what came in, so all that a peer could send can be tried without a socket. The
cheap checks come first, and nothing is decoded before its size and shape are known to be harmless.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from transport.bodies import body_fault
from transport.counters import Drop
from transport.frames import Header, decode_header
from transport.registry import Registry

REASON_MAX = 200
"""Characters of a decoder's complaint that are kept: it may quote the peer."""


class Delivery(Struct, frozen=True, kw_only=True):
    """A message that came in."""

    port_name: str
    """The port that it came through."""
    peer: str
    """Whom to answer: the `peer` of `send`. To be compared and kept, not to be read."""
    identity: str
    """Whose key it came with: what its sender may do follows from this alone."""
    source: str
    """The actor that sent it; empty if the process itself."""
    target: str
    """The actor that it is for; empty if the process itself."""
    kind: str
    """Its registered name."""
    message: Struct
    """The message itself, of the type that was registered for `kind`."""
    size: int
    """Bytes of its body."""


OnMessage = Callable[[Delivery], None]
"""Called on the I/O thread, so it must be quick: while it runs, nothing is sent or received."""


class Message(NamedTuple):
    """What passed."""

    header: Header
    body: Struct


class Refused(NamedTuple):
    """What did not pass: the reason, and a line for the log."""

    reason: Drop
    text: str


def open_message(head: bytes, body: bytes, registry: Registry, message_max_B: int) -> Message | Refused:
    """Decode header and body, or say why not. Raises nothing, whatever they hold."""
    if len(body) > message_max_B:
        return Refused(Drop.TOO_BIG, f"a body of {len(body)} bytes, more than {message_max_B}")
    header = decode_header(head)
    if isinstance(header, Drop):
        return Refused(header, f"a header of {len(head)} bytes")
    what = f"{header.kind!r} from {header.sender!r}, {len(body)} bytes"
    decoder = registry.decoder(header.kind)
    if decoder is None:
        return Refused(Drop.UNKNOWN_TYPE, what)
    if (fault := body_fault(body)) is not None:
        return Refused(fault, what)
    try:
        return Message(header, decoder.decode(body))
    except Exception as error:
        # msgspec's own errors, UnicodeDecodeError, and whatever a type's __post_init__ raises.
        return Refused(Drop.BAD_BODY, f"{what}: {str(error)[:REASON_MAX]!r}")
