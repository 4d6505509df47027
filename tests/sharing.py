"""How tests are shared among workers.

Tests of whole sites mostly wait, all others compute. So there are more workers than cores, and each gets its
part of both, mixed: were they to wait all at once, and then to compute, cores would first idle and then be short.
Those that take longest come first, so that none begins when all else is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import TypeVar

T = TypeVar("T")


def mixed(waiting: Sequence[T], computing: Sequence[T], workers: int) -> list[T]:
    """In an order of which `--dist=worksteal` gives each worker an equal piece at first."""
    rest = iter(computing)
    left = len(waiting) + len(computing)
    order: list[T] = []
    for worker in range(workers):
        mine = waiting[worker::workers]
        piece = left // (workers - worker)
        left -= piece
        others = list(islice(rest, max(piece - len(mine), 0)))
        ends = [number * len(others) // max(len(mine), 1) for number in range(len(mine) + 1)]
        for one, (begin, end) in zip(mine, pairwise(ends), strict=True):
            order += [one, *others[begin:end]]
        order += others if not mine else []
    return [*order, *rest]
