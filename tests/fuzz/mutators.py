"""Quick ways to spoil a message: as bytes, as MessagePack values, and as the text of a file.

All of them are functions of a `Random` and what they are given, so a seed leads to the same rubbish again.
Values keep most of their form: what is spoiled in one place gets past the first check and meets the next.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import Any

STACKED_MAX = 3
"""Spoilings of one input."""
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 4, 7, 127, 128, 255, 256, 65_535, 1_000_001, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53),
    *(2**63 - 1, -(2**63), 2**64 - 1, -0.0, 0.5, 6.0, 16.0, 32.0, 63.0, 1e-9, 5e-324, 2.3e-308, 1e9, 1e9 + 1),
    *(1e12, 1e16, 1e300, 1.7e308, -1e-9, -32.0, -1e300, float("inf"), float("-inf"), float("nan")),
)
TEXTS = (
    *(
        "",
        " ",
        "x",
        "null",
        "root",
        "left",
        "right",
        "l1",
        "l2",
        "r1",
        "r2",
        "left/not heard",
        "../etc",
        "\x00",
    ),
    *("Evse", "Generic", "Charging", "Unplugged", "SetLimits", "ClearLimits", "Heartbeat", "ä€😀", "\ud7ff"),
    *(
        "1970-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "2026-02-30T00:00:00Z",
    ),
    *("2026-03-01T10:20:00Z", "2026-03-01T10:20:00.123456789Z", "%s%n", "x" * 65, "x" * 1_000),
)
BYTES = (
    0x00,
    0x7F,
    0x80,
    0x8F,
    0x90,
    0x9F,
    0xA0,
    0xBF,
    0xC0,
    0xC1,
    0xC4,
    0xC9,
    0xCA,
    0xCB,
    0xCF,
    0xD3,
    0xD9,
    0xDB,
)
HEADS = (
    *(
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdc\xff\xff",
        b"\xde\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ),
    *(b"\xc6\x7f\xff\xff\xff", b"\xc9\x00\x00\x00\x01\x05", b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xca\xff\x80\0\0"),
    *(
        b"\xcb\x7f\xf0\0\0\0\0\0\0",
        b"\xcf" + b"\xff" * 8,
        b"\xc1",
        b"\xd5\xff\xff\xff",
        b"\xcb\x7f\xef" + b"\xff" * 6,
    ),
)


def spoil_bytes(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Flip, cut, repeat, splice, and claim what is not there."""
    spoiled = bytearray(data)
    for _ in range(1 + int(random.random() * STACKED_MAX)):
        size = len(spoiled)
        at = int(random.random() * size) if size else 0
        match int(random.random() * 10):
            case 0 | 1 if size:
                spoiled[at] ^= 1 << int(random.random() * 8)
            case 2 if size:
                spoiled[at] = random.choice(BYTES)
            case 3:
                del spoiled[at:]
            case 4:
                del spoiled[at : at + 1 + int(random.random() * 8)]
            case 5:
                piece = spoiled[at : at + 1 + int(random.random() * 32)]
                spoiled[at:at] = piece * (1 if random.random() < 0.95 else 200)
            case 6:
                other = random.choice(others)
                start = int(random.random() * len(other))
                spoiled[at : at + int(random.random() * 16)] = other[
                    start : start + int(random.random() * 64)
                ]
            case 7:
                head = random.choice(HEADS)
                spoiled[at : at + (len(head) if random.random() < 0.5 else 0)] = head
            case 8:
                opener = random.choice((b"\x91", b"\x81\x01", b"\xdc\x00\x01", b"\xdd\x00\x0f\xff\xff"))
                spoiled[at:at] = opener * int(4 ** (random.random() ** 2 * 6))
            case _:
                spoiled += random.randbytes(int(random.random() * 16))
    return bytes(spoiled)


