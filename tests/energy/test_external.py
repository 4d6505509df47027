from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.energy import external_checks
from actors.energy.external import (
    MAX_SOURCES,
    ClearLimits,
    ExternalSources,
    Heartbeat,
    SavedSources,
    SetLimits,
    ShortLimits,
    SourceConfig,
    SourceRefusedError,
    short_form,
)
from actors.energy.external_checks import MAX_ENTRIES, MAX_ENTRIES_IN_ALL, check_limits
from actors.energy.market import RequestError, allocate
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    ExternalLimits,
    FrequencyWattPoint,
    IntegerWithSource,
    LimitsReq,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
    SetpointType,
)
from tests.energy.builders import WALL_US, assert_caught, entry, short, stamp

TEN = short(ac_max_current_A=10.0)
TWENTY = short(ac_max_current_A=20.0)
NOTHING_ALLOWED = short(ac_max_current_A=0.0, total_power_W=0.0)


def sources(*declared: SourceConfig) -> ExternalSources:
    return ExternalSources(declared, 0.0)


def in_force(held: ExternalSources) -> dict[str, ExternalLimits]:
    return dict(held.in_force())


def guarded(limits: ExternalLimits | None = None, name: str = "dso") -> SourceConfig:
    """A source that must be heard every 30 s."""
    return SourceConfig(name=name, limits=limits, heartbeat_timeout_s=30.0, failsafe=TEN)


# --- setting, clearing, running out ------------------------------------------------------------------


def test_limits_stay_until_they_are_cleared() -> None:
    held = sources()
    held.step(0.0, SetLimits(source="x", limits=TEN))
    assert held.tick(1e9) == []
    assert in_force(held) == {"x": TEN}
    assert held.due_s() is None
    held.step(1e9, ClearLimits(source="x"))
    assert in_force(held) == {}


def test_new_limits_of_a_source_replace_its_old_ones_and_leave_the_others() -> None:
    held = sources()
    held.step(0.0, SetLimits(source="x", limits=TEN, for_s=5.0))
    held.step(0.0, SetLimits(source="y", limits=TEN))
    held.step(1.0, SetLimits(source="x", limits=TWENTY))
    held.tick(10.0)
    assert in_force(held) == {"x": TWENTY, "y": TEN}


def test_limits_with_a_duration_run_out() -> None:
    held = sources()
    held.step(1.0, SetLimits(source="x", limits=TEN, for_s=5.0))
    assert held.due_s() == 6.0
    assert held.tick(5.999) == []
    assert held.tick(6.0) == ["limits of source x have run out"]
    assert in_force(held) == {}
    assert held.status(6.0) == ()


def test_a_declared_source_outlives_the_end_of_its_limits() -> None:
    held = sources(SourceConfig(name="x", limits=TEN))
    assert in_force(held) == {"x": TEN}
    held.step(0.0, SetLimits(source="x", limits=TWENTY, for_s=1.0))
    held.tick(1.0)
    assert [(s.name, s.state) for s in held.status(1.0)] == [("x", "none")]
    held.step(2.0, ClearLimits(source="x"))
    assert held.status(2.0)[0].limits is None


def test_a_limit_of_0_is_in_force() -> None:
    held = sources()
    held.step(0.0, SetLimits(source="x", limits=NOTHING_ALLOWED))
    assert in_force(held) == {"x": NOTHING_ALLOWED}
    assert held.status(0.0)[0].state == "set"


PRICE = {"timestamp": "2026-01-01T00:00:00Z", "value": -0.02, "currency": "EUR"}


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ({**PRICE, "value": True}, "value: must be a number"),
        ({**PRICE, "value": "0.3"}, "value: must be a number"),
        ({**PRICE, "value": math.nan}, "value: must be a number"),
        ({**PRICE, "currency": "€"}, "currency: must be three letters"),
        ({**PRICE, "timestamp": "soon"}, "timestamp: not an RFC 3339 timestamp"),
        ({**PRICE, "timestamp": 5}, "timestamp: not an RFC 3339 timestamp"),
        ({**PRICE, "tax": {}}, "needs timestamp, value and currency"),
        ({}, "needs timestamp, value and currency, got nothing"),
    ],
)
def test_what_is_no_price_is_refused(price: dict[str, Any], words: str) -> None:
    held = sources()
    priced = replace(entry(stamp(0)), price_per_kwh=price)
    with pytest.raises(SourceRefusedError, match=words):
        held.step(0.0, SetLimits(source="x", limits=ExternalLimits(schedule_import=(priced,))))
    fair = replace(entry(stamp(0)), price_per_kwh=PRICE)
    held.step(0.0, SetLimits(source="x", limits=ExternalLimits(schedule_export=(fair,))))


