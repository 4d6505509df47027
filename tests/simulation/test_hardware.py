"""EVSE hardware and cars: the worst that is allowed, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from actors.energy.messages import Actuate
from actors.simulation.clocks import Clock
from actors.simulation.hardware import Hardware
from actors.simulation.plan import Car
from actors.site import EvseManagerConfig

SETTLE_S = 10.0
CAR = Car(max_current_A=32.0, reaction_s=SETTLE_S)


def hardware(rate: float = 1.0, **config: Any) -> Hardware:
    settings = EvseManagerConfig(settle_time_s=SETTLE_S, **config)
    return Hardware("e", settings, 3, 230.0, Clock([(0.0, rate)], begin_s=1000.0))


def tell(some: Hardware, now_s: float, limit_A: float, **more: Any) -> str | None:
    """In answer to a reading of just now."""
    echo_s = some.clock.own_s(now_s)
    message = Actuate(
        t_echo_s=echo_s,
        boot=some.boot,
        duration_s=1000.0,
        mark=f"m{limit_A:g}",
        limit_A=limit_A,
        phase_count=3,
    )
    return some.actuate(now_s, replace(message, **more))


def draws_A(some: Hardware, now_s: float) -> float:
    some.advance(now_s)
    return some.current_A


def test_a_car_takes_more_at_once_and_less_when_its_time_is_over() -> None:
    some = hardware()
    some.plug(0.0, CAR)
    assert draws_A(some, 0.0) == 0.0
    assert tell(some, 1.0, 10.0) is None
    assert draws_A(some, 1.0) == 10.0
    tell(some, 2.0, 32.0)
    assert draws_A(some, 2.0) == 32.0
    tell(some, 3.0, 6.0)
    assert some.next_s == 13.0
    assert draws_A(some, 12.999) == 32.0
    assert draws_A(some, 13.0) == 6.0


def test_each_of_many_decreases_has_its_own_time() -> None:
    some = hardware()
    some.plug(0.0, CAR)
    for now_s, limit_A in ((0.0, 32.0), (2.0, 20.0), (5.0, 10.0), (6.0, 25.0), (7.0, 8.0)):
        tell(some, now_s, limit_A)
    steps = [(t, draws_A(some, t)) for t in (11.9, 12.0, 15.0, 16.9, 17.0)]
    assert steps == [(11.9, 32.0), (12.0, 25.0), (15.0, 25.0), (16.9, 25.0), (17.0, 8.0)]


def test_down_and_up_again_within_its_time_it_never_noticed() -> None:
    some = hardware()
    some.plug(0.0, CAR)
    tell(some, 0.0, 32.0)
    tell(some, 5.0, 0.0)
    tell(some, 6.0, 32.0)
    assert [draws_A(some, t) for t in (6.0, 14.0, 20.0)] == [32.0, 32.0, 32.0]


def test_a_car_that_surges_takes_all_when_it_is_told_to_take_less() -> None:
    some = hardware()
    some.plug(0.0, replace(CAR, share=0.25, surges=True))
    tell(some, 0.0, 32.0)
    assert draws_A(some, 1.0) == 8.0
    tell(some, 2.0, 16.0)
    assert draws_A(some, 2.0) == 32.0
    assert draws_A(some, 12.0) == 4.0


@pytest.mark.parametrize("rate", [0.9, 1.1])
def test_the_end_of_a_limit_is_counted_by_the_hardware_s_clock(rate: float) -> None:
    some = hardware(rate, fallback_limit_A=7.0)
    some.plug(0.0, CAR)
    tell(some, 0.0, 32.0, duration_s=9.9)
    assert some.next_s == pytest.approx(9.9 / rate, abs=1e-5)
    assert (some.permitted_A, some.mark) == (32.0, "m32")
    some.advance(some.next_s)
    assert (some.permitted_A, some.mark, some.current_A) == (7.0, "", 32.0)
    assert draws_A(some, 9.9 / rate + SETTLE_S + 0.001) == 7.0


def test_old_answers_are_refused() -> None:
    some = hardware()
    tell(some, 5.0, 10.0)
    assert tell(some, 6.0, 32.0, t_echo_s=1002.0) is not None
    assert tell(some, 6.0, 32.0, t_echo_s=1005.5, duration_s=0.2) is not None
    assert some.permitted_A == 10.0


def test_an_open_contactor_forgets_what_was_permitted() -> None:
    some = hardware()
    some.plug(0.0, CAR)
    tell(some, 0.0, 32.0)
    tell(some, 1.0, 6.0)
    some.plug(2.0, CAR)
    assert some.contactor_closed
    assert draws_A(some, 2.0) == 6.0
    some.unplug(3.0)
    assert (some.contactor_closed, some.current_A) == (False, 0.0)


def test_phases_change_only_while_the_contactor_is_open() -> None:
    some = hardware(supports_changing_phases_during_charging=True)
    some.plug(0.0, CAR)
    tell(some, 0.0, 16.0)
    tell(some, 1.0, 16.0, phase_count=1)
    assert (some.permitted_A, some.closed_phases, draws_A(some, 1.0)) == (0.0, 3, 16.0)
    assert (draws_A(some, 11.0), some.closed_phases, some.power_W) == (16.0, 1, 16.0 * 230.0)


def test_readings_may_tell_less_than_flows_and_late() -> None:
    some = hardware()
    some.plug(0.0, replace(CAR, meter=0.5, meter_lags=True))
    tell(some, 0.0, 32.0)
    assert some.reading(0.5).currents_A == (0.0, 0.0, 0.0)
    assert some.reading(1.5).currents_A == (16.0, 16.0, 16.0)
    assert some.current_A == 32.0


def test_what_a_driver_must_know_at_once_is_counted() -> None:
    some = hardware()
    before = some.revision
    tell(some, 0.0, 32.0)
    tell(some, 1.0, 32.0)  # renewed
    assert some.revision == before + 1
    some.plug(2.0, CAR)
    assert some.revision > before + 1


def test_a_dc_evse_counts_its_watts_on_the_feeder() -> None:
    some = hardware(charge_mode="DC", max_power_W=50_000.0, min_current_A=6.0)
    some.plug(0.0, replace(CAR, max_current_A=1000.0))
    tell(some, 0.0, 100.0, limit_W=6900.0)
    assert (draws_A(some, 0.0), some.power_W) == (10.0, 6900.0)


@pytest.mark.parametrize("opens", [True, False])
def test_hardware_that_restarts_is_deaf_then_at_its_fallback_with_a_clock_that_begins_anew(
    opens: bool,
) -> None:
    some = hardware(fallback_limit_A=7.0)
    some.plug(0.0, CAR)
    tell(some, 10.0, 32.0)
    some.restart(20.0, 22.0, opens=opens)
    assert (some.permitted_A, some.mark, some.contactor_closed) == (7.0, "", not opens)
    assert some.current_A == (0.0 if opens else 32.0)
    assert tell(some, 21.0, 16.0) == "it restarts"
    assert some.next_s == 22.0
    assert draws_A(some, 22.0) == (7.0 if opens else 32.0)
    assert some.reading(22.5).t_hardware_s == pytest.approx(0.5)
    assert draws_A(some, 20.0 + SETTLE_S) == 7.0
    assert tell(some, 31.0, 16.0, t_echo_s=1015.0) is not None, "of the life before, ahead of this one"
    assert tell(some, 31.0, 16.0, boot="1") is not None, "of the life before, and of this one's time"
    assert tell(some, 31.0, 16.0) is None
