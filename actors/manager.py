"""The actor of the EnergyManager."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec.structs import replace

from actors.energy.effects import RunMarket
from actors.energy.manager import ManagerCore
from actors.energy.packing import unpacked
from actors.market_runner import MarketRunner
from actors.tree_actor import StatusAnswer, StatusQuery, TreeActor


class EnergyManager(TreeActor):
    """The root of the tree."""

    core: ManagerCore

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        kept = self._outlets.load_sessions(self.core.id)
        self._market = MarketRunner(kept, partial(self._outlets.keep_sessions, self.core.id))

    def run_market(self, run: RunMarket) -> None:
        """Run it, and keep what it shall know after a restart once its answer is on its way."""
        self._outlets.let_go()
        self.step(self._market.run(run))
        self._outlets.let_go()
        self._market.keep_sessions()

    def status(self, query: StatusQuery) -> StatusAnswer:
        """The whole tree, and the optimizer; reasons and forecast are made only when asked for."""
        optimizer = self.core.optimizer
        if self._market.last is not None:
            run, allocation = self._market.last
            report = allocation.report
            optimizer = replace(
                optimizer,
                binding=tuple(bound.text() for bound in report.used_up()),
                request=unpacked(run.request) if query.with_request else None,
                config=run.config if query.with_request else None,
            )
            if query.with_reasons:
                reasons = tuple(report.why(limits.uuid).text() for limits in allocation)
                optimizer = replace(optimizer, reasons=reasons, forecast=tuple(allocation))
        return StatusAnswer(super().status(query).modules, optimizer)
