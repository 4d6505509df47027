"""A charger that runs EVerest: what it is told, what counts as in force, and when nothing does."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.drivers.account import Account, Limit
from actors.drivers.chargers import Served
from actors.drivers.everest import evse as module
from actors.drivers.everest.charger_clock import FRESH_S, ChargerClock
from actors.drivers.everest.evse import EverestEvse
from actors.drivers.everest.messages import HEARD, MessageError, written
from actors.energy.ledger import RHO
from actors.energy.messages import Actuate
from actors.energy.modules import EvseManagerConfig
from tests.energy.builders import assert_caught, mutated

LONGEST_S, REACTION_S = 14.0, 2.0
WALL_MS = 1_795_000_000_123
FUSE_A = 32.0


class Charger:
    """EVerest's side: the schedule that it was given last, carried out by its own wall clock."""

    def __init__(self, now_s: float, wall_s: float) -> None:
        self.behind_s = wall_s - now_s
        self.schedule: list[dict[str, Any]] = []
        self.idle = False
        """Something else lets nothing through for now, and is what is enforced."""

    def take(self, message: bytes | None) -> None:
        if message is not None:
            self.schedule = json.loads(message)["schedule_import"]

    def allows_A(self, now_s: float) -> float:
        allowed_A = FUSE_A
        for n, entry in enumerate(self.schedule):
            begins_s = datetime.fromisoformat(entry["timestamp"]).timestamp()
            if n == 0 or begins_s <= now_s + self.behind_s:
                allowed_A = min(FUSE_A, entry["limits_to_root"]["ac_max_current_A"]["value"])
        return allowed_A

    def enforces(self, now_s: float, **limits: float) -> bytes:
        current_A = 0.0 if self.idle else limits.get("A", self.allows_A(now_s))
        content = {
            "uuid": "x",
            "valid_for": 10,
            "limits_root_side": {"ac_max_current_A": {"value": current_A, "source": ""}},
            "schedule": [{"timestamp": entry["timestamp"], "limits_to_root": {}} for entry in self.schedule],
        }
        return json.dumps(content).encode()

    def session(self, now_s: float, state: str = "Charging") -> bytes:
        stamp = written(round((now_s + self.behind_s) * 1000))
        return json.dumps({"state": state, "timestamp": stamp}).encode()


def served(fallback_A: float = 0.0, **config: Any) -> Served:
    return Served(
        evse_id="evse",
        charger="evse",
        config=EvseManagerConfig(driver="everest", fallback_limit_A=fallback_A, **config),
        phases=3,
        voltage_V=230.0,
        longest_s=LONGEST_S,
    )


class Bench:
    """An EVSE and its charger, some time after the beginning."""

    def __init__(self, fallback_A: float = 0.0, wall_s: float = 1.8e9, **config: Any) -> None:
        self.now_s = 100.0
        self.evse = EverestEvse(self.now_s, served(fallback_A, **config), REACTION_S)
        self.charger = Charger(self.now_s, wall_s)
        self.marks = 0
        self.kept: bytes | None = None
        """By the broker."""
        self.loses = False
        """The next order."""
        self.now_s += 30.0
        self.hear("heartbeat", b"5")
        self.begin()

    def begin(self) -> None:
        """It is told its default, or was by the broker, and confirms that."""
        self.charger.take(self.kept)
        self.tell()
        self.hear("enforced_limits", self.charger.enforces(self.now_s))

    def hear(self, what: str, payload: bytes) -> None:
        self.evse.hear(self.now_s, what, payload)

    def shows_clock(self) -> None:
        self.hear("session_info", self.charger.session(self.now_s))

    def want(self, limit_A: float, duration_s: float = 10.0) -> str:
        self.marks += 1
        mark = f"m{self.marks}"
        refused = self.evse.want(
            self.now_s,
            Actuate(t_echo_s=self.now_s, duration_s=duration_s, mark=mark, limit_A=limit_A, phase_count=3),
        )
        assert refused is None
        return mark

    def tell(self) -> bool:
        """Whether an order went out."""
        default = self.evse.default_message(self.now_s, WALL_MS)
        if default is not None:  # which the broker keeps, and passes on for sure
            self.kept = default
            self.charger.take(default)
        message = self.evse.order(self.now_s, WALL_MS)
        if message is not None and self.loses:
            self.loses = False
        else:
            self.charger.take(message)
        return message is not None

    def holding(self, limit_A: float) -> Bench:
        """It holds this, as it has confirmed."""
        self.shows_clock()
        self.want(limit_A)
        assert self.tell()
        self.hear("enforced_limits", self.charger.enforces(self.now_s))
        self.now_s += 1.0
        self.shows_clock()
        return self

    def mark(self) -> str:
        reading = self.evse.reading(self.now_s)
        assert reading is not None
        return reading.mark


