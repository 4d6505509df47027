"""External limits and prices as JSON, in EVerest's forms or in the short one, to what a source may set.

Every limit names its source, also those inside given JSON: what holds a car back must lead to whoever
set it. So nothing that a document says is dropped silently; what cannot be kept is refused.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from actors.energy.external import ShortLimits, SourceRefusedError, short_form
from actors.energy.types import (
    ExternalLimits,
    IntegerWithSource,
    LimitsReq,
    NumberWithSource,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
)


class FormError(ValueError):
    """The document does not say what limits there shall be; the message says why in one line."""


class _Value(Struct, frozen=True, forbid_unknown_fields=True):
    """A number, written as EVerest does."""

    value: float
    source: str = ""


_Number = float | _Value | UnsetType


class _Side(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limits_root_side`: what ShortLimits has. `null` is refused: it looks like a limit and sets none."""

    total_power_W: _Number = UNSET
    ac_max_current_A: _Number = UNSET
    export_total_power_W: _Number = UNSET
    export_ac_max_current_A: _Number = UNSET
    setpoint_W: _Number = UNSET
    setpoint_A: _Number = UNSET


class _Enforced(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits from now on, in the form of EVerest's EnforcedLimits."""

    limits_root_side: _Side
    uuid: str | UnsetType = UNSET
    valid_for: Any = None
    """Not heeded: a limit ends after `--for`, or when it is cleared."""
    schedule: tuple[Any, ...] = ()


class _Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """EVerest's PricePerkWh: it holds from `timestamp` on."""

    timestamp: str
    value: float
    currency: str


class _PriceSchedules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """EVerest's EnergyPriceSchedule."""

    schedule_import: tuple[_Price, ...] = ()
    schedule_export: tuple[_Price, ...] = ()


_Form = TypeVar("_Form", _Enforced, ExternalLimits, _PriceSchedules)
_Entry = TypeVar("_Entry", ScheduleReqEntry, ScheduleSetpointEntry)


def read_limits(raw: object, source: str | None, default: str) -> tuple[str, ExternalLimits]:
    """Source and limits of a decoded document in any form.

    `source` goes before a uuid in the document; without either it is `default`. Raises FormError.
    """
    if is_prices(raw):
        source = default if source is None else source
        return source, _prices(raw)
    if not is_short(raw):
        source = default if source is None else source
        return source, with_source(_convert(raw, ExternalLimits), source)
    form = _convert(raw, _Enforced)
    if form.schedule:
        raise FormError(
            "schedule: only limits_root_side would be set and the schedule be lost; "
            "give schedules as schedule_import and schedule_export"
        )
    numbers = {key: getattr(form.limits_root_side, key) for key in _Side.__struct_fields__}
    given = {k: v.value if isinstance(v, _Value) else v for k, v in numbers.items() if v is not UNSET}
    if not given:
        raise FormError(f"limits_root_side: no limit is given; give {', '.join(numbers)}")
    if source is None:
        source = default if form.uuid is UNSET else form.uuid
    try:
        return source, short_form(ShortLimits(**given), source)
    except SourceRefusedError as error:
        raise FormError(str(error)) from error


def is_short(raw: object) -> bool:
    """Whether a decoded document is in the short form."""
    return isinstance(raw, dict) and "limits_root_side" in raw


def is_prices(raw: object) -> bool:
    """Whether a decoded document is EVerest's EnergyPriceSchedule: two schedules of bare prices."""
    if not isinstance(raw, dict) or not raw.keys() <= {"schedule_import", "schedule_export"}:
        return False
    entries = [e for schedule in raw.values() if isinstance(schedule, list) for e in schedule]
    return any(isinstance(entry, dict) and "currency" in entry for entry in entries)


def _prices(raw: Any) -> ExternalLimits:
    """Prices as schedules that limit nothing."""
    prices = _convert(raw, _PriceSchedules)

    def schedule(given: tuple[_Price, ...]) -> tuple[ScheduleReqEntry, ...]:
        return tuple(
            ScheduleReqEntry(
                timestamp=price.timestamp,
                limits_to_root=LimitsReq(),
                limits_to_leaves=LimitsReq(),
                price_per_kwh=msgspec.to_builtins(price),
            )
            for price in given
        )

    return ExternalLimits(
        schedule_import=schedule(prices.schedule_import), schedule_export=schedule(prices.schedule_export)
    )


def _convert(raw: object, form: type[_Form]) -> _Form:
    try:
        return msgspec.convert(raw, form)
    except RecursionError as error:
        raise FormError("not external limits: nested too deeply") from error
    except (msgspec.ValidationError, OverflowError) as error:
        raise FormError(f"not external limits: {error}") from error


def with_source(limits: ExternalLimits, source: str) -> ExternalLimits:
    """The same limits, each with the source's name."""
    return ExternalLimits(
        schedule_import=tuple(_entry_with_source(entry, source) for entry in limits.schedule_import),
        schedule_export=tuple(_entry_with_source(entry, source) for entry in limits.schedule_export),
        schedule_setpoints=tuple(_entry_with_source(entry, source) for entry in limits.schedule_setpoints),
    )


def _entry_with_source(entry: _Entry, source: str) -> _Entry:
    if isinstance(entry, ScheduleSetpointEntry):
        if entry.setpoint is None:
            return entry
        name = _source_name(source, entry.setpoint.source)
        return msgspec.structs.replace(entry, setpoint=msgspec.structs.replace(entry.setpoint, source=name))
    return msgspec.structs.replace(
        entry,
        limits_to_root=_side_with_source(entry.limits_to_root, source),
        limits_to_leaves=_side_with_source(entry.limits_to_leaves, source),
    )


def _side_with_source(side: LimitsReq, source: str) -> LimitsReq:
    values = ((name, getattr(side, name)) for name in LimitsReq.__struct_fields__)
    named = {
        name: msgspec.structs.replace(value, source=_source_name(source, value.source))
        for name, value in values
        if isinstance(value, NumberWithSource | IntegerWithSource)
    }
    return msgspec.structs.replace(side, **named)


def _source_name(source: str, own: str) -> str:
    """The source's name, and what the JSON itself says, where that is something else."""
    if own in ("", source):
        return source
    return own if own.startswith(f"{source}/") else f"{source}/{own}"
