"""What is wrong with a site's file: every fault at once, each with its path and a remedy.

A path is kept as a tuple of keys and list positions, and written as
`active_modules.floor_1_node.connections.energy_trunk[1]`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from msgspec import Struct

Path = tuple[str | int, ...]

MAX_FAULTS = 1_000
"""Faults that are told; a file with more of them is not one of ours."""
MAX_LENGTH = 500
"""Characters of a message, which may quote the file."""
MAX_CANDIDATES = 200
"""Names that a misspelled one is compared with; among more of them none is looked for."""


class Fault(Struct, frozen=True):
    """One fault of the file; `path` is empty where it is the file as a whole."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(Exception):
    """All that is wrong with a site's file; its text holds one line a fault."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class Faults:
    """Collects faults while the file is read."""

    def __init__(self) -> None:
        self._found: dict[Fault, None] = {}

    def add(self, path: Path, message: str) -> None:
        """Note a fault; the same one twice counts once."""
        self._found.setdefault(Fault(written(path), one_line(message, MAX_LENGTH)))

    def raise_if_any(self) -> None:
        """Raises ConfigError with all faults so far."""
        if self._found:
            faults = list(self._found)
            if len(faults) > MAX_FAULTS:
                faults[MAX_FAULTS:] = [Fault("", f"and {len(faults) - MAX_FAULTS} more faults")]
            raise ConfigError(tuple(faults))


def written(path: Path) -> str:
    """A path as text, on one line."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{one_line(part, 80)}" for part in path)
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A value of the file as the user wrote it, on one short line."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= 10**18:
            return "a huge number"
        case int() | float():
            return f"{value}"
        case str():
            return f'"{one_line(value, 40)}"'
        case dict():
            return "a mapping"
        case list():
            return "a list"
    return f"a {type(value).__name__}"


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean "…"?`, or nothing when no known name is near."""
    near = nearest(name, known, cutoff)
    return "" if near is None else f'; did you mean "{near}"?'


def nearest(name: str, known: Iterable[str], cutoff: float) -> str | None:
    """The known name that is most like this one, apart from capitals."""
    folded = {other.casefold(): other for other in known}
    if len(folded) > MAX_CANDIDATES:
        return None
    near = difflib.get_close_matches(name[:100].casefold(), folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def one_line(text: str, length: int) -> str:
    """Text of the file without what would break a line or a terminal."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= length else plain[: length - 1] + "…"
