"""Charging profiles by which a charger is told: its default, and limits that end.

    stack level n      a limit, Absolute: from now on, for so many seconds
    stack level n - 1  the default, without end: in force whenever no limit is

Both have the same purpose, or the limit is a TxProfile of the transaction that runs, and the default below a
TxDefaultProfile. n is the highest level that the charger has, so that nothing of anybody else is above them.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from msgspec import Struct

from actors.drivers.account import Limit
from actors.energy import timestamps
from actors.energy.charging_profiles.profile import Version

ALWAYS = "2000-01-01T00:00:00Z"
"""Before any clock's time."""
LEVEL_MAX = 100
NEW_NAMES = {"ChargePointMaxProfile": "ChargingStationMaxProfile"}
"""Of purposes, in 2.0.1."""
DEFAULT_ID, LIMIT_ID = 1, 2
IDS = 100
"""Of profiles, for each connector."""


class Terms(Struct, frozen=True, kw_only=True):
    """How a charger can be told."""

    version: Version
    unit: Literal["A", "W"]
    level: int = 1
    """The highest stack level."""
    purpose: str = "TxDefaultProfile"
    """Of limits, as 1.6 names it."""
    voltage_V: float = 230.0
    connector: int = 1

    @property
    def of_station(self) -> bool:
        """Whether it is told for all its connectors together."""
        return self.purpose == "ChargePointMaxProfile"

    @property
    def place(self) -> int:
        """Which connector it is told for."""
        return 0 if self.of_station else self.connector

    @property
    def of_transaction(self) -> bool:
        """Whether it is told for a transaction, so that without one there is nothing to tell."""
        return self.purpose == "TxProfile"

    @property
    def default_purpose(self) -> str:
        """Of the default."""
        return "TxDefaultProfile" if self.of_transaction else self.purpose


def rate(limit: Limit, terms: Terms) -> float:
    """The limit as a number in the charger's unit, rounded down. In watt an AC charger gets what one phase
    may have, as it may draw all of it on one."""
    if terms.unit == "A":
        return math.floor(limit.limit_A * 10 + 1e-6) / 10
    watts = limit.limit_A * terms.voltage_V if limit.limit_W is None else limit.limit_W
    return float(math.floor(watts + 1e-6))


def limit_for(
    limit: Limit, duration_s: int, begin_us: int, terms: Terms, transaction: int | str | None = None
) -> dict[str, Any]:
    """Tells a limit that holds so long, on the charger's clock from `begin_us` on."""
    begin_us -= begin_us % timestamps.MICROSECONDS  # chargers may round
    schedule = {"startSchedule": timestamps.format_utc(begin_us), "duration": duration_s}
    profile: dict[str, Any] = {"stackLevel": terms.level, "chargingProfileKind": "Absolute"}
    if terms.of_transaction:
        profile["transactionId"] = transaction
    return _message(LIMIT_ID, terms.purpose, profile, schedule, limit, terms)


def default_of(limit: Limit, terms: Terms, *, absolute: bool) -> dict[str, Any]:
    """Tells what holds whenever nothing else does. Relative to a transaction, it needs no clock; not all
    chargers take that, and none for a whole station."""
    schedule = {"startSchedule": ALWAYS} if absolute or terms.of_station else {}
    kind = "Absolute" if schedule else "Relative"
    profile = {"stackLevel": terms.level - 1, "chargingProfileKind": kind}
    return _message(DEFAULT_ID, terms.default_purpose, profile, schedule, limit, terms)


def clear(terms: Terms, purpose: str, place: int, level: int | None = None) -> dict[str, Any]:
    """Takes profiles of a purpose away that were given for a connector (0: for all); without a level, all."""
    which: dict[str, Any] = {} if level is None else {"stackLevel": level}
    if terms.version == "1.6":
        return {"connectorId": place, "chargingProfilePurpose": purpose, **which}
    purpose = NEW_NAMES.get(purpose, purpose)
    return {"chargingProfileCriteria": {"evseId": place, "chargingProfilePurpose": purpose, **which}}


def clear_others(terms: Terms) -> list[dict[str, Any]]:
    """Takes away what others may have left, but what is below our own levels. TxProfiles are above all."""
    others = "TxDefaultProfile" if terms.of_station else "ChargePointMaxProfile"
    place = terms.connector if terms.of_station else 0
    return [clear(terms, "TxProfile", terms.connector), clear(terms, others, place)]


def _message(
    number: int,
    purpose: str,
    profile: dict[str, Any],
    schedule: dict[str, Any],
    limit: Limit,
    terms: Terms,
) -> dict[str, Any]:
    period: dict[str, Any] = {"startPeriod": 0, "limit": rate(limit, terms)}
    if limit.phase_count != 3:  # which is what is assumed
        period["numberPhases"] = limit.phase_count
    schedule = {**schedule, "chargingRateUnit": terms.unit, "chargingSchedulePeriod": [period]}
    own = IDS * terms.connector + number
    if terms.version == "1.6":
        profile |= {"chargingProfileId": own, "chargingProfilePurpose": purpose, "chargingSchedule": schedule}
        return {"connectorId": terms.place, "csChargingProfiles": profile}
    purpose = NEW_NAMES.get(purpose, purpose)
    profile |= {"id": own, "chargingProfilePurpose": purpose, "chargingSchedule": [{"id": own, **schedule}]}
    return {"evseId": terms.place, "chargingProfile": profile}
