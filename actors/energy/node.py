"""EnergyNode: a sub-panel. It gathers what its children ask for and hands down what it is granted.

A new grant of its own is passed on at once, with no longer an end than its own; when its own has
run out it grants nothing, and what is below falls back.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.energy.effects import Effect, Say, ToChild, ToParent
from actors.energy.external import SavedSources
from actors.energy.lease import Lease, longest_grant_s
from actors.energy.messages import Amount, Command, Grant, Instant, ModuleStatus, Outcome, Report
from actors.energy.trunk import Trunk, TrunkSettings


class NodeCore(Trunk):
    """`step` takes a child's Report, a Grant, Command, Outcome, or None for the passing of time."""

    def __init__(
        self, settings: TrunkSettings, boot: str, now: Instant, saved: SavedSources | None = None
    ) -> None:
        super().__init__(settings, now, saved)
        self._lease = Lease(boot, longest_grant_s(settings.site))
        self._report_due_s = now.mono_s
        self.due_s = now.mono_s

    def step(self, now: Instant, event: Report | Grant | Command | Outcome | None) -> list[Effect]:
        """Take an event; returns what to do."""
        version = self.sources.version
        effects = self.tick_sources(now)
        hurry = pass_on = False
        match event:
            case Report():
                heard, hurry = self.hear(now, event)
                effects += heard
                pass_on = bool(heard)  # a new child need not wait for the next grant
            case Grant():
                refused = self._lease.offer(now.mono_s, event)
                pass_on = refused is None
                if refused is not None:
                    effects.append(Say("debug", f"grant not taken: {refused}"))
            case Command():
                effects += self.route(now, event)
            case Outcome():
                effects += self.answer(event)
            case None:
                pass
        gone = self.forget_gone(now)
        effects += gone
        hurry = hurry or bool(gone) or self.sources.version != version
        if pass_on:
            effects += self._grants(now)
        if hurry or now.mono_s >= self._report_due_s:
            effects.append(ToParent(self._report(now, hurry)))
            self._report_due_s = now.mono_s + self.settings.site.update_interval
        self.due_s = min(t for t in (self._report_due_s, self.sources.due_s()) if t is not None)
        return effects

    def _grants(self, now: Instant) -> list[Effect]:
        grant = self._lease.in_force(now.mono_s)
        expires_s = self._lease.expires_s()
        if grant is None or expires_s is None:
            return []
        limits = {entry.uuid: entry for entry in grant.limits}
        grants = self.branch.grants(now.mono_s, limits, expires_s - now.mono_s)
        return [ToChild(child, message) for child, message in grants]

    def _report(self, now: Instant, hurry: bool) -> Report:
        return Report(
            boot=self._lease.boot,
            t_child_s=now.mono_s,
            wants=self.request(now, hurry),
            acked=self._lease.acked,
            fallback=Amount(import_A=self.settings.fallback_A),
            settle_time_s=self.branch.settle_time_s(),
            config_digest=self.settings.config_digest,
            priority=hurry,
            status=self.report_status(now),
        )

    def farewell(self, now: Instant) -> list[Effect]:
        """What to do before the process ends in good order."""
        return [ToParent(replace(self._report(now, hurry=True), leaving=True))]

    def report_status(self, now: Instant) -> tuple[ModuleStatus, ...]:
        """This node, then every module below it."""
        grant = self._lease.in_force(now.mono_s)
        note = ""
        if grant is None:
            never = self._lease.expires_s() is None
            note = "no limit received yet" if never else "limit has run out: fallback"
        return self.status(now, None if grant is None else grant.amount, note)
