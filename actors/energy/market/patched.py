"""Patched lists: what changes little from run to run, without a copy.

A copy of a list touches every object in it, which for ten thousand takes as long as to read a hundred anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

from actors.energy.market.arrays import Ints, in_order

T = TypeVar("T")

FEW = 16
"""One in so many elements may be another than in the list below; with more, a new list is made."""


class Patched(Generic[T]):
    """A list of which few elements are others; neither is changed."""

    def __init__(self, below: list[T], others: Mapping[int, T] | None = None) -> None:
        self._below = below
        self._others = others or {}

    def __len__(self) -> int:
        return len(self._below)

    def __getitem__(self, place: int) -> T:
        return self._others[place] if place in self._others else self._below[place]

    def __iter__(self) -> Iterator[T]:
        return iter(self.whole())

    def whole(self) -> list[T]:
        """As a list, not to be changed."""
        if not self._others:
            return self._below
        found = self._below.copy()
        for place, other in self._others.items():
            found[place] = other
        return found

    def some(self, places: Ints) -> Sequence[T]:
        """The elements at some places."""
        if len(places) * FEW <= len(self):
            below, others = self._below, self._others
            return [others[place] if place in others else below[place] for place in places.tolist()]
        found = in_order(self._below, places)
        if self._others:
            is_other = np.zeros(len(self), dtype=np.bool_)
            is_other[list(self._others)] = True
            found = list(found)
            for i in np.flatnonzero(is_other[places]).tolist():
                found[i] = self._others[int(places[i])]
        return found

    def patched(self, others: Mapping[int, T]) -> Patched[T]:
        """With some elements others."""
        found = Patched(self._below, {**self._others, **others})
        return found if len(found._others) * FEW <= len(self) else Patched(found.whole())
