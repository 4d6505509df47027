"""The profiles that a station has: taking one more, clearing, finding."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from actors.energy.charging_profiles.profile import (
    FOREVER_S,
    STATION_EVSE,
    Profile,
    ProfileRefusedError,
    Purpose,
    Version,
)

MAX_PROFILES = 200
"""That a station has at a time."""


class Criteria(Struct, frozen=True, kw_only=True):
    """Which profiles are meant: those that meet all that is given."""

    ids: Collection[int] | None = None
    evse: int | None = None
    purpose: Purpose | None = None
    stack_level: int | None = None

    def meets(self, profile: Profile) -> bool:
        """Whether a profile is meant."""
        return (
            (self.ids is None or profile.id in self.ids)
            and (self.evse is None or profile.evse == self.evse)
            and (self.purpose is None or profile.purpose == self.purpose)
            and (self.stack_level is None or profile.stack_level == self.stack_level)
        )


def take(installed: tuple[Profile, ...], new: Profile, version: Version, now_s: int) -> tuple[Profile, ...]:
    """All profiles with one more. Raises ProfileRefusedError.

    One with the same id is replaced (K01.FR.05). One with the same purpose, stack level and EVSE, but another
    id, is replaced in 1.6 (5.16.2 of it) and a conflict in 2.0.1 (K01.FR.06, .39, .52, .53).
    """
    others = tuple(profile for profile in installed if profile.id != new.id)
    if version == "1.6":
        others = tuple(profile for profile in others if not _same_place(profile, new))
    if len(others) >= MAX_PROFILES:
        others = tuple(profile for profile in others if not is_over(profile, now_s))
    if len(others) >= MAX_PROFILES:
        raise ProfileRefusedError("TooManyElements", f"{MAX_PROFILES} profiles are installed; clear some")
    clashes = (profile for profile in others if _conflicts(profile, new))
    if version != "1.6" and (clash := next(clashes, None)) is not None:
        why = f"profile {clash.id} of EVSE {clash.evse} has this purpose and stack level"
        raise ProfileRefusedError("DuplicateProfile", why)
    return (*others, new)


def clear(installed: tuple[Profile, ...], which: Criteria) -> tuple[Profile, ...]:
    """What is left."""
    return tuple(profile for profile in installed if not which.meets(profile))


def end_transaction(installed: tuple[Profile, ...], evse: int) -> tuple[Profile, ...]:
    """What is left when a transaction ends: a TxProfile is for one only."""
    return tuple(p for p in installed if not (p.purpose == "TxProfile" and p.evse == evse))


def is_over(profile: Profile, now_s: int) -> bool:
    """Whether it limits nothing any more."""
    if profile.valid_to_s is not None and profile.valid_to_s <= now_s:
        return True
    return (
        profile.kind == "Absolute"
        and profile.start_s is not None
        and profile.duration_s is not None
        and profile.start_s + profile.duration_s <= now_s
    )


def _same_place(one: Profile, other: Profile) -> bool:
    return one.stack_level == other.stack_level and one.evse == other.evse and one.purpose == other.purpose


def _conflicts(one: Profile, other: Profile) -> bool:
    """Two of the same purpose and stack level for the same EVSE, at some time."""
    if (one.purpose, one.stack_level) != (other.purpose, other.stack_level):
        return False
    everywhere = one.purpose == "TxDefaultProfile" and STATION_EVSE in (one.evse, other.evse)
    if one.evse != other.evse and not everywhere:
        return False
    if one.purpose == "TxProfile" and one.transaction != other.transaction:
        return False
    return _from_s(one) < _to_s(other) and _from_s(other) < _to_s(one)


def _from_s(profile: Profile) -> int:
    return -FOREVER_S if profile.valid_from_s is None else profile.valid_from_s


def _to_s(profile: Profile) -> int:
    return FOREVER_S if profile.valid_to_s is None else profile.valid_to_s
