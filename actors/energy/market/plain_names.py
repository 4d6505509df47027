"""Names in plain numbers: who stopped each EVSE of a small tree, and who set its phases.

The rules are those of bounds.py and sources.py. What is rare is left to them: who bought ahead of others and
was stopped by no limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import TYPE_CHECKING

from actors.energy.market.bounds import bounds_of
from actors.energy.market.entries import Direction, Unit
from actors.energy.market.outcome import USED_UP_A, USED_UP_W
from actors.energy.market.phases import PhaseReason
from actors.energy.market.rounds import OWN
from actors.energy.market.sources import count_sources, entry_sources, joined
from actors.energy.market.turns import CRUMB
from actors.energy.packing import LEAST_PHASES, MOST_PHASES
from actors.energy.types import IntegerWithSource

if TYPE_CHECKING:
    from actors.energy.market.plain import PlainTrades
    from actors.energy.market.plain_run import PlainRun

USED_UP: dict[Unit, float] = {"A": USED_UP_A, "W": USED_UP_W}
BOTH: tuple[Unit, ...] = ("A", "W")
Wanted = Callable[[Unit, float, float], bool]
"""Whether a limit of so much, with so much left, is meant."""


def _is_closed(_: Unit, limit: float, __: float) -> bool:
    return limit == 0.0


def _is_used_up(unit: Unit, _: float, left: float) -> bool:
    return left <= USED_UP[unit]


def _less_left(least: dict[str, float]) -> Wanted:
    return lambda unit, _, left: left < least[unit]


class PlainNames:
    """Of one run."""

    def __init__(self, run: PlainRun) -> None:
        self._run = run
        self._shape = run.tree.shape
        self._shared: dict[tuple[Direction, int, tuple[int, int], Unit], list[str]] = {}
        """Of all whom one limit stopped it is the same."""
        self._counts: dict[tuple[Direction, int, int, int], list[str]] = {}

    def of(self, evse: int) -> str:
        """What stopped an EVSE, the root's first; '' where nothing did."""
        found = self._limits_of(evse)
        if not found and self._run.bought.sale.ahead is not None:
            found = [bound.source for bound in bounds_of(self._run.outcome, 0, evse)]
        return joined(found)

    def phases_of(self, evse: int) -> IntegerWithSource | None:
        """On how many phases an EVSE trades, and who set that."""
        run = self._run
        count = run.phases(evse)
        if not count:
            return None
        direction: Direction = "export" if run.exports[evse] else "import"
        trades, node = run.trades(direction), self._shape.evses[evse]
        reason = trades.reasons[evse]
        if reason == PhaseReason.EXPORT:
            found = self._who_counts(direction, node, MOST_PHASES, count)
        elif count == trades.limits.max_phases[evse]:
            found = self._who_counts_to(direction, node, MOST_PHASES, count)
        elif reason in (PhaseReason.POWER_BELOW, PhaseReason.FALLBACK, PhaseReason.TIME_HYSTERESIS):
            found = self._who_counts_to(direction, node, LEAST_PHASES, count)
        else:
            found = [f"{self._shape.uuids[evse]}: active phases"]
        return IntegerWithSource(count, joined(found) or "default")

    # --- limits ---------------------------------------------------------------------------------------

    def _limits_of(self, evse: int) -> list[str]:
        run = self._run
        path = self._shape.paths[evse][::-1]
        if run.imports[evse]:
            trades = run.bought
        elif run.exports[evse]:
            trades = run.given
        else:
            return self._sources(run.bought, path, BOTH, _is_closed)
        if trades.refused[evse]:
            return self._short_of_minimum(trades, evse, path)
        return self._recorded(trades, evse, path) or self._sources(trades, path, BOTH, _is_used_up)

    def _recorded(self, trades: PlainTrades, evse: int, path: list[int]) -> list[str]:
        """The limit that is known to have stopped it, as far as it is used up."""
        priority, stop = self._shape.priorities[evse], trades.stopped_by[evse]
        spans = self._shape.spans(priority)
        first, end = (0, 0) if stop == OWN else spans[stop // 2]
        if end - first < 2:
            return self._sources(trades, [n for n in path if _is_one(spans[n])], BOTH, _is_used_up)
        unit = BOTH[stop % 2]
        key = trades.limits.direction, priority, (first, end), unit
        if key not in self._shared:
            group = [node for node in path if spans[node] == (first, end)]
            self._shared[key] = self._sources(trades, group, (unit,), _is_used_up)
        return self._shared[key]

    def _short_of_minimum(self, trades: PlainTrades, evse: int, path: list[int]) -> list[str]:
        """Limits with less left than the minimum, on the phase count that was tried last."""
        limits = trades.limits
        least_A = limits.min_A[evse] - CRUMB
        least_W = least_A * trades.tried[evse] * self._run.config.nominal_ac_voltage
        found: list[str] = []
        for node in path:
            least = {"A": least_A, "W": least_W * limits.evse_to_grid[evse] / limits.to_grid[node]}
            found += self._sources(trades, [node], BOTH, _less_left(least))
        return found

    def _sources(
        self, trades: PlainTrades, nodes: Iterable[int], units: tuple[Unit, ...], wanted: Wanted
    ) -> list[str]:
        """Who set the limits of some nodes that are meant."""
        limits, sale, found = trades.limits, trades.sale, []
        for node in nodes:
            for unit in units:
                if unit == "A":
                    limit, for_sale, sold = limits.node_A[node], sale.node_A[node], trades.sold_A[node]
                    scale = 1.0
                else:
                    limit, for_sale = limits.node_grid_W[node], sale.node_grid_W[node]
                    sold, scale = trades.sold_grid_W[node], limits.to_grid[node]
                if limit < inf and wanted(unit, limit / scale, max(for_sale - sold, 0.0) / scale):
                    found += self._limit_sources(trades, node, unit, limit / scale)
        return found

    def _limit_sources(self, trades: PlainTrades, node: int, unit: Unit, limit: float) -> list[str]:
        limits, uuid = trades.limits, self._run.tree.nodes[node].uuid
        if limits.capped is not None and limits.capped[0 if unit == "A" else 1][node]:
            return [f"{uuid}: fallback_{unit}"]
        holder = self._run.tree.holder(limits.direction, node)
        if holder is None:
            return [f"{uuid}: no schedule_{limits.direction}"]
        return entry_sources(holder, limits.held[node], uuid, limits.direction, unit, limit) or [uuid]

    # --- phases ---------------------------------------------------------------------------------------

    def _who_counts_to(self, direction: Direction, node: int, field: int, count: int) -> list[str]:
        """From the root down to a node; what stands above it is the same for all below its parent."""
        parent = self._shape.parent[node]
        key = direction, parent, field, count
        found = self._counts.get(key)
        if found is None:
            path = []
            while parent >= 0:
                path.append(parent)
                parent = self._shape.parent[parent]
            found = []
            for above in path[::-1]:
                found += self._who_counts(direction, above, field, count)
            self._counts[key] = found
        return found + self._who_counts(direction, node, field, count)

    def _who_counts(self, direction: Direction, node: int, field: int, count: int) -> list[str]:
        tree, held = self._run.tree, self._run.trades(direction).limits.held
        return count_sources(tree.holder(direction, node), held[node], tree.nodes[node].uuid, field, count)


def _is_one(span: tuple[int, int]) -> bool:
    return span[1] - span[0] == 1
