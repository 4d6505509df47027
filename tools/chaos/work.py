"""Whether a site is at work: every module is heard, and what the market gives is in force.

The market's answer is worked out anew from what it was asked last; what is in force is the plant's word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from actors.energy import timestamps
from actors.energy.market import RequestError, allocate
from actors.energy.types import LimitsRes
from actors.site import EvseManagerConfig, Site
from tools.client import SiteStatus

AT_WORK = 0.95
"""Share of what the market gives that must be in force, in all and at each EVSE."""
CRUMB_A = 0.1
TAIL_B = 1 << 20


def what_is_missing(site: Site, status: SiteStatus | None, sample: Mapping[str, Any] | None) -> list[str]:
    """Why the site is not at work, a line each; none: it is."""
    if status is None or status.optimizer is None:
        return ["the root does not answer"]
    if sample is None:
        return ["the plant has recorded nothing yet"]
    known = {module.id for module in status.modules}
    missing = [f"{m} is not heard" for m in site.modules if m not in known]
    missing += [f"{module.id} is not heard" for module in status.modules if not module.alive]
    if missing:
        return missing
    given = _answer(status)
    if given is None:
        return ["the market has not run"]
    return list(_short(site, given, sample))


def last_sample(record: Path) -> dict[str, Any] | None:
    """The newest whole line of a record; None before the first sample."""
    try:
        with open(record, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_B))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    if len(lines) < 3:
        return None
    line: dict[str, Any] = msgspec.json.decode(lines[-2])
    return line if "t" in line else None


def _answer(status: SiteStatus) -> dict[str, LimitsRes] | None:
    optimizer = status.optimizer
    if optimizer is None or optimizer.request is None or optimizer.config is None:
        return None
    start_us = timestamps.parse(optimizer.last_run)
    try:
        allocation, _ = allocate(optimizer.request, optimizer.config, start_us)
    except RequestError:
        return None
    return {each.uuid: each.limits_root_side for each in allocation.active()}


def _short(site: Site, given: Mapping[str, LimitsRes], sample: Mapping[str, Any]) -> Iterator[str]:
    voltage_V = site.manager_config().nominal_ac_voltage
    for module in site.modules.values():
        if not isinstance(module.config, EvseManagerConfig):
            continue
        there = sample["evses"][module.id]
        if there["state"] == "A":
            continue
        watt_per_A = voltage_V * there["phases"]
        given_A = 0.0
        if module.id in given:
            given_A = min(_ampere(given[module.id], watt_per_A), module.config.max_current_A)
        held_A = min(there["limit_A"], there.get("limit_W", float("inf")) / watt_per_A)
        if held_A < AT_WORK * given_A - CRUMB_A:
            yield f"{module.id} has {held_A:.1f} of {given_A:.1f} A"


def _ampere(limits: LimitsRes, watt_per_A: float) -> float:
    current, power = limits.ac_max_current_A, limits.total_power_W
    current_A = float("inf") if current is None else current.value
    return current_A if power is None else min(current_A, power.value / watt_per_A)
