"""EnergyNode: a sub-panel. It gathers what its children ask for and hands down what it is granted.

    granted all that the market gives below it ──► hands that down, at once with each new grant
    granted less, or its own limits are lower  ──► runs the market over its own subtree, within that, and
                                                   gives nobody more than it was to get of all
    its grant ends soon, or is over            ──► an island: the same, within its fallback

What is handed down under a grant is over when the grant is (lease.py), so an island needs no pause:
shortly before the end of its grant it begins to hand out what its fallback allows, which may last.
Nodes further up begin earlier, since their islands are the larger ones. A new life waits a moment for its
first grant before it is one: what its children hold from before lasts, and need not be lowered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from actors.energy.amount import Amount, smallest
from actors.energy.branch import Limits
from actors.energy.effects import Effect, RunMarket, Say, ToParent
from actors.energy.external import SavedSources
from actors.energy.fixed_load import MeterReading, MeterTrouble
from actors.energy.lease import Lease, longest_grant_s
from actors.energy.memo import Memo
from actors.energy.messages import (
    Command,
    EpochKept,
    Grant,
    Instant,
    MarketAnswer,
    ModuleStatus,
    Outcome,
    Report,
)
from actors.energy.schedules import FOREVER_US
from actors.energy.telling import NOTHING_NEW, Telling
from actors.energy.trunk import SHORTEST_GAP_S, Trunk, TrunkSettings, tightened
from actors.energy.types import (
    EnergyFlowRequest,
    EnforcedLimits,
    IntegerWithSource,
    LimitsRes,
    NumberWithSource,
    valid_for_s,
)

LEAD_INTERVALS = 2
"""Before its grant ends a node is an island already; one more for each level below, up to the most."""
LEAD_INTERVALS_MAX = 5
LATE_INTERVALS = 0.5
"""A new grant may come so late: until then, to hand down without one would only be to say the same again."""
FIRST_GRANT_INTERVALS = 2
"""A new life waits so long for its first grant."""

Limit = TypeVar("Limit", NumberWithSource, IntegerWithSource)
Event = Report | Grant | MarketAnswer | EpochKept | Command | Outcome | MeterReading | MeterTrouble | None


class NodeCore(Trunk):
    """`step` takes a child's Report, a Grant, an answer to what it asked for, Command, Outcome, a reading of
    its meter, or None for the passing of time."""

    def __init__(
        self,
        settings: TrunkSettings,
        boot: str,
        now: Instant,
        saved: SavedSources | None = None,
        kept_epoch: int | None = None,
    ) -> None:
        super().__init__(settings, now, saved, kept_epoch)
        interval_s = float(settings.site.update_interval)
        self._interval_s = interval_s
        self._market = replace(settings.site, switch_3ph1ph_while_charging_mode="Never")
        """How it asks the market itself."""
        self._lead_s = min(LEAD_INTERVALS_MAX, LEAD_INTERVALS + settings.height) * interval_s
        self._lease = Lease(boot, longest_grant_s(settings.site))
        self._telling = Telling()
        self._tightened: Memo[EnergyFlowRequest] = Memo()
        self._entries: tuple[EnforcedLimits, ...] = ()
        self._limits: dict[str, EnforcedLimits] = {}
        """The market's wishes, as granted last."""
        self._island_from_s = now.mono_s + FIRST_GRANT_INTERVALS * interval_s
        """Without a first grant."""
        self._report_due_s = self._hand_down_due_s = now.mono_s
        self._reported_s = self._told_all_s = self._handed_down_s = now.mono_s - interval_s
        self._urgent = False
        """Something urgent is to be told with the next full report."""
        self._committed: Amount | None = None
        """As reported last."""
        self._told_flows: Amount | None = None
        """What that was at its leaves."""
        self._flows: Amount | None = None
        """What may flow below, as of when it was last planned what to do next."""
        self.due_s = now.mono_s

    def step(self, now: Instant, event: Event) -> list[Effect]:
        """Take an event; returns what to do."""
        version = self.sources.version
        effects = self.tick_sources(now)
        hurry = pass_on = prompt = False
        match event:
            case Report():
                heard, hurry, room = self.hear(now, event)
                effects += heard
                if not (effects or hurry or room) and self._goes_on(now):
                    return effects
                if self.fixed_load.meter is not None:
                    self.fixed_load.note_cars(now.mono_s, *self.branch.currents_A(now.mono_s))
                if hurry or room:
                    soon_s = max(now.mono_s, self._handed_down_s + SHORTEST_GAP_S)
                    self._hand_down_due_s = min(self._hand_down_due_s, soon_s)
            case Grant():
                first = self._lease.acked is None
                refused = self._lease.offer(now.mono_s, event)
                pass_on = refused is None and not event.fence
                prompt = refused is None and (first or event.fence)
                if refused is not None:
                    effects.append(Say("debug", f"grant not taken: {refused}"))
                elif pass_on:
                    self._take_limits(event.limits)
                if refused is None and self._telling.known(event.knows_s):
                    self._report_due_s = now.mono_s
            case MarketAnswer():
                effects += self._hand_down_own(now, event)
            case EpochKept():
                effects += self.epoch_kept(event)
                pass_on = True
            case Command():
                effects += self.route(now, event)
            case Outcome():
                effects += self.answer(event)
            case MeterReading():
                flows = self.branch.ledger.committed(now.mono_s)
                self.fixed_load.hear(now.mono_s, event, math.inf if flows is None else flows.import_A)
            case MeterTrouble():
                self.fixed_load.hear_trouble(event)
            case None:
                pass
        told, rose = self._watch_load(now)
        effects += told
        gone = self.forget_gone(now) if event is None else []
        changed = self.sources.version != version
        effects += [*gone, *self.keep_epoch(now)]
        hurry = hurry or bool(gone) or changed or rose
        if pass_on or changed or rose or now.mono_s >= self._hand_down_due_s:
            effects += self._hand_down(now)
        effects += self._report(now, hurry, prompt)
        self._plan(now)
        return effects

    def _goes_on(self, now: Instant) -> bool:
        """Whether there is nothing to do but what was planned, and not yet. So it is with most reports."""
        ledger = self.branch.ledger
        return (
            now.mono_s < self.due_s
            and ledger.committed(now.mono_s) == self._flows
            and ledger.to_keep is None
            and self.fixed_load.meter is None
        )

    def _watch_load(self, now: Instant) -> tuple[list[Effect], bool]:
        """What its fixed load has come to, told when that is no longer measured, or is again; whether it has
        risen: then everybody waits for less."""
        load = self.fixed_load
        if load.meter is None:
            return [], False
        before = load.fault
        rose = load.update(now.mono_s)
        if load.fault == before:
            return [], rose
        return [Say("warning" if load.fault else "info", load.text())], rose

    def _take_limits(self, entries: tuple[EnforcedLimits, ...]) -> None:
        """As long as they are the same they stay the same object."""
        if entries is not self._entries and entries != self._entries:
            self._entries, self._limits = entries, {entry.uuid: entry for entry in entries}

    # --- down --------------------------------------------------------------------------------------

    def _hand_down(self, now: Instant) -> list[Effect]:
        """Pass the grant on; where it is not all that the market gives, ask the market for this part."""
        self._handed_down_s = now.mono_s
        expires_s, island = self._lease.expires_s(), self._is_island(now.mono_s)
        self._hand_down_due_s = now.mono_s + self._interval_s
        if expires_s is not None and not island:
            late_s = self._hand_down_due_s + LATE_INTERVALS * self._interval_s
            self._hand_down_due_s = min(late_s, expires_s - self._lead_s)
        if not self.branch.any_alive(now.mono_s):
            return []
        capacity = self._capacity(now)
        if expires_s is None and now.mono_s < self._island_from_s:
            return self._grant(now, {}, capacity)  # fences only
        if not island and self.branch.fits(now.mono_s, self._limits, capacity):
            return self._grant(now, self._limits, capacity)
        _, factors = self.own_capacity(now)
        at_root = capacity.with_efficiency(*factors)
        asked, source = self.request(now), f"{self.id}/{self._what_binds(now.mono_s)}"
        request = self._tightened.get(
            (asked, at_root, source),
            now.wall_us,
            lambda: tightened(asked, at_root, source),
            lambda: FOREVER_US,
        )
        debug = self.settings.site.debug
        return [RunMarket(request, self._market, now.wall_us, debug, forecast=False)]

    def _hand_down_own(self, now: Instant, answer: MarketAnswer) -> list[Effect]:
        if answer.error is not None:
            return [Say("error", f"no allocation: {answer.error}")]
        island = self._is_island(now.mono_s)
        limits = {entry.uuid: self._as_wished(entry, island) for entry in answer.limits}
        return self._grant(now, limits, self._capacity(now))

    def _as_wished(self, entry: EnforcedLimits, island: bool) -> EnforcedLimits:
        """On no more phases than the root last wished: only it counts switches and waiting times. And with no
        more than it wished, unless it is not heard: what one EVSE gets because there is not enough for others
        yet would have to be taken back before they can have theirs."""
        wished = self._limits.get(entry.uuid)
        if wished is None:
            return entry
        own, wish = entry.limits_root_side, wished.limits_root_side
        power, current = own.total_power_W, own.ac_max_current_A
        if not island:
            power, current = _no_more(power, wish.total_power_W), _no_more(current, wish.ac_max_current_A)
        limits = LimitsRes(power, current, _no_more(own.ac_max_phase_count, wish.ac_max_phase_count))
        return entry if limits == own else replace(entry, limits_root_side=limits)

    def _grant(self, now: Instant, limits: Limits, capacity: Amount) -> list[Effect]:
        return self.hand_down(now, limits, capacity, self._duration_s(now.mono_s))

    def _duration_s(self, now_s: float) -> Callable[[float], float]:
        """How long a grant may last, by when the report that it answers was heard."""
        if not self._is_island(now_s):
            return self._lease.nested_s
        ends_s = now_s + valid_for_s(self.settings.site)
        return lambda heard_s: ends_s - heard_s

    def _is_island(self, now_s: float) -> bool:
        """Whether its own grant is over, or will be soon."""
        expires_s = self._lease.expires_s()
        return expires_s is None or now_s >= expires_s - self._lead_s

    def _what_binds(self, now_s: float) -> str:
        return "fallback" if self._is_island(now_s) else "granted"

    def _capacity(self, now: Instant) -> Amount:
        """What may be handed out now, at the leaves."""
        own, (into, out) = self.own_capacity(now)
        grant = self._lease.in_force(now.mono_s)
        held = self.settings.fallback if grant is None else grant.amount
        if self._is_island(now.mono_s):
            held = smallest(held, self.settings.fallback)
        return smallest(own, held.with_efficiency(1 / into, 1 / out))

    # --- up ----------------------------------------------------------------------------------------

    def _report(self, now: Instant, hurry: bool, prompt: bool) -> list[Effect]:
        """Tell the parent each interval; at once what is urgent, when less may flow than was told last
        (somebody may wait for it), and that a first grant or a fence was taken. A full report costs as much
        as there is below it: what is urgent for many children together, as at the beginning, is told once."""
        if self._lease.in_force(now.mono_s) is None:
            self._telling.forget()
        if hurry:
            self._urgent = True
            self._report_due_s = min(self._report_due_s, self._told_all_s + SHORTEST_GAP_S)
        if now.mono_s >= self._report_due_s:
            self._told_all_s, self._report_due_s = now.mono_s, now.mono_s + self._interval_s
            urgent, self._urgent = self._urgent, False
            return [ToParent(self._full_report(now, urgent))]
        if prompt or (now.mono_s >= self._reported_s + SHORTEST_GAP_S and self._eased(now)):
            return [ToParent(self._short_report(now))]
        return []

    def _full_report(self, now: Instant, hurry: bool) -> Report:
        """With what all below want, once that is known."""
        report, told = self._short_report(now), NOTHING_NEW
        if self.branch.gathered(now.mono_s):
            told = self._telling.tell(report.t_child_s, self.request(now), urgent=hurry)
        return replace(
            report,
            wants=told.wants,
            changes=told.changes,
            since_s=told.since_s,
            priority=hurry,
            status=self.report_status(now) if self.tells_status else (),
        )

    def _short_report(self, now: Instant) -> Report:
        """What the ledger above needs, always whole."""
        self._reported_s = now.mono_s
        self._told_flows = committed = self.branch.ledger.committed(now.mono_s)
        self._committed = None if committed is None else self._at_root(now, committed)
        grant = self._lease.in_force(now.mono_s)
        return Report(
            child=self.id,
            boot=self._lease.boot,
            t_child_s=self._lease.stamp(now.mono_s),
            acked=self._lease.acked,
            holds=self.settings.fallback if grant is None else grant.amount,
            committed=self._committed,
            fallback=self.settings.fallback,
            settle_time_s=self.branch.settle_time_s(),
            config_digest=self.settings.config_digest,
        )

    def _eased(self, now: Instant) -> bool:
        """Whether less may flow than was told last."""
        flows = self.branch.ledger.committed(now.mono_s)
        if flows is None or flows == self._told_flows:
            return False
        return self._committed is None or not self._committed.fits(self._at_root(now, flows))

    def _at_root(self, now: Instant, amount: Amount) -> Amount:
        _, factors = self.own_capacity(now)
        return amount.with_efficiency(*factors)

    def _plan(self, now: Instant) -> None:
        """When to step again without an event."""
        due_s = min(self._report_due_s, self._hand_down_due_s, self.fixed_load.due_s)
        if (source_s := self.sources.due_s()) is not None:
            due_s = min(due_s, source_s)
        soon_s = self._reported_s + SHORTEST_GAP_S
        if self._reported_s < now.mono_s < soon_s < due_s and self._eased(now):
            due_s = soon_s
        self._flows = self.branch.ledger.committed(now.mono_s)
        if (expires_s := self._lease.expires_s()) is not None:
            for at_s in (expires_s - self._lead_s, expires_s):
                if now.mono_s < at_s < due_s:
                    due_s = at_s
        self.due_s = due_s

    def farewell(self, now: Instant) -> list[Effect]:
        """What to do before the process ends in good order."""
        return [ToParent(replace(self._full_report(now, hurry=True), leaving=True))]

    def report_status(self, now: Instant) -> tuple[ModuleStatus, ...]:
        """This node, then every module below it."""
        grant = self._lease.in_force(now.mono_s)
        note = ""
        if grant is None:
            never = self._lease.expires_s() is None
            note = "no limit received yet" if never else "limit has run out: fallback"
        return self.status(now, None if grant is None else grant.amount, note)


def _no_more(own: Limit | None, wish: Limit | None) -> Limit | None:
    """The lower of two, but nothing below 0."""
    if own is None or wish is None or own.value <= max(wish.value, 0):
        return own
    return wish if wish.value >= 0 else replace(wish, value=0)
