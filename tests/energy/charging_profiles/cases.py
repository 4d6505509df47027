"""Cases of charging profiles as data: what a CSMS sets, and what must follow.

A profile: {id: 1, evse: 1, level: 0, purpose: TxDefault | Tx | Max | External, kind: Absolute, start: "09:00",
unit: A, periods: [[start, limit, phases?], …], duration, from, to, tx, recur, min_rate, refused: reason}. What is
left out is as written here; a Max or External is at EVSE 0. Instants: "10:15", "d+1 09:00", or "raw" and any text.
Each case holds for both versions unless it names `versions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from actors.energy.charging_profiles.profile import Transaction, Version

DATA = Path(__file__).parents[2] / "data" / "ocpp"
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
NOW_S = int((MIDNIGHT + timedelta(hours=10)).timestamp())
PURPOSES = {
    "Max": "ChargingStationMaxProfile",
    "External": "ChargingStationExternalConstraints",
    "TxDefault": "TxDefaultProfile",
    "Tx": "TxProfile",
}


def load() -> Iterator[tuple[str, Version, dict[str, Any]]]:
    """Name, version and content of each case."""
    versions: tuple[Version, ...] = ("1.6", "2.0.1")
    for file in sorted(DATA.glob("*.yaml")):
        for case in yaml.safe_load(file.read_text()):
            for version in versions:
                if version in case.get("versions", versions):
                    yield f"{file.stem}: {case['case']}, {version}", version, case


def instant(text: str) -> datetime:
    day, _, clock = text.rpartition(" ")
    hours, minutes, seconds = (*map(int, clock.split(":")), 0)[:3]
    days = int(day[1:]) if day else 0
    return MIDNIGHT + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def transactions(case: dict[str, Any]) -> dict[int, Transaction]:
    given = case.get("transactions", {1: {"id": 7, "started": "09:50"}})
    return {
        evse: Transaction(str(t["id"]), int(instant(t["started"]).timestamp())) for evse, t in given.items()
    }


def payload(version: Version, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """EVSE and profile as the version's message has them."""
    purpose = given.get("purpose", "TxDefault")
    kind = given.get("kind", "Absolute")
    start = given.get("start", None if kind == "Relative" else "09:00")
    periods = given.get("periods", [[0, 16]])
    if "many_periods" in given:
        periods = [[60 * index, 16] for index in range(given["many_periods"])]
    schedule = {
        "id": 1,
        "startSchedule": _stamp(start),
        "duration": given.get("duration"),
        "chargingRateUnit": given.get("unit", "A"),
        "minChargingRate": given.get("min_rate"),
        "chargingSchedulePeriod": [
            _without_none(
                {
                    "startPeriod": p[0],
                    "limit": p[1],
                    "numberPhases": p[2] if len(p) > 2 else None,
                    **given.get("period_extra", {}),
                }
            )
            for p in periods
        ],
    }
    transaction = given.get("tx")
    profile = {
        "stackLevel": given.get("level", 0),
        "chargingProfilePurpose": PURPOSES[purpose],
        "chargingProfileKind": kind,
        "recurrencyKind": given.get("recur"),
        "validFrom": _stamp(given.get("from")),
        "validTo": _stamp(given.get("to")),
    }
    number = given.get("id", 1)
    if version == "1.6":
        del schedule["id"]
        if purpose == "Max":
            profile["chargingProfilePurpose"] = "ChargePointMaxProfile"
        profile |= {"chargingProfileId": number, "transactionId": transaction}
        profile["chargingSchedule"] = _without_none(schedule)
    else:
        profile |= {"id": number, "transactionId": None if transaction is None else str(transaction)}
        profile["chargingSchedule"] = [_without_none(schedule)] * given.get("schedules", 1)
    return given.get("evse", 0 if purpose in ("Max", "External") else 1), _without_none(profile)


def _stamp(text: str | None) -> str | None:
    if text is None or text.startswith("raw "):
        return text and text.removeprefix("raw ")
    return instant(text).isoformat().replace("+00:00", "Z")


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}
