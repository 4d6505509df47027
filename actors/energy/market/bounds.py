"""Bounds: which limits stopped an EVSE.

An EVSE that trades is stopped by the first limit on its path that is used up: one of its own, or
one that it shares. One whose minimum was refused is stopped by every limit that has less left
than the minimum. One that may not trade at all, by the limits that are 0. One that bought ahead
of the others, and is stopped by none of these, by the fallback up to which it could.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite

from actors.energy.market.arrays import Floats
from actors.energy.market.entries import Direction, Unit
from actors.energy.market.outcome import USED_UP_A, USED_UP_W, Outcome
from actors.energy.market.rounds import OWN
from actors.energy.market.sources import joined, limit_sources, setpoint_source
from actors.energy.market.turns import CRUMB

UNITS: tuple[Unit, ...] = ("A", "W")


@dataclass(frozen=True)
class Bound:
    """A limit of a node, or a setpoint on it, in ampere or in watt at the node's root side."""

    node: str
    direction: Direction
    unit: Unit
    limit: float
    left: float
    source: str
    kept: float = 0.0
    """Of the limit, for fallbacks: it is not for sale."""

    def text(self) -> str:
        """For a log line or a screen."""
        kept = f"{self.kept:g} kept free, " if self.kept else ""
        limit = f"{self.limit:g} {self.unit} {self.direction}"
        return f"{self.source} ({self.node}: {limit}, {kept}{round(self.left, 6):g} left)"


def bounds_of(outcome: Outcome, column: int, evse: int) -> list[Bound]:
    """What stopped an EVSE in a column, the root's first; empty when nothing limits it at all."""
    return _limits_of(outcome, column, evse) or _ahead_of(outcome, column, evse)


def _limits_of(outcome: Outcome, column: int, evse: int) -> list[Bound]:
    direction = outcome.direction(column, evse)
    tree = outcome.tree
    path = list(tree.path(int(tree.evse_node[evse])))[::-1]
    if direction is None:
        closed = _bounds(outcome, column, path, "import", UNITS, lambda unit, limit, left: limit == 0.0)
        return closed + [each for each in _extras(outcome, column, evse, "import") if each.limit == 0.0]
    if outcome.trades[direction].refused[column, evse]:
        return _short_of_minimum(outcome, column, evse, direction, path)
    # Where two limits stop an EVSE at the same amount, the recorded one may have something left.
    found = _recorded_bounds(outcome, column, evse, direction, path)
    if not found:
        found = used_up_bounds(outcome, column, path, direction)
        found += [
            each for each in _extras(outcome, column, evse, direction) if _is_used_up(each.unit, each.left)
        ]
    return found


def shared_bounds_of(outcome: Outcome, column: int, evse: int, direction: Direction) -> list[Bound]:
    """Of an EVSE that a limit stopped which it shares: what stopped all that share it; may be empty."""
    if outcome.shared_by(evse, int(outcome.trades[direction].stopped_by[column, evse])) is None:
        return []
    path = list(outcome.tree.path(int(outcome.tree.evse_node[evse])))[::-1]
    return _recorded_bounds(outcome, column, evse, direction, path)


def _recorded_bounds(
    outcome: Outcome, column: int, evse: int, direction: Direction, path: list[int]
) -> list[Bound]:
    """The limit that is known to have stopped an EVSE, as far as it is used up."""
    number = int(outcome.trades[direction].stopped_by[column, evse])
    shared = outcome.shared_by(evse, number)
    if shared is None:
        return _extra(outcome, column, evse, direction, number)
    if number == OWN:
        nodes, units = [node for node in path if node not in shared], UNITS
    else:
        nodes, units = [node for node in path if node in shared], (UNITS[number % 2],)
    return used_up_bounds(outcome, column, nodes, direction, units)


def _ahead_of(outcome: Outcome, column: int, evse: int) -> list[Bound]:
    """The fallbacks up to which an EVSE bought ahead, that are used up or have less than its minimum."""
    trades = outcome.trades["import"]
    sale, to_grid = trades.sale, trades.limits.to_grid
    if sale.ahead_A is None or sale.ahead_grid_W is None:
        return []
    least = {"A": USED_UP_A, "W": USED_UP_W}
    if trades.refused[column, evse]:
        least["A"] = float(trades.limits.min_A[column, evse])
        least["W"] = least["A"] * float(trades.tried[column, evse]) * outcome.config.nominal_ac_voltage
    found = []
    for node in list(outcome.tree.path(int(outcome.tree.evse_node[evse])))[::-1]:
        to_node = float(trades.limits.evse_to_grid[column, evse] / to_grid[column, node])
        below = (column, slice(int(outcome.tree.first_evse[node]), int(outcome.tree.end_evse[node])))
        pairs: tuple[tuple[Unit, Floats, Floats, Floats, float], ...] = (
            ("A", sale.ahead_A, sale.node_A, trades.current_A, 1.0),
            ("W", sale.ahead_grid_W, sale.node_grid_W, trades.grid_W, float(to_grid[column, node])),
        )
        for unit, ahead, general, sold, scale in pairs:
            limit = float(ahead[column, node]) / scale
            left = max(limit - float(sold[below].sum()) / scale, 0.0)
            enough = least[unit] * (to_node if unit == "W" else 1.0)
            if ahead[column, node] < general[column, node] and left <= enough:
                uuid = outcome.tree.nodes[node].uuid
                found.append(Bound(uuid, "import", unit, limit, left, f"{uuid}: fallback_{unit}"))
    return found


