"""What the EvseManager knows of its hardware, and a hardware model that it must never count too low for."""

from __future__ import annotations

import math
from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.actuator import TOLD_MAX, Actuator
from actors.energy.amount import Amount
from actors.energy.ledger import STRETCH
from actors.energy.messages import Reading
from tests.energy.builders import assert_caught, mutated, reading
from tests.energy.family import ampere

SETTLE_S = 5.0
SETTLED_S = SETTLE_S * 1.1
FALLBACK_A = 6.0


def told(*amounts_A: float, now_s: float = 0.0, known: bool = True) -> Actuator:
    """One that told its hardware these limits in turn, each for 10 s; their marks are their amounts."""
    actuator = Actuator(ampere(FALLBACK_A), SETTLE_S)
    if known:
        actuator.tell("first", ampere(0.0), now_s + 0.1, now_s)
        actuator.read(now_s, reading(now_s, mark="first", contactor_closed=False))
    for A in amounts_A:
        actuator.tell(f"{A:g}", ampere(A), now_s + 10.0, now_s)
    return actuator


def read(actuator: Actuator, now_s: float, A: float, **more: Any) -> None:
    """A reading that bears the mark of this limit."""
    actuator.read(now_s, reading(now_s, mark=f"{A:g}", limit_A=A, limit_ends_in_s=1.0, **more))


def committed_A(actuator: Actuator, now_s: float) -> float | None:
    amount = actuator.committed(now_s)
    return None if amount is None else amount.import_A


def test_what_was_told_and_is_not_confirmed_counts() -> None:
    assert committed_A(told(32.0, 16.0), 0.0) == 32.0
    assert committed_A(told(16.0, 32.0), 0.0) == 32.0


def test_a_mark_strikes_out_what_was_told_before_it_a_settle_time_later() -> None:
    actuator = told(32.0, 16.0, 20.0)
    read(actuator, 1.0, 16.0)
    assert actuator.due_s(1.0) == pytest.approx(1.0 + SETTLED_S)
    assert committed_A(actuator, 1.0 + SETTLED_S - 0.01) == 32.0
    assert committed_A(actuator, 1.0 + SETTLED_S) == 20.0, "told later, and may come yet"


def test_a_low_current_proves_nothing_and_an_open_contactor_does() -> None:
    for more, after_A in (
        ({"currents_A": (0.0, 0.0, 0.0), "power_W": 0.0}, 32.0),
        ({"contactor_closed": False}, 16.0),
        ({"plugged_in": False}, 32.0),
    ):
        actuator = told(32.0, 16.0)
        read(actuator, 1.0, 16.0, **more)
        assert committed_A(actuator, 1.0) == after_A


def test_what_flows_above_all_limits_counts_for_a_settle_time() -> None:
    actuator = told(16.0)
    read(actuator, 1.0, 16.0, currents_A=(17.0, 0.0, 0.0), power_W=3910.0)
    assert committed_A(actuator, 1.0) == 16.0, "no meter is that exact"
    read(actuator, 2.0, 16.0, currents_A=(25.0, 25.0, 25.0), power_W=17250.0)
    assert actuator.committed(2.0) == Amount(25.0, 17250.0)
    assert actuator.due_s(2.0) == pytest.approx(2.0 + SETTLED_S)
    assert committed_A(actuator, 2.0 + SETTLED_S - 0.01) == 25.0
    assert committed_A(actuator, 2.0 + SETTLED_S) == 16.0
    read(actuator, 9.0, 16.0, currents_A=(25.0, 25.0, 25.0), power_W=17250.0)
    read(actuator, 10.0, 16.0, currents_A=(16.0, 16.0, 16.0), power_W=11040.0)
    assert committed_A(actuator, 10.0) == 16.0


def test_what_still_flows_when_it_should_have_settled_counts_on() -> None:
    actuator = told(32.0, 16.0)
    read(actuator, 1.0, 16.0)
    read(actuator, SETTLED_S + 0.9, 16.0, currents_A=(32.0, 32.0, 32.0), power_W=22080.0)
    assert committed_A(actuator, SETTLED_S + 1.1) == 32.0, "it did, a moment before"
    read(actuator, SETTLED_S + 1.9, 16.0, currents_A=(16.0, 16.0, 16.0), power_W=11040.0)
    assert committed_A(actuator, SETTLED_S + 1.9) == 16.0


