"""One ledger and its children between links that lose, delay, repeat and reorder, and what must never happen.

Each child obeys the rules of a child by the simplest means: a Lease, and a limit that is the least of its
grant and a cap of its own. What may flow below it follows a lower limit within the settle time. When it
restarts, its limit goes on to its end, and the new life tells `committed` only once what was before it
has surely settled. All clocks run wrong by up to 10 %. True time is known to the oracle alone.
"""

from __future__ import annotations

import math
from itertools import count, pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st

from actors.energy.amount import CRUMB, Amount, smallest
from actors.energy.lease import Lease
from actors.energy.ledger import RHO, Ledger
from actors.energy.messages import Grant, Report

FUSE_A = 32.0
SETTLE_S = 5.0
VALID_S = 10.0
SILENT_S = 3.0
LONGEST_S = 14.0
FALLBACKS_A = {"a": 0.0, "b": 6.0}
NAMES = tuple(FALLBACKS_A)


def ampere(value: float) -> Amount:
    return Amount(import_A=value)


class Round(NamedTuple):
    """All report, and are granted something; of each message a digit tells what becomes of it."""

    wishes_A: tuple[float, float]
    capacity_A: float
    up: tuple[int, int]
    down: tuple[int, int]
    seconds: int
    """It comes again each second for so long."""


class Wait(NamedTuple):
    s: float


class Edge(NamedTuple):
    """Time goes on to when something in the ledger is over, and a little more."""

    which: int
    more_s: float


class Arrive(NamedTuple):
    """One of the messages under way."""

    which: int


class Cap(NamedTuple):
    child: int
    A: float


class Restart(NamedTuple):
    child: int


class RestartParent(NamedTuple):
    epoch_lost: bool


Step = Round | Wait | Edge | Arrive | Cap | Restart | RestartParent

ARRIVES, LOST, LATE, TWICE = range(4)
_fates = st.tuples(*[st.sampled_from([ARRIVES, ARRIVES, ARRIVES, ARRIVES, LOST, LATE, LATE, TWICE])] * 2)
_rounds = st.builds(
    Round,
    st.tuples(*[st.sampled_from([0.0, 6.0, 10.0, 26.0, 32.0, 32.0])] * 2),
    st.sampled_from([FUSE_A, FUSE_A, 20.0, 8.0]),
    _fates,
    _fates,
    st.sampled_from([0, 0, 0, 1, 7]),
)
STEPS = st.lists(
    st.one_of(
        _rounds,
        _rounds,
        _rounds,
        _rounds,
        st.builds(Wait, st.sampled_from([0.0, 0.3, 1.0, 4.0, 9.0, 20.0])),
        st.builds(Edge, st.integers(0, 5), st.sampled_from([0.0, 1e-6, 0.5])),
        st.builds(Arrive, st.integers(0, 9)),
        st.builds(Cap, st.integers(0, 1), st.sampled_from([3.0, 3.0, 99.0, 99.0])),
        st.builds(Restart, st.integers(0, 1)),
        st.builds(RestartParent, st.sampled_from([False, False, True])),
    ),
    min_size=10,
    max_size=40,
)
RATES = st.tuples(*[st.sampled_from([0.9, 1.0, 1.1])] * 3)
World = tuple[tuple[float, float, float], list[Step]]
WORLDS: st.SearchStrategy[World] = st.tuples(RATES, STEPS)


class Clock:
    """Runs at a rate of its own."""

    def __init__(self, rate: float, shift_s: float) -> None:
        self.rate, self._shift_s = rate, shift_s

    def at(self, true_s: float) -> float:
        return self._shift_s + true_s * self.rate

    def true_s(self, own_s: float) -> float:
        return (own_s - self._shift_s) / self.rate


