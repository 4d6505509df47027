"""Families of requests that the market is measured with: small and large, alike and all different.

Trees look as EvseManagers and EnergyNodes tell them: floors of EVSEs under a root, every EVSE with its
minimum current, phases and a closed export. Numbers differ by formulas, not by chance: the same request
on every machine. What each is to reach stands beside it, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actors.energy import timestamps
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EvseState,
    IntegerWithSource,
    LimitsReq,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
)

START_US = timestamps.parse("2025-06-07T20:00:00.000Z")
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
PER_FLOOR = 20


@dataclass(frozen=True)
class Family:
    """A request with what its run is to reach."""

    what: str
    make: Callable[[], EnergyFlowRequest]
    reach: dict[str, float]
    config: EnergyManagerConfig = field(default_factory=EnergyManagerConfig)
    changed: float = 0.0
    """Share of the EVSEs that changed since the tree was compiled; 0: all is new."""
    runs: int = 15


def _hours(hours: int, **more: Any) -> EnergyManagerConfig:
    return EnergyManagerConfig(schedule_total_duration=hours, **more)


def _entry(name: str, at_us: int, **values: float | int | bool) -> ScheduleReqEntry:
    """Watt or ampere are numbers with a source, phase counts integers with one, the rest bare."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key in ("total_power_W", "ac_max_current_A", "ac_min_current_A"):
            made[key] = NumberWithSource(value, f"{name}/{key}")
        elif key in ("ac_max_phase_count", "ac_min_phase_count"):
            made[key] = IntegerWithSource(int(value), f"{name}/{key}")
        else:
            made[key] = value
    return ScheduleReqEntry(
        timestamp=timestamps.format_utc(at_us),
        limits_to_root=LimitsReq(**made),
        limits_to_leaves=LimitsReq(),
    )


Limit = Callable[[int], dict[str, float]]
"""What is allowed in a slot: keys of LimitsReq."""


def _evse(
    i: int, imports: Limit, *, stamps: list[int], exports: Limit | None = None, active: int = 3
) -> EnergyFlowRequest:
    name = f"evse_{i}"
    phases = {
        "ac_max_phase_count": 3,
        "ac_min_phase_count": 1,
        "ac_number_of_active_phases": active,
        "ac_supports_changing_phases_during_charging": True,
    }
    minimum = {"ac_min_current_A": 6.0}
    closed = {"ac_max_current_A": 0.0}
    return EnergyFlowRequest(
        uuid=name,
        node_type=NodeType.Evse,
        evse_state=EvseState.Charging,
        priority=5,
        schedule_import=tuple(
            _entry(name, at_us, **{**phases, **minimum, **imports(slot)}) for slot, at_us in enumerate(stamps)
        ),
        schedule_export=tuple(
            _entry(name, at_us, **{**phases, **minimum, **(exports(slot) if exports else closed)})
            for slot, at_us in enumerate(stamps if exports else [START_US])
        ),
    )


def _node(
    name: str, children: list[EnergyFlowRequest], imports: Limit, *, stamps: list[int], export_A: float = 0.0
) -> EnergyFlowRequest:
    return EnergyFlowRequest(
        uuid=name,
        node_type=NodeType.Generic,
        children=tuple(children),
        schedule_import=tuple(_entry(name, at_us, **imports(slot)) for slot, at_us in enumerate(stamps)),
        schedule_export=(_entry(name, START_US, ac_max_current_A=export_A),),
    )


def _stamps(slots: int) -> list[int]:
    return [START_US + slot * HOUR_US for slot in range(slots)]


def _floors(
    evses: list[EnergyFlowRequest], per_floor: int, fuse: Callable[[int], Limit], stamps: list[int]
) -> list[EnergyFlowRequest]:
    return [
        _node(f"floor_{f}", evses[begin : begin + per_floor], fuse(f), stamps=stamps)
        for f, begin in enumerate(range(0, len(evses), per_floor))
    ]


def _different(i: int, slot: int) -> float:
    """From 12 to 32 A, another one for each EVSE and slot."""
    return 12.0 + (i * 7919 + slot * 104_729) % 20_011 / 1000.0