def test_an_open_contactor_says_nothing_of_what_is_in_force_or_under_way() -> None:
    actuator = told(16.0, 32.0)
    read(actuator, 1.0, 16.0, contactor_closed=False)
    assert committed_A(actuator, 1.0) == 32.0
    read(actuator, 2.0, 32.0, contactor_closed=False)
    assert committed_A(actuator, 2.0) == 32.0


def test_a_mark_of_somebody_else_strikes_out_nothing() -> None:
    actuator = told(32.0, 16.0)
    actuator.read(1.0, reading(1.0, mark="stranger", limit_A=3.0, limit_ends_in_s=5.0))
    assert committed_A(actuator, 1.0 + SETTLED_S) == 32.0


def test_silent_hardware_runs_out_by_its_own_clock_and_then_settles() -> None:
    actuator = told(32.0)
    over_s = 10.0 * STRETCH + SETTLED_S
    assert committed_A(actuator, over_s - 0.01) == 32.0
    assert committed_A(actuator, over_s) == FALLBACK_A


def test_a_reading_that_is_older_than_the_end_does_not_prove_that_nothing_flowed_at_the_end() -> None:
    actuator = Actuator(ampere(FALLBACK_A), SETTLE_S)
    actuator.tell("long", ampere(0.0), 100.0, 0.0)
    actuator.read(0.0, reading(0.0, mark="long", contactor_closed=False))
    actuator.tell("short", ampere(32.0), 10.0, 0.0)
    late_s = 10.0 * STRETCH + 1.0
    actuator.read(late_s, reading(9.0, mark="long", contactor_closed=False))
    assert committed_A(actuator, late_s) == 32.0


def test_a_contactor_proves_nothing_of_what_came_after_or_of_another_life_of_the_hardware() -> None:
    for mark in ("32", "", "first"):
        actuator = told(32.0, 16.0)
        read(actuator, 1.0, 16.0)
        for _ in range(2):
            actuator.read(2.0, reading(0.5, mark=mark, contactor_closed=False))
        assert committed_A(actuator, 2.0) == 32.0


def test_a_new_life_knows_nothing_before_its_own_mark_and_the_settle_time() -> None:
    actuator = told(16.0, known=False)
    actuator.read(1.0, reading(1.0, mark="former life", limit_A=32.0, limit_ends_in_s=5.0))
    assert committed_A(actuator, 100.0) is None
    actuator = told(16.0, known=False)
    read(actuator, 1.0, 16.0)
    assert committed_A(actuator, 1.0 + SETTLED_S - 0.01) is None
    assert actuator.due_s(1.0) == pytest.approx(1.0 + SETTLED_S)
    assert committed_A(actuator, 1.0 + SETTLED_S) == 16.0


def test_a_new_life_knows_at_once_when_its_own_mark_is_there_and_the_contactor_open() -> None:
    actuator = told(16.0, known=False)
    actuator.read(1.0, reading(1.0, contactor_closed=False))
    assert committed_A(actuator, 1.0) is None, "what the former life told may still be under way"
    read(actuator, 2.0, 16.0, contactor_closed=False)
    assert committed_A(actuator, 2.0) == 16.0


def test_the_fallback_counts_always() -> None:
    actuator = told(0.0)
    read(actuator, 1.0, 0.0, contactor_closed=False)
    assert committed_A(actuator, 1.0) == FALLBACK_A


def test_power_counts_by_itself() -> None:
    actuator = told()
    actuator.tell("one phase", Amount(32.0, 7360.0), 10.0, 0.0)
    actuator.tell("three phases", Amount(16.0, 11040.0), 10.0, 0.0)
    assert actuator.committed(0.0) == Amount(32.0, 11040.0)


def test_what_was_measured_counts_no_more_once_more_than_that_was_told() -> None:
    actuator = told(16.0)
    read(actuator, 1.0, 16.0, currents_A=(25.0, 25.0, 25.0), power_W=17250.0)
    assert actuator.committed(1.0) == Amount(25.0, 17250.0)
    actuator.tell("32", ampere(32.0), 11.0, 1.0)
    assert actuator.committed(1.0) == ampere(32.0)


