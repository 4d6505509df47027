"""Runs the market for an actor, and keeps what it needs from run to run.

**What outlives a restart.** Of each EVSE's session the switches so far and the phases that it reported
last: a restart must not give a session more switches than are allowed. A switch that was not kept in
time is counted all the same, since the next life finds other phases than were kept. The waiting time
before three phases are wanted again is not kept: it begins anew, which only makes a switch later. The
rest of a session is the EvseManager's, which finds it again at its hardware.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from actors.energy import timestamps
from actors.energy.effects import RunMarket
from actors.energy.market import Allocation, Context, Memory, RequestError, TooMuchError, allocate
from actors.energy.messages import MarketAnswer, OptimizerStatus
from actors.energy.types import EnforcedLimits

LOG = logging.getLogger("amptree.market")

KEEP_EVERY_S = 1.0
"""Between two writes of the sessions to disk."""


class KeptSession(Struct, frozen=True, kw_only=True):
    """One EVSE's session."""

    switches: int = 0
    phases: int | None = None


Sessions = Mapping[str, KeptSession]


class MarketRunner:
    """`last` is the newest allocation with what was asked; None before the first."""

    def __init__(self, kept: Sessions | None = None, keep: Callable[[Sessions], bool] | None = None) -> None:
        """`kept` is what `keep` was last told in a former life; it tells whether that is on disk."""
        self._memory: Memory | None = None
        self._kept: Sessions = kept or {}
        self._keep = keep
        self._keep_due_s = time.monotonic()
        self._kept_of: object = None
        """The contexts that what is kept is of."""
        self.last: tuple[RunMarket, Allocation] | None = None
        self._limits: tuple[EnforcedLimits, ...] = ()

    def run(self, run: RunMarket) -> MarketAnswer:
        """The market's answer, or its error."""
        begin_s = time.perf_counter()
        memory = self._memory or _remembered(self._kept, run.start_us)
        try:
            try:
                allocation, self._memory = allocate(
                    run.request, run.config, run.start_us, memory, trace=run.trace, forecast=run.forecast
                )
            except TooMuchError as error:
                # Schedules of many moments, which anybody below may tell. What holds now can be worked out.
                LOG.warning("no forecast: %s", error)
                allocation, self._memory = allocate(
                    run.request, run.config, run.start_us, memory, trace=run.trace, forecast=False
                )
        except RequestError as error:
            return MarketAnswer(error=str(error))
        limits = allocation.renewed_active(self.last[1], self._limits) if self.last else allocation.active()
        self._limits = limits
        duration_ms = (time.perf_counter() - begin_s) * 1000
        self.last = run, allocation
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

    def keep_sessions(self) -> None:
        """Keep what has changed; once limits are on their way, which a slow disk shall not hold up."""
        if self._keep is None or self._memory is None:
            return
        contexts = self._memory.contexts
        if contexts is self._kept_of or time.monotonic() < self._keep_due_s:
            return
        sessions = {
            uuid: KeptSession(switches=context.switches, phases=context.phases)
            for uuid, context in contexts.items()
            if context.phases is not None or context.switches
        }
        if sessions != self._kept:
            self._keep_due_s = time.monotonic() + KEEP_EVERY_S
            if not self._keep(sessions):
                return
            self._kept = sessions
        self._kept_of = contexts


def _remembered(kept: Sessions, start_us: int) -> Memory:
    return Memory({uuid: Context(start_us, s.switches, s.phases) for uuid, s in kept.items()})
