"""The account of a charger: chargers that answer late, never, refuse, ignore, or begin anew, and an EVSE
that must never count too little."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.drivers.account import ORDERS_MAX, RETRY_S, Account, Limit, Order
from actors.energy.actuator import Actuator
from actors.energy.amount import Amount
from actors.energy.ledger import STRETCH
from actors.energy.messages import Actuate
from tests.energy.builders import mutated, reading

DEFAULT = Limit(6.0, None, 3)
LEASE_S = 60.0


def wish(A: float, now_s: float, mark: str, lasts_s: float = LEASE_S, phases: int = 3) -> Actuate:
    return Actuate(t_echo_s=now_s, duration_s=lasts_s, mark=mark, limit_A=A, phase_count=phases)


def fresh(now_s: float = 0.0) -> Account:
    """One that remembers no former life."""
    return Account(now_s, DEFAULT, 0.0)


def sent(account: Account, now_s: float) -> Order:
    order = account.order(now_s)
    assert order is not None
    return order


def holding(A: float, now_s: float = 0.0) -> Account:
    """One whose charger has accepted a limit."""
    account = fresh(now_s)
    assert account.want(now_s, wish(A, now_s, f"{A:g}")) is None
    account.answer(now_s, sent(account, now_s).number, accepted=True)
    return account


def test_what_was_accepted_is_in_force_until_it_ends() -> None:
    account = holding(16.0)
    assert account.in_force(1.0) == (Limit(16.0, None, 3), LEASE_S - 1.0)
    assert account.mark(1.0) == "16"
    assert not account.is_open(1.0)
    assert account.in_force(LEASE_S) == (DEFAULT, 0.0)


def test_a_charger_without_an_answer_is_told_nothing_more_until_it_is_given_up() -> None:
    account = fresh()
    account.want(0.0, wish(16.0, 0.0, "a"))
    sent(account, 0.0)
    account.want(1.0, wish(8.0, 1.0, "b"))
    assert account.order(1.0) is None
    account.no_answer(10.0)
    assert account.order(10.0) is None, "not at once"
    assert sent(account, 10.0 + RETRY_S).limit.limit_A == 8.0


def test_the_same_is_sent_again_only_when_half_of_it_is_over() -> None:
    account = holding(16.0)
    for now_s in range(1, 29):
        account.want(now_s, wish(16.0, now_s, f"{now_s}"))
        assert account.order(now_s) is None
    assert account.mark(28.0) == "28", "all that was wanted is in force as it was sent first"
    account.want(40.0, wish(16.0, 40.0, "40"))
    assert sent(account, 40.0).duration_s == LEASE_S


def test_what_is_wanted_for_no_longer_does_not_cover_what_was_sent_earlier() -> None:
    account = holding(16.0)
    account.want(50.0, wish(16.0, 50.0, "short", LEASE_S - 50.0))
    assert account.mark(50.0) == "16", "a slow clock of the charger lets it last longer than `short` says"


def test_more_is_told_by_a_mark_before_it_is_in_force_and_less_is_not() -> None:
    account = holding(16.0)
    account.want(1.0, wish(20.0, 1.0, "more"))
    assert account.mark(1.0) == "more"
    account.want(2.0, wish(10.0, 2.0, "less"))
    assert account.mark(2.0) == "more"
    account.answer(3.0, sent(account, 2.0).number, accepted=True)
    assert account.mark(3.0) == "less"


def test_a_refused_limit_leaves_in_force_what_was() -> None:
    account = holding(16.0)
    account.want(1.0, wish(8.0, 1.0, "less"))
    account.answer(2.0, sent(account, 1.0).number, accepted=False)
    assert account.in_force(2.0)[0].limit_A == 16.0
    assert account.mark(2.0) == "16"
    assert account.order(2.0) is None
    again = sent(account, 2.0 + RETRY_S)
    account.answer(6.0, again.number, accepted=True)
    assert account.mark(6.0) == "less"


def test_an_order_without_an_answer_counts_to_its_end_whatever_is_accepted_after_it() -> None:
    account = holding(16.0)
    account.want(1.0, wish(32.0, 1.0, "much"))
    much = sent(account, 1.0)
    account.no_answer(11.0)
    account.want(15.0, wish(8.0, 15.0, "little"))
    account.answer(16.0, sent(account, 15.0).number, accepted=True)
    assert account.in_force(16.0)[0].limit_A == 8.0
    assert (account.mark(16.0), account.most(16.0).limit_A) == ("much", 32.0)
    assert much.over_s == 1.0 + LEASE_S * STRETCH
    assert account.mark(much.over_s) == "little"


def test_a_late_answer_is_set_right_by_another_order() -> None:
    account = fresh()
    account.want(0.0, wish(32.0, 0.0, "much"))
    much = sent(account, 0.0)
    account.no_answer(10.0)
    account.want(14.0, wish(8.0, 14.0, "little"))
    account.answer(15.0, sent(account, 14.0).number, accepted=True)
    account.answer(16.0, much.number, accepted=True)
    assert account.in_force(16.0)[0].limit_A == 32.0, "carried out last, as it seems"
    account.answer(17.0, sent(account, 16.0).number, accepted=True)
    assert (account.mark(17.0), account.most(17.0).limit_A) == ("little", 8.0)


def test_what_a_former_life_may_have_told_counts_until_it_is_over() -> None:
    account = Account(100.0, DEFAULT, LEASE_S)
    account.want(100.0, wish(8.0, 100.0, "a"))
    account.answer(101.0, sent(account, 100.0).number, accepted=True)
    assert account.mark(101.0) == ""
    assert account.is_open(101.0)
    over_s = 100.0 + LEASE_S * STRETCH
    account.want(over_s, wish(8.0, over_s, "b"))
    assert account.mark(over_s) == "b"


def test_a_charger_that_begins_anew_is_told_again_at_once() -> None:
    account = holding(16.0)
    account.want(1.0, wish(16.0, 1.0, "b"))
    assert account.order(1.0) is None
    account.forget_held()
    assert account.in_force(1.0) == (DEFAULT, 0.0)
    assert account.most(1.0).limit_A == 16.0, "it may have kept it"
    assert sent(account, 1.0).limit.limit_A == 16.0


def test_nothing_is_sent_for_what_the_default_is_already() -> None:
    account = fresh()
    account.want(0.0, wish(6.0, 0.0, "a"))
    assert account.order(0.0) is None
    assert account.mark(0.0) == "a"


def test_a_charger_that_never_answers_is_told_so_much_and_no_more() -> None:
    account, told, now_s = fresh(), 0, 0.0
    while now_s < LEASE_S:
        account.want(now_s, wish(16.0 + now_s % 2, now_s, f"{now_s}"))
        told += account.order(now_s) is not None
        account.no_answer(now_s)
        now_s += RETRY_S
    assert told == ORDERS_MAX


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (wish(8.0, 2.0, "b"), "it answers a reading of 1.000 s ahead"),
        (wish(8.0, -1.0, "b"), "it answers an older reading than the last, by 1.000 s"),
        (wish(8.0, 0.0, "b", 0.5), "it was over 0.500 s ago"),
        (wish(math.nan, 0.5, "b"), "a limit of nan A, None W is none"),
        (
            Actuate(t_echo_s=0.5, duration_s=9.0, mark="b", takes_over="z", limit_A=8.0, phase_count=3),
            "mark '16' is in force, not 'z'",
        ),
    ],
)
def test_what_is_not_taken(command: Actuate, told: str) -> None:
    account = holding(16.0)
    assert account.want(1.0, command) == told
    assert account.mark(1.0) == "16"


def test_a_current_above_all_that_may_be_in_force_is_noticed() -> None:
    account = holding(16.0)
    account.measure(1.0, 17.0)
    assert account.exceeds_s(9.0) == 0.0
    account.measure(2.0, 20.0)
    account.measure(8.0, 19.0)
    assert account.exceeds_s(9.0) == 7.0
    account.measure(9.0, 15.0)
    assert account.exceeds_s(9.0) == 0.0


# --- chargers on clocks of their own --------------------------------------------------------------

SETTLE_S = 2.0
SHORT_S = 10.0


class Want(NamedTuple):
    A: float
    lasts_s: float


class Send(NamedTuple):
    """What the account has to send goes out."""


class Carry(NamedTuple):
    """The charger deals with one of the orders that it was sent, in whatever order."""

    which: int
    how: str


class Hear(NamedTuple):
    """One of its answers arrives."""

    which: int


class GiveUp(NamedTuple):
    """No answer came in time."""


class Reboot(NamedTuple):
    """The charger begins anew with its default; it may have kept what it held, or what it was sent."""

    keeps: str


class Restart(NamedTuple):
    """Driver and EvseManager begin anew."""


class Wait(NamedTuple):
    s: float


class Beat(NamedTuple):
    """Wanted, sent, dealt with, answered; mostly as it should be."""

    A: float
    lasts_s: float
    how: str
    wait_s: float


class Stuck(NamedTuple):
    """Wanted, sent, and given up."""

    A: float


Step = Stuck | Want | Send | Carry | Hear | GiveUp | Reboot | Restart | Wait | Beat
A = st.sampled_from([0.0, 8.0, 16.0, 32.0])
LASTS_S = st.sampled_from([2.0, SHORT_S, SHORT_S])
WAIT_S = st.sampled_from([0.1, 1.0, 2.3, RETRY_S / 0.9, 5.0, 8.0])
HOW = st.sampled_from(["do", "do", "do", "do", "refuse", "ignore", "do and refuse"])
STEPS = st.lists(
    st.one_of(
        *[st.builds(Beat, A, LASTS_S, HOW, WAIT_S)] * 4,
        *[st.builds(Stuck, A)] * 2,
        st.builds(Want, A, LASTS_S),
        st.builds(Send),
        *[st.builds(Carry, st.sampled_from([0, 0, -1]), HOW)] * 2,
        st.builds(Hear, st.sampled_from([0, 0, -1])),
        st.builds(Wait, WAIT_S),
        st.builds(Reboot, st.sampled_from(["nothing", "held", "sent"])),
        st.builds(Restart),
    ),
    min_size=4,
    max_size=30,
)
RATES = st.sampled_from([(1.0, 1.0), (0.9, 1.1), (1.1, 0.9)])
WORLDS = st.tuples(RATES, STEPS)
World = tuple[tuple[float, float], list[Step]]


class Bench:
    """A charger, the account of its driver, and the EVSE that counts what may flow."""

    def __init__(self, rates: tuple[float, float]) -> None:
        self.now_s = 0.0
        self.own, self.charger = rates
        self.past: list[tuple[float, float]] = [(-math.inf, DEFAULT.limit_A)]
        self.ends_s = math.inf
        self.sent: list[tuple[Account, Order, float]] = []
        self.answers: list[tuple[Account, int, bool]] = []
        self.marks = 0
        self.begin()

    def begin(self) -> None:
        self.account = Account(self.now_s * self.own, DEFAULT, SHORT_S if self.now_s else 0.0)
        self.actuator = Actuator(amount(DEFAULT.limit_A), SETTLE_S)

    def expire(self) -> None:
        if self.ends_s <= self.now_s:
            self.past.append((self.ends_s, DEFAULT.limit_A))
            self.ends_s = math.inf

    def flow_A(self) -> float:
        """The most that may flow: what was in force within the settle time."""
        spans = [*self.past, (math.inf, 0.0)]
        return max(A for (_, A), (until_s, _) in pairwise(spans) if self.now_s < until_s + SETTLE_S)

    def play(self, step: Step) -> None:
        self.expire()
        now_s = self.now_s * self.own
        match step:
            case Want(A, lasts_s):
                self.marks += 1
                command = wish(A, now_s, str(self.marks), lasts_s)
                self.actuator.tell(command.mark, amount(A), now_s + lasts_s, now_s)
                assert self.account.want(now_s, command) is None
            case Send():
                order = self.account.order(now_s)
                if order is not None:
                    self.sent.append((self.account, order, self.now_s + order.duration_s / self.charger))
            case Carry(which, how):
                if self.sent:
                    of, order, ends_s = self.sent.pop(which)
                    if how.startswith("do") and ends_s > self.now_s:
                        self.past.append((self.now_s, order.limit.limit_A))
                        self.ends_s = ends_s
                    if how != "ignore":
                        self.answers.append((of, order.number, how == "do"))
            case Hear(which):
                if self.answers:
                    of, number, accepted = self.answers.pop(which)
                    of.answer(now_s, number, accepted=accepted)
            case GiveUp():
                self.account.no_answer(now_s)
            case Reboot(keeps):
                if keeps != "held":
                    self.past.append((self.now_s, DEFAULT.limit_A))
                    self.ends_s = math.inf
                if keeps != "sent":
                    self.sent.clear()
                self.account.forget_held()
            case Restart():
                self.begin()
            case Wait(s):
                self.now_s += s
            case Beat(A, lasts_s, how, wait_s):
                self.play_all(Want(A, lasts_s), Send(), Carry(-1, how), Hear(-1), Wait(wait_s))
            case Stuck(A):
                self.play_all(Want(A, SHORT_S), Send(), GiveUp(), Wait(RETRY_S / 0.9))

    def play_all(self, *steps: Step) -> None:
        for step in steps:
            self.play(step)
            self.look()

    def look(self) -> None:
        """A reading is made and heard, and what is counted compared with what may flow."""
        self.expire()
        now_s = self.now_s * self.own
        self.actuator.read(now_s, reading(now_s, mark=self.account.mark(now_s)))
        committed = self.actuator.committed(now_s)
        if committed is not None:
            flow_A = self.flow_A()
            assert flow_A <= committed.import_A, f"{flow_A} A may flow, counted {committed.text()}"


def amount(A: float) -> Amount:
    return Amount(A, A * 690.0)


def counts_enough(world: World) -> None:
    rates, steps = world
    Bench(rates).play_all(Beat(0.0, SHORT_S, "do", 3.0), *steps)


@given(WORLDS)
def test_what_a_charger_lets_flow_is_never_more_than_its_evse_counts(world: World) -> None:
    counts_enough(world)


SLOW = (1.1, 0.9)
"""The charger's clock lets everything last longer than ours says."""
LONG = Wait(2.3)
"""A settle time."""


