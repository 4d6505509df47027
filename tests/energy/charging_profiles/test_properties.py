"""Composite schedules of any profiles: as the plain reference says, and never above any purpose's limit."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.charging_profiles import composite, limits
from actors.energy.charging_profiles.checks import Station, check_profile
from actors.energy.charging_profiles.composite import Composed, Place, Wiring
from actors.energy.charging_profiles.installed import MAX_PROFILES, take
from actors.energy.charging_profiles.profile import (
    Kind,
    Period,
    Profile,
    ProfileRefusedError,
    Purpose,
    Transaction,
    Unit,
    Version,
)
from actors.energy.charging_profiles.wire import read_profile, write_profile
from actors.energy.packing import entries_of
from actors.energy.schedules import OwnLimits, tightest, with_schedules
from actors.energy.types import EnergyFlowRequest, ExternalLimits, LimitsReq, NodeType
from tests.energy.charging_profiles import reference
from tests.energy.charging_profiles.cases import NOW_S

V = 230.0
SPAN_S = 60
EVSES = frozenset({1, 2})
RATING_A = 63.0

near = st.integers(-40, SPAN_S)
units: st.SearchStrategy[Unit] = st.sampled_from(["A", "W"])


@st.composite
def a_profile(draw: st.DrawFn, number: int) -> Profile:
    purpose: Purpose = draw(st.sampled_from(["ChargingStationMaxProfile", "TxDefaultProfile", "TxProfile"]))
    if draw(st.integers(0, 9)) == 0:
        purpose = "ChargingStationExternalConstraints"
    station = purpose.startswith("ChargingStation")
    kind: Kind = draw(st.sampled_from(["Absolute", "Recurring", "Absolute" if station else "Relative"]))
    starts = draw(st.lists(st.integers(1, SPAN_S), max_size=3, unique=True))
    days = draw(st.integers(0, 9))
    recurs = kind == "Recurring"
    unit = draw(units)
    limit = st.integers(0, 40) if unit == "A" else st.integers(0, 300).map(lambda n: n * 100)
    phases = st.sampled_from([None, None, 1, 2, 3])
    valid_from = draw(st.none() | near)
    return Profile(
        id=number,
        evse=0 if station else draw(st.sampled_from([1, 2] if purpose == "TxProfile" else [0, 1, 2])),
        stack_level=draw(st.integers(0, 2)),
        purpose=purpose,
        kind=kind,
        unit=unit,
        periods=tuple(Period(s, float(draw(limit)), draw(phases)) for s in (0, *sorted(starts))),
        recurrency=draw(st.sampled_from(["Daily", "Weekly"])) if recurs else None,
        start_s=None if kind == "Relative" else NOW_S + draw(near) - (86_400 * days if recurs else 0),
        duration_s=draw(st.none() | st.integers(1, 120)),
        valid_from_s=None if valid_from is None else NOW_S + valid_from,
        valid_to_s=None if draw(st.booleans()) else NOW_S + (valid_from or -40) + draw(st.integers(1, 120)),
        transaction="7" if purpose == "TxProfile" else None,
    )


@st.composite
def a_station(draw: st.DrawFn) -> tuple[list[Profile], Transaction | None]:
    """Profiles that may stand beside each other, and the transaction of each EVSE, if any."""
    running = draw(st.none() | st.integers(-60, 0).map(lambda s: Transaction("7", NOW_S + s)))
    transactions = {} if running is None else dict.fromkeys(EVSES, running)
    version: Version = draw(st.sampled_from(["1.6", "2.0.1"]))
    station = Station(
        version=version, evses=EVSES, transactions=transactions, takes_external_constraints=True
    )
    installed: tuple[Profile, ...] = ()
    for number in range(draw(st.integers(1, 7))):
        profile = draw(a_profile(number))
        try:
            check_profile(profile, station)
            installed = take(installed, profile, version, NOW_S)
        except ProfileRefusedError:
            continue
    return list(installed), running


def places(
    profiles: list[Profile], evse: int, running: Transaction | None, of: Wiring
) -> list[tuple[Place, Wiring]]:
    station = (composite.at_station(profiles), Wiring(V, 3))
    return [station, (composite.at_evse(profiles, evse, running), of)] if evse else [station]


def at_each_second(found: list[Composed]) -> dict[int, Composed]:
    ends = itertools.chain([c.start_s for c in found[1:]], [SPAN_S])
    return {s: c for c, end_s in zip(found, ends, strict=True) for s in range(c.start_s, end_s)}


@given(a_station(), st.integers(0, 2), units, st.integers(1, 3))
def test_never_above_any_purposes_limit_and_as_the_reference_says(
    world: tuple[list[Profile], Transaction | None], evse: int, unit: Unit, wired: int
) -> None:
    profiles, running = world
    wiring = Wiring(V, wired if evse else 3)
    rating = RATING_A if unit == "A" else RATING_A * V * wiring.phases
    found, duration_s = composite.compose(
        places(profiles, evse, running, wiring), unit, rating, NOW_S, SPAN_S
    )
    assert duration_s == SPAN_S
    for second, composed in at_each_second(found).items():
        held = reference.purposes(profiles, evse, running, NOW_S + second)
        used = min([wiring.phases, *(p.phases for _, p in held if p.phases is not None)])
        assert composed.phases == (used if any(p.phases is not None for _, p in held) else None)
        current_A = composed.limit if unit == "A" else composed.limit / (V * used)
        for of, period in held:
            if of == "A":
                assert current_A <= period.limit + 1e-9
            else:
                assert current_A * V * used <= period.limit + 1e-6
        assert composed.limit <= rating
        if not held:
            assert composed.limit == rating
        if {of for of, _ in held} == {unit} and unit == "A":
            assert composed.limit == min(rating, *(p.limit for _, p in held))


@given(a_station(), units, st.integers(1, 3))
def test_the_composite_schedule_is_what_the_market_is_given(
    world: tuple[list[Profile], Transaction | None], unit: Unit, wired: int
) -> None:
    """What EVSE 1 may draw by the market's own reading of its limits and of those above it."""
    profiles, running = world
    wiring = Wiring(V, wired)
    both = places(profiles, 1, running, wiring)
    rating = RATING_A if unit == "A" else RATING_A * V * wired
    found, _ = composite.compose(both, unit, rating, NOW_S, SPAN_S)
    given_to = []
    for place, of in both:
        steps, _ = composite.steps(place, NOW_S, NOW_S + SPAN_S)
        given_to.append(limits.external_limits(steps, unit, of, "ocpp"))
    for second, composed in at_each_second(found).items():
        held = LimitsReq()
        for external in given_to:
            if external is not None:
                held = tightest(held, _at(external, NOW_S + second))
        current_A = None if held.ac_max_current_A is None else held.ac_max_current_A.value
        power_W = None if held.total_power_W is None else held.total_power_W.value
        most = None if held.ac_max_phase_count is None else held.ac_max_phase_count.value
        used = wired if most is None else min(most, wired)
        if unit == "A":
            assert power_W is None or most is not None
            by_power_A = RATING_A if power_W is None else min(RATING_A, power_W / (V * used))
            limit = by_power_A if current_A is None else min(by_power_A, current_A)
        else:
            by_current_W = rating if current_A is None else min(rating, current_A * V * used)
            limit = by_current_W if power_W is None else min(by_current_W, power_W)
        assert composed.limit == pytest.approx(limit, rel=1e-12)
        assert composed.phases == (None if most is None else used)