class Child:
    """It obeys, as late as it may."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name, self.clock = name, clock
        self.fallback = ampere(FALLBACKS_A[name])
        self._lives = count(1)
        self._limits: list[tuple[float, float]] = [(-math.inf, FALLBACKS_A[name])]
        """(true time, ampere): what it may draw from then on; later ends are cut by newer limits."""
        self._ends_s = math.inf
        self.cap_A = 99.0
        self.begin(0.0)
        self._known_s = -math.inf

    def begin(self, true_s: float) -> None:
        """A new life, that knows nothing. The limit goes on to its end."""
        self.lease = Lease(f"{self.name} {next(self._lives)}", LONGEST_S)
        self._inherits = True
        self._known_s = self.clock.at(true_s) + SETTLE_S * (1 + RHO)

    def take(self, true_s: float, grant: Grant) -> None:
        if self.lease.offer(self.clock.at(true_s), grant) is None and not grant.fence:
            self._inherits = False
            self._apply(true_s)

    def cap(self, true_s: float, cap_A: float) -> None:
        self.cap_A = cap_A
        if not self._inherits:
            self._apply(true_s)

    def _apply(self, true_s: float) -> None:
        """Its grant within its cap, or its fallback."""
        now_s = self.clock.at(true_s)
        self._expire(true_s)
        if (grant := self.lease.in_force(now_s)) is not None:
            expires_s = self.lease.expires_s()
            assert expires_s is not None
            self._limits.append((true_s, min(grant.amount.import_A, self.cap_A)))
            self._ends_s = self.clock.true_s(expires_s)

    def _expire(self, true_s: float) -> None:
        if self._ends_s <= true_s:
            self._limits.append((self._ends_s, self.fallback.import_A))
            self._ends_s = math.inf

    def flow_A(self, true_s: float, settle_s: float = SETTLE_S) -> float:
        """The most that may flow: any limit of the last settle time, and its fallback."""
        limits = [*self._limits, (self._ends_s, self.fallback.import_A)]
        most_A = self.fallback.import_A
        for (_, A), (until_s, _) in pairwise(limits):
            if true_s < until_s + settle_s:
                most_A = max(most_A, A)
        return most_A

    def report(self, true_s: float) -> Report:
        now_s = self.clock.at(true_s)
        grant = self.lease.in_force(now_s)
        known = now_s >= self._known_s
        settled_s = SETTLE_S * (1 + RHO) / self.clock.rate
        return Report(
            child=self.name,
            boot=self.lease.boot,
            t_child_s=self.lease.stamp(now_s),
            acked=self.lease.acked,
            holds=self.fallback if grant is None else grant.amount,
            committed=ampere(self.flow_A(true_s, settled_s)) if known else None,
            fallback=self.fallback,
            settle_time_s=SETTLE_S,
        )


class Bench:
    """Plays steps; the oracle looks after each."""

    def __init__(self, rates: tuple[float, float, float]) -> None:
        self.now_s = 0.0
        self.clock = Clock(rates[0], 500.0)
        self.children = {n: Child(n, Clock(rates[i], 1e4 * i)) for i, n in enumerate(NAMES, 1)}
        self._under_way: list[Report | tuple[str, Grant]] = []
        self.ledger = self._new_ledger(0)

    def _new_ledger(self, kept_epoch: int | None) -> Ledger:
        ledger = Ledger(
            {name: (ampere(A), SETTLE_S) for name, A in FALLBACKS_A.items()},
            longest_s=LONGEST_S,
            silent_s=SILENT_S,
            now_s=self.clock.at(self.now_s),
            kept_epoch=kept_epoch,
        )
        ledger.kept(ledger.epoch)
        self._boots: dict[str, tuple[str, float]] = {}
        """The life and stamp of the newest report of each, as the parent keeps them."""
        self._desired: dict[str, Amount] = {}
        return ledger

    def play(self, steps: list[Step]) -> None:
        for step in steps:
            self._play(step)
            self.look()

    def _play(self, step: Step) -> None:
        match step:
            case Round():
                self._round(step)
                for _ in range(step.seconds):
                    self.look()
                    self.now_s += 1.0
                    self._round(step)
            case Wait(s):
                self.now_s += s
            case Edge(which, more_s):
                edges = sorted(t for t in self._edges() if t > self.now_s)
                if edges:
                    self.now_s = edges[which % len(edges)] + more_s
            case Arrive(which):
                if self._under_way:
                    self._deliver(self._under_way.pop(which % len(self._under_way)))
            case Cap(child, A):
                self.children[NAMES[child]].cap(self.now_s, A)
            case Restart(child):
                self.children[NAMES[child]].begin(self.now_s)
            case RestartParent(epoch_lost):
                self.ledger = self._new_ledger(None if epoch_lost else self.ledger.epoch)

    def _edges(self) -> list[float]:
        """When something in the ledger is over, in true time."""
        accounts = self.ledger.accounts.values()
        ends = [entry.until_s + a.settle_s for a in accounts for entry in a.entries]
        ends += [a.committed_until_s + a.settle_s for a in accounts if a.committed_until_s > 0]
        ends += [self.ledger._over_s + a.settle_s for a in accounts]
        return [self.clock.true_s(end) for end in ends]

    def _round(self, step: Round) -> None:
        for child, fate in zip(self.children.values(), step.up, strict=True):
            self._send(child.report(self.now_s), fate)
        for (name, grant), fate in zip(
            self.hand_down(step.wishes_A, step.capacity_A), step.down, strict=False
        ):
            self._send((name, grant), fate)

    def _send(self, message: Report | tuple[str, Grant], fate: int) -> None:
        if fate in (LATE, TWICE):
            self._under_way.append(message)
        if fate in (ARRIVES, TWICE):
            self._deliver(message)

    def _deliver(self, message: Report | tuple[str, Grant]) -> None:
        if isinstance(message, Report):
            if not self.ledger.hear(self.clock.at(self.now_s), message).stale:
                self._boots[message.child] = message.boot, message.t_child_s
            if self.ledger.to_keep is not None:
                self.ledger.kept(self.ledger.to_keep)
        else:
            self.children[message[0]].take(self.now_s, message[1])

    def hand_down(self, wishes_A: Any, capacity_A: float) -> list[tuple[str, Grant]]:
        """As a node does."""
        now_s, ledger = self.clock.at(self.now_s), self.ledger
        if not ledger.may_send(now_s):
            return []
        here = [n for n in self._boots if now_s - ledger.accounts[n].heard_s <= SILENT_S]
        known = [n for n in here if ledger.is_known(now_s, n)]
        wishes = dict(zip(NAMES, map(ampere, wishes_A), strict=True))
        desired = {n: wishes[n] for n in known}
        if desired != self._desired:
            self._desired = desired  # else the very same object, as a node's is
        planned = ledger.plan(now_s, self._desired, ampere(capacity_A))
        before, sent = ledger.exposures(now_s), []
        for name in here:
            boot, t_echo_s = self._boots[name]
            duration_s = now_s + VALID_S - ledger.accounts[name].heard_s
            grant = Grant(
                boot=boot,
                t_echo_s=t_echo_s,
                order=ledger.next_order(),
                duration_s=duration_s,
                amount=planned[name].amount if name in planned else Amount(),
                fence=name not in planned,
            )
            if name in planned:
                ledger.note(now_s, name, grant.order, duration_s, grant.amount)
            sent.append((name, grant))
        ledger.check(now_s, ampere(FUSE_A), ampere(capacity_A), before)
        return sent

    # --- the oracle ------------------------------------------------------------------------------

    def look(self) -> None:
        now_s = self.clock.at(self.now_s)
        flows_A = {name: child.flow_A(self.now_s + CRUMB) for name, child in self.children.items()}
        for name, flow_A in flows_A.items():
            exposure = self.ledger.exposure(now_s, name)
            assert flow_A <= exposure.import_A + CRUMB, f"{name}: {flow_A} A, counted {exposure.text()}"
            latest = self.ledger.latest(now_s, name)
            assert latest == smallest(latest, exposure), "renewing must never raise"
        counted = self.ledger.committed(now_s)
        assert counted is None or sum(flows_A.values()) <= counted.import_A + CRUMB
        assert sum(flows_A.values()) <= FUSE_A + CRUMB, flows_A


def keeps_its_promise(world: World) -> None:
    """What truly may flow never exceeds what the ledger counts, nor the fuse."""
    rates, steps = world
    Bench(rates).play(steps)
