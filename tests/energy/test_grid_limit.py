"""A grid operator's limit: each state and each way from one to another, with the clock in the test's hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.external import (
    CancelDelay,
    ClearLimits,
    ExternalSources,
    Heartbeat,
    SetLimits,
    SourceConfig,
    SourceRefusedError,
)
from actors.energy.grid_limit import (
    INIT_S,
    LIMIT_WAIT_S,
    WRITE_WINDOW_S,
    GridLimit,
    GridLimitConfig,
    minimum_power_W,
)
from actors.energy.types import ExternalLimits, LimitsReq, NumberWithSource
from tests.energy.builders import entry, short, stamp

TIMEOUT_S = 120.0
MINIMUM_S = 2 * 3600.0
Way = tuple[list[tuple[float, str]], float]
BEAT, LIMIT, LIFT, SHORTLY = "beat", "limit", "lift", "limit for 30 s"

# How each state is reached, as (seconds, event); at last the time at which it is entered.
INIT: Way = ([], 0.0)
LIMITED: Way = ([(10, BEAT), (11, LIMIT)], 11.0)
CONTROLLED: Way = ([(10, BEAT), (11, LIFT)], 11.0)
FAILSAFE: Way = ([(10, BEAT), (11, LIMIT)], 10.0 + TIMEOUT_S)
AUTONOMOUS: Way = ([], INIT_S)
STATES = {
    "init": INIT,
    "limited": LIMITED,
    "unlimited/controlled": CONTROLLED,
    "failsafe": FAILSAFE,
    "unlimited/autonomous": AUTONOMOUS,
}
HOLDS = {
    "init": "failsafe",
    "limited": "limit",
    "unlimited/controlled": "nothing",
    "failsafe": "failsafe",
    "unlimited/autonomous": "nothing",
}

# From a state, by events some seconds after it was entered, to a state; "refused": the last event was.
TRANSITIONS = [
    # A begin
    ("init", [], INIT_S - 0.1, "init"),
    ("init", [], INIT_S, "unlimited/autonomous"),
    ("init", [(5, BEAT), (6, LIMIT)], 6, "limited"),
    ("init", [(5, BEAT), (6, LIFT)], 6, "unlimited/controlled"),
    ("init", [(5, BEAT), (5 + WRITE_WINDOW_S, LIMIT)], 5 + WRITE_WINDOW_S, "limited"),
    ("init", [(5, BEAT), (6 + WRITE_WINDOW_S, LIMIT)], 6 + WRITE_WINDOW_S, "init, refused"),
    ("init", [(5, LIMIT)], 5, "init, refused"),
    ("init", [(5, LIFT)], 5, "init, refused"),
    ("init", [(5, BEAT), (60, BEAT)], INIT_S - 0.1, "init"),
    ("init", [(5, BEAT), (60, BEAT)], INIT_S, "unlimited/autonomous"),
    # Limited
    ("limited", [(5, LIMIT)], 5, "limited"),
    ("limited", [(5, LIFT)], 5, "unlimited/controlled"),
    ("limited", [(5, SHORTLY)], 34.9, "limited"),
    ("limited", [(5, SHORTLY)], 35, "unlimited/controlled"),
    ("limited", [(5, SHORTLY), (6, LIMIT)], 60, "limited"),
    ("limited", [], TIMEOUT_S - 1.1, "limited"),
    ("limited", [], TIMEOUT_S - 1.0, "failsafe"),
    ("limited", [(100, BEAT)], 100 + TIMEOUT_S - 0.1, "limited"),
    ("limited", [(100, BEAT)], 100 + TIMEOUT_S, "failsafe"),
    ("limited", [(100, LIMIT)], TIMEOUT_S, "failsafe"),
    ("limited", [(89, SHORTLY)], TIMEOUT_S, "failsafe"),  # both at once: the safe one
    # Unlimited, but the operator is there
    ("unlimited/controlled", [(5, LIMIT)], 5, "limited"),
    ("unlimited/controlled", [(5, LIFT)], 5, "unlimited/controlled"),
    ("unlimited/controlled", [(100, LIMIT)], 100, "limited"),  # 101 s after the heartbeat: it is in control
    ("unlimited/controlled", [], TIMEOUT_S - 1.1, "unlimited/controlled"),
    ("unlimited/controlled", [], TIMEOUT_S - 1.0, "failsafe"),
    # Failsafe
    ("failsafe", [(5, LIMIT)], 5, "failsafe, refused"),
    ("failsafe", [(5, LIFT)], 5, "failsafe, refused"),
    ("failsafe", [(5, BEAT)], 6, "failsafe"),
    ("failsafe", [(5, BEAT), (6, LIMIT)], 6, "limited"),
    ("failsafe", [(5, BEAT), (6, LIFT)], 6, "unlimited/controlled"),
    ("failsafe", [(5, BEAT), (6 + WRITE_WINDOW_S, LIMIT)], 6 + WRITE_WINDOW_S, "failsafe, refused"),
    ("failsafe", [(5, BEAT), (60, BEAT)], 5 + LIMIT_WAIT_S - 0.1, "failsafe"),
    ("failsafe", [(5, BEAT), (60, BEAT)], 5 + LIMIT_WAIT_S, "unlimited/autonomous"),
    ("failsafe", [], MINIMUM_S - 0.1, "failsafe"),
    ("failsafe", [], MINIMUM_S, "unlimited/autonomous"),
    ("failsafe", [(MINIMUM_S - 50, BEAT)], MINIMUM_S, "unlimited/autonomous"),
    # Unlimited, and nobody is there
    ("unlimited/autonomous", [], 1e6, "unlimited/autonomous"),
    ("unlimited/autonomous", [(5, BEAT)], 1e6, "unlimited/autonomous"),
    ("unlimited/autonomous", [(5, LIMIT)], 5, "unlimited/autonomous, refused"),
    ("unlimited/autonomous", [(5, BEAT), (6, LIMIT)], 6, "limited"),
    ("unlimited/autonomous", [(5, BEAT), (6, LIFT)], 6, "unlimited/controlled"),
]


def do(machine: GridLimit, now_s: float, event: str) -> bool:
    """Whether it was taken."""
    machine.tick(now_s)
    try:
        if event == BEAT:
            machine.heartbeat(now_s)
        else:
            machine.limit(now_s, active=event != LIFT, for_s=30.0 if event == SHORTLY else None)
    except SourceRefusedError:
        return False
    return True


def reached(state: str) -> tuple[GridLimit, float]:
    events, entered_s = STATES[state]
    machine = GridLimit(GridLimitConfig(), 0.0)
    for at_s, event in events:
        assert do(machine, at_s, event)
    machine.tick(entered_s)
    assert machine.state == state
    return machine, entered_s


@pytest.mark.parametrize("state", STATES)
def test_in_each_state_holds_what_lpc_says(state: str) -> None:
    assert reached(state)[0].holds() == HOLDS[state]


@pytest.mark.parametrize(("before", "events", "after_s", "after"), TRANSITIONS)
def test_each_transition(before: str, events: list[tuple[float, str]], after_s: float, after: str) -> None:
    machine, entered_s = reached(before)
    taken = True
    for at_s, event in events:
        taken = do(machine, entered_s + at_s, event)
    machine.tick(entered_s + after_s)
    assert machine.state + ("" if taken else ", refused") == after


def test_the_table_has_each_transition_of_lpc() -> None:
    known = {(before, after) for before, _, _, after in TRANSITIONS if before != after}
    assert {
        ("init", "limited"),
        ("init", "unlimited/controlled"),
        ("init", "unlimited/autonomous"),
        ("limited", "unlimited/controlled"),
        ("limited", "failsafe"),
        ("unlimited/controlled", "limited"),
        ("unlimited/controlled", "failsafe"),
        ("failsafe", "limited"),
        ("failsafe", "unlimited/controlled"),
        ("failsafe", "unlimited/autonomous"),
        ("unlimited/autonomous", "limited"),
        ("unlimited/autonomous", "unlimited/controlled"),
    } == {pair for pair in known if "refused" not in pair[1]}


def test_what_was_heard_before_the_failsafe_does_not_lead_out_of_it() -> None:
    machine = GridLimit(GridLimitConfig(heartbeat_timeout_s=3.0), 0.0)
    assert do(machine, 1.0, BEAT)
    assert do(machine, 2.0, LIMIT)
    assert not do(machine, 5.0, LIFT)
    assert machine.state == "failsafe"
    assert do(machine, 6.0, BEAT)
    assert do(machine, 7.0, LIFT)


def test_a_late_tick_leads_to_where_many_would_have() -> None:
    late, _ = reached("limited")
    often, entered_s = reached("limited")
    for second in range(9_000):
        often.tick(entered_s + second)
    told = late.tick(entered_s + 8_999)
    assert late.state == often.state == "unlimited/autonomous"
    assert [line.rpartition(": ")[2] for line in told] == ["failsafe", "unlimited/autonomous"]


EVENTS = st.lists(
    st.tuples(st.floats(0.0, 400.0), st.sampled_from([BEAT, LIMIT, LIFT, SHORTLY, ""])), max_size=30
)


@given(EVENTS)
def test_whatever_comes_a_silent_operator_leaves_no_site_unlimited_that_he_controlled(
    events: list[tuple[float, str]],
) -> None:
    machine = GridLimit(GridLimitConfig(), 0.0)
    now_s, heard_s, before = 0.0, -1e9, machine.state
    for after_s, event in events:
        now_s += after_s
        machine.tick(now_s)
        if machine.state in ("limited", "unlimited/controlled"):
            assert now_s - heard_s < TIMEOUT_S
        in_failsafe = machine.state == "failsafe"
        if event:
            do(machine, now_s, event)
        if event == BEAT:
            heard_s = now_s
            assert not in_failsafe or machine.state == "failsafe"  # a heartbeat alone leads nowhere
        if before not in ("limited", "unlimited/controlled") and machine.state == "limited":
            assert now_s - heard_s <= WRITE_WINDOW_S
        before = machine.state
        due_s = machine.due_s()
        assert (due_s is None) == (machine.state == "unlimited/autonomous")
        assert due_s is None or due_s > now_s


@pytest.mark.parametrize(
    ("devices", "watts"),
    [
        (1, 4200),
        (2, 7560),
        (3, 10500),
        (4, 13020),
        (5, 15120),
        (6, 16800),
        (7, 18060),
        (8, 18900),
        (9, 19320),
    ],
)
def test_14a_enwg_leaves_devices_a_minimum(devices: int, watts: float) -> None:
    assert minimum_power_W(devices) == pytest.approx(watts)


def test_of_more_than_nine_devices_the_factor_stays_and_may_be_told() -> None:
    assert minimum_power_W(100) == pytest.approx(4200 + 99 * 0.45 * 4200)
    assert minimum_power_W(3, 0.5) == pytest.approx(4200 + 2 * 0.5 * 4200)


# --- as a source of a node ---------------------------------------------------------------------------


def operator(**config: float) -> ExternalSources:
    made = GridLimitConfig(**config)  # type: ignore[arg-type]
    failsafe = short(total_power_W=max(made.failsafe_W, made.floor_W()))
    return ExternalSources((SourceConfig(name="dso", failsafe=failsafe, grid=made),), 0.0)


def watts(held: ExternalSources) -> float | None:
    in_force = dict(held.in_force()).get("dso")
    if in_force is None:
        return None
    (one,) = in_force.schedule_import
    assert one.limits_to_root.total_power_W is not None
    return one.limits_to_root.total_power_W.value


def test_the_source_follows_the_states_and_says_what_changed() -> None:
    held = operator()
    assert (watts(held), held.status(0.0)[0].state, held.due_s()) == (4200.0, "init", INIT_S)
    version = held.version
    held.step(1.0, Heartbeat(source="dso"))
    held.step(2.0, SetLimits(source="dso", limits=short(total_power_W=6000.0), for_s=60.0))
    assert (watts(held), held.status(2.0)[0].ends_in_s) == (6000.0, 60.0)
    assert held.version > version
    assert held.tick(62.0) == ["grid operator dso: the time of the limit is over: unlimited/controlled"]
    assert watts(held) is None
    assert held.tick(121.0) == ["grid operator dso: silent for 120 s: failsafe"]
    assert watts(held) == 4200.0
    with pytest.raises(SourceRefusedError, match="no heartbeat within the last 60 s"):
        held.step(122.0, ClearLimits(source="dso"))
    assert watts(held) == 4200.0
    held.step(123.0, Heartbeat(source="dso"))
    held.step(124.0, ClearLimits(source="dso"))
    assert watts(held) is None
    assert held.status(124.0)[0].state == "unlimited/controlled"


def test_what_is_no_limit_of_imported_power_is_refused_and_changes_nothing() -> None:
    held = operator()
    held.step(1.0, Heartbeat(source="dso"))
    leaf = ExternalLimits(schedule_import=(entry(stamp(0), leaf_W=5000.0),))
    for limits in (short(ac_max_current_A=5.0), short(export_total_power_W=5.0), short(setpoint_W=5.0), leaf):
        with pytest.raises(SourceRefusedError, match="grid operator's limit"):
            held.step(2.0, SetLimits(source="dso", limits=limits))
    assert held.status(2.0)[0].state == "init"


def test_empty_schedules_lift_the_limit() -> None:
    held = operator()
    held.step(1.0, Heartbeat(source="dso"))
    held.step(2.0, SetLimits(source="dso", limits=ExternalLimits()))
    assert held.status(2.0)[0].state == "unlimited/controlled"


def test_no_limit_is_lower_than_what_the_law_leaves() -> None:
    held = operator(devices=2)
    assert watts(held) == pytest.approx(7560)
    held.step(1.0, Heartbeat(source="dso"))
    held.step(2.0, SetLimits(source="dso", limits=short(total_power_W=0.0)))
    assert watts(held) == pytest.approx(7560)
    held.step(3.0, SetLimits(source="dso", limits=short(total_power_W=9000.0)))
    assert watts(held) == 9000.0
    in_force = dict(held.in_force())["dso"].schedule_import[0].limits_to_root
    assert in_force == LimitsReq(total_power_W=NumberWithSource(9000.0, "test"))


def test_after_a_restart_the_operator_begins_anew() -> None:
    held = operator()
    held.step(1.0, Heartbeat(source="dso"))
    held.step(2.0, SetLimits(source="dso", limits=short(total_power_W=1000.0)))
    saved = held.save(3.0, 0)
    assert saved.sources == ()
    again = operator()
    again.restore(saved, 4.0, 0)
    assert (watts(again), again.status(4.0)[0].state) == (4200.0, "init")


def test_what_another_kind_of_source_of_that_name_had_set_is_not_taken_up() -> None:
    other = ExternalSources((), 0.0)
    other.step(0.0, SetLimits(source="dso", limits=short(total_power_W=99000.0)))
    again = operator()
    again.restore(other.save(1.0, 0), 2.0, 0)
    assert watts(again) == 4200.0


# --- the random delay --------------------------------------------------------------------------------


def delayed(most_s: float = 600.0) -> ExternalSources:
    return ExternalSources((SourceConfig(name="dso", random_delay_s=most_s),), 0.0)


def lowest_W(held: ExternalSources) -> float | None:
    """What all that is in force allows together."""
    found = [
        limit.value
        for _, limits in held.in_force()
        for one in limits.schedule_import
        if (limit := one.limits_to_root.total_power_W) is not None
    ]
    return min(found, default=None)


def test_a_raise_is_delayed_and_what_is_lower_holds_at_once() -> None:
    held = delayed()
    held.step(0.0, SetLimits(source="dso", limits=short(total_power_W=4000.0)))
    assert lowest_W(held) == 4000.0
    held.step(1.0, SetLimits(source="dso", limits=short(total_power_W=9000.0)))
    left_s = held.status(1.0)[0].delayed_s
    assert left_s is not None
    assert 0.0 < left_s <= 600.0
    assert held.due_s() == pytest.approx(1.0 + left_s)
    held.tick(1.0 + left_s / 2)
    assert lowest_W(held) == 4000.0
    held.step(2.0 + left_s / 2, SetLimits(source="dso", limits=short(total_power_W=3000.0)))
    assert lowest_W(held) == 3000.0
    version = held.version
    assert "the random delay of source dso is over" in held.tick(1.0 + left_s)
    assert held.version > version
    assert lowest_W(held) == 3000.0


def test_a_delay_can_be_cancelled_once() -> None:
    held = delayed()
    with pytest.raises(SourceRefusedError, match="nothing is delayed"):
        held.step(0.0, CancelDelay(source="dso"))
    held.step(0.0, SetLimits(source="dso", limits=short(total_power_W=4000.0), for_s=10.0))
    held.tick(10.0)
    assert lowest_W(held) == 4000.0
    version = held.version
    held.step(11.0, CancelDelay(source="dso"))
    assert held.version > version
    assert lowest_W(held) is None
    assert held.status(11.0)[0].delayed_s is None


def test_delays_are_spread_over_the_whole_time() -> None:
    drawn = []
    for site in range(200):
        held = delayed()
        now_s = 1000.0 + site * 0.000001
        held.step(now_s, SetLimits(source="dso", limits=short(total_power_W=4000.0)))
        held.step(now_s, ClearLimits(source="dso"))
        left_s = held.status(now_s)[0].delayed_s
        assert left_s is not None
        drawn.append(left_s)
    assert min(drawn) < 60.0
    assert max(drawn) > 540.0
    assert 200.0 < sum(drawn) / len(drawn) < 400.0


def test_however_often_it_changes_few_are_held_and_all_end() -> None:
    held = delayed()
    for n in range(1000):
        held.step(n * 0.01, SetLimits(source="dso", limits=short(total_power_W=1000.0 + n)))
    assert len(held.in_force()) <= 9
    held.tick(700.0)
    assert len(held.in_force()) == 1


def test_also_a_grid_operators_failsafe_is_left_with_a_delay() -> None:
    made = SourceConfig(
        name="dso", failsafe=short(total_power_W=4200.0), grid=GridLimitConfig(), random_delay_s=600.0
    )
    held = ExternalSources((made,), 0.0)
    held.tick(INIT_S)
    assert held.status(INIT_S)[0].state == "unlimited/autonomous"
    assert lowest_W(held) == 4200.0
    held.tick(INIT_S + 600.0)
    assert lowest_W(held) is None
