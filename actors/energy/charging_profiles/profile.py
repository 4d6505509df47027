"""A charging profile in one form for both versions of OCPP."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Version = Literal["1.6", "2.0.1"]
Purpose = Literal[
    "ChargingStationExternalConstraints", "ChargingStationMaxProfile", "TxDefaultProfile", "TxProfile"
]
"""By their names in 2.0.1."""
Kind = Literal["Absolute", "Recurring", "Relative"]
Recurrency = Literal["Daily", "Weekly"]
Unit = Literal["A", "W"]

STATION: tuple[Purpose, ...] = ("ChargingStationExternalConstraints", "ChargingStationMaxProfile")
"""Purposes that limit the whole station."""
STATION_EVSE = 0
"""EVSE 0 (1.6: connector 0) is the station as a whole."""
FOREVER_S = 2**62
"""Later than any instant."""


class ProfileRefusedError(ValueError):
    """A profile cannot be taken; says why in one line, and by a reason code as 2.0.1 knows them."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class Period(Struct, frozen=True):
    """From `start_s` after the schedule's start on, until the next period begins."""

    start_s: int
    limit: float
    """Ampere per phase, or watt in all."""
    phases: int | None = None


class Profile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a CSMS has set for an EVSE, or for the station."""

    id: int
    evse: int
    stack_level: int
    purpose: Purpose
    kind: Kind
    unit: Unit
    periods: tuple[Period, ...]
    recurrency: Recurrency | None = None
    start_s: int | None = None
    """Absolute and Recurring."""
    duration_s: int | None = None
    valid_from_s: int | None = None
    valid_to_s: int | None = None
    transaction: str | None = None
    """Which TxProfile is for; None in 1.6: for whichever runs."""
    min_rate: float | None = None
    """Below it charging is inefficient; it limits nothing."""
    schedule_id: int = 0
    """2.0.1 only."""

    def recurs_each_s(self) -> int | None:
        """None: once."""
        if self.kind != "Recurring":
            return None
        return 7 * 86_400 if self.recurrency == "Weekly" else 86_400


class Transaction(Struct, frozen=True):
    """One that runs at an EVSE."""

    id: str | None
    """None while a 1.6 CSMS has not given one yet."""
    started_s: int
