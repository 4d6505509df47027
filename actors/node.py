"""The actor of an EnergyNode."""

from __future__ import annotations

from typing import Any

from actors.energy.effects import RunMarket
from actors.energy.node import NodeCore
from actors.market_runner import MarketRunner
from actors.tree_actor import TreeActor


class EnergyNode(TreeActor):
    """One sub-panel."""

    core: NodeCore

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._market = MarketRunner()

    def run_market(self, run: RunMarket) -> None:
        """Run it over its own subtree."""
        self._outlets.let_go()
        self.step(self._market.run(run))