def used_up_bounds(
    outcome: Outcome, column: int, nodes: Iterable[int], direction: Direction, units: tuple[Unit, ...] = UNITS
) -> list[Bound]:
    """Limits of some nodes of which nothing is left."""
    return _bounds(outcome, column, nodes, direction, units, lambda unit, _, left: _is_used_up(unit, left))


def _is_used_up(unit: Unit, left: float) -> bool:
    return left <= (USED_UP_A if unit == "A" else USED_UP_W)


def _bounds(
    outcome: Outcome,
    column: int,
    nodes: Iterable[int],
    direction: Direction,
    units: tuple[Unit, ...],
    wanted: Callable[[Unit, float, float], bool],
) -> list[Bound]:
    """The limits of some nodes for which `wanted(unit, limit, left)` holds."""
    limits, sale = outcome.trades[direction].limits, outcome.trades[direction].sale
    found = []
    for node in nodes:
        for unit in units:
            if unit == "A":
                limit = float(limits.node_A[column, node])
                for_sale = float(sale.node_A[column, node])
            else:
                to_grid = limits.to_grid[column, node]
                limit = float(limits.node_grid_W[column, node] / to_grid)
                for_sale = float(sale.node_grid_W[column, node] / to_grid)
            if not isfinite(limit):
                continue
            left = outcome.left_at(direction, unit, column, node)
            if wanted(unit, limit, left):
                source = joined(limit_sources(outcome, column, node, direction, unit))
                uuid = outcome.tree.nodes[node].uuid
                found.append(Bound(uuid, direction, unit, limit, left, source, limit - for_sale))
    return found


def _less_left(least: dict[Unit, float]) -> Callable[[Unit, float, float], bool]:
    return lambda unit, limit, left: left < least[unit]


def _short_of_minimum(
    outcome: Outcome, column: int, evse: int, direction: Direction, path: list[int]
) -> list[Bound]:
    """Limits with less left than the minimum, on the phase count that was tried last."""
    trades = outcome.trades[direction]
    limits = trades.limits
    least_A = float(limits.min_A[column, evse]) - CRUMB
    least_W = least_A * float(trades.tried[column, evse]) * outcome.config.nominal_ac_voltage
    found: list[Bound] = []
    for node in path:
        to_node = float(limits.evse_to_grid[column, evse] / limits.to_grid[column, node])
        found += _bounds(
            outcome, column, [node], direction, UNITS, _less_left({"A": least_A, "W": least_W * to_node})
        )
    extras = _extras(outcome, column, evse, direction)
    return found + [each for each in extras if each.left < (least_A if each.unit == "A" else least_W)]


class LimitsAbove:
    """The limits above the EVSEs of one node, in a column: which have less left than one of them needs."""

    def __init__(self, outcome: Outcome, column: int, evse: int, direction: Direction) -> None:
        limits = outcome.trades[direction].limits
        node = int(outcome.tree.evse_node[evse])
        path = list(outcome.tree.path(outcome.tree.shape.parent[node]))[::-1]
        self._limits: list[tuple[Unit, float, float, str]] = []
        """Unit, what is left, watts there for each at the EVSE, and the source."""
        for above in path:
            scale = float(limits.evse_to_grid[column, evse] / limits.to_grid[column, above])
            self._limits += [
                (each.unit, each.left, scale, each.source)
                for each in _bounds(outcome, column, [above], direction, UNITS, lambda *_: True)
            ]
        self._names: dict[tuple[str, ...], str] = {}

    def short_of(self, least_A: float, least_W: float) -> str:
        """The sources of all with less left, the root's first."""
        found = tuple(
            [
                s
                for unit, left, scale, s in self._limits
                if left < (least_A if unit == "A" else least_W * scale)
            ]
        )
        name = self._names.get(found)
        if name is None:
            name = self._names[found] = joined(found)
        return name


def _extras(outcome: Outcome, column: int, evse: int, direction: Direction) -> list[Bound]:
    """The setpoints, heeded by only some EVSEs of their node, that bind this one."""
    return [
        bound
        for index, extra in enumerate(outcome.trades[direction].limits.extras)
        if extra.column == column and evse in extra.members
        for bound in _extra_bounds(outcome, index, direction)
    ]


def _extra(outcome: Outcome, column: int, evse: int, direction: Direction, number: int) -> list[Bound]:
    """The setpoint, heeded by only some, that a limit's number stands for."""
    tier = outcome.tier_of(evse)
    extras = outcome.trades[direction].limits.extras
    here = [index for index, extra in enumerate(extras) if extra.column == column]
    index = here[number // 2 - len(tier.group_starts)]
    return [bound for bound in _extra_bounds(outcome, index, direction) if bound.unit == UNITS[number % 2]]


def _extra_bounds(outcome: Outcome, index: int, direction: Direction) -> list[Bound]:
    trades = outcome.trades[direction]
    extra = trades.limits.extras[index]
    cells = (extra.column, extra.members)
    to_grid = float(trades.limits.to_grid[extra.column, extra.node])
    sold_A, sold_W = float(trades.current_A[cells].sum()), float(trades.grid_W[cells].sum()) / to_grid
    node, source = outcome.tree.nodes[extra.node].uuid, setpoint_source(outcome, extra.column, extra.node)
    pairs: tuple[tuple[Unit, float, float], ...] = (
        ("A", extra.limit_A, sold_A),
        ("W", extra.limit_grid_W / to_grid, sold_W),
    )
    return [
        Bound(node, direction, unit, limit, max(limit - sold, 0.0), source)
        for unit, limit, sold in pairs
        if isfinite(limit)
    ]
