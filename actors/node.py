"""The actor of an EnergyNode."""

from __future__ import annotations

from typing import Any

from actors.energy.effects import Effect, RunMarket
from actors.energy.node import NodeCore
from actors.market_runner import MarketRunner
from actors.tree_actor import TreeActor


class EnergyNode(TreeActor):
    """One sub-panel."""

    core: NodeCore

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._market = MarketRunner()

    def carry_out(self, effect: Effect) -> None:
        """Run the market over its own subtree, or do what any actor does."""
        if isinstance(effect, RunMarket):
            self._outlets.let_go()
            self.step(self._market.run(effect))
        else:
            super().carry_out(effect)
