"""Texts: the few sources of many results, as numbers for arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import any_of

Numbers = NDArray[np.int32]
UNKNOWN = -1
"""Where there is no text yet. 0 is the empty one."""


class Texts:
    """Each text has one number; where nobody compares numbers, it may have several."""

    def __init__(self, *, compared: bool = True) -> None:
        self._compared = compared
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
        first = len(self._texts)
        self._texts += texts
        if not self._compared and None not in texts:
            return np.arange(first, first + len(texts), dtype=np.int32)
        new = count(first)  # one for each; that of a text which has one already stays unused
        return np.fromiter(map(self._number_of.setdefault, texts, new), dtype=np.int32, count=len(texts))

    def all(self) -> NDArray[np.object_]:
        """In the order of their numbers."""
        return np.array(self._texts, dtype=np.object_)

    def of(self, numbers: Numbers) -> list[str]:
        """Those of some numbers."""
        return list(map(self._texts.__getitem__, numbers.tolist()))  # type: ignore[arg-type]


def unknown(numbers: Numbers) -> list[list[int]]:
    """The cells where there is no text yet: (row, column) of each."""
    missing = numbers == UNKNOWN
    found: list[list[int]] = np.argwhere(missing).tolist() if any_of(missing) else []
    return found
