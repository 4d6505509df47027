from __future__ import annotations

from typing import Any

import pytest

from actors.energy.evse import EvseCore
from actors.energy.external import ClearLimits, Heartbeat, SetLimits, SourceConfig
from actors.energy.messages import Actuate, Outcome, Report
from actors.energy.packing import entries_of
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EvseState,
    ExternalLimits,
    LimitsReq,
    value_of,
)
from tests.energy.builders import (
    VOLT,
    actuates,
    at,
    command,
    enforced,
    entry,
    evse,
    grant,
    outcomes,
    reading,
    reports,
    said,
    saved,
    short,
    stamp,
    unplugged,
)


def wants(report: Report) -> EnergyFlowRequest:
    """What a report wants, said anew."""
    assert report.wants is not None
    return report.wants


def asked(report: Report) -> LimitsReq:
    """What a report asks for, for imports, now."""
    return entries_of(wants(report).schedule_import)[0].limits_to_root


def charging(core: EvseCore, *, A: float | None = 16.0, W: float | None = None, **more: Any) -> Actuate:
    """Plug a car in at second 1 and grant it something; returns what the hardware is told."""
    core.step(at(1.0), reading(1.0, **more))
    [told] = actuates(core.step(at(1.1), grant(1.0, 1, enforced(A=A, W=W))))
    return told


# --- what it asks for ------------------------------------------------------------------------------


def test_without_a_car_it_asks_for_nothing() -> None:
    [report] = reports(evse().step(at(1.0), unplugged(1.0)))
    assert wants(report).evse_state is EvseState.Unplugged
    assert value_of(asked(report).ac_max_current_A) == 0.0
    assert report.status[0].wants_A == 0.0


def test_without_a_car_it_asks_for_all_where_it_is_configured_so() -> None:
    [report] = reports(evse(request_zero_power_in_idle=False).step(at(1.0), unplugged(1.0)))
    assert value_of(asked(report).ac_max_current_A) == 32.0


def test_before_its_hardware_is_heard_it_tells_nobody_anything_for_a_while() -> None:
    core = evse()
    assert core.step(at(0.0), None) == []
    assert "hardware not heard" in core.report_status(at(0.0))[0].note
    assert core.due_s == 3.0
    [report] = reports(core.step(at(3.0), None))
    assert value_of(asked(report).ac_max_current_A) == 0.0


def test_the_first_report_of_a_new_life_tells_what_its_hardware_still_holds() -> None:
    """Else its parent would renew less than that, and lower it for no reason."""
    core = evse()
    assert core.step(at(0.0), None) == []
    [report] = reports(core.step(at(0.4), reading(0.4, limit_A=16.0, limit_ends_in_s=8.0)))
    assert report.holds.import_A == 16.0


def test_a_car_is_announced_at_once_with_priority_and_so_is_its_leaving() -> None:
    core = evse()
    core.step(at(1.0), unplugged(1.0))
    [arrival] = reports(core.step(at(1.1), reading(1.1)))
    assert arrival.priority
    assert wants(arrival).priority_request
    assert value_of(asked(arrival).ac_max_current_A) == 32.0
    [departure] = reports(core.step(at(1.2), unplugged(1.2)))
    assert departure.priority


def test_a_car_that_needs_nothing_more_ends_its_session_with_priority() -> None:
    core = evse()
    charging(core)
    [report] = reports(core.step(at(1.5), reading(1.5, car_asks=False, complete=True)))
    assert (report.priority, wants(report).evse_state) == (True, EvseState.Finished)
    assert value_of(asked(report).ac_max_current_A) == 0.0


def test_a_car_that_pauses_or_goes_on_is_told_with_priority_since_it_wants_something_else() -> None:
    core = evse()
    charging(core)
    [report] = reports(core.step(at(1.5), reading(1.5, car_asks=False)))
    assert (report.priority, wants(report).evse_state) == (True, EvseState.PausedEV)
    [report] = reports(core.step(at(1.6), reading(1.6)))
    assert (report.priority, wants(report).evse_state) == (True, EvseState.Charging)


def test_a_change_that_leaves_what_is_wanted_as_it_is_has_no_priority() -> None:
    core = evse()
    charging(core)
    told = reports(core.step(at(1.5), reading(1.5, car_limit_A=10.0))) + reports(core.step(at(2.1), None))
    assert [report.priority for report in told] == [False] * len(told)


