"""A row of a benchmark: what was measured, and what it is to reach."""

from __future__ import annotations

from msgspec import Struct


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


def as_table(rows: list[Row]) -> list[str]:
    """Lines of text: one a row, each figure beside its reach, with ! where it is missed."""
    names = max((len(row.name) for row in rows), default=0)
    return [f"{row.name:{names}}  " + "  ".join(_figure(row, key) for key in row.figures) for row in rows]


def _figure(row: Row, key: str) -> str:
    value, most = row.figures[key], row.reach.get(key)
    beside = "" if most is None else f" ({'!' if value > most else '≤'} {most:g})"
    return f"{key} {value:.3g}{beside}"
