"""What the site tells a broker: for each topic its newest content.

All of it is retained, so that whoever comes later sees the whole site at once. A number that is not known is
null; "no limit" is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.amount import CRUMB, Amount
from actors.energy.external import SourceStatus
from actors.energy.forecasts import forecast_of
from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.energy.schedules import grid_stamp
from actors.energy.types import (
    EnforcedLimits,
    LimitsRes,
    NumberWithSource,
    ScheduleResEntry,
    valid_for_s,
)
from actors.gateways.mqtt.requests import OPERATOR
from actors.gateways.mqtt.topics import Topics
from actors.site import EnergyManagerConfig, EnergyNodeConfig, EvseManagerConfig, Site

REASONS_MAX = 300
"""Characters of a reason."""
UNKNOWN = b"None"
"""Where a plain number is not known; Home Assistant reads it so."""

Contents = dict[str, bytes]


def telemetry(
    site: Site,
    topics: Topics,
    modules: tuple[ModuleStatus, ...],
    optimizer: OptimizerStatus | None,
    now_us: int,
) -> Contents:
    """The content of each topic. `now_us`: wall clock, microseconds."""
    reasons = _reasons(optimizer)
    forecast = {} if optimizer is None else {entry.uuid: entry for entry in optimizer.forecast}
    contents: Contents = {}
    for status in modules:
        told = dict(_of_module(site, status, reasons.get(status.id, "")))
        if status.id == site.root:
            told |= dict(_of_optimizer(optimizer))
        for what, content in told.items():
            contents[topics.telemetry(status.id, what)] = content
            if status.id == site.root and (alias := topics.alias(what)) is not None:
                contents[alias] = content
        if status.kind == "EvseManager":
            limits = _enforced(status, forecast.get(status.id), site.manager_config(), now_us)
            contents[topics.evse_api(status.id, "enforced_limits")] = msgspec.json.encode(limits)
    return contents


def capabilities(site: Site, module_id: str) -> dict[str, Any]:
    """What a module may carry at most, as EVerest's API tells it. Where a node has no fuse it is all that
    those below it may draw together."""
    voltage_V = site.manager_config().nominal_ac_voltage
    config = site.modules[module_id].config
    if isinstance(config, EnergyNodeConfig):
        voltage_V = config.nominal_voltage_V
    current_A = _max_current_A(site, module_id)
    phases = site.phase_count(module_id)
    power_W = voltage_V * current_A * phases
    if isinstance(config, EvseManagerConfig) and config.max_power_W is not None:
        power_W = min(power_W, config.max_power_W)
    return {
        "max_current_A": current_A,
        "max_phase_count": phases,
        "nominal_voltage_V": voltage_V,
        "total_power_W": power_W,
    }


def _max_current_A(site: Site, module_id: str) -> float:
    module = site.modules[module_id]
    if isinstance(module.config, EvseManagerConfig):
        return module.config.max_current_A
    below_A = math.fsum(_max_current_A(site, child) for child in module.children)
    if isinstance(module.config, EnergyManagerConfig) or module.config.fuse_limit_A is None:
        return below_A
    return module.config.fuse_limit_A


def _of_module(site: Site, status: ModuleStatus, reason: str) -> Iterator[tuple[str, bytes]]:
    # What a silent module said last may be true no more; what it may still draw its parent knows.
    heard = status.alive
    is_evse = status.kind == "EvseManager"
    yield "state", (status.state if heard else "silent").encode()
    yield (
        "request",
        _json({"ac_max_current_A": status.wants_A, "total_power_W": status.wants_W} if heard else None),
    )
    yield "limits", _json(_limits(status, reason))
    in_force: dict[str, Any] = {"ac_max_current_A": status.in_force_A, "total_power_W": status.in_force_W}
    if is_evse:
        in_force["phases"] = status.phases
    yield "in_force", _json(in_force if heard else None)
    L1, L2, L3 = (round(current_A, 3) for current_A in status.currents_A)
    current = {"L1": L1, "L2": L2, "L3": L3, "power_W": round(status.power_W, 1)}
    yield "current", _json(current if heard else None)
    yield "alarms", _json(_alarms(status))
    yield "sources", _json([_source(source) for source in status.sources])
    yield "prices", _json(_prices(status.sources))
    for number, unit in (("watts", "total_power_W"), ("amps", "ac_max_current_A")):
        yield f"limit_{number}", _number_of(status.sources, f"{OPERATOR}_{number}", unit)


def _limits(status: ModuleStatus, reason: str) -> dict[str, Any]:
    """An EVSE's: what it may draw, and who keeps it from more. A node's: its capacity, what it was granted,
    and what may still flow."""
    limits: dict[str, Any] = {}
    if status.kind == "EvseManager":
        limits |= msgspec.to_builtins(status.limit or LimitsRes())
    else:
        for name, value in (("ac_max_current_A", status.capacity_A), ("total_power_W", status.capacity_W)):
            if value is not None:
                limits[name] = {"value": value, "source": status.capacity_source}
    limits["granted"] = _amount(status.granted)
    limits["exposure"] = _amount(status.exposure)
    if status.fixed_load:
        limits["fixed_load"] = status.fixed_load
    if status.waits_for:
        limits["waits_for"] = status.waits_for[:REASONS_MAX]
    if reason:
        limits["reason"] = reason
    return limits


def _amount(amount: Amount | None) -> dict[str, float | None] | None:
    """None where it is not known; what is unlimited is null."""
    if amount is None:
        return None
    numbers = {"import_A": amount.import_A, "import_W": amount.import_W}
    numbers |= {"export_A": amount.export_A, "export_W": amount.export_W}
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _alarms(status: ModuleStatus) -> list[str]:
    alarms = [] if status.alive else ["silent"]
    alarms += [status.note] if status.note and status.note != "silent" else []
    alarms += [
        f"source {source.name} is silent: its failsafe holds"
        for source in status.sources
        if source.state == "failsafe"
    ]
    return alarms


def _source(source: SourceStatus) -> dict[str, Any]:
    """Without what changes each second."""
    limits = None if source.limits is None else msgspec.to_builtins(source.limits)
    told = {"name": source.name, "state": source.state, "limits": limits}
    return told if source.delayed_s is None else {**told, "delayed": True}


def _prices(sources: tuple[SourceStatus, ...]) -> dict[str, Any] | None:
    """As EVerest's EnergyPriceSchedule; of several sources with prices the first."""
    for source in sources:
        if source.limits is None:
            continue
        both = {
            "schedule_import": [e.price_per_kwh for e in source.limits.schedule_import if e.price_per_kwh],
            "schedule_export": [e.price_per_kwh for e in source.limits.schedule_export if e.price_per_kwh],
        }
        if any(both.values()):
            return both
    return None