@pytest.mark.parametrize(("mode", "wanted"), [("AC", (6.0, None)), ("DC", (None, 6.0 * 3 * VOLT))])
def test_a_paused_car_asks_for_the_minimum(mode: str, wanted: tuple[float | None, float | None]) -> None:
    core = evse(charge_mode=mode, max_power_W=50e3)
    charging(core, A=None, W=20e3)
    [report] = reports(core.step(at(1.5), reading(1.5, car_asks=False)))
    limits = asked(report)
    assert (value_of(limits.ac_max_current_A), value_of(limits.total_power_W)) == wanted


def test_it_asks_for_no_more_than_hardware_cable_and_car_can_use() -> None:
    for limits, source in (
        ({}, "hardware"),
        ({"cable_limit_A": 20.0}, "cable"),
        ({"cable_limit_A": 20.0, "car_limit_A": 10.0}, "car"),
    ):
        [report] = reports(evse().step(at(1.0), reading(1.0, **limits)))
        current = asked(report).ac_max_current_A
        assert current is not None
        assert current.source == f"evse/{source}"


def test_a_dc_evse_asks_for_the_power_that_its_car_can_use_on_its_phases() -> None:
    core = evse(charge_mode="DC", max_power_W=50e3, phases=1)
    [report] = reports(core.step(at(1.0), reading(1.0, closed_phases=1, car_limit_A=40.0)))
    limits = asked(report)
    assert value_of(limits.total_power_W) == 40.0 * VOLT
    assert limits.ac_number_of_active_phases == 1
    assert limits.ac_supports_changing_phases_during_charging is False


def test_it_reports_each_update_interval() -> None:
    core = evse(site=EnergyManagerConfig(update_interval=2))
    core.step(at(1.0), unplugged(1.0))
    assert core.due_s == 3.0
    assert reports(core.step(at(2.9), None)) == []
    assert len(reports(core.step(at(3.0), None))) == 1


# --- what it tells its hardware ----------------------------------------------------------------------


def test_the_limit_is_the_most_restrictive_of_grant_local_hardware_cable_and_car() -> None:
    for granted_A, local_A, cable_A, car_A, expected in (
        (10.0, 16.0, 20.0, 32.0, (10.0, "market")),
        (40.0, None, None, None, (32.0, "evse/hardware")),
        (30.0, 16.0, 20.0, 32.0, (16.0, "test")),
        (30.0, None, 13.0, 32.0, (13.0, "evse/cable")),
        (30.0, None, 20.0, 8.0, (8.0, "evse/car")),
        (0.0, 16.0, None, None, (0.0, "market")),
        (30.0, 0.0, None, None, (0.0, "test")),
    ):
        core = evse()
        if local_A is not None:
            core.step(
                at(0.5), command("evse", SetLimits(source="ocpp", limits=short(ac_max_current_A=local_A)))
            )
        told = charging(core, A=granted_A, cable_limit_A=cable_A, car_limit_A=car_A)
        assert (told.limit_A, told.source) == expected


def test_a_watt_limit_counts_with_the_phases_that_are_closed() -> None:
    for phases, expected_A in ((1, 4140.0 / VOLT), (3, 6.0)):
        told = charging(evse(), A=32.0, W=4140.0, closed_phases=phases)
        assert told.limit_A == pytest.approx(expected_A)


def test_local_limits_towards_the_leaves_count_too_with_their_efficiency() -> None:
    entry_ = entry(stamp(0), leaf_W=690.0 * 9, conversion_efficiency=0.9)
    core = evse()
    core.step(
        at(0.5), command("evse", SetLimits(source="x", limits=ExternalLimits(schedule_import=(entry_,))))
    )
    assert charging(core).limit_A == pytest.approx(10.0)


def test_a_paused_car_is_still_offered_what_is_granted() -> None:
    core = evse()
    charging(core, A=16.0)
    assert actuates(core.step(at(1.5), reading(1.5, car_asks=False))) == []


def test_a_grant_without_a_word_for_this_evse_allows_nothing() -> None:
    core = evse(fallback_limit_A=10.0)
    core.step(at(1.0), reading(1.0))
    [told] = actuates(core.step(at(1.1), grant(1.0, 1, enforced("other", A=16.0))))
    assert (told.limit_A, told.source) == (0.0, "no limit received")


@pytest.mark.parametrize("A", [16.0, None])
def test_an_export_is_no_import(A: float | None) -> None:
    core = evse()
    core.step(at(1.0), reading(1.0))
    [told] = actuates(core.step(at(1.1), grant(1.0, 1, enforced(A=None if A is None else -A, W=-3000.0))))
    assert told.limit_A == 0.0


