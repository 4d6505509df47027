"""EnergyManager: the root. Each update interval, and at once when something urgent happened, it asks
the market who gets what, and sends each branch its part."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.branch import total
from actors.energy.effects import Effect, RunMarket, Say, ToChild
from actors.energy.external import SavedSources
from actors.energy.messages import Amount, Command, Instant, ModuleStatus, OptimizerStatus, Outcome, Report
from actors.energy.trunk import Trunk, TrunkSettings
from actors.energy.types import EnforcedLimits, valid_for_s

SHORTEST_GAP_S = 0.1
"""Between two runs of the market, however urgent: requests that come together are met together."""


class MarketAnswer(Struct, frozen=True, kw_only=True):
    """The market's answer, or why there is none."""

    limits: Sequence[EnforcedLimits] = ()
    status: OptimizerStatus = OptimizerStatus()
    error: str | None = None


class ManagerCore(Trunk):
    """`step` takes a child's Report, a MarketAnswer, Command, Outcome, or None for passing time."""

    def __init__(self, settings: TrunkSettings, now: Instant, saved: SavedSources | None = None) -> None:
        super().__init__(settings, now, saved)
        self.optimizer = OptimizerStatus()
        self._granted: Amount | None = None
        self._last_run_s = now.mono_s
        self._run_due_s = now.mono_s
        self.due_s = now.mono_s

    def step(self, now: Instant, event: Report | MarketAnswer | Command | Outcome | None) -> list[Effect]:
        """Take an event; returns what to do."""
        version = self.sources.version
        effects = self.tick_sources(now)
        hurry = False
        match event:
            case Report():
                heard, hurry = self.hear(now, event)
                effects += heard
            case MarketAnswer():
                effects += self._hand_down(now, event)
            case Command():
                effects += self.route(now, event)
            case Outcome():
                effects += self.answer(event)
            case None:
                pass
        gone = self.forget_gone(now)
        effects += gone
        if hurry or gone or self.sources.version != version:
            self._run_due_s = min(self._run_due_s, max(now.mono_s, self._last_run_s + SHORTEST_GAP_S))
        if now.mono_s >= self._run_due_s:
            effects.append(RunMarket(self.request(now), now.wall_us, self.settings.site.debug))
            self._last_run_s = now.mono_s
            self._run_due_s = now.mono_s + self.settings.site.update_interval
        self.due_s = min(t for t in (self._run_due_s, self.sources.due_s()) if t is not None)
        return effects

    def _hand_down(self, now: Instant, answer: MarketAnswer) -> list[Effect]:
        runs = self.optimizer.runs + 1
        if answer.error is not None:
            # No new limits are better than wrong ones: those in force run out into the fallback.
            self.optimizer = replace(self.optimizer, runs=runs, error=answer.error)
            return [Say("error", f"no allocation: {answer.error}")]
        self.optimizer = replace(answer.status, runs=runs)
        limits = {entry.uuid: entry for entry in answer.limits}
        self._granted = total(answer.limits)
        grants = self.branch.grants(now.mono_s, limits, valid_for_s(self.settings.site))
        return [ToChild(child, grant) for child, grant in grants]

    def farewell(self, now: Instant) -> list[Effect]:
        """What to do before the process ends in good order: nobody is above to be told."""
        return []

    def report_status(self, now: Instant) -> tuple[ModuleStatus, ...]:
        """The whole tree, this node first."""
        return self.status(now, self._granted)
