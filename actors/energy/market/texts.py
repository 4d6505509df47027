"""Texts: the few sources of many results, as numbers for arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32]
UNKNOWN = -1
"""Where there is no text yet. 0 is the empty one."""


class Texts:
    """Each text has one number."""

    def __init__(self) -> None:
        self._texts: list[str | None] = [""]
        self._number_of: dict[str | None, int] = {"": 0, None: UNKNOWN}

    def number(self, text: str) -> int:
        """That of a text, which may be a new one."""
        number = self._number_of.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number

    def numbers(self, texts: Sequence[str | None]) -> Numbers:
        """Those of many; UNKNOWN of None."""
        new = count(len(self._texts))  # one for each; that of a text which has one already stays unused
        self._texts += texts
        return np.fromiter(map(self._number_of.setdefault, texts, new), dtype=np.int32, count=len(texts))

    def all(self) -> NDArray[np.object_]:
        """In the order of their numbers."""
        return np.array(self._texts, dtype=np.object_)


def unknown(numbers: Numbers) -> list[list[int]]:
    """The cells where there is no text yet: (row, column) of each."""
    missing = numbers == UNKNOWN
    found: list[list[int]] = np.argwhere(missing).tolist() if missing.any() else []
    return found
