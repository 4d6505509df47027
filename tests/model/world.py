"""A small site for the explorer: the real Ledger, Lease and Actuator, between them a network that loses,
delays, repeats and reorders, below them hardware and cars at their worst.

Time is true time in ticks; every process and every hardware has a clock of its own rate. A message in
flight may be delivered at any time and any number of times, until it is pushed out by a newer one:
that is delay, repetition, reordering and loss in one. The glue around the three real classes is written
here (as short as possible): what an EVSE tells its hardware, what a node may hand out, what a parent
sends.

States are copied on write: a step copies what it changes, and shares the rest.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from typing import TypeVar

import msgspec

from actors.energy.actuator import Actuator
from actors.energy.amount import CRUMB, Amount, smallest
from actors.energy.lease import Lease
from actors.energy.ledger import Account, Entry, InvariantError, Ledger
from actors.energy.messages import Actuate, Grant, Order, Reading, Report

TICK_S = 2.0
VALID_S = 4.0
SILENT_S = 2.0
SETTLE_S = 1.0
LEAD_S = 1.0
"""Before its grant ends a node is an island already."""
LONGEST_S = VALID_S + SILENT_S + 1.0
FORGOTTEN_S = 3 * LONGEST_S
"""Times so far in the past are all the same."""

Step = tuple[str, ...]
"""What happens, to whom, and how."""
NEVER = -math.inf
_T = TypeVar("_T")


@cache
def ampere(current_A: float) -> Amount:
    """So much per phase, and no power: the model looks at one part only."""
    return Amount(import_A=current_A)


@dataclass(frozen=True, kw_only=True)
class Site:
    """What does not change in a run."""

    name: str
    parents: Mapping[str, str]
    """Of each child its parent; who is nobody's parent is an EVSE."""
    fuse_A: Mapping[str, float]
    """Of each trunk."""
    fallback_A: Mapping[str, float]
    """Of each child."""
    wishes: tuple[Mapping[str, float], ...]
    """What the market gives each EVSE; they follow each other."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Of clocks, where they are not 1.0; hardware is named `evse.hw`."""
    in_flight: int = 1
    """Messages at most, of each direction between two."""
    wire: int = 0
    """Messages at most that are under way to hardware; with 0 they arrive at once."""
    always_read: bool = True
    """Hardware is read before all that its EVSE does; else it may be silent for any time."""
    delays: int = 1000
    """Messages that do not arrive at once (nor get lost), in a story."""
    flips: int = 1
    """Changes of the wish in a story."""
    crashes: int = 0
    """Of processes, in a story."""
    reboots: bool = False
    """The clock of a process that crashes begins at 0 again."""
    losses: int = 0
    """How many of the crashes of trunks may lose the epoch."""

    def clock(self, name: str) -> float:
        """Its rate."""
        return self.rates.get(name, 1.0)

    def trunks(self) -> tuple[str, ...]:
        """The root first."""
        return tuple(self.fuse_A)

    def evses(self) -> tuple[str, ...]:
        """All that have hardware."""
        return tuple(name for name in self.parents if name not in self.fuse_A)

    def children(self, trunk: str) -> tuple[str, ...]:
        """Of one trunk."""
        return tuple(child for child, parent in self.parents.items() if parent == trunk)

    def wish_A(self, wish: int, name: str) -> float:
        """What a child needs for all below it."""
        if name in self.fuse_A:
            below = sum(max(self.wish_A(wish, c), self.fallback_A[c]) for c in self.children(name))
            return max(below, self.fallback_A[name])
        return self.wishes[wish][name]


def copied(thing: _T) -> _T:
    """A shallow copy; copy.copy takes ten times as long."""
    new = object.__new__(type(thing))
    new.__dict__.update(thing.__dict__)
    return new


class ViolationError(Exception):
    """What must hold in every state does not."""