class Values:
    """Spoils plain values; `pool` holds what was seen under each name, to be put elsewhere."""

    def __init__(self, random: Random, samples: Sequence[Any]) -> None:
        self._random = random
        self._pool: list[Any] = []
        self._names: list[str] = []
        for sample in samples:
            self._collect(sample)
        self._names = sorted(set(self._names))

    def _collect(self, value: Any) -> None:
        self._pool.append(value)
        if isinstance(value, dict):
            self._names += value
            for inner in value.values():
                self._collect(inner)
        elif isinstance(value, list):
            for inner in value:
                self._collect(inner)

    def spoil(self, value: Any) -> Any:
        """A copy with a place or a few changed; only what leads there is copied."""
        for _ in range(1 + int(self._random.random() ** 2 * STACKED_MAX)):
            value = self._somewhere(value)
        return value

    def _somewhere(self, value: Any) -> Any:
        random = self._random
        if isinstance(value, dict) and value and random.random() < 0.9:
            name = random.choice(list(value))
            return {**value, name: self._somewhere(value[name])}
        if isinstance(value, list) and value and random.random() < 0.9:
            at = int(random.random() * len(value))
            return [*value[:at], self._somewhere(value[at]), *value[at + 1 :]]
        return self._other(value)

    def _other(self, value: Any) -> Any:
        random = self._random
        if random.random() < 0.15:
            return self._of_another_type()
        match value:
            case bool():
                return not value
            case int() | float():
                if random.random() < 0.5:
                    return random.choice(NUMBERS)
                return value * random.choice((-1, 0.5, 2, 10, 1e6, 1e-6)) + random.choice((0, 0, 1, -1, 0.1))
            case bytes():
                return self._other_numbers(value)
            case str():
                return random.choice(TEXTS) if random.random() < 0.998 else "y" * 70_000
            case dict():
                return self._other_mapping(value)
            case list():
                return self._other_list(value)
        return random.choice(self._pool)

    def _other_numbers(self, value: bytes) -> bytes:
        """A packed schedule's: one of them another, or one more or less."""
        random, at = self._random, 8 * int(self._random.random() * (len(value) // 8))
        number = random.choice([each for each in NUMBERS if isinstance(each, float) or abs(each) < 2**63])
        form = "<d" if isinstance(number, float) or random.random() < 0.5 else "<q"
        other = struct.pack(form, number)
        match int(random.random() * 8):
            case 0:
                return value + other
            case 1:
                return value[8:]
            case 2:
                return random.randbytes(len(value))
            case 3:
                return value[: int(random.random() * len(value))]
        return value[:at] + other + value[at + 8 :]

    def _of_another_type(self) -> Any:
        random = self._random
        match int(random.random() * 8):
            case 0:
                return None
            case 1:
                return random.choice(NUMBERS)
            case 2:
                return random.choice(TEXTS)
            case 3:
                return random.random() < 0.5
            case 4:
                return random.randbytes(int(random.random() * 20))
            case 5:
                return nested(random, int(2 ** (random.random() * 9)))
            case _:
                return random.choice(self._pool)

    def _other_mapping(self, value: dict[Any, Any]) -> Any:
        random, names = self._random, list(value)
        match int(random.random() * 5):
            case 0 if names:
                gone = random.choice(names)
                return {name: inner for name, inner in value.items() if name != gone}
            case 1:
                name = random.choice((*TEXTS, *self._names[:50]))
                return {**value, name: random.choice(self._pool)}
            case 2 if len(names) > 1:
                one, other = random.choice(names), random.choice(names)
                return {**value, one: value[other], other: value[one]}
            case 3:
                return {**value, random.choice(self._names): random.choice(self._pool)}
        return {1: value} if random.random() < 0.5 else {}

    def _other_list(self, value: list[Any]) -> Any:
        random = self._random
        match int(random.random() * 6):
            case 0:
                return []
            case 1:
                return value * random.choice((2, 2, 3, 3, 50))
            case 2:
                return random.sample(value, len(value))
            case 3:
                return value[: int(random.random() * len(value))]
            case 4:
                return [value]
        return [*value, random.choice(self._pool)]


def nested(random: Random, depth: int) -> Any:
    """So many levels of lists or mappings around nothing."""
    value: Any = None
    mapping = random.random() < 0.5
    for _ in range(depth):
        value = {"children": [value]} if mapping else [value]
    return value


LINES = (
    *(
        "  x: &a [*a]",
        "<<: *a",
        "&a a: *a",
        "x: !!python/object/apply:os.system [ls]",
        "x: !!int x",
        "? [a]",
        "--- ",
    ),
    *(
        "\t- x",
        "x: " + "[" * 150,
        "x: 1e999",
        "x: .nan",
        "x: -.inf",
        "x: 0o777",
        "x: 2001-12-14",
        "%YAML 9.9",
        "...",
    ),
    *(
        "x: |",
        "x: {a: b, a: c}",
        "'",
        '"',
        "}",
        "x: " + "9" * 400,
        "fuse_limit_A: .inf",
        "listen: 'tcp://[::1]:0'",
    ),
    *(
        "a: &a {b: c}\nd: [*a, *a, *a]",
        "x: *nowhere",
        "\x00",
        "\ufeff",
        "x: !!binary aGk=",
        "x: !!set {a, b}",
    ),
)


def spoil_text(random: Random, text: str, others: Sequence[str]) -> str:
    """Lines gone, doubled, moved, indented, from elsewhere; characters and numbers changed."""
    lines = text.split("\n")
    for _ in range(1 + int(random.random() * STACKED_MAX)):
        at = int(random.random() * len(lines))
        match int(random.random() * 9):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines.insert(at, random.choice(lines))
            case 2:
                lines[at] = random.choice(("", " ", "  ", "\t")) + lines[at].lstrip(random.choice((" ", "")))
            case 3:
                lines.insert(at, random.choice(random.choice(others).split("\n")))
            case 4:
                indent = len(lines[at]) - len(lines[at].lstrip())
                lines.insert(at, " " * indent + random.choice(LINES))
            case 5:
                name, colon, _ = lines[at].partition(":")
                lines[at] = (
                    f"{name}{colon} {random.choice((*NUMBERS, *TEXTS[:20], '[]', '{}', 'null', '[a, b]'))}"
                )
            case 6:
                place = int(random.random() * (len(lines[at]) + 1))
                lines[at] = (
                    lines[at][:place] + random.choice("\"'[]{}:,#&*!|>%@`\\-\t\x07é") + lines[at][place:]
                )
            case 7:
                words = random.choice(lines).split()
                if words:
                    lines[at] = lines[at].replace(
                        random.choice(lines[at].split() or ["x"]), random.choice(words)
                    )
            case _:
                del lines[at + int(random.random() * (len(lines) - at)) + 1 :]
    return "\n".join(lines)
