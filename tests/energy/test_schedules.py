from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy import schedules, timestamps
from actors.energy.forecasts import forecast_of
from actors.energy.market import allocate
from actors.energy.packing import entries_of
from actors.energy.schedules import NO_LIMITS, OwnLimits, grid_stamp, import_limits, tightest, with_schedules
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    ExternalLimits,
    IntegerWithSource,
    LimitsReq,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
    SetpointType,
    value_of,
)
from tests.energy.builders import assert_caught, at, entry, number, short, stamp

NOW_US = at(0.0).wall_us
GRID_US = timestamps.parse("2026-03-01T10:00:00Z")
ALWAYS = "1970-01-01T00:00:00Z"
BARE = EnergyFlowRequest(uuid="node", node_type=NodeType.Generic)


def merged(
    *sources: ExternalLimits, fuse_A: float | None = 32.0, watt_to_current_W: float | None = None
) -> EnergyFlowRequest:
    """The request of a node with a fuse and these sources, named a, b, …"""
    fuse = LimitsReq(ac_max_current_A=number(fuse_A, "fuse"))
    own = OwnLimits(limits_import=fuse, limits_export=fuse, watt_to_current_W=watt_to_current_W)
    named = [("abcdefgh"[index], limits) for index, limits in enumerate(sources)]
    return with_schedules(BARE, own, named, grid_stamp(NOW_US, 60), NOW_US)


def imports(*entries: ScheduleReqEntry) -> ExternalLimits:
    return ExternalLimits(schedule_import=entries)


def amperes(request: EnergyFlowRequest) -> list[tuple[str, float | None]]:
    """Of imports: when and how much current."""
    return [
        (e.timestamp, value_of(e.limits_to_root.ac_max_current_A))
        for e in entries_of(request.schedule_import)
    ]


# --- time ------------------------------------------------------------------------------------------


def test_a_node_without_sources_has_one_entry_for_each_direction_and_no_setpoint() -> None:
    request = merged()
    assert amperes(request) == [("2026-03-01T10:00:00.000Z", 32.0)]
    assert value_of(entries_of(request.schedule_export)[0].limits_to_root.ac_max_current_A) == 32.0
    assert request.schedule_setpoints == ()


def test_what_is_past_is_folded_into_one_entry_at_the_begin_of_the_markets_interval() -> None:
    past = imports(entry(stamp(-7200), A=5.0), entry(stamp(-60), A=20.0), entry(stamp(60), A=10.0))
    assert amperes(merged(past)) == [("2026-03-01T10:00:00.000Z", 20.0), (stamp(60), 10.0)]


def test_permanent_limits_add_no_slot_to_the_market() -> None:
    def slots(request: EnergyFlowRequest) -> int:
        evse = EnergyFlowRequest(
            uuid="evse",
            node_type=NodeType.Evse,
            schedule_import=merged(short(ac_max_current_A=16.0)).schedule_import,
        )
        tree = EnergyFlowRequest(
            uuid="root",
            node_type=NodeType.Generic,
            children=(evse,),
            schedule_import=request.schedule_import,
            schedule_export=request.schedule_export,
            schedule_setpoints=request.schedule_setpoints,
        )
        [limits] = tuple(allocate(tree, EnergyManagerConfig(schedule_total_duration=4), NOW_US)[0])
        return len(forecast_of(limits))

    permanent = merged(
        short(ac_max_current_A=20.0, export_total_power_W=5e3, setpoint_W=4e3), short(total_power_W=9e3)
    )
    assert slots(permanent) == 4
    assert slots(merged(imports(entry(ALWAYS, A=20.0), entry(stamp(600), A=10.0)))) == 5


@pytest.mark.parametrize("minutes", [1, 15, 60, 1440])
def test_the_stamp_is_the_last_multiple_of_the_interval_since_the_epoch(minutes: int) -> None:
    begin_us = grid_stamp(NOW_US, minutes)
    assert begin_us % (minutes * 60_000_000) == 0
    assert 0 <= NOW_US - begin_us < minutes * 60_000_000