def test_the_hardware_never_gets_longer_than_the_grant_lasts() -> None:
    core = evse()
    core.step(at(1.0), reading(501.0))
    [told] = actuates(core.step(at(4.0), grant(0.5, 1, enforced(A=16.0), duration_s=10.0)))
    # The grant ends at 10.5; the reading that is echoed came at 1.0.
    assert (told.t_echo_s, told.duration_s) == (501.0, 9.5)


def test_each_grant_is_passed_on_also_when_it_only_renews() -> None:
    core = evse()
    charging(core)
    core.step(at(2.0), reading(2.0))
    [told] = actuates(core.step(at(2.1), grant(2.0, 2, enforced(A=16.0))))
    assert told.t_echo_s + told.duration_s == 12.0


def test_a_limit_that_is_not_renewed_ends_in_the_fallback() -> None:
    core = evse(fallback_limit_A=8.0)
    charging(core)
    core.step(at(10.0), reading(10.0))
    assert core.due_s <= 11.0
    [told] = actuates(core.step(at(11.0), None))
    assert (told.limit_A, told.source) == (8.0, "evse/fallback")
    assert core.report_status(at(11.0))[0].note == "limit has run out: fallback"


def test_a_fallback_below_the_minimum_is_nothing() -> None:
    core = evse(fallback_limit_A=5.0)
    [told] = actuates(core.step(at(1.0), reading(1.0)))
    assert told.limit_A == 0.0


def test_a_dc_fallback_is_power_on_its_phases() -> None:
    core = evse(charge_mode="DC", max_power_W=50e3, fallback_limit_A=5.0)
    [told] = actuates(core.step(at(1.0), reading(1.0)))
    assert (told.limit_A, told.limit_W) == (5.0, 5.0 * 3 * VOLT)


def test_the_fallback_is_under_local_limits() -> None:
    core = evse(fallback_limit_A=10.0)
    core.step(at(0.5), command("evse", SetLimits(source="x", limits=short(ac_max_current_A=7.0))))
    [told] = actuates(core.step(at(1.0), reading(1.0)))
    assert told.limit_A == 7.0


def test_a_late_grant_of_another_life_or_order_changes_nothing() -> None:
    for bad in (
        grant(1.0, 9, enforced(A=32.0), boot="former life"),
        grant(1.0, 1, enforced(A=32.0)),
        grant(1.0, 9, enforced(A=32.0), duration_s=0.2),
        grant(9.0, 9, enforced(A=32.0)),
    ):
        core = evse()
        charging(core, A=10.0)
        effects = core.step(at(1.5), bad)
        assert all(told.limit_A == 10.0 for told in actuates(effects))
        assert "grant not taken" in said(effects)[0]


def test_a_reading_that_was_overtaken_is_ignored_until_the_hardware_counts_as_restarted() -> None:
    core = evse(supports_changing_phases_during_charging=True)
    core.step(at(1.0), reading(101.0))
    core.step(at(2.0), reading(100.0, plugged_in=False))
    assert core.report_status(at(2.0))[0].state == "WaitForEnergy"
    core.step(at(7.0), reading(1.0, plugged_in=False))
    assert core.report_status(at(7.0))[0].state == "Unplugged"


def test_silent_hardware_is_disabled_and_once_its_limit_has_run_out_asks_for_nothing() -> None:
    core = evse()
    charging(core)
    effects = core.step(at(12.0), None)
    assert wants(reports(effects)[0]).evse_state is EvseState.Disabled
    assert value_of(asked(reports(effects)[0]).ac_max_current_A) == 0.0


# --- phases ----------------------------------------------------------------------------------------


def switching(**config: Any) -> EvseCore:
    """An EVSE that may change phases, charging on three with 20 A."""
    core = evse(supports_changing_phases_during_charging=True, switch_3ph1ph_delay_s=10.0, **config)
    core.step(at(1.0), reading(1.0))
    core.step(at(1.1), grant(1.0, 1, enforced(A=20.0, W=14e3, phases=3)))
    return core


def test_a_change_of_phases_pauses_for_the_delay_and_keeps_power_within_the_limit() -> None:
    core = switching()
    flowing = {"currents_A": (20.0, 20.0, 20.0)}
    core.step(at(2.0), reading(2.0, **flowing))
    [told] = actuates(core.step(at(2.0), grant(2.0, 2, enforced(A=20.0, W=3000.0, phases=1))))
    assert (told.limit_A, told.phase_count, told.cp_state) == (0.0, 3, "X1")
    [told] = actuates(core.step(at(5.0), reading(5.0)))
    assert (told.limit_A, told.phase_count, told.cp_state) == (0.0, 1, "X1")
    assert actuates(core.step(at(6.0), reading(6.0, closed_phases=1)))[-1].limit_A == 0.0
    core.step(at(11.0), reading(11.0, closed_phases=1))
    core.step(at(11.0), grant(6.0, 3, enforced(A=20.0, W=3000.0, phases=1)))
    assert core.due_s <= 12.0
    [told] = actuates(core.step(at(12.0), None))
    assert (told.phase_count, told.cp_state) == (1, "on")
    assert told.limit_A == pytest.approx(3000.0 / VOLT)