def _at(external: ExternalLimits, at_s: int) -> LimitsReq:
    """As the node that has these limits merges them."""
    own = OwnLimits(limits_import=LimitsReq(), limits_export=LimitsReq())
    bare = EnergyFlowRequest(uuid="node", node_type=NodeType.Generic)
    at_us = at_s * timestamps.MICROSECONDS
    return entries_of(with_schedules(bare, own, [("ocpp", external)], at_us, at_us).schedule_import)[
        0
    ].limits_to_root


@given(a_station())
def test_profiles_are_reported_as_they_were_set(world: tuple[list[Profile], Transaction | None]) -> None:
    for profile in world[0]:
        assert read_profile("2.0.1", profile.evse, write_profile(profile)) == profile


@given(st.lists(a_profile(0), max_size=5), st.sampled_from(["1.6", "2.0.1"]))
def test_no_two_profiles_stand_at_one_place(drawn: list[Profile], version: Version) -> None:
    installed: tuple[Profile, ...] = ()
    for number, profile in enumerate(drawn):
        with suppress(ProfileRefusedError):
            installed = take(installed, replace(profile, id=number), version, NOW_S)
    assert len({p.id for p in installed}) == len(installed)
    if version == "1.6":
        assert len({(p.evse, p.purpose, p.stack_level) for p in installed}) == len(installed)