class Trunk:
    """A parent; with a lease when it is a node."""

    __slots__ = ("boot", "heard", "lease", "ledger", "stored")

    def __init__(self, ledger: Ledger, stored: int | None, lease: Lease | None, boot: int) -> None:
        self.ledger = ledger
        self.stored = stored
        """The epoch on stable storage; 0: there never was one; None: it was lost."""
        self.lease = lease
        self.boot = boot
        self.heard: dict[str, tuple[str, float]] = {}
        """Of each child the newest report: life and stamp."""

    def copied(self) -> Trunk:
        """One that may be changed."""
        ledger = copied(self.ledger)
        ledger.accounts = {name: copy.copy(account) for name, account in ledger.accounts.items()}
        for account in ledger.accounts.values():
            account.former = dict(account.former)
        lease = None if self.lease is None else copied(self.lease)
        new = Trunk(ledger, self.stored, lease, self.boot)
        new.heard = dict(self.heard)
        return new


class Evse:
    """An EvseManager, its hardware and its car."""

    def __init__(self, lease: Lease, actuator: Actuator, boot: int, limit_A: float) -> None:
        self.lease, self.actuator, self.boot = lease, actuator, boot
        self.reading: Reading | None = None
        self.read_s = NEVER
        self.told: Actuate | None = None
        self.told_until_s = NEVER
        self.limit_A = limit_A
        """From here on the hardware's: in force."""
        self.ends_s = math.inf
        """On the hardware's clock."""
        self.mark = ""
        self.echo_s = NEVER
        """Of the newest message taken."""
        self.under_way: tuple[Actuate, ...] = ()
        self.past: tuple[tuple[float, float], ...] = ()
        """What was in force, and until when (true time) it was."""

    def copied(self) -> Evse:
        """One that may be changed."""
        new = copied(self)
        new.lease, new.actuator = copied(self.lease), copied(self.actuator)
        return new


class State:
    """Of the whole site."""

    def __init__(self) -> None:
        self.tick = 0
        self.wish = 0
        self.flips = self.crashes = self.losses = self.delays = 0
        self.made = 0
        """Names given so far: lives and marks."""
        self.begun: dict[str, int] = {}
        """When clocks were 0, where that was later."""
        self.trunks: dict[str, Trunk] = {}
        self.evses: dict[str, Evse] = {}
        self.net: dict[str, tuple[tuple[Report, ...], tuple[Grant, ...]]] = {}
        """In flight between each child and its parent."""

    def copied(self) -> State:
        """One whose parts may be replaced."""
        new = copied(self)
        new.trunks, new.evses, new.net = dict(self.trunks), dict(self.evses), dict(self.net)
        return new


