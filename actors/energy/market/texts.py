"""Texts: the few sources of many results, as numbers for arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32]
UNKNOWN = -1
"""Where there is no text yet. 0 is the empty one."""


class Texts:
    """Each text has one number."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        """That of a text, which may be a new one."""
        return self._number_of.setdefault(text, len(self._number_of))

    def numbers(self, texts: Iterable[str | None]) -> Numbers:
        """Those of many; UNKNOWN of None."""
        number_of = self._number_of
        return np.array(
            [UNKNOWN if text is None else number_of.setdefault(text, len(number_of)) for text in texts],
            dtype=np.int32,
        )

    def all(self) -> NDArray[np.object_]:
        """In the order of their numbers."""
        return np.fromiter(self._number_of, dtype=np.object_, count=len(self._number_of))


def unknown(numbers: Numbers) -> list[list[int]]:
    """The cells where there is no text yet: (row, column) of each."""
    missing = numbers == UNKNOWN
    found: list[list[int]] = np.argwhere(missing).tolist() if missing.any() else []
    return found