# --- heartbeat and failsafe ----------------------------------------------------------------------------


def test_a_source_that_must_be_heard_starts_in_its_failsafe() -> None:
    held = sources(guarded(TWENTY))
    assert in_force(held) == {"dso": TEN}
    assert held.status(0.0)[0].state == "failsafe"
    assert held.due_s() is None


def test_silence_leads_to_the_failsafe_at_the_timeout_and_says_so() -> None:
    held = sources(guarded())
    held.step(1.0, SetLimits(source="dso", limits=TWENTY))
    assert held.due_s() == 31.0
    assert held.tick(30.9) == []
    assert in_force(held) == {"dso": TWENTY}
    assert held.tick(31.0) == ["source dso silent for 30 s: its failsafe holds"]
    assert in_force(held) == {"dso": TEN}
    assert held.status(41.0)[0].silent_s == 40.0


def test_heartbeats_keep_limits_but_lead_out_of_no_failsafe() -> None:
    held = sources(guarded())
    held.step(0.0, SetLimits(source="dso", limits=TWENTY))
    held.step(29.0, Heartbeat(source="dso"))
    held.tick(58.0)
    assert in_force(held) == {"dso": TWENTY}
    held.tick(59.0)
    held.step(60.0, Heartbeat(source="dso"))
    held.tick(60.0)
    assert in_force(held) == {"dso": TEN}


@pytest.mark.parametrize(
    ("event", "left"),
    [(SetLimits(source="dso", limits=TWENTY), {"dso": TWENTY}), (ClearLimits(source="dso"), {})],
)
def test_new_limits_or_their_withdrawal_lead_out_of_the_failsafe(
    event: SetLimits | ClearLimits, left: dict[str, ExternalLimits]
) -> None:
    held = sources(guarded())
    held.step(100.0, event)
    assert in_force(held) == left
    held.tick(130.0)
    assert in_force(held) == {"dso": TEN}, "silent again"


def test_limits_that_run_out_in_the_failsafe_do_not_end_it() -> None:
    held = sources(guarded())
    held.step(0.0, SetLimits(source="dso", limits=TWENTY, for_s=40.0))
    held.tick(30.0)
    held.tick(40.0)
    assert in_force(held) == {"dso": TEN}


@given(
    st.lists(
        st.tuples(
            st.floats(0, 40),
            st.sampled_from([None, ClearLimits(source="dso"), Heartbeat(source="dso")])
            | st.builds(
                SetLimits,
                source=st.just("dso"),
                limits=st.just(TWENTY),
                for_s=st.none() | st.sampled_from([3.0, 50.0]),
            ),
        ),
        max_size=30,
    )
)
def test_a_high_limit_never_outlives_silence_or_its_end(events: list[tuple[float, Any]]) -> None:
    stale_limits_never_hold(events)


def stale_limits_never_hold(events: list[tuple[float, Any]]) -> None:
    held, now_s, heard_s, ends_s = sources(guarded()), 0.0, -math.inf, math.inf
    for pause_s, event in events:
        now_s += pause_s
        held.tick(now_s)
        if event is not None:
            held.step(now_s, event)
            silent = now_s >= heard_s + 30.0
            heard_s = -math.inf if isinstance(event, Heartbeat) and silent else now_s
            if isinstance(event, SetLimits):
                ends_s = math.inf if event.for_s is None else now_s + event.for_s
        if now_s >= heard_s + 30.0:
            assert in_force(held) == {"dso": TEN}
        if now_s >= ends_s:
            assert in_force(held).get("dso") in (None, TEN)


def test_a_failsafe_that_a_heartbeat_ends_is_caught_by_the_property(monkeypatch: pytest.MonkeyPatch) -> None:
    step = ExternalSources.step

    def mutant(self: ExternalSources, now_s: float, event: Any) -> str:
        if isinstance(event, Heartbeat):
            self._sources[event.source].failed = False
        return step(self, now_s, event)

    monkeypatch.setattr(ExternalSources, "step", mutant)
    beats = st.sampled_from([None, Heartbeat(source="dso"), SetLimits(source="dso", limits=TWENTY)])
    assert_caught(stale_limits_never_hold, st.lists(st.tuples(st.floats(0, 40), beats)))


def test_limits_without_an_end_are_caught_by_the_property(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExternalSources, "tick", lambda self, now_s: [])
    events = st.sampled_from([None, SetLimits(source="dso", limits=TWENTY, for_s=3.0)])
    assert_caught(stale_limits_never_hold, st.lists(st.tuples(st.floats(0, 40), events)))


