"""Remembers what was made last, as long as what it was made of is the same.

Requests are made anew with each step but seldom change: given out as the very same object, they cost
nothing to compare further up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """One value."""

    def __init__(self) -> None:
        self._key: object = None
        self._from_us = 0
        self._until_us = 0
        self._value: T | None = None

    def get(self, key: object, now_us: int, make: Callable[[], T], until_us: Callable[[], int]) -> T:
        """The value for a key; made anew when the key is another, or the wall clock is not between when
        it was made and `until_us`."""
        if self._value is None or not self._from_us <= now_us < self._until_us or key != self._key:
            self._value = make()
            self._key, self._from_us, self._until_us = key, now_us, until_us()
        return self._value
