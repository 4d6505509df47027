"""Recorded traffic: what went over the wire, as it was, to be replayed.

A file is a stream of MessagePack arrays, appended one by one, so a process that is killed loses at
most the record that it was writing. Frames are kept raw: a recording shows what was sent, also what
was refused, and can be read by any MessagePack tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import msgpack  # type: ignore[import-untyped]  # it ships no types
from msgspec import Struct

from transport.options import HEADER_MAX_B, MESSAGE_HARD_B

RECORD_MAX_B = MESSAGE_HARD_B + HEADER_MAX_B + 64
READ_B = 1 << 16


class Direction(StrEnum):
    """Which way a message went, seen from the process that recorded it."""

    SENT = "sent"
    RECEIVED = "received"


Tap = Callable[[float, Direction, bytes, bytes], None]
"""Is given each message on the I/O thread: Unix time in seconds, direction, header, body."""


class Record(Struct, frozen=True):
    """One message of a recording."""

    t: float
    """Unix time in seconds."""
    direction: Direction
    header: bytes
    body: bytes


class RecordWriter:
    """Writes a new recording. Its `write` is a `Tap`."""

    def __init__(self, path: Path) -> None:
        """Raises FileExistsError rather than overwrite a recording or go on behind a torn one."""
        self._file: BinaryIO = path.open("xb")
        self._packer = msgpack.Packer(use_bin_type=True)

    def write(self, t: float, direction: Direction, header: bytes, body: bytes) -> None:
        """Append one record and hand it to the operating system."""
        self._file.write(self._packer.pack((t, str(direction), header, body)))
        self._file.flush()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


def read_records(path: Path) -> Iterator[Record]:
    """The records of a recording; a torn last one is left out. Raises ValueError for anything else."""
    with path.open("rb") as file:
        unpacker = msgpack.Unpacker(file, raw=False, read_size=READ_B, max_buffer_size=RECORD_MAX_B)
        for number, fields in enumerate(unpacker, 1):
            match fields:
                case [float(t), str(direction), bytes(header), bytes(body)] if direction in set(Direction):
                    yield Record(t, Direction(direction), header, body)
                case _:
                    raise ValueError(f"{path}: record {number} is not one of (t, direction, header, body)")