# --- what counts as a change -----------------------------------------------------------------------------


def test_only_a_change_of_what_is_in_force_or_of_its_end_counts() -> None:
    held = sources(guarded())
    held.step(0.0, SetLimits(source="dso", limits=TWENTY))
    version = held.version
    held.step(1.0, SetLimits(source="dso", limits=TWENTY))
    held.step(2.0, Heartbeat(source="dso"))
    held.tick(3.0)
    assert held.version == version
    held.step(4.0, SetLimits(source="dso", limits=TWENTY, for_s=9.0))
    assert held.version == version + 1
    held.tick(13.0)
    assert held.version == version + 2


# --- refusing --------------------------------------------------------------------------------------------


def test_events_of_unknown_sources_are_refused_with_those_that_are_known() -> None:
    held = sources(guarded())
    for event in (ClearLimits(source="dsø"), Heartbeat(source="dsø")):
        with pytest.raises(SourceRefusedError, match="no source 'dsø' here; known: dso"):
            held.step(0.0, event)


@pytest.mark.parametrize("for_s", [0.0, -1.0, math.nan, math.inf])
def test_a_duration_that_is_none_is_refused(for_s: float) -> None:
    held = sources()
    with pytest.raises(SourceRefusedError, match="for_s must be above 0"):
        held.step(0.0, SetLimits(source="x", limits=TEN, for_s=for_s))
    assert held.status(0.0) == ()


def test_one_source_too_many_is_refused_but_known_ones_go_on() -> None:
    held = sources()
    for index in range(MAX_SOURCES):
        held.step(0.0, SetLimits(source=str(index), limits=TEN))
    with pytest.raises(SourceRefusedError, match="clear one first"):
        held.step(0.0, SetLimits(source="more", limits=TEN))
    held.step(0.0, SetLimits(source="0", limits=TWENTY))
    held.step(0.0, ClearLimits(source="1"))
    held.step(0.0, SetLimits(source="more", limits=TEN))


