"""The world in which cores are stepped: true time, its events in order, and who hears of what when.

Everything that happens is an event in one heap, ordered by true time and then by when it was put there.
Nothing polls: cores are woken when they are due by their process's clock, hardware when it changes.
"""

from __future__ import annotations

import heapq
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from actors.build import build_core
from actors.energy.effects import (
    Effect,
    KeepEpoch,
    RunMarket,
    Save,
    Say,
    ToChild,
    ToDriver,
    ToParent,
)
from actors.energy.market import RequestError, allocate
from actors.energy.messages import EpochKept, Instant, MarketAnswer, Report
from actors.simulation import happenings
from actors.simulation.bench import make_bench
from actors.simulation.checker import Checker, Violation
from actors.simulation.digest import Digest
from actors.simulation.field import Field
from actors.simulation.meters import Meters
from actors.simulation.network import Link
from actors.simulation.plan import Fault, Plan, Workload
from actors.simulation.processes import Build, Slot, giving_back
from actors.simulation.recorder import Recorder

SHORTEST_NAP_S = 0.001
"""A core that says it is due at once is stepped again after this."""
MOST_NAPS = 1000
"""In a row; then it never sleeps, which is a fault."""
REBIRTH_S = 1.0
"""Until a module whose core raised has another."""
ROUNDING_S = 1e-7
Handler = Callable[[Any, Any], None]