def test_a_schedule_that_begins_later_holds_with_its_first_entry_until_then() -> None:
    later = imports(entry(stamp(60), A=10.0), entry(stamp(120), A=20.0))
    assert [A for _, A in amperes(merged(later))] == [10.0, 10.0, 20.0]


def test_entries_need_no_order_and_their_offsets_count() -> None:
    mixed = imports(entry("2026-03-01T11:30:00+01:00", A=10.0), entry("2026-03-01T10:15:00Z", A=20.0))
    assert amperes(merged(mixed)) == [("2026-03-01T10:00:00.000Z", 20.0), ("2026-03-01T10:30:00.000Z", 10.0)]


def test_of_entries_with_one_timestamp_the_last_holds() -> None:
    assert amperes(merged(imports(entry(ALWAYS, A=20.0), entry(ALWAYS, A=10.0))))[0][1] == 10.0


# --- the most restrictive ----------------------------------------------------------------------------


def test_the_lowest_of_several_sources_holds_at_each_instant_and_is_named() -> None:
    one = imports(entry(ALWAYS, A=20.0), entry(stamp(60), A=6.0))
    other = imports(entry(ALWAYS, A=10.0), entry(stamp(90), A=32.0))
    assert [A for _, A in amperes(merged(one, other))] == [10.0, 6.0, 6.0]
    fuse = entries_of(merged(imports(entry(ALWAYS, A=40.0))).schedule_import)[
        0
    ].limits_to_root.ac_max_current_A
    assert fuse == NumberWithSource(32.0, "fuse")


def test_prices_of_one_source_stand_beside_the_limits_of_another() -> None:
    def price(value: float) -> dict[str, Any]:
        return {"timestamp": stamp(0), "value": value, "currency": "EUR"}

    prices = ExternalLimits(
        schedule_import=(
            entry(stamp(0), price_per_kwh=price(0.3)),
            entry(stamp(600), price_per_kwh=price(-0.1)),
        ),
        schedule_export=(entry(stamp(0), price_per_kwh=price(0.08)),),
    )
    limits = ExternalLimits(schedule_import=(entry(stamp(0), A=16.0), entry(stamp(300), A=10.0)))
    made = merged(limits, prices)
    told = [
        (e.price_per_kwh, value_of(e.limits_to_root.ac_max_current_A))
        for e in entries_of(made.schedule_import)
    ]
    assert told == [(price(0.3), 16.0), (price(0.3), 10.0), (price(-0.1), 10.0)]
    assert [e.price_per_kwh for e in entries_of(made.schedule_export)] == [price(0.08)]


def test_a_source_without_a_word_for_a_direction_leaves_it_alone() -> None:
    request = merged(short(export_ac_max_current_A=5.0), ExternalLimits())
    assert amperes(request)[0][1] == 32.0
    assert value_of(entries_of(request.schedule_export)[0].limits_to_root.ac_max_current_A) == 5.0


def test_0_is_the_most_restrictive_and_absence_is_no_limit() -> None:
    assert amperes(merged(short(ac_max_current_A=0.0), short(ac_max_current_A=5.0)))[0][1] == 0.0
    assert amperes(merged(short(total_power_W=0.0), fuse_A=None))[0][1] is None
    assert tightest(NO_LIMITS, NO_LIMITS) == NO_LIMITS


def test_minimums_are_the_larger_and_maximums_the_smaller() -> None:
    def limits(minimum: int, maximum: int, changing: bool | None) -> LimitsReq:
        return LimitsReq(
            ac_min_current_A=NumberWithSource(minimum),
            ac_max_phase_count=IntegerWithSource(maximum),
            ac_min_phase_count=IntegerWithSource(minimum),
            ac_supports_changing_phases_during_charging=changing,
        )

    both = tightest(limits(1, 3, True), limits(2, 2, False))
    assert both == limits(2, 2, False)
    assert tightest(limits(2, 2, None), limits(1, 3, False)) == both