def test_entries_are_bounded_for_each_schedule_and_for_all_sources_together() -> None:
    held = sources()
    with pytest.raises(SourceRefusedError, match="schedule_import: at most 1000 entries, got 1001"):
        held.step(0.0, SetLimits(source="x", limits=_entries(MAX_ENTRIES + 1)))
    for index in range(MAX_ENTRIES_IN_ALL // MAX_ENTRIES):
        held.step(0.0, SetLimits(source=str(index), limits=_entries(MAX_ENTRIES)))
    with pytest.raises(SourceRefusedError, match="all sources together may set 4000 entries"):
        held.step(0.0, SetLimits(source="x", limits=TEN))
    held.step(0.0, SetLimits(source="0", limits=_entries(MAX_ENTRIES)))


def _entries(count: int) -> ExternalLimits:
    return ExternalLimits(schedule_import=(entry(stamp(0), A=1.0),) * count)


def _side(**limits: Any) -> ExternalLimits:
    return ExternalLimits(
        schedule_import=(
            ScheduleReqEntry(
                timestamp=stamp(0), limits_to_root=LimitsReq(), limits_to_leaves=LimitsReq(**limits)
            ),
        )
    )


def _setpoint(**setpoint: Any) -> ExternalLimits:
    values: dict[str, Any] = {"priority": 0, "source": "x", **setpoint}
    made = SetpointType(**values)
    return ExternalLimits(schedule_setpoints=(ScheduleSetpointEntry(timestamp=stamp(0), setpoint=made),))


BAD = {
    "schedule_import[0].timestamp: not an RFC 3339": ExternalLimits(schedule_import=(entry("soon", A=1.0),)),
    "schedule_import[0].timestamp: not": ExternalLimits(
        schedule_import=(entry("9999-12-31T23:59:59-01:00"),)
    ),
    "schedule_export[0].conversion_efficiency: must be 0.01 to 1, got 0.0": ExternalLimits(
        schedule_export=(entry(stamp(0), conversion_efficiency=0.0),)
    ),
    "schedule_import[0].conversion_efficiency": ExternalLimits(
        schedule_import=(entry(stamp(0), conversion_efficiency=1e-12),)
    ),
    "schedule_import[0].limits_to_root.ac_max_current_A: must be finite": ExternalLimits(
        schedule_import=(entry(stamp(0), A=math.inf),)
    ),
    "limits_to_leaves.total_power_W": _side(total_power_W=NumberWithSource(-1.0)),
    "limits_to_leaves.ac_min_current_A": _side(ac_min_current_A=NumberWithSource(math.nan)),
    "limits_to_leaves.ac_max_phase_count: must be 1, 2 or 3, got 0": _side(
        ac_max_phase_count=IntegerWithSource(0)
    ),
    "limits_to_leaves.ac_min_phase_count": _side(ac_min_phase_count=IntegerWithSource(4)),
    "limits_to_leaves.ac_number_of_active_phases": _side(ac_number_of_active_phases=0),
    "schedule_setpoints[0].setpoint.priority": _setpoint(priority=1001, ac_current_A=1.0),
    "schedule_setpoints[0].setpoint.ac_current_A": _setpoint(ac_current_A=math.nan),
    "schedule_setpoints[0].setpoint.total_power_W": _setpoint(total_power_W=math.inf),
    "setpoint.frequency_table[0].frequency_Hz": _setpoint(
        frequency_table=(FrequencyWattPoint(frequency_Hz=math.nan, total_power_W=1.0),)
    ),
    "setpoint.frequency_table: at most": _setpoint(
        frequency_table=(FrequencyWattPoint(frequency_Hz=50.0, total_power_W=1.0),) * 1001
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_what_the_market_would_refuse_is_refused_with_its_path(message: str) -> None:
    held = sources()
    with pytest.raises(SourceRefusedError) as refused:
        held.step(0.0, SetLimits(source="x", limits=BAD[message]))
    assert message in str(refused.value)
    assert held.status(0.0) == ()


numbers = st.sampled_from([-1.0, 0.0, 10.0, math.inf, math.nan, 1e300])
limits_ = st.builds(
    LimitsReq,
    total_power_W=st.none() | st.builds(NumberWithSource, numbers),
    ac_max_current_A=st.none() | st.builds(NumberWithSource, numbers),
    ac_min_current_A=st.none() | st.builds(NumberWithSource, numbers),
    ac_max_phase_count=st.none() | st.builds(IntegerWithSource, st.integers(-1, 4)),
    ac_min_phase_count=st.none() | st.builds(IntegerWithSource, st.integers(-1, 4)),
    ac_number_of_active_phases=st.none() | st.integers(-1, 4),
)
stamps = st.sampled_from([stamp(0), "garbage", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00Z"])
externals = st.builds(
    ExternalLimits,
    schedule_import=st.lists(
        st.builds(
            ScheduleReqEntry,
            timestamp=stamps,
            limits_to_root=limits_,
            limits_to_leaves=limits_,
            conversion_efficiency=st.none() | st.sampled_from([0.0, 1e-12, 0.5, 1.0, 2.0]),
        ),
        max_size=2,
    ).map(tuple),
    schedule_setpoints=st.lists(
        st.builds(
            ScheduleSetpointEntry,
            timestamp=stamps,
            setpoint=st.none()
            | st.builds(
                SetpointType,
                priority=st.sampled_from([-1, 0, 1000, 1001]),
                source=st.just("x"),
                ac_current_A=st.none() | numbers,
                total_power_W=st.none() | numbers,
            ),
        ),
        max_size=2,
    ).map(tuple),
)


@given(externals)
def test_whatever_is_taken_the_market_takes_too(limits: ExternalLimits) -> None:
    try:
        check_limits(limits)
    except SourceRefusedError:
        return
    request = EnergyFlowRequest(
        uuid="root",
        node_type=NodeType.Generic,
        children=(EnergyFlowRequest(uuid="evse", node_type=NodeType.Evse),),
        schedule_import=limits.schedule_import,
        schedule_setpoints=limits.schedule_setpoints,
    )
    try:
        tuple(allocate(request, EnergyManagerConfig(), WALL_US)[0])
    except RequestError as error:
        pytest.fail(str(error))


# --- the short form ----------------------------------------------------------------------------------------


def test_the_short_form_names_its_source_and_leaves_what_it_does_not_name_alone() -> None:
    limits = short_form(ShortLimits(total_power_W=22e3), "grid")
    [entry_] = limits.schedule_import
    assert entry_.limits_to_root == LimitsReq(total_power_W=NumberWithSource(22e3, "grid"))
    assert (limits.schedule_export, limits.schedule_setpoints) == ((), ())


def test_0_in_the_short_form_is_a_limit() -> None:
    [entry_] = short(ac_max_current_A=0.0).schedule_import
    assert entry_.limits_to_root == LimitsReq(ac_max_current_A=NumberWithSource(0.0, "test"))
    [setpoint] = short(setpoint_W=0.0).schedule_setpoints
    assert setpoint.setpoint is not None
    assert setpoint.setpoint.total_power_W == 0.0


def test_the_short_form_sets_both_directions_and_a_setpoint() -> None:
    limits = short(export_total_power_W=5e3, export_ac_max_current_A=8.0, setpoint_A=-6.0)
    assert limits.schedule_import == ()
    assert limits.schedule_export[0].limits_to_root.ac_max_current_A == NumberWithSource(8.0, "test")
    assert limits.schedule_setpoints[0].setpoint is not None
    assert limits.schedule_setpoints[0].setpoint.ac_current_A == -6.0


def test_a_setpoint_in_two_units_and_a_negative_limit_are_refused() -> None:
    with pytest.raises(SourceRefusedError, match="not both"):
        short(setpoint_A=1.0, setpoint_W=1.0)
    with pytest.raises(SourceRefusedError, match="not negative"):
        short(total_power_W=-1.0)


# --- over a restart ------------------------------------------------------------------------------------------


def restarted(saved: SavedSources, now_s: float, wall_s: float, *declared: SourceConfig) -> ExternalSources:
    """The sources of the next life; they go through the file's form."""
    read = msgspec.json.decode(msgspec.json.encode(saved), type=SavedSources)
    held = ExternalSources(declared, now_s)
    held.restore(read, now_s, round(wall_s * 1e6))
    return held


def test_limits_outlive_a_restart_until_they_are_cleared() -> None:
    held = sources()
    held.step(0.0, SetLimits(source="x", limits=TEN))
    assert in_force(restarted(held.save(10.0, 0), 20.0, 10.0)) == {"x": TEN}


@pytest.mark.parametrize(
    ("now_s", "wall_s", "due_s"),
    [
        (110.0, 10.0, 160.0),  # the process was away for 10 s
        (110.0, 86_400.0, 160.0),  # and the wall clock was set forward meanwhile
        (110.0, -86_400.0, 160.0),  # or back
        (5.0, 30.0, 35.0),  # the machine was started since
        (5.0, -30.0, 65.0),  # and its wall clock is behind
    ],
)
def test_a_duration_goes_on_over_a_restart_and_rather_lasts_too_long(
    now_s: float, wall_s: float, due_s: float
) -> None:
    held = sources()
    held.step(100.0, SetLimits(source="x", limits=TEN, for_s=60.0))
    again = restarted(held.save(100.0, 0), now_s, wall_s)
    assert again.due_s() == due_s


def test_a_duration_that_ended_meanwhile_has_ended() -> None:
    held = sources()
    held.step(0.0, SetLimits(source="x", limits=TEN, for_s=60.0))
    again = restarted(held.save(0.0, 0), 60.0, 60.0)
    assert in_force(again) == {}
    assert again.status(60.0) == ()


def test_a_source_that_must_be_heard_is_in_its_failsafe_after_a_restart() -> None:
    held = sources(guarded())
    held.step(0.0, SetLimits(source="dso", limits=TWENTY))
    again = restarted(held.save(1.0, 0), 2.0, 1.0, guarded())
    assert in_force(again) == {"dso": TEN}


def test_a_declared_limit_that_was_withdrawn_stays_so() -> None:
    held = sources(SourceConfig(name="x", limits=TEN))
    held.step(0.0, ClearLimits(source="x"))
    again = restarted(held.save(0.0, 0), 1.0, 1.0, SourceConfig(name="x", limits=TEN))
    assert in_force(again) == {}


def test_a_changed_declaration_is_not_overruled_by_what_was_saved_of_the_old_one() -> None:
    held = sources(SourceConfig(name="x", limits=TWENTY))
    held.step(0.0, SetLimits(source="y", limits=TEN))
    again = restarted(held.save(0.0, 0), 1.0, 1.0, SourceConfig(name="x", limits=TEN))
    assert in_force(again) == {"x": TEN, "y": TEN}


def test_a_saved_limit_is_not_lost_because_more_sources_are_declared_now() -> None:
    held = sources()
    held.step(0.0, SetLimits(source="x", limits=TEN))
    declared = tuple(SourceConfig(name=str(i)) for i in range(MAX_SOURCES))
    assert in_force(restarted(held.save(0.0, 0), 1.0, 1.0, *declared)) == {"x": TEN}


def test_a_state_that_knows_no_monotonic_time_is_read() -> None:
    held = sources()
    held.step(0.0, SetLimits(source="x", limits=TEN, for_s=60.0))
    saved = replace(held.save(0.0, 0), saved_at_s=None)
    assert restarted(saved, 500.0, 20.0).due_s() == 540.0


def test_bounds_are_what_the_market_can_bear() -> None:
    assert external_checks.WORST_PRIORITY == 1000
