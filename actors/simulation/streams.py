"""Random numbers by name: what one purpose draws never moves what another draws.

So a fault that is taken out of a plan leaves the delays of all links, and all clocks, as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def stream(seed: int, *purpose: str) -> Random:
    """The random numbers of one purpose in the run of a seed; the same in every process."""
    return Random(f"{seed}/{'/'.join(purpose)}")


def mostly(random: Random, likely: float, chance: float, low: float, high: float) -> float:
    """`likely`, or with this chance something from `low` to `high`."""
    drawn, other = random.random(), random.uniform(low, high)
    return other if drawn < chance else likely


def pick_weighted(random: Random, weights: Sequence[tuple[str, float]]) -> str:
    """One of the names, by weight."""
    names, shares = zip(*weights, strict=True)
    chosen: str = random.choices(names, shares)[0]
    return chosen