class World:
    """One run. `begin`, then `run_until`."""

    def __init__(self, plan: Plan, build: Build = build_core, recorder: Recorder | None = None) -> None:
        self.plan = plan
        self.site = plan.site
        self.build = build
        self.recorder = recorder
        self.now_s = 0.0
        self.events = 0
        self.checker = Checker(plan.site)
        self.lost_state_until_s = 0.0
        """Until when a process that lost its state may have to wait."""
        self._heap: list[tuple[float, int, Handler, Any, Any]] = []
        self._pushed = 0
        self.digest = Digest()
        self.processes, self.slots, self.links, self.evses = make_bench(plan)
        self.field = Field(self)
        self.meters = Meters(self)
        self._naps: dict[str, int] = {}
        self._ways: dict[type, Callable[[Slot, Any], None]] = {
            ToParent: self._to_parent,
            ToChild: self._to_child,
            ToDriver: lambda slot, e: self.field.tell(slot.id, e.message),
            RunMarket: self._run_market,
            Say: self._say,
            Save: self._save,
            KeepEpoch: self._keep_epoch,
        }
        """What is done for each kind of effect; the others have no part here."""

    # --- time -------------------------------------------------------------------------------------

    def at(self, when_s: float, handler: Handler, one: Any = None, other: Any = None) -> None:
        """Call `handler(one, other)` at a true time."""
        self._pushed += 1
        heapq.heappush(self._heap, (when_s, self._pushed, handler, one, other))

    def begin(self) -> None:
        """Put into the heap what is known from the start."""
        self.field.begin()
        self.meters.begin()
        for number, process in enumerate(self.processes.values()):
            self.at(0.3 * number / len(self.processes), happenings.restart, self, (process, process.turn))
        self._await(iter(sorted(self.plan.happenings, key=lambda happening: happening.at_s)))
        self.at(self.plan.hurt_s, happenings.mend, self, None)

    def _await(self, planned: Iterator[Workload | Fault], what: Workload | Fault | None = None) -> None:
        """Let something happen, and see to the next thing; all of them would make the heap a deep one."""
        if (coming := next(planned, None)) is not None:
            self.at(coming.at_s, self._await, planned, coming)
        if what is not None:
            happenings.happen(self, what)

    def run_until(self, end_s: float) -> None:
        """Let true time go by."""
        heap = self._heap
        while heap and heap[0][0] <= end_s:
            self.now_s, _, handler, one, other = heapq.heappop(heap)
            handler(one, other)
        self.now_s = end_s

    # --- cores ------------------------------------------------------------------------------------

    def step(self, slot: Slot, event: Any) -> None:
        """Step a core, carry out what it wants, see to its next wake."""
        core = slot.core
        if core is None:
            return
        now_s, process = self.now_s, slot.process
        now = process.clocks.now(now_s)
        self.events += 1
        self.digest.stepped(now_s, slot.index, event)
        if slot.meter is not None:
            slot.meter.hears(now_s, now.mono_s, event)
        try:
            effects = core.step(now, event)
        except Exception:  # whatever it is, it is a finding
            self._failed(slot, event)
            return
        if self.recorder is not None:
            self.recorder.stepped(now_s, slot, event, effects)
        if effects:
            self.carry_out(slot, effects)
            if slot.core is not core:
                return
        if slot.ledger is not None:
            self.checker.promises(now_s, slot.id, slot.ledger.accounts, now.mono_s, slot.ledger.exposure)
        if core.due_s < slot.wake_own_s and process.state == "up":
            self.plan_wake(slot, now)

    def hold_to_promises(self, evse_id: str) -> None:
        """What flows to an EVSE changes: all ledgers above it must count with it."""
        child = self.slots[evse_id]
        while (parent := child.parent) is not None:
            if parent.ledger is not None:
                own_s = parent.process.clocks.steady.own_s(self.now_s)
                self.checker.promises(self.now_s, parent.id, (child.id,), own_s, parent.ledger.exposure)
            child = parent

    def plan_wake(self, slot: Slot, now: Instant) -> None:
        """Put the wake of a core into the heap."""
        core = slot.core
        assert core is not None
        due_s = core.due_s
        if due_s <= now.mono_s:
            due_s = now.mono_s + SHORTEST_NAP_S
            self._naps[slot.id] = naps = self._naps.get(slot.id, 0) + 1
            if naps == MOST_NAPS:
                self._violation("exception", slot.id, "its due_s stays in the past")
        else:
            self._naps.pop(slot.id, None)
        slot.wake_own_s = due_s
        self.at(
            max(self.now_s, slot.process.clocks.steady.true_s(due_s)) + ROUNDING_S, self._wake, slot, due_s
        )

    def _wake(self, slot: Slot, due_s: float) -> None:
        if slot.wake_own_s != due_s:
            return  # there was an earlier one since
        slot.wake_own_s = float("inf")
        if slot.core is None or slot.process.state != "up":
            return
        now = slot.process.clocks.now(self.now_s)
        if slot.core.due_s > now.mono_s:
            self.plan_wake(slot, now)
        else:
            self.step(slot, None)

    def deliver(self, slot: Slot, message: Any) -> None:
        """A message arrives at a process."""
        state = slot.process.state
        if state == "up":
            self.step(slot, message)
        elif state == "paused":
            slot.process.waiting.append((slot, message))

    def _deliver_inside(self, slot: Slot, message: tuple[int, Any]) -> None:
        if slot.process.turn == message[0]:
            self.step(slot, message[1])
        elif slot.process.state == "paused":
            slot.process.waiting.append((slot, message[1]))

    def _failed(self, slot: Slot, event: Any) -> None:
        """A core raised: its life ends, and another begins."""
        last = traceback.format_exc(limit=-3).strip()
        self._violation("exception", slot.id, f"on {type(event).__name__}: {last}")
        slot.end()
        self.at(self.now_s + REBIRTH_S, self._reborn, slot, slot.lives)

    def _reborn(self, slot: Slot, lives: int) -> None:
        if slot.process.state == "up" and slot.lives == lives:
            happenings.begin_life(self, slot)

    # --- effects ----------------------------------------------------------------------------------

    def carry_out(self, slot: Slot, effects: list[Effect]) -> None:
        """Do what a core wants, unless its process ends or stops in the middle."""
        process, core = slot.process, slot.core
        for number, effect in enumerate(effects):
            if process.trap is not None:
                if process.trap.effects_left <= 0:
                    happenings.spring(self, process)
                else:
                    process.trap.effects_left -= 1
            if process.state != "up":
                if process.state == "paused" and core is not None:
                    process.unfinished.append((slot, core, effects[number:]))
                return
            if slot.core is not core:
                return
            if (way := self._ways.get(type(effect))) is not None:
                way(slot, effect)

    def _to_parent(self, slot: Slot, effect: ToParent) -> None:
        message = effect.message
        if self.now_s < slot.gives_back[0] and isinstance(message, Report):
            message = giving_back(message, slot.gives_back[1])
        assert slot.parent is not None
        self._send(slot, slot.parent, slot.up, message)

    def _to_child(self, slot: Slot, effect: ToChild) -> None:
        child = self.slots[effect.child]
        self._send(slot, child, child.down, effect.message)

    def _say(self, slot: Slot, effect: Say) -> None:
        if effect.level == "error" and effect.text.startswith("invariant"):
            self._violation("invariant", slot.id, effect.text)

    def _save(self, slot: Slot, effect: Save) -> None:
        if self.now_s >= slot.process.disk_fails_until_s:
            slot.kept_sources = effect.sources
        self.note_limits(slot, effect.sources)

    def _keep_epoch(self, slot: Slot, effect: KeepEpoch) -> None:
        kept = self.now_s >= slot.process.disk_fails_until_s
        if kept:
            slot.kept_epoch = effect.epoch
        self.step(slot, EpochKept(epoch=effect.epoch, ok=kept))

    def note_limits(self, slot: Slot, sources: Any) -> None:
        """The external limits of a module have changed."""
        again_s = self.checker.limits(self.now_s, slot.id, sources)
        if again_s is not None:
            self.at(again_s, self.checker.look, again_s, slot.id)

    def _send(self, sender: Slot, target: Slot, link: Link | None, message: Any) -> None:
        if sender.process is target.process:
            self.at(self.now_s, self._deliver_inside, target, (sender.process.turn, message))
            return
        assert link is not None
        for at_s in link.arrivals(self.now_s):
            self.at(at_s, self.deliver, target, message)

    def _run_market(self, slot: Slot, run: RunMarket) -> None:
        if slot.last_run is not None and _same_answer(slot.last_run, run):
            self.step(slot, MarketAnswer(limits=slot.last_answer))
            return
        try:
            allocation, slot.memory = allocate(
                run.request, run.config, run.start_us, slot.memory, forecast=False
            )
        except RequestError as error:
            self._violation("exception", slot.id, f"the market refuses its request: {error}")
            self.step(slot, MarketAnswer(error=str(error)))
            return
        slot.last_run, slot.last_answer = run, allocation.active(named=False)
        self.step(slot, MarketAnswer(limits=slot.last_answer))

    def _violation(self, kind: str, where: str, text: str) -> None:
        self.checker.note(Violation(kind=kind, at_s=self.now_s, where=where, text=text))


def _same_answer(last: RunMarket, run: RunMarket) -> bool:
    """Whether the market, which is pure, would say the same again: asked for the very same, in the same
    interval of its grid, and with no waiting times of phase switching at work."""
    interval_us = run.config.schedule_interval_duration * 60_000_000
    return (
        run.config.switch_3ph1ph_while_charging_mode == "Never"
        and run.start_us // interval_us == last.start_us // interval_us
        and run.request == last.request
        and run.config == last.config
    )