class World:
    """What can happen at a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.parents = dict(site.parents)
        self.trunk_names = site.trunks()
        self.evse_names = site.evses()
        self.below = {trunk: site.children(trunk) for trunk in self.trunk_names}
        self.root = self.trunk_names[0]

    # --- beginning ---------------------------------------------------------------------------------

    def begin(self) -> State:
        """Nobody has ever heard of anybody."""
        state = State()
        site = self.site
        state.flips, state.crashes, state.losses = site.flips, site.crashes, site.losses
        state.delays = site.delays
        for name in self.trunk_names:
            state.trunks[name] = self._new_trunk(state, name, 0)
        for name in self.evse_names:
            state.evses[name] = self._new_evse(state, name)
        state.net = dict.fromkeys(self.parents, ((), ()))
        return state

    def _named(self, state: State) -> int:
        state.made += 1
        return state.made

    def _new_trunk(self, state: State, name: str, kept: int | None) -> Trunk:
        fallback_A = self.site.fallback_A
        ledger = Ledger(
            {child: (ampere(fallback_A[child]), SETTLE_S) for child in self.below[name]},
            longest_s=LONGEST_S,
            silent_s=SILENT_S,
            now_s=self.now_s(state, name),
            kept_epoch=kept,
        )
        boot = self._named(state)
        lease = None if name == self.root else Lease(f"{boot:06d}", LONGEST_S)
        return Trunk(ledger, kept, lease, boot)

    def _new_evse(self, state: State, name: str) -> Evse:
        boot = self._named(state)
        fallback_A = self.site.fallback_A[name]
        actuator = Actuator(ampere(fallback_A), SETTLE_S)
        return Evse(Lease(f"{boot:06d}", LONGEST_S), actuator, boot, fallback_A)

    def now_s(self, state: State, name: str) -> float:
        """On its own clock."""
        return (state.tick - state.begun.get(name, 0)) * TICK_S * self.site.clock(name)

    # --- what can happen ---------------------------------------------------------------------------

    def steps(self, state: State) -> Iterator[Step]:
        """All that can happen next."""
        for child, parent in self.parents.items():
            ups, downs = state.net[child]
            yield ("report", child, "prompt")
            if state.delays:
                for slot in self._slots(len(ups)):
                    yield ("report", child, slot)
            for i in range(len(ups)):
                yield ("hear", parent, child, str(i))
            for i in range(len(downs)):
                yield ("take", child, str(i))
        for trunk in self.trunk_names:
            if any(self._alive(state, trunk, child) for child in self.below[trunk]):
                for ways in self._ways(state, self.below[trunk], state.delays):
                    yield ("grant", trunk, *ways)
        for name in self.evse_names:
            if not self.site.always_read:
                yield ("read", name)
            if state.evses[name].under_way:
                yield ("obey", name)
        yield ("tick",)
        if state.flips:
            yield ("flip",)
        if state.crashes:
            for name in self.evse_names:
                yield ("crash", name)
            for name in self.trunk_names:
                yield ("crash", name)
                if state.losses:
                    yield ("lose", name)

    def _slots(self, used: int) -> list[str]:
        """Where a message in flight may go: a free place, or in the place of one of those that are."""
        return [str(used)] if used < self.site.in_flight else [str(i) for i in range(used)]

    def _ways(self, state: State, children: tuple[str, ...], delays: int) -> Iterator[tuple[str, ...]]:
        """How the grants to all children may travel."""
        if not children:
            yield ()
            return
        for rest in self._ways(state, children[1:], delays):
            yield ("prompt", *rest)
            yield ("lost", *rest)
        if delays:
            for rest in self._ways(state, children[1:], delays - 1):
                for slot in self._slots(len(state.net[children[0]][1])):
                    yield (slot, *rest)

    def after(self, before: State, step: Step) -> State:
        """The state after a step; raises Violation."""
        state = before.copied()
        match step:
            case ("report", child, way):
                self._send_report(state, child, way)
            case ("hear", parent, child, i):
                self._hear(state, parent, state.net[child][0][int(i)])
            case ("take", child, i):
                self._take(state, child, state.net[child][1][int(i)])
            case ("grant", trunk, *ways):
                self._grant(state, trunk, ways)
            case ("read", name):
                self._read(state, name)
            case ("obey", name):
                state.evses[name] = state.evses[name].copied()
                self._obey(state, name)
            case ("tick",):
                self._pass_time(state)
            case ("flip",):
                state.flips -= 1
                state.wish = (state.wish + 1) % len(self.site.wishes)
            case ("crash" | "lose" as how, name):
                self._crash(state, name, lost=how == "lose")
            case _:
                raise AssertionError(step)
        self._forget_dead_messages(state)
        self.check(state)
        return state

    # --- up ----------------------------------------------------------------------------------------

    def _send_report(self, state: State, child: str, way: str) -> None:
        now_s = self.now_s(state, child)
        committed: Amount | None
        if child in state.evses:
            if self.site.always_read:
                self._read(state, child)
            evse = state.evses[child] = state.evses[child].copied()
            lease, committed = evse.lease, evse.actuator.committed(now_s)
        else:
            trunk = state.trunks[child] = state.trunks[child].copied()
            assert trunk.lease is not None
            lease, committed = trunk.lease, trunk.ledger.committed(now_s)
        fallback = ampere(self.site.fallback_A[child])
        grant = lease.in_force(now_s)
        report = Report(
            child=child,
            boot=lease.boot,
            t_child_s=lease.stamp(now_s),
            acked=lease.acked,
            holds=fallback if grant is None else grant.amount,
            committed=committed,
            fallback=fallback,
            settle_time_s=SETTLE_S,
        )
        if way == "prompt":
            self._hear(state, self.parents[child], report)
        else:
            ups, downs = state.net[child]
            state.delays -= 1
            state.net[child] = (_put(ups, int(way), report), downs)

    def _hear(self, state: State, parent: str, report: Report) -> None:
        trunk = state.trunks[parent] = state.trunks[parent].copied()
        heard = trunk.ledger.hear(self.now_s(state, parent), report)
        if not heard.stale:
            trunk.heard[report.child] = (report.boot, report.t_child_s)

    # --- down --------------------------------------------------------------------------------------

    def _alive(self, state: State, parent: str, child: str) -> bool:
        trunk = state.trunks[parent]
        silent_s = self.now_s(state, parent) - trunk.ledger.accounts[child].heard_s
        return child in trunk.heard and silent_s <= SILENT_S

    def _is_island(self, state: State, name: str) -> bool:
        lease = state.trunks[name].lease
        expires_s = None if lease is None else lease.expires_s()
        return lease is not None and (expires_s is None or self.now_s(state, name) >= expires_s - LEAD_S)

    def _capacity(self, state: State, name: str) -> Amount:
        """What a trunk may hand out now."""
        fuse = ampere(self.site.fuse_A[name])
        lease = state.trunks[name].lease
        if lease is None:
            return fuse
        fallback = ampere(self.site.fallback_A[name])
        grant = lease.in_force(self.now_s(state, name))
        held = fallback if grant is None else grant.amount
        if self._is_island(state, name):
            held = smallest(held, fallback)
        return smallest(fuse, held)

    def _grant(self, state: State, name: str, ways: Sequence[str]) -> None:
        """As Branch.grants does."""
        trunk = state.trunks[name] = state.trunks[name].copied()
        ledger, now_s = trunk.ledger, self.now_s(state, name)
        if ledger.to_keep is not None and self.may_keep(now_s, ledger):
            trunk.stored = ledger.to_keep
            ledger.kept(ledger.to_keep)
        if not ledger.may_send(now_s):
            return
        nests = trunk.lease is not None and not self._is_island(state, name)
        alive = [child for child in self.below[name] if self._alive(state, name, child)]
        wishes = {c: ampere(self.site.wish_A(state.wish, c)) for c in alive if ledger.is_known(now_s, c)}
        capacity = self._capacity(state, name)
        planned = ledger.plan(now_s, wishes, capacity)
        before = ledger.exposures(now_s)
        grants = []
        for child in alive:
            boot, t_child_s = trunk.heard[child]
            heard_s = ledger.accounts[child].heard_s
            if nests:
                assert trunk.lease is not None
                duration_s = trunk.lease.nested_s(heard_s)
            else:
                duration_s = now_s + VALID_S - heard_s
            if duration_s <= 0.0:
                continue
            fence = not ledger.is_known(now_s, child)
            order = ledger.next_order()
            grant = Grant(boot=boot, t_echo_s=t_child_s, order=order, duration_s=duration_s, fence=fence)
            if not fence:
                grant = msgspec.structs.replace(grant, amount=planned[child].amount)
                ledger.note(now_s, child, order, duration_s, grant.amount)
            grants.append((child, grant))
        try:
            ledger.check(now_s, ampere(self.site.fuse_A[name]), capacity, before)
        except InvariantError as error:
            raise ViolationError(f"{name}: {error}") from error
        for child, grant in grants:
            way = ways[self.below[name].index(child)]
            if way == "prompt":
                self._take(state, child, grant)
            elif way != "lost":
                ups, downs = state.net[child]
                state.delays -= 1
                state.net[child] = (ups, _put(downs, int(way), grant))

    def may_keep(self, now_s: float, ledger: Ledger) -> bool:
        """As Trunk.keep_epoch: who waits out a lost epoch keeps none."""
        return now_s >= ledger.quiet_until_s

    def _take(self, state: State, child: str, grant: Grant) -> None:
        now_s = self.now_s(state, child)
        if child in state.evses:
            if self.site.always_read:
                self._read(state, child)
            evse = state.evses[child] = state.evses[child].copied()
            if evse.lease.offer(now_s, grant) is None:
                self._follow(state, child, renew=True)
        else:
            trunk = state.trunks[child] = state.trunks[child].copied()
            assert trunk.lease is not None
            trunk.lease.offer(now_s, grant)

    # --- hardware ----------------------------------------------------------------------------------

    def _read(self, state: State, name: str) -> None:
        """The hardware is read, and told what may flow if that is another."""
        evse = state.evses[name] = state.evses[name].copied()
        now_s, hardware_s = self.now_s(state, name), self.now_s(state, f"{name}.hw")
        evse.read_s = now_s
        evse.reading = Reading(
            t_hardware_s=hardware_s,
            plugged_in=True,
            car_asks=True,
            closed_phases=3,
            currents_A=(0.0, 0.0, 0.0),
            power_W=0.0,
            limit_A=evse.limit_A,
            limit_ends_in_s=evse.ends_s - hardware_s if evse.ends_s < math.inf else 0.0,
            mark=evse.mark,
        )
        evse.actuator.read(now_s, evse.reading)
        self._follow(state, name, renew=False)

    def _follow(self, state: State, name: str, *, renew: bool) -> None:
        """As EvseCore does."""
        evse, now_s, fallback_A = state.evses[name], self.now_s(state, name), self.site.fallback_A[name]
        reading = evse.reading
        if reading is None:
            return
        grant = evse.lease.in_force(now_s)
        if grant is not None:
            limit_A, duration_s = grant.amount.import_A, evse.lease.nested_s(evse.read_s)
        elif evse.lease.expires_s() is None and reading.limit_A > fallback_A and reading.limit_ends_in_s > 0:
            limit_A, duration_s = reading.limit_A, reading.limit_ends_in_s
        else:
            limit_A, duration_s = fallback_A, VALID_S
        if now_s - evse.read_s > SILENT_S:
            left_s = evse.told_until_s - evse.read_s
            if evse.told is None or limit_A >= evse.told.limit_A or left_s <= 0:
                return
            duration_s = min(duration_s, left_s)
        elif not renew and evse.told is not None and evse.told.limit_A == limit_A:
            return
        message = Actuate(
            t_echo_s=reading.t_hardware_s,
            duration_s=duration_s,
            mark=f"{self._named(state):06d}",
            limit_A=limit_A,
            phase_count=3,
        )
        evse.told, evse.told_until_s = message, evse.read_s + duration_s
        evse.actuator.tell(message.mark, ampere(limit_A), evse.told_until_s, evse.read_s)
        evse.under_way = (*evse.under_way, message)
        while len(evse.under_way) > self.site.wire:
            self._obey(state, name)

    def _obey(self, state: State, name: str) -> None:
        """The hardware takes the oldest message that is under way to it."""
        evse = state.evses[name]
        message, *rest = evse.under_way
        evse.under_way = tuple(rest)
        ends_s = message.t_echo_s + message.duration_s
        if message.t_echo_s < evse.echo_s or ends_s <= self.now_s(state, f"{name}.hw"):
            return
        evse.echo_s = message.t_echo_s
        evse.past = (*evse.past, (state.tick * TICK_S, evse.limit_A))
        evse.limit_A, evse.mark = message.limit_A, message.mark
        evse.ends_s = ends_s
        self._run_out(state, name)

    def _run_out(self, state: State, name: str) -> None:
        """The hardware's own watchdog; and what has settled is forgotten."""
        evse, rate = state.evses[name], self.site.clock(f"{name}.hw")
        if evse.ends_s <= self.now_s(state, f"{name}.hw"):
            evse.past = (*evse.past, (evse.ends_s / rate, evse.limit_A))
            evse.limit_A, evse.mark, evse.ends_s = self.site.fallback_A[name], "", math.inf
        # Only what may still flow more than what is in force, and longest of all as much.
        true_s = state.tick * TICK_S
        most_A = evse.limit_A
        past = []
        for over_s, limit_A in sorted(evse.past, reverse=True):
            if limit_A > most_A and over_s + SETTLE_S > true_s + CRUMB:
                most_A = limit_A
                past.append((over_s, limit_A))
        evse.past = tuple(past)

    def flow_A(self, state: State, name: str, true_s: float) -> float:
        """The most that may flow below somebody at a time, if nothing happens until then."""
        if name in state.trunks:
            return sum(self.flow_A(state, child, true_s) for child in self.below[name])
        evse = state.evses[name]
        flow_A = self.site.fallback_A[name]
        over_s = evse.ends_s / self.site.clock(f"{name}.hw")
        if true_s < over_s + SETTLE_S - CRUMB:
            flow_A = evse.limit_A if true_s < over_s - CRUMB else max(flow_A, evse.limit_A)
        for past_s, limit_A in evse.past:
            if true_s < past_s + SETTLE_S - CRUMB:
                flow_A = max(flow_A, limit_A)
        return flow_A

    # --- time and crashes --------------------------------------------------------------------------

    def _pass_time(self, state: State) -> None:
        # A ledger believes that time never goes back: states of two times share none.
        state.trunks = {name: trunk.copied() for name, trunk in state.trunks.items()}
        self._check_between(state, state.tick * TICK_S, (state.tick + 1) * TICK_S)
        state.tick += 1
        for name in self.evse_names:
            state.evses[name] = state.evses[name].copied()
            self._run_out(state, name)
            state.evses[name].actuator._forget(self.now_s(state, name))

    def _crash(self, state: State, name: str, *, lost: bool) -> None:
        """The process dies, and begins anew without memory; hardware does not notice."""
        state.crashes -= 1
        state.losses -= lost
        if self.site.reboots:
            state.begun = {**state.begun, name: state.tick}
        if name in state.trunks:
            kept = None if lost else state.trunks[name].stored
            state.trunks[name] = self._new_trunk(state, name, kept)
            return
        old, new = state.evses[name], self._new_evse(state, name)
        new.limit_A, new.ends_s, new.mark, new.echo_s = old.limit_A, old.ends_s, old.mark, old.echo_s
        new.past, new.under_way = old.past, old.under_way
        state.evses[name] = new

    def _forget_dead_messages(self, state: State) -> None:
        """Messages that change nothing now, and so never will."""
        for child, (ups, downs) in state.net.items():
            if downs:
                now_s, lease = self.now_s(state, child), self._lease(state, child)
                downs = tuple(g for g in downs if copied(lease).offer(now_s, g) is None)
            if ups:
                parent = self.parents[child]
                ledger = state.trunks[parent].ledger
                ups = tuple(r for r in ups if matters(ledger, r))
            state.net[child] = (ups, downs)

    def _lease(self, state: State, child: str) -> Lease:
        lease = state.evses[child].lease if child in state.evses else state.trunks[child].lease
        assert lease is not None
        return lease

    # --- what must hold ----------------------------------------------------------------------------

    def check(self, state: State) -> None:
        """Raises Violation."""
        true_s = state.tick * TICK_S
        for name in self.trunk_names:
            flow_A = self.flow_A(state, name, true_s)
            if flow_A > self.site.fuse_A[name] + CRUMB:
                raise ViolationError(
                    f"{name}: {flow_A:g} A flow through a fuse of {self.site.fuse_A[name]:g} A"
                )
            ledger, now_s = state.trunks[name].ledger, self.now_s(state, name)
            for child in self.below[name]:
                self._check_child(state, name, child, true_s, ledger.exposure(now_s, child).import_A)

    def _check_child(self, state: State, name: str, child: str, true_s: float, exposure_A: float) -> None:
        flow_A = self.flow_A(state, child, true_s)
        if flow_A > exposure_A + CRUMB:
            raise ViolationError(
                f"{name}: {flow_A:g} A flow at {child}, exposure {exposure_A:g} A, at {true_s:g} s"
            )

    def _check_between(self, state: State, begin_s: float, end_s: float) -> None:
        """At each time at which an exposure falls by itself."""
        for name in self.trunk_names:
            rate, ledger = self.site.clock(name), state.trunks[name].ledger
            zero_s = state.begun.get(name, 0) * TICK_S
            for child, account in ledger.accounts.items():
                times_s = {e.until_s + account.settle_s for e in account.entries}
                times_s |= {account.committed_until_s + account.settle_s, ledger._over_s + account.settle_s}
                for time_s in sorted(times_s):
                    if (begin_s - zero_s) * rate < time_s < (end_s - zero_s) * rate:
                        exposure_A = ledger.exposure(time_s, child).import_A
                        self._check_child(state, name, child, zero_s + time_s / rate, exposure_A)

    # --- one key for states that behave alike ------------------------------------------------------

    def key(self, state: State) -> bytes:
        """Equal for two states that differ in names and absolute times only."""
        parts: list[object] = [state.wish, state.flips, state.crashes, state.losses, state.delays]
        parts += [self._trunk_key(state, name) for name in self.trunk_names]
        parts += [self._evse_key(state, name) for name in self.evse_names]
        return blake2b(msgspec.msgpack.encode(parts), digest_size=12).digest()

    def _trunk_key(self, state: State, name: str) -> list[object]:
        trunk, now_s = state.trunks[name], self.now_s(state, name)
        ledger = trunk.ledger
        return [
            trunk.stored,
            ledger.epoch,
            ledger.to_keep,
            _left(now_s, ledger.quiet_until_s),
            all(a.known for a in ledger.accounts.values()) or _left(now_s, ledger._over_s, SETTLE_S * 2),
            *(self._child_key(state, name, child, account) for child, account in ledger.accounts.items()),
        ]

    def _child_key(self, state: State, name: str, child: str, account: Account) -> list[object]:
        """All between a parent and a child."""
        now_s, child_s = self.now_s(state, name), self.now_s(state, child)
        ledger = state.trunks[name].ledger
        lease = self._lease(state, child)
        ups, downs = state.net[child]
        alive = self._alive(state, name, child)
        spoke = {r.boot for r in ups} | {lease.boot}
        former = {(boot, told_s) for boot, told_s in account.former.items() if boot in spoke}
        current = (account.boot, account.told_s)
        stamps = sorted({(r.boot, r.t_child_s) for r in ups} | former | {current})
        heard = state.trunks[name].heard[child] if alive else None
        boots = sorted({boot for boot, _ in stamps} | {lease.boot} | ({heard[0]} if heard else set()))
        entries = _that_count(now_s, account)
        names = _Names(ledger, [e.order for e in entries], [g.order for g in downs])
        committed: object = None
        if account.committed_until_s + account.settle_s > now_s and not account.committed.fits(
            account.fallback
        ):
            committed = (_A(account.committed), _left(now_s, account.committed_until_s, account.settle_s))
        newest: object = None
        last = account.newest
        if last is not None and last.until_s > now_s and not last.amount.fits(account.fallback):
            newest = (_A(last.amount), _left(now_s, last.until_s))
        grant = lease.in_force(child_s)
        turning = now_s - account.turned_s < ledger._longest_s
        return [
            account.known,
            [(names.of(e.order), _A(e.amount), _left(now_s, e.until_s, account.settle_s)) for e in entries],
            newest,
            committed,
            stamps.index(current),
            boots.index(account.boot),
            _ago(now_s, account.heard_s) if alive else 0,
            None if heard is None else (boots.index(heard[0]), _ago(child_s, heard[1])),
            [(boots.index(boot), stamps.index((boot, told_s))) for boot, told_s in former],
            (account.turns, _ago(now_s, account.turned_s)) if turning else 0,
            bool(account.doubt),
            boots.index(lease.boot),
            [
                (
                    boots.index(r.boot),
                    stamps.index((r.boot, r.t_child_s)),
                    _ago(child_s, r.t_child_s),
                    names.of(r.acked),
                    _A(r.holds),
                    None if r.committed is None else _A(r.committed),
                )
                for r in ups
            ],
            [
                (
                    g.boot == lease.boot,
                    names.of(g.order),
                    _ago(child_s, g.t_echo_s),
                    round(g.duration_s * 1000),
                    _A(g.amount),
                    g.fence,
                )
                for g in downs
            ],
            names.of(lease.acked),
            lease.expires_s() is None,
            None
            if grant is None
            else (_A(grant.amount), _ago(child_s, grant.t_echo_s), _left(child_s, lease._expires_s)),
        ]

    def _evse_key(self, state: State, name: str) -> list[object]:
        evse, now_s = state.evses[name], self.now_s(state, name)
        actuator, hardware_s = evse.actuator, self.now_s(state, f"{name}.hw")
        true_s = state.tick * TICK_S
        marks = [told.mark for told in actuator._told]
        return [
            evse.limit_A,
            _left(hardware_s, evse.ends_s),
            marks.index(evse.mark) if evse.mark in marks else -1,
            [
                (
                    m.limit_A,
                    _left(hardware_s, m.t_echo_s + m.duration_s),
                    marks.index(m.mark) if m.mark in marks else -1,
                )
                for m in evse.under_way
            ],
            [(limit_A, _ago(true_s, over_s)) for over_s, limit_A in evse.past],
            [(_A(t.amount), _left(now_s, t.until_s)) for t in actuator._told],
            sorted((_left(now_s, past.until_s), _A(past.amount)) for past in actuator._past),
            _left(now_s, actuator._known_s),
            None if evse.told is None else evse.told.limit_A,
            None
            if evse.reading is None or self.site.always_read
            else (
                _left(now_s, evse.told_until_s),
                _ago(now_s, evse.read_s),
                _ago(hardware_s, evse.reading.t_hardware_s),
            ),
        ]

    # --- without faults ----------------------------------------------------------------------------

    def fair_round(self) -> list[Step]:
        """Everything works once."""
        rounds: list[Step] = []
        for name in self.evse_names:
            rounds += [("read", name), *([("obey", name)] * self.site.wire), ("read", name)]
        rounds += [("report", name, "prompt") for name in (*self.evse_names, *self.trunk_names[:0:-1])]
        for name in self.trunk_names:
            rounds.append(("grant", name, *("prompt" for _ in self.below[name])))
        rounds += [("obey", name) for name in self.evse_names for _ in range(self.site.wire)]
        return [*rounds, ("tick",)]

    def run_fairly(self, state: State, rounds: int) -> State:
        """After some rounds without faults."""
        for _ in range(rounds):
            for step in self.fair_round():
                if step[0] != "obey" or state.evses[step[1]].under_way:
                    state = self.after(state, step)
        return state

    def is_granted(self, state: State) -> bool:
        """Whether the hardware has what the market wishes."""
        return all(state.evses[n].limit_A == self.site.wish_A(state.wish, n) for n in self.evse_names)


