"""The arrays of the market: (columns, nodes), (columns, EVSEs) and the like.

What is the same in all columns is one row that stands for all of them: `repeated` makes it look as
whole as the others, `once` gives the row back, so that nothing is worked out more often than it must.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int8]
"""Phases, and other small numbers."""
T = TypeVar("T", bound=np.generic)


def repeated(values: NDArray[T], count: int) -> NDArray[T]:
    """(1, n) as (count, n) without a copy, not to be written to; others as they are."""
    if len(values) == count:
        return values
    # As np.broadcast_to, in a third of its time.
    rows = np.ndarray((count, values.shape[1]), values.dtype, values, 0, (0, values.itemsize))
    rows.flags.writeable = False
    return rows


@lru_cache(maxsize=32)
def same_row(value: float, count: int, kind: type[np.generic]) -> NDArray[Any]:
    """(1, count) of one value, not to be written to."""
    row = np.full((1, count), value, dtype=kind) if value else np.zeros((1, count), dtype=kind)
    row.flags.writeable = False
    return row


@lru_cache(maxsize=64)
def same_rows(value: float, shape: tuple[int, int], kind: Any) -> NDArray[Any]:
    """One value everywhere, one row for all."""
    return repeated(same_row(value, shape[1], kind), shape[0])


def once(values: NDArray[T]) -> NDArray[T]:
    """(1, n) where all rows are one and the same."""
    return values[:1] if values.strides[0] == 0 else values


def any_of(holds: Bools) -> bool:
    """As holds.any(), in a tenth of its time: each is a byte."""
    return b"\1" in holds.tobytes()


def all_of(holds: Bools) -> bool:
    """As holds.all(), likewise."""
    return b"\0" not in holds.tobytes()


def in_order(values: Sequence[Any], order: Ints | list[int]) -> Sequence[Any]:
    """Values by their places; as a list comprehension, in half of its time."""
    places = order if isinstance(order, list) else order.tolist()
    return itemgetter(*places)(values) if len(places) > 1 else [values[place] for place in places]


def looked_up(numbers: Ints) -> slice | Ints:
    """Numbers as they are best looked up: a slice where each follows the one before."""
    if len(numbers) and int(numbers[-1]) - int(numbers[0]) + 1 == len(numbers):
        first = int(numbers[0])
        if all_of(numbers == np.arange(first, first + len(numbers))):
            return slice(first, first + len(numbers))
    return numbers


def whole_numbers(values: Sequence[int]) -> Ints:
    """As np.array, in half of its time; not to be written to. struct.error for what is no such number."""
    return np.frombuffer(struct.pack(f"={len(values)}q", *values), dtype=np.int64).astype(np.intp, copy=False)


def first_of_each(values: Ints) -> Ints:
    """Where each run of equal values begins."""
    begins = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def joined_columns(parts: list[NDArray[T]]) -> NDArray[T]:
    """Parts one below the other; where all rows of all parts are one and the same, as `repeated`."""
    first = parts[0]
    if all(len(once(part)) == 1 for part in parts) and all(
        part is first or np.array_equal(part[:1], first[:1]) for part in parts
    ):
        return repeated(first[:1], sum(map(len, parts)))
    return np.concatenate(parts)


SHORT = 100
"""Elements of a row: below it, adding them up one after the other is exact enough, and of many rows sooner
done."""
MANY = 5000
"""Elements of many rows."""


def row_sums(values: Floats) -> Floats:
    """Sums over the last axis."""
    if values.shape[-1] < SHORT and values.size > MANY:
        return np.einsum("...i->...", values)  # type: ignore[no-any-return]  # an array, of arrays
    return np.add.reduce(values, axis=-1)  # type: ignore[no-any-return]  # likewise
