"""How a message lies in its frame: the header's length, a small header, the body.

Header and body are separate pieces of MessagePack, so that a message can be judged, counted and
recorded without knowing its type. They share one ZeroMQ frame, though ZeroMQ offers two: with
IMMEDIATE a DEALER drops a pipe at once when its connection ends, and if it has read the first of two
frames then, libzmq aborts the process ("Assertion failed: !_more (src/fq.cpp)", seen within seconds
when a parent ended while its child was reading). One frame also makes MAXMSGSIZE bound the message.

The header is an array, so it stays small, and its first element is the version in every version to
come. A later version may add elements at the end; one that changes the meaning of those before
raises VERSION.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from transport.counters import Drop
from transport.options import BUNDLE_MAX, BUNDLED_B, HEADER_MAX_B, LENGTH_B, NAME_MAX

VERSION = 3
_BUNDLE = bytes(LENGTH_B)
"""Begins a bundle of messages: no message has a header of no length."""

_Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
_Id = Annotated[str, Meta(max_length=NAME_MAX)]


class Header(Struct, frozen=True, array_like=True):
    """What a message is and between whom."""

    version: int
    """Of the protocol."""
    kind: _Name
    """The registered name of the body's type."""
    sender: _Name
    """The process that sent it, as it calls itself."""
    source: _Id
    """The actor that sent it; empty if the process itself."""
    target: _Id
    """The actor that it is for; empty if the process itself."""
    sequence: Annotated[int, Meta(ge=1)]
    """Counts the messages of one port to one peer from 1 on: a gap is a loss."""


class _AnyVersion(Struct, frozen=True, array_like=True):
    """What can be read of a header of whatever version."""

    version: int


_HEADER = msgspec.msgpack.Decoder(Header)
_ANY_VERSION = msgspec.msgpack.Decoder(_AnyVersion)


def join(header: bytes, body: bytes) -> bytes:
    """The frame of a message."""
    return len(header).to_bytes(LENGTH_B, "big") + header + body


def split(frame: bytes) -> tuple[bytes, bytes] | None:
    """Header and body of a frame; None if it is too short or its header too long to be one."""
    end = LENGTH_B + int.from_bytes(frame[:LENGTH_B], "big")
    if not LENGTH_B < end <= min(len(frame), LENGTH_B + HEADER_MAX_B):
        return None
    return frame[LENGTH_B:end], frame[end:]


def bundle(frames: list[bytes]) -> bytes:
    """One frame for several messages to one peer: what a frame costs is paid once."""
    if len(frames) == 1:
        return frames[0]
    parts = [_BUNDLE]
    for frame in frames:
        parts += (len(frame).to_bytes(BUNDLED_B, "big"), frame)
    return b"".join(parts)


def unbundle(frame: bytes) -> list[bytes] | None:
    """The frames of all messages in a frame; None if it is a bundle, but not a whole one. A bundle in a
    bundle is nothing: `split` takes none."""
    if not frame.startswith(_BUNDLE):
        return [frame]
    frames: list[bytes] = []
    at = len(_BUNDLE)
    while at < len(frame):
        begin = at + BUNDLED_B
        at = begin + int.from_bytes(frame[at:begin], "big")
        if begin >= at or at > len(frame) or len(frames) >= BUNDLE_MAX:
            return None
        frames.append(frame[begin:at])
    return frames or None


def encode_header(*, kind: str, sender: str, source: str, target: str, sequence: int) -> bytes:
    """The header, with our version."""
    return msgspec.msgpack.encode(Header(VERSION, kind, sender, source, target, sequence))


def decode_header(frame: bytes) -> Header | Drop:
    """The header, or why it is none. `frame` is at most HEADER_MAX_B long, so nesting is bounded."""
    try:
        header = _HEADER.decode(frame)
    except Exception:  # not msgspec's alone: UnicodeDecodeError, RecursionError
        # Another version may have other fields; if only that could be read, it is no garbage.
        return Drop.VERSION if _version(frame) not in (None, VERSION) else Drop.BAD_HEADER
    return header if header.version == VERSION else Drop.VERSION


def check_name(what: str, name: str, *, empty: bool = True) -> None:
    """Raise ValueError if `name` does not fit in a header: our own error, not the network's."""
    if len(name) > NAME_MAX or not (name or empty):
        bounds = f"{0 if empty else 1} to {NAME_MAX} characters"
        raise ValueError(f"{what} {name[: NAME_MAX + 1]!r} needs {bounds}")


def _version(frame: bytes) -> int | None:
    try:
        return _ANY_VERSION.decode(frame).version
    except Exception:  # as above: whatever a peer's bytes provoke, there is no version in them
        return None