class _Names:
    """Names for the orders between a parent and a child: what counts is which entries and which grants
    in flight are newer than which."""

    def __init__(self, ledger: Ledger, entries: list[Order], grants: list[Order]) -> None:
        self._entries, self._grants = entries, grants
        current = ledger._newest
        self._ahead = [o for o in (*entries, *grants) if o.epoch == ledger.epoch and o > current]
        self._current = current

    def of(self, order: Order | None) -> object:
        """Its name. Where a former life has used our epoch, too, distances count."""
        if order is None:
            return None
        if order.epoch == self._current.epoch and (self._ahead or order > self._current):
            return (order.epoch, order.seq, self._current.seq)
        return (order.epoch, sum(e < order for e in self._entries), sum(g <= order for g in self._grants))


def _that_count(now_s: float, account: Account) -> list[Entry]:
    """Entries that may still change anything. One that is not above another in any respect, and goes
    before it, does not."""
    if account.known:
        live = [
            e
            for e in account.entries
            if e.until_s + account.settle_s > now_s and not e.amount.fits(account.fallback)
        ]
    else:
        live = list(account.entries)
    return [
        e
        for i, e in enumerate(live)
        if not any(
            f.order >= e.order
            and f.until_s >= e.until_s
            and e.amount.fits(f.amount)
            and (i != j)
            and (j > i or (f.order, f.until_s, _A(f.amount)) != (e.order, e.until_s, _A(e.amount)))
            for j, f in enumerate(live)
        )
    ]