def test_a_limit_is_told_with_its_end_on_the_chargers_clock_and_the_fallback_after_it() -> None:
    bench = Bench(fallback_A=6.0, wall_s=1.0e9)
    bench.shows_clock()
    bench.want(16.0)
    assert bench.tell()
    now, end = bench.charger.schedule
    assert [e["limits_to_root"]["ac_max_current_A"]["value"] for e in (now, end)] == [16.0, 6.0]
    ends_s = datetime.fromisoformat(end["timestamp"]).timestamp() - bench.charger.behind_s
    assert ends_s == pytest.approx(bench.now_s + 10.0 - REACTION_S, abs=0.01)
    assert ends_s <= bench.now_s + 10.0 - REACTION_S
    assert bench.charger.allows_A(bench.now_s) == 16.0
    assert bench.charger.allows_A(ends_s + 0.01) == 6.0


def test_an_order_is_in_force_when_its_end_stands_in_what_is_enforced() -> None:
    bench = Bench().holding(16.0)
    before = bench.charger.enforces(bench.now_s)
    mark = bench.want(10.0)
    assert bench.tell()
    bench.hear("enforced_limits", before)
    assert bench.mark() != mark
    bench.hear("enforced_limits", bench.charger.enforces(bench.now_s))
    assert bench.mark() == mark
    reading = bench.evse.reading(bench.now_s)
    assert reading is not None
    assert (reading.limit_A, reading.limit_ends_in_s) == (10.0, 10.0)


def test_another_limit_that_binds_does_not_hide_that_an_order_is_in_force() -> None:
    bench = Bench().holding(16.0)
    mark = bench.want(10.0)
    bench.tell()
    bench.hear("enforced_limits", bench.charger.enforces(bench.now_s, A=0.0))
    assert bench.mark() == mark


def test_a_charger_that_enforces_more_than_it_was_told_confirms_nothing() -> None:
    bench = Bench(fallback_A=6.0).holding(16.0)
    mark = bench.want(10.0)
    bench.tell()
    bench.hear("enforced_limits", bench.charger.enforces(bench.now_s, A=16.0))
    assert bench.mark() != mark
    reading = bench.evse.reading(bench.now_s)
    assert reading is not None
    assert reading.fault == "enforces 16 A, told 10 A"


def test_the_random_delay_confirms_nothing() -> None:
    bench = Bench().holding(16.0)
    mark = bench.want(10.0)
    bench.tell()
    bench.hear("random_delay_countdown", b'{"countdown_s": 300}')
    bench.hear("enforced_limits", bench.charger.enforces(bench.now_s))
    assert bench.mark() != mark
    bench.hear("random_delay_countdown", b'{"countdown_s": 0}')
    bench.hear("enforced_limits", bench.charger.enforces(bench.now_s))
    assert bench.mark() == mark


def test_nobody_is_raised_while_the_chargers_clock_is_not_known_and_lowering_needs_none() -> None:
    bench = Bench(fallback_A=6.0)
    bench.want(16.0)
    assert not bench.tell()
    bench.shows_clock()
    assert bench.tell()
    bench.hear("enforced_limits", bench.charger.enforces(bench.now_s))
    bench.now_s += FRESH_S + 1.0
    bench.hear("heartbeat", b"6")
    bench.want(20.0)
    assert not bench.tell()
    bench.want(0.0)
    assert bench.tell()
    assert bench.charger.allows_A(bench.now_s + 1e6) == 0.0


