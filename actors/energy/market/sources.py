"""Sources: who set a limit, in their own words.

A limit's source is its own `source` text, or where it stands when it has none. Ties are joined by
a comma, the root's first, as EVerest does.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.energy.market.entries import HUGE, Direction, Unit
from actors.energy.market.heeding import caps_of
from actors.energy.market.outcome import Outcome
from actors.energy.market.phases import PhaseReason
from actors.energy.types import IntegerWithSource, LimitsReq, NumberWithSource, ScheduleReqEntry

_FIELD: dict[Unit, str] = {"A": "ac_max_current_A", "W": "total_power_W"}


def joined(sources: Iterable[str]) -> str:
    """Without doubles, in order."""
    return ",".join(dict.fromkeys(sources))


def limit_sources(outcome: Outcome, column: int, node: int, direction: Direction, unit: Unit) -> list[str]:
    """Who set the smallest limit of a node in one unit."""
    tree, limits = outcome.tree, outcome.trades[direction].limits
    schedules = tree.schedules[direction]
    row = int(limits.rows[column, node])
    entry = schedules.entries[row]
    uuid = tree.nodes[node].uuid
    if limits.tight is not None:
        capped = limits.tight.capped_A if unit == "A" else limits.tight.capped_W
        if capped[column, node]:
            return [f"{uuid}: fallback_{unit}"]
    if unit == "A":
        limit = float(limits.node_A[column, node])
    else:
        limit = float(limits.node_grid_W[column, node] / limits.to_grid[column, node])
    if entry is None:
        return [f"{uuid}: no schedule_{direction}"]
    sources = entry_sources(entry, uuid, direction, unit, limit)
    for each in outcome.heeded:
        if each.column == column and each.node == node and each.members is None:
            cap = caps_of(each.target, direction)[0 if unit == "A" else 1]
            if _same(cap, limit):
                sources.append(setpoint_source(outcome, column, node))
    return sources or [uuid]


def entry_sources(
    entry: ScheduleReqEntry, uuid: str, direction: Direction, unit: Unit, limit: float
) -> list[str]:
    """Which sides of a node's entry set its limit."""
    efficiency = 1.0 if entry.conversion_efficiency is None else entry.conversion_efficiency
    factor = 1.0 if unit == "A" else 1.0 / efficiency if direction == "import" else efficiency
    sources = []
    for side, scale in ((entry.limits_to_root, 1.0), (entry.limits_to_leaves, factor)):
        number: NumberWithSource | None = getattr(side, _FIELD[unit])
        if number is not None and _same(min(number.value, HUGE) * scale, limit):
            sources.append(number.source or f"{uuid}: {_FIELD[unit]}")
    return sources


def _same(value: float, limit: float) -> bool:
    return abs(value - limit) <= 1e-9 * max(1.0, abs(limit))


def setpoint_source(outcome: Outcome, column: int, node: int) -> str:
    """The source of the setpoint that holds at a node."""
    for each in outcome.tree.targets:
        if each.node == node:
            held = int(each.held_at(outcome.slots.columns_us[column : column + 1])[0])
            setpoint = each.entries[held].setpoint
            if setpoint is not None and setpoint.source:
                return setpoint.source
    return f"{outcome.tree.nodes[node].uuid}: setpoint"


Above = dict[tuple[int, Direction, int, str, int], list[str]]
"""Who set a number of phases above an EVSE: the same for all below a node, so it is looked for once."""


def phases_source(outcome: Outcome, column: int, evse: int, above: Above) -> str:
    """Who set the number of phases; `above` is kept from one EVSE of an outcome to the next."""
    direction: Direction = outcome.direction(column, evse) or "import"
    trades = outcome.trades[direction]
    count, reason = int(outcome.phases[column, evse]), int(trades.reasons[column, evse])
    node = int(outcome.tree.evse_node[evse])
    if reason == PhaseReason.EXPORT:
        found = _count_sources(outcome, column, direction, [node], "ac_max_phase_count", count)
    elif count == int(trades.limits.max_phases[column, evse]):
        found = _count_sources_to(outcome, column, direction, node, "ac_max_phase_count", count, above)
    elif reason in (PhaseReason.POWER_BELOW, PhaseReason.FALLBACK, PhaseReason.TIME_HYSTERESIS):
        found = _count_sources_to(outcome, column, direction, node, "ac_min_phase_count", count, above)
    else:
        found = [f"{outcome.tree.uuids[evse]}: active phases"]
    return joined(found) or "default"


def _count_sources_to(
    outcome: Outcome, column: int, direction: Direction, node: int, field: str, count: int, above: Above
) -> list[str]:
    """From the root down to a node."""
    parent = int(outcome.tree.shape.parent[node])
    key = column, direction, parent, field, count
    found = above.get(key)
    if found is None:
        path = [*outcome.tree.path(parent)][::-1]
        found = above[key] = _count_sources(outcome, column, direction, path, field, count)
    return found + _count_sources(outcome, column, direction, [node], field, count)


def _count_sources(
    outcome: Outcome, column: int, direction: Direction, path: list[int], field: str, count: int
) -> list[str]:
    rows = outcome.trades[direction].limits.rows[column]
    sources = []
    for node in path:
        entry = outcome.tree.schedules[direction].entries[int(rows[node])]
        sides: tuple[LimitsReq, ...] = () if entry is None else (entry.limits_to_root, entry.limits_to_leaves)
        for side in sides:
            number: IntegerWithSource | None = getattr(side, field)
            if number is not None and number.value == count:
                sources.append(number.source or f"{outcome.tree.nodes[node].uuid}: {field}")
    return sources