def test_the_efficiency_that_lets_less_pass_to_the_grid_counts() -> None:
    def both(efficiency: float | None) -> ExternalLimits:
        entries = (entry(ALWAYS, A=20.0, conversion_efficiency=efficiency),)
        return ExternalLimits(schedule_import=entries, schedule_export=entries)

    request = merged(both(0.9), both(0.8), both(None))
    assert entries_of(request.schedule_import)[0].conversion_efficiency == 0.8
    assert entries_of(request.schedule_export)[0].conversion_efficiency == 0.9
    assert entries_of(merged(both(None)).schedule_import)[0].conversion_efficiency is None


def test_both_sides_of_an_entry_are_one_limit_towards_the_root() -> None:
    both = entry(ALWAYS, W=12e3, leaf_W=9e3, conversion_efficiency=0.9)
    assert value_of(import_limits(both).total_power_W) == pytest.approx(10e3)
    assert value_of(import_limits(entry(ALWAYS, W=8e3, leaf_W=9e3)).total_power_W) == 8e3


def test_a_watt_limit_without_a_current_also_limits_the_current_where_it_is_enhanced() -> None:
    request = merged(short(total_power_W=6900.0), watt_to_current_W=690.0)
    limits = entries_of(request.schedule_import)[0].limits_to_root
    assert limits.ac_max_current_A == NumberWithSource(10.0, "test")
    assert value_of(limits.total_power_W) == 6900.0
    leaves = entries_of(
        merged(imports(entry(ALWAYS, leaf_W=6900.0)), watt_to_current_W=690.0).schedule_import
    )[0]
    assert value_of(leaves.limits_to_leaves.ac_max_current_A) == 10.0


def test_a_watt_limit_is_not_enhanced_where_it_comes_with_a_current_or_nobody_asked() -> None:
    assert (
        amperes(merged(short(total_power_W=690.0, ac_max_current_A=20.0), watt_to_current_W=690.0))[0][1]
        == 20
    )
    assert amperes(merged(short(total_power_W=690.0)))[0][1] == 32.0


def test_each_source_is_enhanced_by_itself() -> None:
    request = merged(short(ac_max_current_A=20.0), short(total_power_W=6900.0), watt_to_current_W=690.0)
    assert amperes(request)[0][1] == 10.0


# --- setpoints ---------------------------------------------------------------------------------------


def setpoint(priority: int = 0, **values: Any) -> ExternalLimits:
    made = SetpointType(priority=priority, source=f"p{priority}", **values)
    return ExternalLimits(schedule_setpoints=(ScheduleSetpointEntry(timestamp=ALWAYS, setpoint=made),))


def the_setpoint(*sources: ExternalLimits) -> SetpointType | None:
    [entry_] = merged(*sources).schedule_setpoints
    return entry_.setpoint


def test_the_best_priority_wins_whatever_it_sets() -> None:
    won = the_setpoint(
        setpoint(5, ac_current_A=2.0), setpoint(0, total_power_W=9e3), setpoint(1000, ac_current_A=0.0)
    )
    assert won is not None
    assert won.total_power_W == 9e3


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (10.0, 6.0, 6.0),
        (-10.0, -6.0, -6.0),
        (10.0, -6.0, 0.0),
        (-6.0, 10.0, 0.0),
        (0.0, -6.0, 0.0),
        (5.0, 0.0, 0.0),
    ],
)
@pytest.mark.parametrize("unit", ["ac_current_A", "total_power_W"])
def test_of_equals_only_what_each_allows_is_allowed(unit: str, one: float, other: float, both: float) -> None:
    won = the_setpoint(setpoint(0, **{unit: one}), setpoint(0, **{unit: other}))
    assert won is not None
    assert getattr(won, unit) == both