def plain_site(
    count: int, slots: int = 1, *, minimum_of: Callable[[int], float] | None = None
) -> EnergyFlowRequest:
    """Floors under a site's limit; with several slots, every limit of every EVSE is another one."""
    stamps = _stamps(slots)

    def limit_of(i: int) -> Limit:
        least = {} if minimum_of is None else {"ac_min_current_A": minimum_of(i)}
        return lambda slot: {"ac_max_current_A": 32.0 if slots == 1 else _different(i, slot), **least}

    evses = [_evse(i, limit_of(i), stamps=stamps) for i in range(count)]
    share_A = 14.0 if minimum_of is None else 7.0
    floors = _floors(
        evses,
        min(PER_FLOOR, max(count // 2, 1)),
        lambda f: lambda _: {"ac_max_current_A": 17.0 * PER_FLOOR + f % 50},
        stamps[:1],
    )
    return _node("site", floors, lambda slot: {"ac_max_current_A": share_A * count + slot}, stamps=stamps)


def binding_floors(count: int = 10_000, slots: int = 24, floors: int = 100) -> EnergyFlowRequest:
    """Every floor's fuse binds, some in watts; EVSEs have different maxima, in watts and in amperes."""
    stamps, per_floor = _stamps(slots), count // floors

    def limit_of(i: int) -> Limit:
        watts = {} if i % 2 else {"total_power_W": 9000.0 + i % 4001}
        return lambda slot: {"ac_max_current_A": _different(i, slot), **watts}

    def fuse(f: int) -> Limit:
        if f % 2:
            return lambda slot: {"ac_max_current_A": (10.0 + f % 7) * per_floor + slot}
        return lambda slot: {"total_power_W": (10.0 + f % 7) * per_floor * 690.0 + 100.0 * slot}

    evses = [_evse(i, limit_of(i), stamps=stamps) for i in range(count)]
    return _node(
        "site",
        _floors(evses, per_floor, fuse, stamps),
        lambda slot: {"ac_max_current_A": 30.0 * count + slot},
        stamps=stamps,
    )


def switching_site(count: int = 1000, slots: int = 24) -> EnergyFlowRequest:
    """Power that is enough for three phases in some slots and floors, and not in others."""
    stamps = _stamps(slots)
    evses = [
        _evse(
            i,
            lambda slot, i=i: {"ac_max_current_A": _different(i, slot)},  # type: ignore[misc]
            stamps=stamps,
            active=1 if i % 3 else 3,
        )
        for i in range(count)
    ]
    return _node(
        "site",
        _floors(evses, PER_FLOOR, lambda f: lambda slot: {"total_power_W": 9e4 - 900.0 * (f + slot)}, stamps),
        lambda slot: {"total_power_W": 4000.0 * count - 1000.0 * slot},
        stamps=stamps,
    )


def both_ways(count: int = 1000) -> EnergyFlowRequest:
    """Half of the EVSEs charge, half discharge."""
    stamps = _stamps(1)

    def one(i: int) -> EnergyFlowRequest:
        gives = bool(i % 2)
        return _evse(
            i,
            lambda _: {"ac_max_current_A": 0.0 if gives else 32.0},
            stamps=stamps,
            exports=lambda _: {"ac_max_current_A": 16.0 + i % 5 if gives else 0.0},
        )

    floors = [
        _node(
            f"floor_{f}",
            [one(i) for i in range(f * PER_FLOOR, (f + 1) * PER_FLOOR)],
            lambda _, f=f: {"ac_max_current_A": 150.0 + f},  # type: ignore[misc]
            stamps=stamps,
            export_A=100.0 + f,
        )
        for f in range(count // PER_FLOOR)
    ]
    return _node(
        "site", floors, lambda _: {"ac_max_current_A": 14.0 * count / 2}, stamps=stamps, export_A=4.0 * count
    )


def own_times(count: int = 400) -> EnergyFlowRequest:
    """Each EVSE's limit changes at a time of its own: as many slots as EVSEs."""
    evses = [
        _evse(
            i,
            lambda slot, i=i: {"ac_max_current_A": _different(i, slot)},  # type: ignore[misc]
            stamps=[START_US, START_US + (i + 1) * 8 * SECOND_US],
        )
        for i in range(count)
    ]
    floors = _floors(evses, PER_FLOOR, lambda f: lambda _: {"ac_max_current_A": 640.0 + f}, _stamps(1))
    return _node("site", floors, lambda _: {"ac_max_current_A": 32.0 * count}, stamps=_stamps(1))


def nested(depth: int, count: int = 100) -> EnergyFlowRequest:
    """A chain of nodes, each a little tighter than the one above, with all EVSEs at its end."""
    evses = [_evse(i, lambda _: {"ac_max_current_A": 32.0}, stamps=_stamps(1)) for i in range(count)]
    tree, below = None, evses
    for level in range(depth - 2, -1, -1):
        share_A = 15.0 + level / 10.0
        tree = _node(
            f"level_{level}",
            below,
            lambda _, share_A=share_A: {"ac_max_current_A": share_A * count},  # type: ignore[misc]
            stamps=_stamps(1),
        )
        below = [tree]
    assert tree is not None, "a tree has a root"
    return tree


FAMILIES: dict[str, Family] = {
    "10x1": Family("10 EVSEs, 1 slot", lambda: plain_site(10), {"all_ms": 0.5}, runs=201),
    "1000x1": Family(
        "1,000 EVSEs, 1 slot", lambda: plain_site(1000), {"all_ms": 5.0, "allocate_ms": 0.5}, runs=51
    ),
    "1000x24": Family(
        "1,000 EVSEs, 24 slots, all limits different",
        lambda: plain_site(1000, 24),
        {"all_ms": 60.0, "allocate_ms": 2.0},
        _hours(24),
    ),
    "10000x24": Family(
        "10,000 EVSEs, 24 slots, all limits different",
        lambda: plain_site(10_000, 24),
        {"all_ms": 700.0, "allocate_ms": 15.0},
        _hours(24),
        runs=5,
    ),
    "floors": Family(
        "10,000 EVSEs, 24 slots, 100 floors that bind, watts and amperes, slice 0.5 A",
        binding_floors,
        {"all_ms": 800.0, "allocate_ms": 50.0},
        _hours(24),
        runs=5,
    ),
    "floors, fine slice": Family(
        "the same with slice 0.1 A",
        binding_floors,
        {"all_ms": 800.0, "allocate_ms": 50.0},
        _hours(24, slice_ampere=0.1),
        runs=5,
    ),
    "minimums": Family(
        "1,000 EVSEs, 24 slots, minimums that do not all fit",
        lambda: plain_site(1000, 24, minimum_of=lambda i: 6.0 + i % 61 / 10.0),
        {"allocate_ms": 15.0},
        _hours(24),
    ),
    "switching": Family(
        "1,000 EVSEs, 24 slots, phases switch (Both)",
        switching_site,
        {"allocate_ms": 15.0},
        _hours(24, switch_3ph1ph_while_charging_mode="Both"),
    ),
    "both ways": Family("1,000 EVSEs, 1 slot, half of them export", both_ways, {"all_ms": 10.0}, runs=51),
    "own times": Family("400 EVSEs, each with times of its own", own_times, {"all_ms": 60.0}),
    "depth 3": Family("100 EVSEs, 3 levels", lambda: nested(3), {}, runs=51),
    "depth 50": Family("100 EVSEs, 50 levels", lambda: nested(50), {}, runs=51),
    "1% of 10000x1": Family(
        "1 % of 10,000 EVSEs changed, 1 slot",
        lambda: plain_site(10_000),
        {"all_ms": 3.0},
        changed=0.01,
        runs=51,
    ),
    "1% of 10000x24": Family(
        "1 % of 10,000 EVSEs changed, 24 slots, all limits different",
        lambda: plain_site(10_000, 24),
        {"all_ms": 40.0},
        _hours(24),
        changed=0.01,
        runs=9,
    ),
}
