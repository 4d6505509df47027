"""The sale: what nodes have for sale, and in which order it is sold.

Without fallbacks all that limits allow is for sale, tier after tier. With them (fallbacks.py) some
of it is kept, and some EVSEs buy ahead of the others, after the fixed loads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Bools, Floats, Ints
from actors.energy.market.tiers import Tier

FIXED_LOADS = 0
"""The tier that nobody buys ahead of: what it stands for is drawn anyway."""


@dataclass(frozen=True)
class Sale:
    """What nodes have for sale, (columns, nodes), and who buys ahead, (columns, EVSEs)."""

    node_A: Floats
    node_grid_W: Floats
    ahead_A: Floats | None = None
    ahead_grid_W: Floats | None = None
    """What they have for those who buy ahead."""
    ahead: Ints | None = None
    """The higher the sooner; 0 buys when its tier's turn comes. None: nobody buys ahead."""


@dataclass(frozen=True)
class Turn:
    """A tier, or those of it who buy now: (columns, EVSEs), None for all."""

    tier: Tier
    node_A: Floats
    node_grid_W: Floats
    now: Bools | None = None

    def buys(self, takes_part: Bools) -> Bools:
        """Who of the tier: (columns, members)."""
        members = self.tier.of(takes_part)
        return members if self.now is None else members & self.tier.of(self.now)

    def put(self, target: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        """What those got who bought, written down in (columns, EVSEs)."""
        if self.tier.whole and self.now is None:
            return values
        if not target.flags.writeable:  # one row for all columns so far
            target = target.copy()
        cells = np.s_[:, self.tier.members]
        target[cells] = values if self.now is None else np.where(self.now[cells], values, target[cells])
        return target


def turns(tiers: tuple[Tier, ...], sale: Sale) -> Iterator[Turn]:
    """All turns, in order."""
    if sale.ahead is None or sale.ahead_A is None or sale.ahead_grid_W is None:
        yield from (Turn(tier, sale.node_A, sale.node_grid_W) for tier in tiers)
        return
    fixed = [tier for tier in tiers if tier.priority == FIXED_LOADS]
    others = [tier for tier in tiers if tier.priority != FIXED_LOADS]
    yield from (Turn(tier, sale.node_A, sale.node_grid_W) for tier in fixed)
    for rank in range(int(sale.ahead.max()), 0, -1):
        now = sale.ahead == rank
        yield from (Turn(tier, sale.ahead_A, sale.ahead_grid_W, now) for tier in others)
    now = sale.ahead == 0
    yield from (Turn(tier, sale.node_A, sale.node_grid_W, now) for tier in others)