def test_of_equals_in_different_units_the_first_by_name_wins() -> None:
    won = the_setpoint(setpoint(total_power_W=9e3), setpoint(ac_current_A=1.0))
    assert won is not None
    assert (won.total_power_W, won.ac_current_A) == (9e3, None)


def test_a_setpoint_that_ends_lets_the_next_best_hold() -> None:
    def until(end_s: float) -> ExternalLimits:
        [first] = setpoint(ac_current_A=6.0).schedule_setpoints
        return ExternalLimits(schedule_setpoints=(first, ScheduleSetpointEntry(timestamp=stamp(end_s))))

    alone = merged(until(60)).schedule_setpoints
    assert [(e.timestamp, e.setpoint is None) for e in alone] == [
        ("2026-03-01T10:00:00.000Z", False),
        (stamp(60), True),
    ]
    with_other = merged(until(60), setpoint(7, ac_current_A=9.0)).schedule_setpoints
    assert [e.setpoint.ac_current_A for e in with_other if e.setpoint is not None] == [6.0, 9.0]


# --- brute force ---------------------------------------------------------------------------------------

TIMES = st.integers(-5, 5)
VALUES = st.none() | st.sampled_from([0.0, 6.0, 10.0, 32.0])
ENTRIES = st.lists(st.tuples(TIMES, VALUES, VALUES, VALUES), max_size=5)
SOURCES = st.lists(ENTRIES, max_size=4)
Raw = list[list[tuple[int, float | None, float | None, float | None]]]


def holding(entries: Sequence[ScheduleReqEntry], instant_us: int) -> ScheduleReqEntry:
    """By its definition: the last stamped at or before the instant, else the first."""
    in_order = sorted(entries, key=lambda e: timestamps.parse(e.timestamp))
    before = [e for e in in_order if timestamps.parse(e.timestamp) <= instant_us]
    return before[-1] if before else in_order[0]


def lowest_at_every_instant(raw: Raw) -> None:
    sources = [
        imports(*(entry(stamp(t), A=A, W=W, leaf_W=leaf_W) for t, A, W, leaf_W in lines)) for lines in raw
    ]
    result = entries_of(merged(*sources, fuse_A=20.0).schedule_import)
    stamps = [e.timestamp for e in result]
    assert stamps == sorted(set(stamps), key=timestamps.parse)
    reads: list[tuple[Callable[[ScheduleReqEntry], NumberWithSource | None], list[float]]] = [
        (lambda e: e.limits_to_root.ac_max_current_A, [20.0]),
        (lambda e: e.limits_to_root.total_power_W, []),
        (lambda e: e.limits_to_leaves.total_power_W, []),
    ]
    for second in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 99.0):
        instant_us = at(second).wall_us
        for read, own in reads:
            held = [
                value_of(read(holding(s.schedule_import, instant_us))) for s in sources if s.schedule_import
            ]
            expected = min([*own, *(value for value in held if value is not None)], default=None)
            assert value_of(read(holding(result, instant_us))) == expected


@given(SOURCES)
def test_the_merge_is_the_most_restrictive_at_every_instant(raw: Raw) -> None:
    lowest_at_every_instant(raw)


def _first_of(one: Any, other: Any, *, lower: bool) -> Any:
    return other if one is None else one


def _truthy(one: Any, other: Any, *, lower: bool) -> Any:
    if one is None or other is None or not other.value:
        return one if one is not None else other
    return other if (other.value < one.value if lower else other.value > one.value) else one


def _no_later_changes(timelines: Any, now_us: int) -> list[int]:
    return []


@pytest.mark.parametrize(
    ("name", "mutant"), [("_pick", _first_of), ("_pick", _truthy), ("_change_points", _no_later_changes)]
)
def test_each_broken_rule_is_caught_by_the_property(
    name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, name, mutant)
    assert_caught(lowest_at_every_instant, SOURCES)