def test_hardware_that_confirms_nothing_for_long_costs_no_memory_and_no_safety() -> None:
    actuator = told()
    for i in range(1000):
        actuator.tell(str(i), ampere(32.0 if i == 0 else 16.0), 10.0, 0.0)
    assert len(actuator._told) == TOLD_MAX
    assert committed_A(actuator, 0.0) == 32.0


# --- hardware that is told, or not, in time --------------------------------------------------------


class Tell(NamedTuple):
    A: float
    lasts_s: float


class Take(NamedTuple):
    """The next message arrives at the hardware, or is lost."""

    lost: bool


class Make(NamedTuple):
    """The hardware makes a reading."""


class Hear(NamedTuple):
    """The next reading arrives, or is lost."""

    lost: bool


class Plug(NamedTuple):
    closed: bool


class Wait(NamedTuple):
    s: float


class Restart(NamedTuple):
    """The EvseManager begins anew."""


class Beat(NamedTuple):
    """A reading, an answer to it, each arriving at once or not."""

    A: float
    heard: bool
    taken: bool
    wait_s: float


Step = Beat | Tell | Take | Make | Hear | Plug | Wait | Restart
STEPS = st.lists(
    st.one_of(
        st.builds(Tell, st.sampled_from([0.0, 10.0, 16.0, 32.0]), st.sampled_from([1.0, 10.0])),
        *[
            st.builds(
                Beat,
                st.sampled_from([0.0, 16.0, 32.0, 32.0]),
                st.sampled_from([True, True, True, False]),
                st.sampled_from([True, True, True, False]),
                st.sampled_from([0.0, 0.1, 1.0, 6.0]),
            )
        ]
        * 5,
        st.builds(Take, st.sampled_from([False, False, False, True])),
        st.builds(Take, st.just(False)),
        st.builds(Make),
        st.builds(Hear, st.sampled_from([False, False, False, True])),
        st.builds(Hear, st.just(False)),
        st.builds(Plug, st.booleans()),
        st.builds(Wait, st.sampled_from([0.1, 1.0, 4.0, 5.4, 11.0, 15.0])),
        st.builds(Restart),
    ),
    min_size=8,
    max_size=50,
)
WORLDS = st.tuples(st.sampled_from([(1.0, 1.0), (0.9, 1.1), (1.1, 0.9)]), STEPS)
World = tuple[tuple[float, float], list[Step]]