@pytest.mark.parametrize(
    ("method", "before", "after", "story"),
    [
        (
            "order",
            "min(now_s + duration_s * STRETCH, wanted.over_s)",
            "now_s + duration_s",
            [Beat(32, SHORT_S, "do", 8.0), Want(8, SHORT_S), Wait(1.2), Wait(2.7)],
        ),
        ("order", "if o.answered)", ")", [Stuck(32), Beat(8, SHORT_S, "do", 2.3), Carry(0, "do")]),
        (
            "__init__",
            "(former,)",
            "()",
            [Stuck(32), Restart(), Beat(8, SHORT_S, "do", 2.3), Carry(0, "do")],
        ),
        (
            "answer",
            "if in_time:  # else",
            "if True:  # else",
            [
                *(Want(32, SHORT_S), Send(), Carry(-1, "do"), GiveUp(), Wait(RETRY_S / 0.9)),
                *(Beat(16, SHORT_S, "do", 0.1), Want(8, SHORT_S), Send(), Hear(0)),
                *(Carry(-1, "ignore"), Wait(8.0), LONG),
            ],
        ),
        (
            "answer",
            "if accepted and any",
            "if any",
            [Beat(32, SHORT_S, "do", 0.1), Beat(8, SHORT_S, "refuse", 2.3)],
        ),
        (
            "answer",
            "elif not accepted:",
            "else:\n        self._orders = tuple(o for o in self._orders if o.number != number)",
            [Beat(32, SHORT_S, "do and refuse", 0.1), Want(8, SHORT_S), LONG],
        ),
        (
            "no_answer",
            "self._under_way, self._retry_s =",
            "self._orders = self._orders[:-1]\n        self._under_way, self._retry_s =",
            [Want(32, SHORT_S), Send(), Carry(-1, "do"), GiveUp(), Want(8, SHORT_S), LONG],
        ),
        (
            "forget_held",
            "self._held = None",
            "self._held, self._orders = None, ()",
            [Beat(32, SHORT_S, "do", 0.1), Reboot("held"), Want(8, SHORT_S), LONG],
        ),
        (
            "mark",
            "min(self._left(now_s)",
            "max(self._left(now_s)",
            [Beat(32, SHORT_S, "do", 0.1), Want(8, SHORT_S), Send(), LONG],
        ),
        ("mark", "if oldest is not None", "if False", [Beat(32, SHORT_S, "do", 0.1), Want(8, SHORT_S), LONG]),
        (
            "want",
            "if wanted.covers(order)",
            "if order.limit.fits(wanted.limit)",
            [Beat(32, SHORT_S, "do", 0.1), Want(32, 2.0), Wait(5.0)],
        ),
        (
            "want",
            "if wanted.covers(order)",
            "if order.over_s <= wanted.over_s",
            [Beat(32, SHORT_S, "do", 0.1), Want(8, SHORT_S), LONG],
        ),
    ],
)
def test_a_rule_left_out_lets_more_flow_than_is_counted(
    monkeypatch: pytest.MonkeyPatch, method: str, before: str, after: str, story: list[Step]
) -> None:
    counts_enough((SLOW, story))
    monkeypatch.setattr(Account, method, mutated(getattr(Account, method), before, after))
    with pytest.raises(AssertionError, match="may flow"):
        counts_enough((SLOW, story))