def test_nothing_is_told_nor_a_mark_borne_before_the_charger_has_its_default() -> None:
    bench = Bench(fallback_A=6.0)
    bench.evse.lose(bench.now_s)
    bench.hear("heartbeat", b"6")
    bench.shows_clock()
    bench.want(0.0)
    bench.hear("enforced_limits", bench.charger.enforces(bench.now_s))  # of before
    assert bench.evse.default_message(bench.now_s, WALL_MS) is not None
    assert bench.evse.default_message(bench.now_s, WALL_MS) is None, "once is enough for a while"
    assert not bench.tell()
    assert bench.mark() == ""
    reading = bench.evse.reading(bench.now_s)
    assert reading is not None
    assert reading.fault == "it has not confirmed its fallback yet"
    bench.now_s += module.CONFIRM_S + REACTION_S
    bench.hear("heartbeat", b"7")
    bench.begin()
    assert bench.tell()


def test_a_charger_that_began_anew_is_told_its_default_and_then_all_again() -> None:
    bench = Bench().holding(16.0)
    bench.want(16.0)
    assert not bench.tell(), "it holds that"
    bench.charger.schedule = []
    bench.hear("heartbeat", b"0")
    bench.want(16.0)
    assert not bench.tell()
    assert bench.mark() == ""
    bench.begin()
    assert bench.charger.allows_A(bench.now_s) == 0.0
    assert bench.tell()
    assert bench.charger.allows_A(bench.now_s) == 16.0


def test_a_clock_that_was_set_back_is_told_the_default_and_then_anew() -> None:
    bench = Bench().holding(16.0)
    bench.want(16.0)
    assert not bench.tell(), "it holds that"
    bench.charger.behind_s -= 3600.0
    assert bench.charger.allows_A(bench.now_s + 1000.0) == 16.0, "it would hold that for an hour"
    bench.shows_clock()
    assert not bench.tell()
    assert bench.charger.allows_A(bench.now_s) == 0.0
    bench.hear("enforced_limits", bench.charger.enforces(bench.now_s))
    assert bench.tell()
    assert bench.charger.allows_A(bench.now_s) == 16.0
    assert bench.charger.allows_A(bench.now_s + 10.0) == 0.0


@pytest.mark.parametrize("what", HEARD)
@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"null", b'"x"', b'{"timestamp": 1}', b"[" * 9_000, b"\xff", b"1e999", b"{}"],
)
def test_garbage_is_refused_and_confirms_nothing(what: str, payload: bytes) -> None:
    bench = Bench().holding(16.0)
    mark = bench.want(6.0)
    assert bench.tell()
    try:
        bench.hear(what, payload)
    except MessageError as error:
        assert str(error)  # noqa: PT017 - whether it is refused depends on what it is for
    assert bench.mark() != mark
    assert not bench.tell()


def test_what_its_car_does() -> None:
    bench = Bench()

    def shows(state: str) -> tuple[bool, bool, bool]:
        bench.hear("session_info", bench.charger.session(bench.now_s, state))
        reading = bench.evse.reading(bench.now_s)
        assert reading is not None
        assert reading.contactor_closed == reading.plugged_in, "nothing else shows that it is open"
        return reading.plugged_in, reading.car_asks, reading.complete

    assert shows("Charging") == (True, True, False)
    assert shows("ChargingPausedEV") == (True, False, False)
    assert shows("ChargingPausedEVSE") == (True, True, False)
    assert shows("AuthRequired") == (True, False, True), "it takes nothing until somebody may charge"
    assert shows("Unplugged") == (True, False, True), "EVerest says that also when it is enabled"
    bench.hear("session_event", b'{"event": "SessionFinished"}')
    assert shows("Unplugged") == (False, False, True)
    bench.hear("session_event", b'{"event": "SessionStarted"}')
    assert shows("Preparing") == (True, False, False)