def test_a_new_life_takes_the_contactor_over_as_it_finds_it() -> None:
    core = evse(supports_changing_phases_during_charging=True)
    [told] = actuates(core.step(at(1.0), reading(1.0, closed_phases=1, currents_A=(16.0, 0.0, 0.0))))
    assert (told.phase_count, told.cp_state) == (1, "on")
    [told] = actuates(core.step(at(1.1), grant(1.0, 1, enforced(A=20.0, W=14e3, phases=3))))
    assert (told.limit_A, told.phase_count, told.cp_state) == (0.0, 1, "X1")


def test_hardware_that_never_changes_phases_is_left_as_it_is_until_the_car_has_gone() -> None:
    core = switching()
    for second in range(2, 80):
        core.step(at(second), reading(float(second)))
        [*_, told] = actuates(core.step(at(second), grant(second, second, enforced(A=20, W=5000, phases=1))))
    assert (told.phase_count, told.cp_state) == (3, "on")
    assert told.limit_A == pytest.approx(5000 / 3 / VOLT)
    status = core.report_status(at(80.0))[0]
    assert "does not change phases" in status.note
    core.step(at(81.0), unplugged(81.0))
    core.step(at(82.0), unplugged(82.0))
    assert "does not change phases" not in core.report_status(at(82.0))[0].note


@pytest.mark.parametrize("config", [{}, {"charge_mode": "DC", "max_power_W": 50e3}])
def test_an_evse_that_cannot_change_phases_never_does(config: dict[str, Any]) -> None:
    core = evse(supports_changing_phases_during_charging="charge_mode" in config, **config)
    core.step(at(1.0), reading(1.0))
    [told] = actuates(core.step(at(1.1), grant(1.0, 1, enforced(A=20.0, W=5000.0, phases=1))))
    assert (told.phase_count, told.cp_state) == (3, "on")


# --- external sources and commands -----------------------------------------------------------------


def test_a_command_takes_effect_at_once_is_kept_and_answered() -> None:
    core = evse()
    charging(core)
    effects = core.step(at(2.0), command("evse", SetLimits(source="x", limits=short(ac_max_current_A=7.0))))
    assert actuates(effects)[0].limit_A == 7.0
    assert reports(effects)[0].priority
    assert saved(effects)[0].sources[0].name == "x"
    [(way, outcome)] = outcomes(effects)
    assert (way, outcome.error) == ("up", None)


def test_a_refused_command_is_answered_with_its_reason_and_changes_nothing() -> None:
    core = evse()
    effects = core.step(at(1.0), command("evse", ClearLimits(source="x"), origin="evse"))
    [(way, outcome)] = outcomes(effects)
    assert way == "out"
    assert outcome.error == "no source 'x' here; known: none"
    assert saved(effects) == []


def test_a_heartbeat_writes_nothing_to_the_disk_and_hurries_nobody() -> None:
    source = SourceConfig(name="dso", heartbeat_timeout_s=10.0, failsafe=short(ac_max_current_A=8.0))
    core = evse(sources=(source,))
    core.step(at(1.0), reading(1.0))
    core.step(at(1.0), command("evse", SetLimits(source="dso", limits=short(ac_max_current_A=20.0))))
    effects = core.step(at(1.5), command("evse", Heartbeat(source="dso")))
    assert saved(effects) == []
    assert reports(effects) == []


def test_a_source_that_falls_silent_lowers_the_hardware_at_once() -> None:
    source = SourceConfig(name="dso", heartbeat_timeout_s=3.0, failsafe=short(ac_max_current_A=8.0))
    core = evse(sources=(source,))
    core.step(at(0.9), command("evse", SetLimits(source="dso", limits=short(ac_max_current_A=20.0))))
    assert charging(core, A=16.0).limit_A == 16.0
    core.step(at(2.9), None)
    core.step(at(3.5), None)
    assert core.due_s == pytest.approx(3.9)
    [told] = actuates(core.step(at(3.9), None))
    assert told.limit_A == 8.0


def test_an_outcome_at_an_evse_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError, match="nobody below"):
        evse().step(at(0.0), Outcome(id="1", origin="evse"))
