"""EnergyManager: the root. Each update interval, and at once when something urgent happened, it asks
the market who gets what, and sends each branch its part, as far as the ledger lets it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from actors.energy.amount import Amount, total
from actors.energy.effects import Effect, RunMarket, Say
from actors.energy.external import SavedSources
from actors.energy.messages import (
    Command,
    EpochKept,
    Instant,
    MarketAnswer,
    ModuleStatus,
    OptimizerStatus,
    Outcome,
    Report,
)
from actors.energy.trunk import SHORTEST_GAP_S, Trunk, TrunkSettings
from actors.energy.types import EnforcedLimits, valid_for_s

Event = Report | MarketAnswer | EpochKept | Command | Outcome | None


class ManagerCore(Trunk):
    """`step` takes a child's Report, an answer to what it asked for, Command, Outcome, or None for
    passing time."""

    def __init__(
        self,
        settings: TrunkSettings,
        now: Instant,
        saved: SavedSources | None = None,
        kept_epoch: int | None = None,
    ) -> None:
        super().__init__(settings, now, saved, kept_epoch)
        self.optimizer = OptimizerStatus()
        self._entries: Sequence[EnforcedLimits] = ()
        self._limits: dict[str, EnforcedLimits] = {}
        """The market's last wishes."""
        self._last_run_s = self._handed_down_s = now.mono_s
        self._run_due_s = now.mono_s
        self._hand_down_due_s: float | None = None
        self.due_s = now.mono_s

    def step(self, now: Instant, event: Event) -> list[Effect]:
        """Take an event; returns what to do."""
        version = self.sources.version
        effects = self.tick_sources(now)
        hurry = False
        match event:
            case Report():
                heard, hurry, room = self.hear(now, event)
                effects += heard
                if room and self._hand_down_due_s is None:
                    self._hand_down_due_s = max(now.mono_s, self._handed_down_s + SHORTEST_GAP_S)
            case MarketAnswer():
                effects += self._take_answer(now, event)
            case EpochKept():
                effects += self.epoch_kept(event)
                hurry = event.ok
            case Command():
                effects += self.route(now, event)
            case Outcome():
                effects += self.answer(event)
            case None:
                pass
        gone = self.forget_gone(now) if event is None else []
        effects += [*gone, *self.keep_epoch(now)]
        if hurry or gone or self.sources.version != version:
            self._run_due_s = min(self._run_due_s, max(now.mono_s, self._last_run_s + SHORTEST_GAP_S))
        if now.mono_s >= self._run_due_s:
            config = self.settings.site
            effects.append(RunMarket(self.request(now), config, now.wall_us, config.debug))
            self._last_run_s = now.mono_s
            self._run_due_s = now.mono_s + config.update_interval
        elif self._hand_down_due_s is not None and now.mono_s >= self._hand_down_due_s:
            effects += self._hand_down(now)
        times_s = (self._run_due_s, self._hand_down_due_s, self.sources.due_s())
        self.due_s = min(t for t in times_s if t is not None)
        return effects

    def _take_answer(self, now: Instant, answer: MarketAnswer) -> list[Effect]:
        runs = self.optimizer.runs + 1
        if answer.error is not None:
            # No new limits are better than wrong ones: those in force run out into the fallback.
            self._entries, self._limits = (), {}
            self.optimizer = replace(self.optimizer, runs=runs, error=answer.error)
            return [Say("error", f"no allocation: {answer.error}")]
        self.optimizer = replace(answer.status, runs=runs)
        if answer.limits is not self._entries and answer.limits != self._entries:
            self._entries, self._limits = answer.limits, {entry.uuid: entry for entry in answer.limits}
        return self._hand_down(now)

    def _hand_down(self, now: Instant) -> list[Effect]:
        """Grant what is safe of the market's last wishes."""
        self._handed_down_s, self._hand_down_due_s = now.mono_s, None
        ends_s = now.mono_s + valid_for_s(self.settings.site)
        capacity, _ = self.own_capacity(now)
        return self.hand_down(now, self._limits, capacity, lambda heard_s: ends_s - heard_s)

    def farewell(self, now: Instant) -> list[Effect]:
        """What to do before the process ends in good order: nobody is above to be told."""
        return []

    def report_status(self, now: Instant) -> tuple[ModuleStatus, ...]:
        """The whole tree, this node first."""
        return self.status(now, self._granted(now))

    def _granted(self, now: Instant) -> Amount | None:
        """All that its children were granted; None before the first run."""
        if not self.optimizer.runs:
            return None
        ledger = self.branch.ledger
        return total(ledger.latest(now.mono_s, name) for name in ledger.accounts)