# --- never more than what counts ------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.1, 4.0)),
        st.tuples(st.just("want"), st.sampled_from([0.0, 6.0, 10.0, 16.0, 32.0])),
        st.tuples(st.just("set"), st.floats(-4000.0, 4000.0)),
        st.tuples(st.just("lost"), st.just(0.0)),
        st.tuples(st.just("late"), st.floats(0.0, 3.0)),
        st.tuples(st.just("restart"), st.just(0.0)),
        st.tuples(st.just("delay"), st.just(0.0)),
        st.tuples(st.just("idle"), st.just(0.0)),
    ),
    max_size=40,
)


def check(steps: list[tuple[str, float]]) -> None:
    """Through all of it the charger allows no more than the most that the account counts with, once its former
    life is over. Its clock is set and its messages are late or lost as they like; it is heard again before a
    clock that was set plays a part."""
    bench = Bench()
    bench.shows_clock()
    delayed = False
    for what, value in steps:
        match what:
            case "wait":
                bench.now_s += value
                bench.hear("heartbeat", b"6")
                bench.shows_clock()
            case "want":
                bench.want(value)
            case "set":
                bench.charger.behind_s += value
                bench.shows_clock()
                bench.tell()
            case "lost":
                bench.loses = True
            case "late":
                told = bench.charger.session(bench.now_s)
                bench.now_s += value
                bench.hear("session_info", told)
            case "restart":
                bench.hear("heartbeat", b"0")
                bench.begin()
            case "idle":
                bench.charger.idle = not bench.charger.idle
            case "delay":
                delayed = not delayed
                bench.hear("random_delay_countdown", json.dumps({"countdown_s": int(delayed)}).encode())
        bench.tell()
        bench.hear("enforced_limits", bench.charger.enforces(bench.now_s))
        bench.tell()
        most_A = bench.evse.account.most(bench.now_s).limit_A
        assert bench.charger.allows_A(bench.now_s) <= most_A
    for after_s in (5.0, 12.0, 20.0):
        assert (
            bench.charger.allows_A(bench.now_s + after_s)
            <= bench.evse.account.most(bench.now_s + after_s).limit_A
        )


@given(STEPS)
@settings(max_examples=200)
def test_it_never_allows_more_than_what_is_counted_with(steps: list[tuple[str, float]]) -> None:
    check(steps)


@pytest.mark.parametrize(
    ("owner", "method", "before", "after"),
    [
        (EverestEvse, "order", "order.ends_s - now_s", "order.ends_s + 10.0 - now_s"),
        (EverestEvse, "_enforces", "if sent.stamp_ms in stamps", "if True"),
        (ChargerClock, "shows", "self._known = stamp_s", "self._known = max(stamp_s, expected_s)"),
    ],
    ids=["ends late", "any enforced limits confirm", "a clock never goes back"],
)
def test_mutants_are_caught(
    owner: type, method: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, method, mutated(getattr(owner, method), before, after))
    assert_caught(check, STEPS)


def test_the_account_tells_what_is_wanted() -> None:
    account = Account(0.0, served().default, LONGEST_S)
    assert account.wanted() is None
    account.want(1.0, Actuate(t_echo_s=0.5, duration_s=9.0, limit_A=7.0, phase_count=3))
    assert account.wanted() == Limit(7.0, None, 3)


@given(
    rate=st.floats((1 - RHO) / (1 + RHO), (1 + RHO) / (1 - RHO)),
    under_way_s=st.floats(0.0, 5.0),
    age_s=st.floats(0.0, FRESH_S),
    offset_s=st.floats(-1e8, 1e8),
)
def test_a_clock_never_shows_less_than_what_is_taken_for_it(
    rate: float, under_way_s: float, age_s: float, offset_s: float
) -> None:
    clock = ChargerClock()
    assert clock.shown_s(0.0) is None
    clock.shows(100.0, 1.8e9 + offset_s - under_way_s * rate)
    shown_s = clock.shown_s(100.0 + age_s)
    assert shown_s is not None
    assert shown_s <= 1.8e9 + offset_s + age_s * rate + 1e-3
    assert clock.shown_s(100.0 + FRESH_S + 0.1) is None
