"""What an EvseManager tells of its hardware: before it is heard, while it obeys, and when it is silent."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from actors.energy.amount import Amount
from actors.energy.evse import EvseCore
from actors.energy.external import SetLimits
from actors.energy.messages import Actuate, Order, Report
from actors.energy.packing import entries_of
from actors.energy.types import EnergyManagerConfig, LimitsReq, value_of
from tests.energy.builders import (
    VOLT,
    actuates,
    at,
    command,
    enforced,
    evse,
    grant,
    reading,
    reports,
    short,
    unplugged,
)


def asked(report: Report) -> LimitsReq:
    """What a report asks for, for imports, now."""
    assert report.wants is not None
    return entries_of(report.wants.schedule_import)[0].limits_to_root


def amps(A: float) -> Amount:
    """On three phases."""
    return Amount(A, A * 3 * VOLT)


def charging(core: EvseCore, *, A: float | None = 16.0, **more: Any) -> Actuate:
    """Plug a car in at second 1 and grant it something; returns what the hardware is told."""
    core.step(at(1.0), reading(1.0, **more))
    [told] = actuates(core.step(at(1.1), grant(1.0, 1, enforced(A=A))))
    return told


def confirms(core: EvseCore, now_s: float, told: Actuate, **more: Any) -> list[Report]:
    """The hardware holds what it was told."""
    ends_in_s = told.t_echo_s + told.duration_s - now_s
    given: dict[str, Any] = {"mark": told.mark, "limit_A": told.limit_A, "limit_ends_in_s": ends_in_s}
    return reports(core.step(at(now_s), reading(now_s, **(given | more))))


# --- what may flow -----------------------------------------------------------------------------------


def test_a_new_life_does_not_know_what_flows_until_its_mark_is_there_and_currents_have_settled() -> None:
    core = evse(site=EnergyManagerConfig(update_interval=60))
    told = charging(core)
    assert confirms(core, 2.0, told)[-1:] == []
    assert core.due_s < 14.2
    [known] = reports(core.step(at(14.2), None))
    assert known.committed == amps(16.0)


def test_a_decrease_is_told_as_taken_at_once_and_as_followed_when_the_hardware_has_proved_it() -> None:
    core = evse()
    told = charging(core)
    confirms(core, 2.0, told, contactor_closed=False)
    [lower] = actuates(core.step(at(3.0), grant(2.5, 2, enforced(A=6.0))))
    [report] = confirms(core, 3.1, lower) or reports(core.step(at(4.0), None))
    assert (report.acked, report.committed) == (Order(1, 2), amps(16.0))
    [report] = confirms(core, 3.5, lower, contactor_closed=False)
    assert report.committed == amps(6.0), "told at once: somebody waits for it"


def test_a_short_report_is_whole_for_the_ledger_and_says_nothing_else() -> None:
    core = evse(fallback_limit_A=6.0)
    told = charging(core)
    [report] = confirms(core, 1.5, told, contactor_closed=False)
    assert (report.wants, report.status) == (None, ())
    assert (report.acked, report.holds, report.committed) == (Order(1, 1), amps(16.0), amps(16.0))
    assert (report.fallback, report.settle_time_s) == (amps(6.0), 11.0)


def test_the_first_grant_and_each_fence_are_answered_at_once() -> None:
    core = evse()
    core.step(at(1.0), reading(1.0))
    [first] = reports(core.step(at(1.1), grant(1.0, 1, enforced(A=16.0))))
    assert first.acked == Order(1, 1)
    assert reports(core.step(at(1.2), grant(1.0, 2, enforced(A=16.0)))) == []
    fence = replace(grant(1.0, 3), fence=True)
    [answer] = reports(core.step(at(1.3), fence))
    assert (answer.acked, answer.holds) == (Order(1, 3), amps(16.0))


# --- a grant and its amount --------------------------------------------------------------------------


def test_less_is_granted_than_the_market_gives_while_it_waits_for_room() -> None:
    core = evse()
    core.step(at(1.0), reading(1.0))
    [told] = actuates(core.step(at(1.1), grant(1.0, 1, enforced(A=16.0), amount=amps(10.0))))
    assert (told.limit_A, told.source) == (10.0, "evse/waits for room")


def test_power_that_is_granted_holds_on_as_many_phases_as_are_closed() -> None:
    core = evse()
    core.step(at(1.0), reading(1.0))
    one_phase = Amount(30.0, 30.0 * VOLT)
    [told] = actuates(core.step(at(1.1), grant(1.0, 1, enforced(A=30.0, phases=1), amount=one_phase)))
    assert told.limit_A == pytest.approx(10.0)


# --- what an earlier life left -----------------------------------------------------------------------


def test_a_new_life_leaves_what_the_hardware_holds_to_its_end_and_no_longer() -> None:
    core = evse(fallback_limit_A=6.0)
    held = {"limit_A": 20.0, "mark": "former life"}
    for now_s in (1.0, 2.0, 3.0):
        for told in actuates(core.step(at(now_s), reading(now_s, limit_ends_in_s=5.0 - now_s, **held))):
            assert told.limit_A == 20.0
            assert told.t_echo_s + told.duration_s == pytest.approx(5.0)
            assert told.mark.startswith("boot:")
    [*_, told] = actuates(core.step(at(5.0), reading(5.0, limit_A=6.0)))
    assert (told.limit_A, told.source) == (6.0, "evse/fallback")


def test_what_an_earlier_life_left_is_within_local_limits() -> None:
    core = evse(fallback_limit_A=6.0)
    core.step(at(0.5), command("evse", SetLimits(source="x", limits=short(ac_max_current_A=8.0))))
    [told] = actuates(core.step(at(1.0), reading(1.0, limit_A=20.0, limit_ends_in_s=5.0)))
    assert told.limit_A == 8.0


def test_a_fence_leaves_what_an_earlier_life_left() -> None:
    core = evse()
    core.step(at(1.0), reading(1.0, limit_A=20.0, limit_ends_in_s=8.0))
    [told] = actuates(core.step(at(1.1), replace(grant(1.0, 3), fence=True)))
    assert told.limit_A == 20.0


# --- silent and restarted hardware -------------------------------------------------------------------


def test_a_late_reading_after_a_silence_does_not_prove_that_nothing_flows() -> None:
    core = evse()
    told = charging(core, A=32.0)
    confirms(core, 1.5, told, contactor_closed=False)
    [lower] = actuates(core.step(at(2.0), grant(1.5, 2, enforced(A=6.0))))
    confirms(core, 2.5, lower)
    reported = reports(core.step(at(8.0), unplugged(1.2)))
    assert reported[-1].committed == amps(32.0), "it may be of restarted hardware, or just late"


def test_silent_hardware_keeps_its_share_until_what_it_was_told_has_run_out() -> None:
    core = evse()
    charging(core, A=16.0)
    wanted: dict[float, float | None] = {}
    told_until_s = 0.0
    for second in range(2, 25):
        effects = core.step(at(float(second)), grant(float(second), second, enforced(A=16.0)))
        for told in actuates(effects):
            assert second <= 6, "whoever does not answer is not renewed"
            told_until_s = told.t_echo_s + told.duration_s
        for report in reports(effects):
            wanted[float(second)] = value_of(asked(report).ac_max_current_A)
            if second > 7:
                assert "hardware not heard for" in report.status[0].note
                assert report.status[0].in_force_A is None
    assert {value for s, value in wanted.items() if 7 < s < told_until_s} == {16.0}
    assert {value for s, value in wanted.items() if s > told_until_s} == {0.0}


def test_silent_hardware_is_still_lowered_but_for_no_longer() -> None:
    core = evse()
    told = charging(core, A=16.0)
    lower = command("evse", SetLimits(source="grid", limits=short(ac_max_current_A=8.0)))
    [lowered] = actuates(core.step(at(7.5), lower))
    assert lowered.limit_A == 8.0
    assert lowered.t_echo_s + lowered.duration_s <= told.t_echo_s + told.duration_s + 1e-9
