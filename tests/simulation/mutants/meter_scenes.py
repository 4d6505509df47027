"""Small stories of loads that are measured, as in scenes.py: a panel of 32 A, a load of up to 20 A there, two cars."""

from __future__ import annotations

import math

from msgspec.structs import replace

from actors.energy.fixed_load import FixedLoad, MeterConfig, MeterReading
from actors.simulation.plan import Car, MeterFault
from tests.simulation.mutants.stage import METERED, Stage

LONG_S = 60.0
"""Longer than a load that the node knows of may be over: what was granted before has ended, and cars are down."""

CAR = Car(max_current_A=32.0, reaction_s=2.0)


def _charging(load_A: float, hold_s: float = 15.0) -> Stage:
    stage = Stage(METERED.replace("driver: plant", f"driver: plant, hold_s: {hold_s}"))
    for evse in stage.world.evses.values():
        evse.period_s = 0.9  # shorter than an interval, so that no reading is told twice
    stage.load("panel", load_A)
    stage.plug("a", CAR)
    stage.plug("b", CAR)
    stage.go(LONG_S)
    assert stage.flows_A("panel") + load_A > 30.0
    return stage


def a_load_that_rises_while_cars_never_stand_still_is_not_forgotten() -> None:
    stage = _charging(2.0, hold_s=2.0)
    stage.load("panel", 18.0)
    stage.go(0.6)
    for number in range(40):
        for evse, shift in (("a", 0), ("b", 1)):
            stage.appetite(evse, (0.6, 0.4, 0.2)[(number + shift) % 3])
        stage.go(1.1)
    for evse in ("a", "b"):
        stage.appetite(evse, 1.0)
    stage.go(LONG_S)
    assert stage.flows_A("panel") == 13.0


def _rises_unseen(how: MeterFault) -> None:
    stage = _charging(2.0)
    stage.meter_fails("panel", how, 300.0)
    stage.load("panel", 18.0)
    stage.go(2.0 * LONG_S)
    assert stage.flows_A("panel") == 12.0, "what is declared counts"


def a_load_that_rises_behind_a_silent_meter_is_kept_free_as_declared() -> None:
    _rises_unseen("silent")


def a_load_that_rises_behind_a_frozen_meter_is_kept_free_as_declared() -> None:
    _rises_unseen("frozen")


def a_load_that_rose_behind_a_frozen_meter_before_its_node_began_anew_is_kept_free() -> None:
    stage = Stage(METERED.replace("driver: plant", "driver: plant, frozen_s: 240"))
    stage.go(LONG_S)
    stage.meter_fails("panel", "frozen", 300.0)
    stage.load("panel", 18.0)
    stage.go(3.0)
    stage.crash("panel", 0.5)
    stage.go(10.0)
    stage.plug("a", CAR)
    stage.plug("b", CAR)
    stage.go(LONG_S)
    assert stage.flows_A("panel") == 12.0, "what is declared counts"


def cars_that_take_more_behind_a_frozen_meter_hide_no_load() -> None:
    stage = Stage(METERED.replace("driver: plant", "driver: plant, hold_s: 1"))
    stage.load("panel", 12.0)
    stage.plug("a", replace(CAR, share=0.2))
    stage.plug("b", replace(CAR, share=0.2))
    stage.go(LONG_S)
    stage.meter_fails("panel", "frozen", LONG_S)
    stage.go(3.0)
    for share in (0.6, 1.0):
        stage.appetite("a", share)
        stage.appetite("b", share)
        stage.go(15.0)
    assert stage.flows_A("panel") == 19.0


def cars_that_begin_while_a_reading_waits_to_be_judged_hide_no_load() -> None:
    stage = _charging(12.0, hold_s=1.0)
    for _ in range(10):
        for share, for_s in ((0.0, 9.3), (0.5, 4.6), (1.0, 15.0)):
            stage.appetite("a", share)
            stage.appetite("b", share)
            stage.go(for_s)
    assert stage.flows_A("panel") == 19.0


def _told_late(*links: str, late_s: float) -> None:
    stage = _charging(12.0, hold_s=0.5)
    for link in links:
        stage.detour(link, 450.0, late_s)
    stage.go(20.0)
    for number in range(16):
        for share, for_s in ((0.1, late_s + 0.2 * number - 1.0), (1.0, 17.3)):
            stage.appetite("a", share)
            stage.appetite("b", share)
            stage.go(for_s)
    stage.go(200.0)
    assert stage.flows_A("panel") == 19.0, "all is in time again"


def cars_whose_reports_are_late_hide_no_load_when_they_draw_less() -> None:
    _told_late("a", "b", late_s=6.0)


def cars_whose_readings_are_late_hide_no_load_when_they_draw_less() -> None:
    _told_late("a#driver", "b#driver", late_s=4.9)


def a_car_that_pauses_between_two_reports_hides_no_load() -> None:
    load = FixedLoad(20.0, MeterConfig(hold_s=2.0), 0.0)
    load.note_cars(0.0, (8.0,) * 3, 0.0)
    for tenths in range(0, 400, 5):
        now_s = tenths / 10.0
        shown_A = 12.0 if 13.0 <= now_s < 28.5 else 20.0
        if now_s in (10.0, 30.0):
            load.note_cars(now_s, (8.0,) * 3, now_s)
        load.hear(now_s, MeterReading(currents_A=(shown_A,) * 3, t_meter_s=now_s), math.inf)
        load.update(now_s)
        assert now_s < 10.0 or load.counted_A >= 13.0, "12 A are load"
