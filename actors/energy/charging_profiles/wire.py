"""Profiles as they stand in OCPP's messages, and back.

What a message may hold at all is the schemas' business; here its values become a Profile, or are refused.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from actors.energy import timestamps
from actors.energy.charging_profiles.profile import (
    Kind,
    Period,
    Profile,
    ProfileRefusedError,
    Purpose,
    Recurrency,
    Unit,
    Version,
)

MAX_16: Literal["ChargePointMaxProfile"] = "ChargePointMaxProfile"
"""How 1.6 calls the ChargingStationMaxProfile."""


class _Period(Struct):
    startPeriod: int
    limit: float
    numberPhases: int | None = None
    phaseToUse: int | None = None


class _Schedule(Struct):
    chargingRateUnit: Unit
    chargingSchedulePeriod: list[_Period]
    id: int = 0
    startSchedule: str | None = None
    duration: int | None = None
    minChargingRate: float | None = None


class _Profile(Struct):
    stackLevel: int
    chargingProfileKind: Kind
    recurrencyKind: Recurrency | None = None
    validFrom: str | None = None
    validTo: str | None = None


class _Profile16(_Profile, kw_only=True):
    chargingProfileId: int
    chargingProfilePurpose: Literal["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"]
    chargingSchedule: _Schedule
    transactionId: int | None = None


class _Profile201(_Profile, kw_only=True):
    id: int
    chargingProfilePurpose: Purpose
    chargingSchedule: list[_Schedule]
    transactionId: str | None = None


def read_profile(version: Version, evse: int, raw: dict[str, Any]) -> Profile:
    """What `csChargingProfiles` (1.6) or `chargingProfile` (2.0.1) says. Raises ProfileRefusedError."""
    form: _Profile16 | _Profile201
    try:
        form = msgspec.convert(raw, _Profile16) if version == "1.6" else msgspec.convert(raw, _Profile201)
    except (msgspec.ValidationError, OverflowError, RecursionError) as error:
        raise ProfileRefusedError("InvalidProfile", f"not a charging profile: {error}") from error
    purpose: Purpose
    if isinstance(form, _Profile16):
        number, schedule = form.chargingProfileId, form.chargingSchedule
        name = form.chargingProfilePurpose
        purpose = "ChargingStationMaxProfile" if name == MAX_16 else name
        transaction = None if form.transactionId is None else str(form.transactionId)
    else:
        number, purpose, transaction = form.id, form.chargingProfilePurpose, form.transactionId
        if len(form.chargingSchedule) != 1:
            # Several are a choice for a car that speaks ISO 15118; nobody here can know which it took.
            raise ProfileRefusedError("InvalidSchedule", "a profile has one chargingSchedule")
        (schedule,) = form.chargingSchedule
    if any(period.phaseToUse is not None for period in schedule.chargingSchedulePeriod):
        raise ProfileRefusedError("UnsupportedParam", "phaseToUse: phases cannot be chosen here")
    return Profile(
        id=number,
        evse=evse,
        stack_level=form.stackLevel,
        purpose=purpose,
        kind=form.chargingProfileKind,
        unit=schedule.chargingRateUnit,
        periods=tuple(
            Period(p.startPeriod, p.limit, p.numberPhases) for p in schedule.chargingSchedulePeriod
        ),
        recurrency=form.recurrencyKind,
        start_s=_seconds("startSchedule", schedule.startSchedule),
        duration_s=schedule.duration,
        valid_from_s=_seconds("validFrom", form.validFrom),
        valid_to_s=_seconds("validTo", form.validTo),
        transaction=transaction,
        min_rate=schedule.minChargingRate,
        schedule_id=schedule.id,
    )


def write_profile(profile: Profile) -> dict[str, Any]:
    """As 2.0.1 reports it."""
    schedule = {
        "id": profile.schedule_id,
        "startSchedule": stamp(profile.start_s),
        "duration": profile.duration_s,
        "chargingRateUnit": profile.unit,
        "chargingSchedulePeriod": [
            _without_none({"startPeriod": p.start_s, "limit": p.limit, "numberPhases": p.phases})
            for p in profile.periods
        ],
        "minChargingRate": profile.min_rate,
    }
    return _without_none(
        {
            "id": profile.id,
            "stackLevel": profile.stack_level,
            "chargingProfilePurpose": profile.purpose,
            "chargingProfileKind": profile.kind,
            "recurrencyKind": profile.recurrency,
            "validFrom": stamp(profile.valid_from_s),
            "validTo": stamp(profile.valid_to_s),
            "transactionId": profile.transaction,
            "chargingSchedule": [_without_none(schedule)],
        }
    )


def stamp(instant_s: int | None) -> str | None:
    """RFC 3339 of whole seconds."""
    return None if instant_s is None else timestamps.format_utc(instant_s * timestamps.MICROSECONDS)


def _seconds(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else timestamps.parse(text) // timestamps.MICROSECONDS
    except ValueError as error:
        raise ProfileRefusedError("InvalidValue", f"{name}: {error}") from error


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}
