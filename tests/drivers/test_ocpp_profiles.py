"""How a charger is told: charging profiles of both versions, its units, and its clock."""

from __future__ import annotations

from typing import Any

import pytest

from actors.drivers.account import Limit
from actors.drivers.ocpp.abilities import Abilities, abilities
from actors.drivers.ocpp.charger_clock import GUARD_S, ChargerClock, SiteClock
from actors.drivers.ocpp.profiles import Terms, clear, clear_others, default_of, limit_for, rate
from actors.energy import timestamps
from actors.ocpp.frames import fault_of

NOW_US = timestamps.parse("2026-03-01T10:20:30.700Z")
OLD = Terms(version="1.6", unit="A", level=4, connector=2)
NEW = Terms(version="2.0.1", unit="A", level=4, connector=2)


def test_a_limit_ends_by_itself_on_the_highest_level() -> None:
    assert limit_for(Limit(10.29), 60, NOW_US, OLD) == {
        "connectorId": 2,
        "csChargingProfiles": {
            "chargingProfileId": 202,
            "stackLevel": 4,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Absolute",
            "chargingSchedule": {
                "startSchedule": "2026-03-01T10:20:30.000Z",
                "duration": 60,
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.2}],
            },
        },
    }


def test_the_default_lies_below_it_and_has_no_end() -> None:
    told = default_of(Limit(6.0), NEW, absolute=False)
    assert told == {
        "evseId": 2,
        "chargingProfile": {
            "id": 201,
            "stackLevel": 3,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": [
                {
                    "id": 201,
                    "chargingRateUnit": "A",
                    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0}],
                }
            ],
        },
    }


@pytest.mark.parametrize("terms", [OLD, NEW])
@pytest.mark.parametrize("purpose", ["TxDefaultProfile", "TxProfile", "ChargePointMaxProfile"])
@pytest.mark.parametrize("unit", ["A", "W"])
def test_what_is_told_is_what_the_schemas_allow(terms: Terms, purpose: str, unit: Any) -> None:
    terms = Terms(
        version=terms.version, unit=unit, level=terms.level, purpose=purpose, connector=terms.connector
    )
    transaction = 7 if terms.version == "1.6" else "seven"
    for limit in (Limit(0.0), Limit(10.7, None, 1), Limit(21.7391, 14999.99, 3), Limit(32.0)):
        for absolute in (True, False):
            assert (
                fault_of(terms.version, "SetChargingProfile", default_of(limit, terms, absolute=absolute))
                is None
            )
        assert (
            fault_of(terms.version, "SetChargingProfile", limit_for(limit, 59, NOW_US, terms, transaction))
            is None
        )
    for message in (*clear_others(terms), clear(terms, purpose, terms.place, 3)):
        assert fault_of(terms.version, "ClearChargingProfile", message) is None


def test_a_whole_station_is_told_by_its_own_purpose_and_never_relative() -> None:
    terms = Terms(version="2.0.1", unit="A", purpose="ChargePointMaxProfile")
    told = default_of(Limit(6.0), terms, absolute=False)
    assert (told["evseId"], told["chargingProfile"]["chargingProfilePurpose"]) == (
        0,
        "ChargingStationMaxProfile",
    )
    assert told["chargingProfile"]["chargingProfileKind"] == "Absolute"


@pytest.mark.parametrize(
    ("limit", "unit", "told"),
    [
        (Limit(16.0), "A", 16.0),
        (Limit(10.69999), "A", 10.6),
        (Limit(10.699999999), "A", 10.7),  # a crumb of floating point
        (Limit(16.0, None, 3), "W", 3680.0),  # a car might take all on one phase
        (Limit(65.2, 45000.7, 3), "W", 45000.0),
    ],
)
def test_limits_are_rounded_down(limit: Limit, unit: Any, told: float) -> None:
    assert rate(limit, Terms(version="1.6", unit=unit)) == told


def test_a_limit_of_a_transaction_lies_above_a_default_for_all() -> None:
    terms = Terms(version="1.6", unit="A", purpose="TxProfile")
    limit = limit_for(Limit(16.0), 60, NOW_US, terms, 7)["csChargingProfiles"]
    default = default_of(Limit(6.0), terms, absolute=False)["csChargingProfiles"]
    assert (limit["chargingProfilePurpose"], limit["transactionId"]) == ("TxProfile", 7)
    assert default["chargingProfilePurpose"] == "TxDefaultProfile"


def test_fewer_phases_are_told_by_their_number() -> None:
    told = limit_for(Limit(16.0, None, 1), 60, NOW_US, OLD)
    (period,) = told["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"]
    assert period["numberPhases"] == 1


@pytest.mark.parametrize(
    ("level", "units", "found"),
    [
        ("5", "Current", Abilities(takes_W=False, level=5)),
        ("0", "Power", Abilities(takes_A=False, level=1)),
        ("", "", Abilities()),
        ("999", "Current,Power", Abilities(level=100)),
        ("²", "A,W", Abilities()),
        ("-3", " w ", Abilities(takes_A=False)),
    ],
)
def test_what_a_charger_can_do_is_what_it_says_or_what_is_common(
    level: str, units: str, found: Abilities
) -> None:
    assert abilities(level, units) == found


# --- clocks -----------------------------------------------------------------------------------------


def test_the_time_that_chargers_are_told_never_goes_back() -> None:
    clock = SiteClock()
    assert clock.now_us(10.0, 1_000_000_000) == 1_000_000_000
    assert clock.now_us(11.0, 500_000_000) == 1_001_000_000, "the wall clock was set back"
    assert clock.now_us(12.0, 2_000_000_000) == 2_000_000_000
    assert clock.now_us(13.0, 1_500_000_000) == 2_001_000_000


@pytest.mark.parametrize(
    ("shown_s", "begins_s"),
    [
        ([], -GUARD_S),  # it may be behind by what our answer was under way
        ([-3600.0], -3600.0),
        ([-7.0, -3.0, -90.0], -3.0),  # the others were held up
        ([+3600.0], 0.0),  # it may be set right at any moment
        ([-1.7e9], -1.7e9),  # it has never been set
        ([-1e11, +1e12], -GUARD_S),  # no clock
    ],
)
def test_a_limit_begins_no_later_than_now_on_the_chargers_clock(
    shown_s: list[float], begins_s: float
) -> None:
    clock = ChargerClock()
    for ahead_s in shown_s:
        clock.shows(10.0, NOW_US + round(ahead_s * 1e6), NOW_US)
    assert clock.begin_us(20.0, NOW_US) == NOW_US + round(begins_s * 1e6)
    assert clock.begin_us(10_000.0, NOW_US) == NOW_US - round(GUARD_S * 1e6), "what it showed is too long ago"
