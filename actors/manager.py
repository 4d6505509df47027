"""The actor of the EnergyManager: it runs the market when its core asks for it."""

from __future__ import annotations

import logging
import time
from typing import Any

from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.effects import Effect, RunMarket
from actors.energy.manager import ManagerCore, MarketAnswer
from actors.energy.market import Allocation, Memory, RequestError, allocate
from actors.energy.messages import OptimizerStatus
from actors.tree_actor import StatusAnswer, TreeActor

LOG = logging.getLogger("amptree.market")


class EnergyManager(TreeActor):
    """The root of the tree."""

    core: ManagerCore

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._memory: Memory | None = None
        self._last: Allocation | None = None
        self._last_run: RunMarket | None = None

    def carry_out(self, effect: Effect) -> None:
        """Run the market, or do what any actor does."""
        if isinstance(effect, RunMarket):
            self.step(self._run_market(effect))
        else:
            super().carry_out(effect)

    def status(self, *, with_request: bool = False) -> StatusAnswer:
        """The whole tree, and the optimizer; reasons and forecast are made only when asked for."""
        optimizer = self.core.optimizer
        if self._last is not None:
            report = self._last.report
            optimizer = replace(
                optimizer,
                binding=tuple(bound.text() for bound in report.used_up()),
                reasons=tuple(report.why(limits.uuid).text() for limits in self._last),
                forecast=tuple(self._last),
                request=self._last_run.request if with_request and self._last_run else None,
                config=self.core.settings.site if with_request else None,
            )
        return StatusAnswer(super().status().modules, optimizer)

    def _run_market(self, run: RunMarket) -> MarketAnswer:
        begin_s = time.perf_counter()
        try:
            allocation, self._memory = allocate(
                run.request, self.core.settings.site, run.start_us, self._memory, trace=run.trace
            )
        except RequestError as error:
            return MarketAnswer(error=str(error))
        limits = tuple(allocation)
        duration_ms = (time.perf_counter() - begin_s) * 1000
        self._last, self._last_run = allocation, run
        for event in allocation.trace:
            LOG.debug("%s", event.line())
        return MarketAnswer(
            limits=limits,
            status=OptimizerStatus(
                last_run=timestamps.format_utc(run.start_us),
                duration_ms=duration_ms,
                slots=allocation.report.slots,
                sales=allocation.report.sales,
            ),
        )
