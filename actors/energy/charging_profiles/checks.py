"""Whether a profile may be taken, by itself and by how the station is. Rules are named as in OCPP 2.0.1, part
2; those of 1.6 say the same unless it is said here."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from msgspec import Struct

from actors.energy.charging_profiles.profile import (
    STATION,
    STATION_EVSE,
    Profile,
    ProfileRefusedError,
    Transaction,
    Version,
)

MAX_PERIODS = 300
"""Of a profile."""
MAX_STACK_LEVEL = 100
MAX_LIMIT = 1e9
"""A larger number is a mistake, in whatever unit."""
MAX_SECONDS = 1_000_000_000
"""Of a duration, or of a period's start: some thirty years."""
MAX_ID = 2**31 - 1
MAX_TRANSACTION = 36
"""Characters of a transaction's id."""
PHASES = (1, 2, 3)


class Station(Struct, frozen=True, kw_only=True):
    """What a profile is judged by."""

    version: Version
    evses: frozenset[int]
    """Without 0."""
    dc: frozenset[int] = frozenset()
    transactions: Mapping[int, Transaction] = {}
    """By EVSE."""
    takes_external_constraints: bool = False
    """Whether the CSMS speaks for the grid operator."""


def check_profile(profile: Profile, station: Station) -> None:
    """Raises ProfileRefusedError."""
    if profile.evse != STATION_EVSE and profile.evse not in station.evses:
        raise ProfileRefusedError("UnknownEvse", f"no EVSE {profile.evse}")  # K01.FR.28
    if not (abs(profile.id) <= MAX_ID and abs(profile.schedule_id) <= MAX_ID):
        raise ProfileRefusedError("InvalidValue", f"an id is at most {MAX_ID}")
    if not 0 <= profile.stack_level <= MAX_STACK_LEVEL:
        raise ProfileRefusedError("InvalidStackLevel", f"a stack level is 0 to {MAX_STACK_LEVEL}")
    _check_purpose(profile, station)
    _check_kind(profile)
    _check_periods(profile, station)


def _check_purpose(profile: Profile, station: Station) -> None:
    if profile.purpose == "ChargingStationExternalConstraints" and not station.takes_external_constraints:
        # K01.FR.22: a CSMS may not, unless the site's file says that it speaks for the grid operator.
        why = f"{profile.purpose} come from the grid operator, for whom this CSMS does not speak here"
        raise ProfileRefusedError("InvalidValue", why)
    if profile.purpose in STATION and profile.evse != STATION_EVSE:
        raise ProfileRefusedError("InvalidValue", f"{profile.purpose} is for EVSE {STATION_EVSE} only")
    if profile.purpose in STATION and profile.kind == "Relative":  # K01.FR.38
        raise ProfileRefusedError("InvalidValue", f"{profile.purpose} cannot be Relative")
    if profile.purpose != "TxProfile":
        if profile.transaction is not None:
            raise ProfileRefusedError("InvalidValue", "only a TxProfile has a transactionId")
        return
    if profile.evse == STATION_EVSE:  # K01.FR.16
        raise ProfileRefusedError("InvalidValue", "a TxProfile is for one EVSE")
    running = station.transactions.get(profile.evse)
    if len(profile.transaction or "") > MAX_TRANSACTION:
        raise ProfileRefusedError("InvalidValue", f"a transactionId has at most {MAX_TRANSACTION} characters")
    if profile.transaction is None and station.version != "1.6":  # K01.FR.03
        raise ProfileRefusedError("MissingParam", "a TxProfile needs its transactionId")
    if running is None or profile.transaction not in (None, running.id):  # K01.FR.09, K01.FR.33
        raise ProfileRefusedError("TxNotFound", f"no such transaction runs at EVSE {profile.evse}")


def _check_kind(profile: Profile) -> None:
    if profile.kind == "Relative" and profile.start_s is not None:  # K01.FR.41
        raise ProfileRefusedError("InvalidSchedule", "Relative has no startSchedule")
    if profile.kind != "Relative" and profile.start_s is None:  # K01.FR.40
        raise ProfileRefusedError("InvalidSchedule", f"{profile.kind} needs a startSchedule")
    if profile.kind == "Recurring" and profile.recurrency is None:
        raise ProfileRefusedError("MissingParam", "Recurring needs a recurrencyKind")
    first_s, last_s = profile.valid_from_s, profile.valid_to_s
    if first_s is not None and last_s is not None and last_s <= first_s:
        raise ProfileRefusedError("InvalidValue", "validTo is not after validFrom")
    if profile.duration_s is not None and not 0 < profile.duration_s <= MAX_SECONDS:
        raise ProfileRefusedError("InvalidSchedule", f"a duration is 1 to {MAX_SECONDS} s")


def _check_periods(profile: Profile, station: Station) -> None:
    periods = profile.periods
    if not 0 < len(periods) <= MAX_PERIODS:
        raise ProfileRefusedError("InvalidSchedule", f"a schedule has 1 to {MAX_PERIODS} periods")
    if periods[0].start_s != 0:  # K01.FR.31
        raise ProfileRefusedError("InvalidSchedule", "the first period begins at 0")
    if any(after.start_s <= before.start_s for before, after in pairwise(periods)):  # K01.FR.35
        raise ProfileRefusedError("InvalidSchedule", "periods are out of order")
    if periods[-1].start_s > MAX_SECONDS:
        raise ProfileRefusedError("InvalidSchedule", f"a period begins within {MAX_SECONDS} s")
    for number in (*(period.limit for period in periods), profile.min_rate or 0.0):
        if not 0 <= number <= MAX_LIMIT:
            raise ProfileRefusedError("InvalidSchedule", f"a limit is 0 to {MAX_LIMIT:g}")
    phases = {period.phases for period in periods} - {None}
    if not phases <= set(PHASES):
        raise ProfileRefusedError("InvalidSchedule", "numberPhases is 1, 2 or 3")
    if phases and profile.evse in station.dc:  # K01.FR.44
        raise ProfileRefusedError("InvalidSchedule", f"EVSE {profile.evse} is DC and has no numberPhases")
