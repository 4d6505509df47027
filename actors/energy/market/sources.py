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
from actors.energy.packing import (
    AMPERE,
    EFFICIENCY,
    FIELD_NAMES,
    LEAST_PHASES,
    LEAVES,
    MOST_PHASES,
    ROOT,
    WATT,
    number_at,
)
from actors.energy.types import PackedSchedule

_FIELD: dict[Unit, int] = {"A": AMPERE, "W": WATT}


def joined(sources: Iterable[str]) -> str:
    """Without doubles, in order."""
    return ",".join(dict.fromkeys(sources))


def limit_sources(outcome: Outcome, column: int, node: int, direction: Direction, unit: Unit) -> list[str]:
    """Who set the smallest limit of a node in one unit."""
    tree, limits = outcome.tree, outcome.trades[direction].limits
    schedules = tree.schedules[direction]
    holder, entry = schedules.holder_of(node, int(limits.rows[column, node]))
    uuid = tree.nodes[node].uuid
    if limits.tight is not None:
        capped = limits.tight.capped_A if unit == "A" else limits.tight.capped_W
        if capped[column, node]:
            return [f"{uuid}: fallback_{unit}"]
    if unit == "A":
        limit = float(limits.node_A[column, node])
    else:
        limit = float(limits.node_grid_W[column, node] / limits.to_grid[column, node])
    if holder is None:
        return [f"{uuid}: no schedule_{direction}"]
    sources = entry_sources(holder, entry, uuid, direction, unit, limit)
    for each in outcome.heeded:
        if each.column == column and each.node == node and each.members is None:
            cap = caps_of(each.target, direction)[0 if unit == "A" else 1]
            if _same(cap, limit):
                sources.append(setpoint_source(outcome, column, node))
    return sources or [uuid]


def entry_sources(
    holder: PackedSchedule, entry: int, uuid: str, direction: Direction, unit: Unit, limit: float
) -> list[str]:
    """Which sides of an entry of a node's schedule set its limit."""
    field, factor = _FIELD[unit], 1.0
    if unit == "W" and (number := number_at(holder, EFFICIENCY, entry)) is not None:
        factor = 1.0 / number[0] if direction == "import" else number[0]
    sources = []
    for side, scale in ((ROOT, 1.0), (LEAVES, factor)):
        number = number_at(holder, side + field, entry) if holder.fields >> side + field & 1 else None
        if number is not None and _same(min(number[0], HUGE) * scale, limit):
            sources.append(number[1] or f"{uuid}: {FIELD_NAMES[field]}")
    return sources


def count_sources(holder: PackedSchedule | None, entry: int, uuid: str, field: int, count: int) -> list[str]:
    """Which sides of an entry of a node's schedule set this number of phases."""
    sources = []
    if holder is None:
        return []
    for side in (ROOT, LEAVES):
        if holder.fields >> side + field & 1:
            number = number_at(holder, side + field, entry)
            if number is not None and number[0] == count:
                sources.append(number[1] or f"{uuid}: {FIELD_NAMES[field]}")
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


Above = dict[tuple[int, Direction, int, int, int], list[str]]
"""Who set a number of phases above an EVSE: the same for all below a node, so it is looked for once."""


def phases_source(outcome: Outcome, column: int, evse: int, above: Above) -> str:
    """Who set the number of phases; `above` is kept from one EVSE of an outcome to the next."""
    direction: Direction = outcome.direction(column, evse) or "import"
    trades = outcome.trades[direction]
    count, reason = int(outcome.phases[column, evse]), int(trades.reasons[column, evse])
    node = int(outcome.tree.evse_node[evse])
    if reason == PhaseReason.EXPORT:
        found = _count_sources(outcome, column, direction, [node], MOST_PHASES, count)
    elif count == int(trades.limits.max_phases[column, evse]):
        found = _count_sources_to(outcome, column, direction, node, MOST_PHASES, count, above)
    elif reason in (PhaseReason.POWER_BELOW, PhaseReason.FALLBACK, PhaseReason.TIME_HYSTERESIS):
        found = _count_sources_to(outcome, column, direction, node, LEAST_PHASES, count, above)
    else:
        found = [f"{outcome.tree.uuids[evse]}: active phases"]
    return joined(found) or "default"


def _count_sources_to(
    outcome: Outcome, column: int, direction: Direction, node: int, field: int, count: int, above: Above
) -> list[str]:
    """From the root down to a node."""
    parent = int(outcome.tree.shape.parent[node])
    found = count_sources_above(outcome, column, direction, parent, field, count, above)
    return found + _count_sources(outcome, column, direction, [node], field, count)


def count_sources_above(
    outcome: Outcome, column: int, direction: Direction, parent: int, field: int, count: int, above: Above
) -> list[str]:
    """From the root down to the parent of an EVSE; `above` remembers it."""
    key = column, direction, parent, field, count
    found = above.get(key)
    if found is None:
        path = [*outcome.tree.path(parent)][::-1]
        found = above[key] = _count_sources(outcome, column, direction, path, field, count)
    return found


def _count_sources(
    outcome: Outcome, column: int, direction: Direction, path: list[int], field: int, count: int
) -> list[str]:
    rows = outcome.trades[direction].limits.rows[column]
    sources: list[str] = []
    for node in path:
        holder, entry = outcome.tree.schedules[direction].holder_of(node, int(rows[node]))
        sources += count_sources(holder, entry, outcome.tree.nodes[node].uuid, field, count)
    return sources