def _number_of(sources: tuple[SourceStatus, ...], name: str, unit: str) -> bytes:
    """What was set by a plain number, as one."""
    for source in sources:
        if source.name == name and source.limits is not None and source.limits.schedule_import:
            limit = getattr(source.limits.schedule_import[0].limits_to_root, unit)
            if limit is not None:
                return f"{limit.value:g}".encode() if limit.value < 1e6 else str(limit.value).encode()
    return UNKNOWN


def _of_optimizer(optimizer: OptimizerStatus | None) -> Iterator[tuple[str, bytes]]:
    if optimizer is None:
        return
    run = {
        "runs": optimizer.runs,
        "last_run": optimizer.last_run,
        "duration_ms": round(optimizer.duration_ms, 3),
        "slots": optimizer.slots,
        "sales": optimizer.sales,
        "binding": optimizer.binding,
        "error": optimizer.error,
    }
    yield "optimizer", _json(run)


def _reasons(optimizer: OptimizerStatus | None) -> Mapping[str, str]:
    """By EVSE: each reason begins with its name."""
    reasons = () if optimizer is None else optimizer.reasons
    return {reason.partition(" ")[0]: reason[:REASONS_MAX] for reason in reasons}


def _enforced(
    status: ModuleStatus, forecast: EnforcedLimits | None, site: EnergyManagerConfig, now_us: int
) -> EnforcedLimits:
    """What an EVSE is allowed now, and what the market foresees."""
    limits = _granted(status)
    stamp_us = grid_stamp(now_us, site.schedule_interval_duration)
    now = ScheduleResEntry(timestamp=timestamps.format_utc(stamp_us), limits_to_root=limits)
    return EnforcedLimits(
        uuid=status.id,
        valid_for=valid_for_s(site) if status.alive else 0,
        limits_root_side=limits,
        schedule=(now,) if forecast is None else forecast_of(forecast),
    )


def _granted(status: ModuleStatus) -> LimitsRes:
    """The market's limits, as far as they are granted already; nothing of one that is silent."""
    if not status.alive:
        return LimitsRes()
    limits = status.limit or LimitsRes()
    current, granted = limits.ac_max_current_A, status.granted
    if current is None or granted is None or current.value <= granted.import_A + CRUMB:
        return limits
    return replace(limits, ac_max_current_A=NumberWithSource(granted.import_A, f"{status.id}/waits for room"))


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