def matters(ledger: Ledger, report: Report) -> bool:
    """Whether hearing a report would change anything."""
    account = ledger.accounts[report.child]
    told_s = account.told_s if report.boot == account.boot else account.former.get(report.boot)
    return told_s is None or report.t_child_s > told_s


def _put(messages: tuple[_T, ...], slot: int, message: _T) -> tuple[_T, ...]:
    """At the end, in the place of the one that is lost."""
    return (*(m for i, m in enumerate(messages) if i != slot), message)


def _left(now_s: float, until_s: float, after_s: float = 0.0) -> int:
    """Until a time; all that is over is the same."""
    left_s = until_s - now_s
    if left_s == math.inf:
        return 10**9
    return round(max(left_s, -after_s - 0.001) * 1000)


def _ago(now_s: float, then_s: float) -> int:
    return round(min(now_s - then_s, FORGOTTEN_S) * 1000)


def _A(amount: Amount) -> float:
    return amount.import_A


def with_rates(site: Site, name: str, **rates: float) -> Site:
    """The same site with other clocks; `a_hw` stands for `a.hw`."""
    return replace(site, name=name, rates={who.replace("_hw", ".hw"): rate for who, rate in rates.items()})


__all__ = ["Site", "State", "Step", "ViolationError", "World", "ampere", "with_rates"]