def test_ten_thousand_profiles_are_refused_from_the_bound_on_and_the_first_ones_stay() -> None:
    installed: tuple[Profile, ...] = ()
    refused: list[str] = []
    for number in range(10_000):
        profile = Profile(
            id=number,
            evse=number // 100 + 1,
            stack_level=number % 100,
            purpose="TxDefaultProfile",
            kind="Absolute",
            unit="A",
            periods=(Period(0, 16.0),),
            start_s=NOW_S,
        )
        try:
            installed = take(installed, profile, "2.0.1", NOW_S)
        except ProfileRefusedError as error:
            refused.append(error.code)
    assert refused == ["TooManyElements"] * (10_000 - MAX_PROFILES)
    assert [p.id for p in installed] == list(range(MAX_PROFILES))


def test_what_is_over_makes_room() -> None:
    def profile(number: int, valid_to_s: int | None) -> Profile:
        return Profile(
            id=number,
            evse=1,
            stack_level=number,
            purpose="TxDefaultProfile",
            kind="Absolute",
            unit="A",
            periods=(Period(0, 16.0),),
            start_s=NOW_S - 9,
            valid_to_s=valid_to_s,
        )

    installed = tuple(profile(n, NOW_S if n % 2 else None) for n in range(MAX_PROFILES))
    assert len(take(installed, profile(-1, None), "2.0.1", NOW_S)) == MAX_PROFILES // 2 + 1


def test_a_schedule_of_too_many_steps_is_told_as_far_as_it_goes() -> None:
    each_minute = Profile(
        id=1,
        evse=0,
        stack_level=0,
        purpose="ChargingStationMaxProfile",
        kind="Recurring",
        recurrency="Daily",
        unit="A",
        periods=tuple(Period(60 * n, float(n % 2)) for n in range(300)),
        start_s=NOW_S,
    )
    place = composite.at_station([each_minute])
    found, until_s = composite.steps(place, NOW_S, NOW_S + 10**9)
    assert len(found) == composite.MAX_STEPS
    assert until_s == NOW_S + 86_400
    _, duration_s = composite.compose([(place, Wiring(V, 3))], "A", RATING_A, NOW_S, 10**9)
    assert duration_s == 86_400


def test_looking_for_steps_has_an_end_where_all_are_alike() -> None:
    alike = Profile(
        id=1,
        evse=0,
        stack_level=0,
        purpose="ChargingStationMaxProfile",
        kind="Recurring",
        recurrency="Daily",
        unit="A",
        periods=tuple(Period(n, 16.0) for n in range(300)),
        start_s=NOW_S,
    )
    found, until_s = composite.steps(composite.at_station([alike]), NOW_S, NOW_S + 10**9)
    assert len(found) == 1
    assert NOW_S < until_s < NOW_S + 10**9
