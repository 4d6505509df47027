"""JSON documents out of a stream: one object a line, or one document over many lines.

What it is shows in the content: a line that is complete is a document; one that is not begins a
document that ends where its brackets close. So input of any length is read document by document,
and a malformed one costs no other. Top-level arrays stand for their elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from actors.json_text import Malformed, decoded

MOST_BYTES = 256 * 1024 * 1024
"""Of one document."""
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def documents(lines: Iterable[bytes]) -> Iterator[Any]:
    """Decoded documents, and `Malformed` in the place of those that are not JSON."""
    waiting: list[bytes] = []
    depth = size = 0
    for number, raw in enumerate(lines):
        line = raw.removeprefix(_BYTE_ORDER_MARK) if number == 0 else raw
        if not line.strip() and not waiting:
            continue
        if waiting and _starts_anew(waiting[0], line):
            yield decoded(b"".join(waiting))
            waiting, depth, size = [], 0, 0
        if not waiting:
            whole = decoded(line)
            if not isinstance(whole, Malformed) or not _goes_on(line):
                yield from _elements(whole)
                continue
        waiting.append(line)
        depth += _opened(line)
        size += len(line)
        if depth <= 0 or size > MOST_BYTES:
            too_large = Malformed(f"the document is larger than {MOST_BYTES} bytes")
            yield from _elements(decoded(b"".join(waiting)) if depth <= 0 else too_large)
            waiting, depth, size = [], 0, 0
    if waiting:
        yield from _elements(decoded(b"".join(waiting)))


def _elements(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    else:
        yield value


def _opened(line: bytes) -> int:
    """How many brackets a line opens more than it closes; those in texts do not count."""
    bare = _TEXTS.sub(b"", line)
    return sum(bare.count(each) for each in (b"[", b"{")) - sum(bare.count(each) for each in (b"]", b"}"))


def _goes_on(line: bytes) -> bool:
    """Whether a line that is no document may be the beginning of one."""
    return line.lstrip()[:1] in (b"{", b"[") and _opened(line) > 0


def _starts_anew(first: bytes, line: bytes) -> bool:
    """A complete object amid lines that began with another one: that one was broken off."""
    if first.lstrip()[:1] != b"{" or not line.startswith(b"{") or _opened(line) != 0:
        return False
    value = decoded(line)
    return isinstance(value, dict) and ("steps" in value or "request" in value)
