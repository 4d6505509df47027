"""A row of a benchmark: what was measured, and what it is to reach."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

Chooses = Callable[[str], bool]
"""Whether a row of this name is wanted."""


def all_of_them(_name: str) -> bool:
    """Every row."""
    return True


class Row(Struct, frozen=True, kw_only=True):
    """One thing that was measured; figures and reach have their unit in their keys (`read_ms`)."""

    bench: str
    """Which part of `amptree bench` it belongs to."""
    name: str
    what: str
    """In words, for the table."""
    figures: dict[str, float]
    reach: dict[str, float] = {}
    """The most that a figure should be."""

    def misses(self) -> list[str]:
        """Figures above their reach."""
        return [key for key, most in self.reach.items() if self.figures[key] > most]
