"""The plant's record: one JSON line a sample, after a first line that says whose it is.

Lines are kept and written whole each second. Where the disk is full or fails, the record ends at its
last whole line and the plant goes on.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

LOG = logging.getLogger("amptree.plant")

MAX_B = 512 * 1024 * 1024
"""Bytes of a record; when they are reached, it ends."""


class Recorder:
    """Writes a record. Raises OSError only when it is made."""

    def __init__(self, path: Path, head: dict[str, object], max_B: int = MAX_B) -> None:
        self._path = path
        self._max_B = max_B
        self._size_B = 0
        self._lines = bytearray()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._descriptor: int | None = os.open(path, flags, 0o644)
        self.write(head)

    def write(self, line: dict[str, object]) -> None:
        """Keep a line for the next flush."""
        if self._descriptor is None:
            return
        encoded = msgspec.json.encode(line) + b"\n"
        if self._size_B + len(self._lines) + len(encoded) > self._max_B:
            LOG.warning("record %s is full at %d bytes: it ends here", self._path, self._max_B)
            self.close()
            return
        self._lines += encoded

    def flush(self) -> None:
        """Write what is kept."""
        if self._descriptor is None:
            return
        whole_B = self._size_B
        try:
            while self._lines:
                written_B = os.write(self._descriptor, self._lines)
                del self._lines[:written_B]
                self._size_B += written_B
        except OSError as error:
            LOG.error("record %s ends: %s", self._path, error.strerror)
            self._lines.clear()
            with suppress(OSError):  # what has no end cannot be cut
                os.ftruncate(self._descriptor, whole_B)
            self.close()

    def close(self) -> None:
        """Flush and close; idempotent."""
        self.flush()
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with suppress(OSError):  # it is closed all the same, and what counts was flushed
                os.close(descriptor)