class Bench:
    """Hardware that lets flow what it may, as long as it may."""

    def __init__(self, rates: tuple[float, float]) -> None:
        self.now_s = 0.0
        self.own, self.hardware = rates
        self.closed = True
        self.opened_s = -math.inf
        self.limits: list[tuple[float, float, str]] = [(-math.inf, FALLBACK_A, "")]
        self.ends_s = math.inf
        self.to_hardware: list[tuple[float, float, float, str]] = []
        self.to_manager: list[Reading] = []
        self.marks = 0
        self.begin()

    def begin(self) -> None:
        self.actuator = Actuator(ampere(FALLBACK_A), SETTLE_S)
        self.read: tuple[float, float] | None = None

    def expire(self) -> None:
        if self.ends_s <= self.now_s:
            self.limits.append((self.ends_s, FALLBACK_A, ""))
            self.ends_s = math.inf

    def flow_A(self) -> float:
        """The most that may flow: what was in force lately, while the contactor was closed."""
        if not self.closed:
            return 0.0
        most_A = 0.0
        spans = [*self.limits, (math.inf, 0.0, "")]
        for (_, A, _), (until_s, _, _) in pairwise(spans):
            if until_s > self.opened_s and self.now_s < until_s + SETTLE_S:
                most_A = max(most_A, A)
        return most_A

    def play(self, step: Step) -> None:
        self.expire()
        now_s = self.now_s * self.own
        match step:
            case Beat(A, heard, taken, wait_s):
                steps: list[Step] = [Make()]
                steps += [Hear(lost=False)] * (len(self.to_manager) + 1) * heard
                steps += [Tell(A, 10.0)]
                steps += [Take(lost=False)] * (len(self.to_hardware) + 1) * taken
                for part in (*steps, Wait(wait_s)):
                    self.play(part)
                    self.look()
            case Tell(A, lasts_s):
                if self.read is not None:
                    t_echo_s, read_at_s = self.read
                    self.marks += 1
                    self.actuator.tell(str(self.marks), ampere(A), read_at_s + lasts_s, read_at_s)
                    self.to_hardware.append((A, t_echo_s, lasts_s, str(self.marks)))
            case Take(lost):
                if self.to_hardware:
                    A, t_echo_s, lasts_s, mark = self.to_hardware.pop(0)
                    ends_s = (t_echo_s + lasts_s) / self.hardware
                    if not lost and ends_s > self.now_s:
                        self.limits.append((self.now_s, A, mark))
                        self.ends_s = ends_s
            case Make():
                _, A, mark = self.limits[-1]
                left_s = 0.0 if math.isinf(self.ends_s) else (self.ends_s - self.now_s) * self.hardware
                self.to_manager.append(
                    reading(
                        self.now_s * self.hardware,
                        limit_A=A,
                        limit_ends_in_s=left_s,
                        mark=mark,
                        contactor_closed=self.closed,
                    )
                )
            case Hear(lost):
                if self.to_manager:
                    told_ = self.to_manager.pop(0)
                    if not lost:
                        self.read = told_.t_hardware_s, now_s
                        self.actuator.read(now_s, told_)
            case Plug(closed):
                if closed and not self.closed:
                    self.opened_s = self.now_s
                self.closed = closed
            case Wait(s):
                self.now_s += s
            case Restart():
                self.to_manager.clear()  # they went to the former life
                self.begin()

    def look(self) -> None:
        self.expire()
        committed = self.actuator.committed(self.now_s * self.own)
        anew = copy(self.actuator)
        anew._same_until_s = -math.inf
        assert anew.committed(self.now_s * self.own) == committed, "it is what would be worked out anew"
        if committed is not None:
            assert self.flow_A() <= committed.import_A, f"{self.flow_A()} A, counted {committed.text()}"


def counts_enough(world: World) -> None:
    rates, steps = world
    bench = Bench(rates)
    for step in (Beat(0.0, True, True, 0.1), Beat(0.0, True, True, 6.0), *steps):
        bench.play(step)
        bench.look()


@given(WORLDS)
def test_never_flows_more_than_is_counted(world: World) -> None:
    counts_enough(world)


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [
        ("tell", "* STRETCH", ""),
        (
            "tell",
            "(*self._told, _Told(mark, amount, until_s, read_at_s))",
            "(_Told(mark, amount, until_s, read_at_s),)",
        ),
        ("tell", "self._most = largest(self._most, amount)", "pass"),
        ("tell", "else min(self._same_until_s, until_s)", "else self._same_until_s"),
        ("_confirm", "= self._told[own:], -math.inf", "= self._told[own + 1:], -math.inf"),
        ("_confirm", "for told in self._told[:own]:", "for told in ():"),
        ("_confirm", "self._known_s = now_s + self._settle_s", "self._known_s = now_s"),
        ("committed", "now_s < self._known_s", "False"),
        ("_leave", "over_s + self._settle_s", "over_s"),
        ("_forget", "self._leave(told.until_s,", "(lambda *_, **__: None)(told.until_s,"),
        ("read", "not reading.contactor_closed:", "reading.power_W == 0.0:"),
    ],
)
def test_each_broken_rule_is_caught(
    method: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Actuator, method, mutated(getattr(Actuator, method), before, after))
    assert_caught(counts_enough, WORLDS, soon=7)


def test_counting_on_with_what_was_measured_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Actuator, "tell", mutated(Actuator.tell, "-math.inf if self._exceeds else", ""))
    with pytest.raises(AssertionError):
        test_what_was_measured_counts_no_more_once_more_than_that_was_told()


def test_an_old_reading_taken_for_proof_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Actuator, "read", mutated(Actuator.read, "if not past.replaced", "if False"))
    with pytest.raises(AssertionError):
        test_a_reading_that_is_older_than_the_end_does_not_prove_that_nothing_flowed_at_the_end()
