"""`external_limits:` of a module: named sources with what they set from the start.

external_limits:
  building_reserve:
    limit: {total_power_W: 17000}        # or EVerest's schedule_import: [...], and so on
    heartbeat_timeout_s: 60              # silent for longer, and the failsafe holds
    failsafe: {total_power_W: 5000}
  grid_operator:
    lpc: {failsafe_W: 4200, devices: 6}  # after EEBUS LPC and § 14a EnWG
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from actors.config.faults import Faults, Path, did_you_mean, shown
from actors.config.fields import check_name, mapping, values
from actors.energy.external import (
    MAX_SOURCES,
    ShortLimits,
    SourceConfig,
    SourceRefusedError,
    short_form,
)
from actors.energy.external_checks import check_limits
from actors.energy.grid_limit import GridLimitConfig
from actors.energy.random_delay import DELAY_MAX_S
from actors.energy.types import ExternalLimits, ScheduleReqEntry, ScheduleSetpointEntry

_SCHEDULES: dict[str, Any] = {
    "schedule_import": ScheduleReqEntry,
    "schedule_export": ScheduleReqEntry,
    "schedule_setpoints": ScheduleSetpointEntry,
}


class _Declared(Struct, kw_only=True):
    limit: dict[str, Any] | None = None
    heartbeat_timeout_s: Annotated[float, Meta(gt=0)] | None = None
    failsafe: dict[str, Any] | None = None
    lpc: dict[str, Any] | None = None
    random_delay_s: Annotated[float, Meta(ge=0, le=DELAY_MAX_S)] = 0.0


def read_sources(raw: Any, path: Path, faults: Faults) -> tuple[SourceConfig, ...]:
    """The sources that a module declares."""
    declared = mapping(raw, path, faults)
    if len(declared) > MAX_SOURCES:
        faults.add(path, f"at most {MAX_SOURCES} sources, got {len(declared)}")
        return ()
    return tuple(_source(name, value, (*path, name), faults) for name, value in declared.items())


def _source(name: str, raw: Any, path: Path, faults: Faults) -> SourceConfig:
    check_name(name, path, faults)
    raw = mapping(raw, path, faults)
    declared = _Declared(**values(_Declared, {k: v for k, v in raw.items() if k != "lpc"}, path, faults))
    if "lpc" in raw:
        return _grid_operator(name, raw, declared.random_delay_s, path, faults)
    if "heartbeat_timeout_s" in raw and "failsafe" not in raw:
        faults.add(path, "heartbeat_timeout_s without failsafe: say what holds when the source is silent")
    if "failsafe" in raw and "heartbeat_timeout_s" not in raw:
        faults.add(path, "failsafe without heartbeat_timeout_s: say when the source counts as silent")
    return SourceConfig(
        name=name,
        limits=_limits(declared.limit, name, (*path, "limit"), faults),
        heartbeat_timeout_s=declared.heartbeat_timeout_s,
        failsafe=_limits(declared.failsafe, name, (*path, "failsafe"), faults),
        random_delay_s=declared.random_delay_s,
    )


def _grid_operator(
    name: str, raw: dict[str, Any], random_delay_s: float, path: Path, faults: Faults
) -> SourceConfig:
    for key in raw:
        if key in ("limit", "heartbeat_timeout_s", "failsafe"):
            faults.add((*path, key), "not beside lpc, which says all of a grid operator's source")
    place = (*path, "lpc")
    given = values(GridLimitConfig, mapping(raw["lpc"], place, faults), place, faults)
    if "simultaneity_factor" in given and "devices" not in given:
        faults.add((*place, "simultaneity_factor"), "has no effect without devices")
    config = GridLimitConfig(**given)
    failsafe = ShortLimits(total_power_W=max(config.failsafe_W, config.floor_W()))
    return SourceConfig(
        name=name, failsafe=short_form(failsafe, name), grid=config, random_delay_s=random_delay_s
    )


def _limits(raw: dict[str, Any] | None, source: str, path: Path, faults: Faults) -> ExternalLimits | None:
    if raw is None:
        return None
    if not raw:
        faults.add(path, "names no limit")
        return None
    if any(key in _SCHEDULES for key in raw):
        limits = _schedules(raw, source, path, faults)
    else:
        short = values(ShortLimits, raw, path, faults)
        for key, value in list(short.items()):
            if value < 0 and not key.startswith("setpoint"):
                faults.add((*path, key), f"expected a number, at least 0, got {shown(value)}")
                del short[key]
        if {"setpoint_W", "setpoint_A"} <= short.keys():
            faults.add(path, "a setpoint is in watt or in ampere, not both")
            return None
        limits = short_form(ShortLimits(**short), source)
    try:
        check_limits(limits)
    except SourceRefusedError as error:
        faults.add(path, str(error))
    return limits


def _schedules(raw: dict[str, Any], source: str, path: Path, faults: Faults) -> ExternalLimits:
    schedules: dict[str, tuple[Any, ...]] = {}
    for key, entries in raw.items():
        if key not in _SCHEDULES:
            faults.add((*path, key), f"unknown key{did_you_mean(key, _SCHEDULES)}")
        elif not isinstance(entries, list):
            faults.add((*path, key), f"expected a list, got {shown(entries)}")
        else:
            converted = (
                _entry(_SCHEDULES[key], _with_source(entry, source), (*path, key, index), faults)
                for index, entry in enumerate(entries)
            )
            schedules[key] = tuple(entry for entry in converted if entry is not None)
    return ExternalLimits(**schedules)


def _entry(cls: Any, raw: Any, path: Path, faults: Faults) -> Any:
    try:
        return msgspec.convert(raw, cls)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        inner = place.strip("`").removeprefix("$").removeprefix(".")
        faults.add((*path, inner) if inner else path, message.replace("`", ""))
        return None


def _with_source(raw: Any, source: str) -> Any:
    """Every limit and setpoint says who set it; left out, it is the source itself."""
    if isinstance(raw, list):
        return [_with_source(item, source) for item in raw]
    if not isinstance(raw, dict):
        return raw
    named = {"source": source} if "value" in raw or "priority" in raw else {}
    return {**named, **{key: _with_source(value, source) for key, value in raw.items()}}
