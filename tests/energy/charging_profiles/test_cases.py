"""Hand-checked cases of what may be set, and of the composite schedules that follow."""

from __future__ import annotations

from typing import Any

import pytest

from actors.energy.charging_profiles.checks import Station, check_profile
from actors.energy.charging_profiles.composite import Wiring, at_evse, at_station, compose
from actors.energy.charging_profiles.installed import Criteria, clear, end_transaction, take
from actors.energy.charging_profiles.profile import Profile, ProfileRefusedError, Version
from actors.energy.charging_profiles.wire import read_profile, write_profile
from tests.energy.charging_profiles.cases import NOW_S, load, payload, transactions

CASES = list(load())
STATION_A, EVSE_A = 63, 32


def test_there_are_enough_cases() -> None:
    assert len({id(case) for _, _, case in CASES}) >= 80


@pytest.mark.parametrize(("version", "case"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_case(version: Version, case: dict[str, Any]) -> None:
    running = transactions(case)
    station = Station(
        version=version,
        evses=frozenset({1, 2}),
        dc=frozenset(case.get("dc", ())),
        transactions=running,
        takes_external_constraints=case.get("external", False),
    )
    installed: tuple[Profile, ...] = ()
    for given in case.get("set", ()):
        evse, raw = payload(version, given)
        refused: ProfileRefusedError | None = None
        try:
            profile = read_profile(version, evse, raw)
            check_profile(profile, station)
            installed = take(installed, profile, version, NOW_S)
            if version == "2.0.1":
                assert read_profile(version, evse, write_profile(profile)) == profile
        except ProfileRefusedError as error:
            refused = error
        assert (refused and refused.code) == given.get("refused"), refused
        assert refused is None or (len(refused.code) <= 20 and "\n" not in str(refused))
    if "end_transaction" in case:
        del running[case["end_transaction"]]
        installed = end_transaction(installed, case["end_transaction"])
    for given in case.get("clear", ()):
        installed = clear(installed, Criteria(**given))
    if "installed" in case:
        assert sorted(p.id for p in installed) == case["installed"]
    if "ask" in case:
        assert composed(installed, running, case) == [tuple(e) for e in case["expect"]]


def composed(installed: tuple[Profile, ...], running: Any, case: dict[str, Any]) -> list[tuple[float, ...]]:
    ask, unit = case["ask"], case["ask"].get("unit", "A")
    wiring = Wiring(case.get("voltage", 230), case.get("phases", 3))
    places = [(at_station(installed), wiring)]
    if ask["evse"]:
        places.append((at_evse(installed, ask["evse"], running.get(ask["evse"])), wiring))
    rating: float = EVSE_A if ask["evse"] else STATION_A
    if unit == "W":
        rating *= wiring.voltage_V * wiring.phases
    found, duration_s = compose(places, unit, rating, NOW_S, ask["duration"])
    assert duration_s == ask["duration"]
    return [(c.start_s, c.limit) if c.phases is None else (c.start_s, c.limit, c.phases) for c in found]
