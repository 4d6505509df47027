"""OCPP's rules second by second, as plainly as they can be written: the measure of the fast way."""

from __future__ import annotations

from collections.abc import Iterable

from actors.energy.charging_profiles.profile import Period, Profile, Transaction

DAY_S = 86_400


def period_of(profile: Profile, at_s: int, transaction: Transaction | None) -> Period | None:
    """The period of a profile that holds in this second."""
    if profile.valid_from_s is not None and at_s < profile.valid_from_s:
        return None
    if profile.valid_to_s is not None and at_s >= profile.valid_to_s:
        return None
    start_s = profile.start_s
    if profile.kind == "Relative":
        if transaction is None:
            return None
        start_s = transaction.started_s
    assert start_s is not None
    if profile.kind == "Recurring":
        while start_s + (DAY_S if profile.recurrency == "Daily" else 7 * DAY_S) <= at_s:
            start_s += DAY_S if profile.recurrency == "Daily" else 7 * DAY_S
    elapsed_s = at_s - start_s
    if elapsed_s < 0 or (profile.duration_s is not None and elapsed_s >= profile.duration_s):
        return None
    return [period for period in profile.periods if period.start_s <= elapsed_s][-1]


def holding(profiles: Iterable[Profile], at_s: int, transaction: Transaction | None) -> Period | None:
    """Of profiles of one purpose: the period of the highest stack level that has one."""
    best: tuple[int, bool, Period] | None = None
    for profile in profiles:
        period = period_of(profile, at_s, transaction)
        rank = (profile.stack_level, profile.evse != 0)
        if period is not None and (best is None or rank > best[:2]):
            best = (*rank, period)
    return None if best is None else best[2]


def purposes(
    profiles: list[Profile], evse: int, transaction: Transaction | None, at_s: int
) -> list[tuple[str, Period]]:
    """Unit and period of each purpose that limits an EVSE in this second; EVSE 0 is the station."""

    def of(purpose: str, evses: tuple[int, ...]) -> list[Profile]:
        return [p for p in profiles if p.purpose == purpose and p.evse in evses]

    groups = [of("ChargingStationMaxProfile", (0,)), of("ChargingStationExternalConstraints", (0,))]
    if evse and transaction is not None:
        of_it = [p for p in of("TxProfile", (evse,)) if p.transaction in (None, transaction.id)]
        default = of("TxDefaultProfile", (0, evse))
        groups.append(of_it if holding(of_it, at_s, transaction) is not None else default)
    found: list[tuple[str, Period]] = []
    for group in groups:
        period = holding(group, at_s, transaction)
        if period is not None:
            profile = next(p for p in group if any(period is own for own in p.periods))
            found.append((profile.unit, period))
    return found
