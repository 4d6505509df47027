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
from actors.energy.market.timetables import sources_in
from actors.energy.market.turns import CRUMB
from actors.energy.packing import LEAST_PHASES, MOST_PHASES
from actors.energy.types import IntegerWithSource

if TYPE_CHECKING:
    from actors.energy.market.plain import PlainLimits, PlainTrades
    from actors.energy.market.plain_run import PlainRun

USED_UP: dict[Unit, float] = {"A": USED_UP_A, "W": USED_UP_W}
BOTH: tuple[Unit, ...] = ("A", "W")
EXPORT = int(PhaseReason.EXPORT)
BY_MINIMUM = frozenset(map(int, (PhaseReason.POWER_BELOW, PhaseReason.FALLBACK, PhaseReason.TIME_HYSTERESIS)))
"""Reasons for the minimum count."""
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
        self._shared: dict[tuple[Direction, int, int], str | None] = {}
        self._counts: dict[tuple[Direction, int, int, int], list[str]] = {}

    def of(self, evse: int) -> str:
        """What stopped an EVSE, the root's first; '' where nothing did."""
        run = self._run
        trades = run.bought if run.imports[evse] else run.given if run.exports[evse] else None
        if trades is not None and not trades.refused[evse]:
            name = self._shared_limit(trades, evse)
            if name is not None:
                return name
        found = self._limits_of(trades, evse)
        if not found and run.bought.sale.ahead is not None:
            found = [bound.source for bound in bounds_of(run.outcome, 0, evse)]
        return joined(found)

    def phases_of(self, evse: int) -> IntegerWithSource | None:
        """On how many phases an EVSE trades, and who set that."""
        trades = self._run.bought
        if not trades.phases[evse] and self._run.sold_back is not None:
            trades = self._run.sold_back
        count, reason, limits = trades.phases[evse], trades.reasons[evse], trades.limits
        if not count:
            return None
        node = self._shape.evses[evse]
        if reason == EXPORT:
            found = self._who_counts(limits, node, MOST_PHASES, count)
        elif count == limits.max_phases[evse]:
            found = self._counts_above(limits, node, MOST_PHASES, count)
            if not found and (source := self._own_count(limits, node, count)):
                return IntegerWithSource(count, source)
            found = found + self._who_counts(limits, node, MOST_PHASES, count)
        elif reason in BY_MINIMUM:
            found = self._counts_above(limits, node, LEAST_PHASES, count)
            found = found + self._who_counts(limits, node, LEAST_PHASES, count)
        else:
            found = [f"{self._shape.uuids[evse]}: active phases"]
        return IntegerWithSource(count, joined(found) or "default")

    # --- limits ---------------------------------------------------------------------------------------

    def _shared_limit(self, trades: PlainTrades, evse: int) -> str | None:
        """Who set the limit that stopped an EVSE, where it is over others of its priority, too; None where it
        is not, or not used up. Of all whom it stopped it is the same."""
        priority, stop = self._shape.priorities[evse], trades.stopped_by[evse]
        key = trades.limits.direction, priority, stop
        if key not in self._shared:
            spans, found = self._shape.spans(priority), []
            if stop != OWN and not _is_one(span := spans[stop // 2]):
                group = [node for node in self._shape.paths[evse][::-1] if spans[node] == span]
                found = self._sources(trades, group, (BOTH[stop % 2],), _is_used_up)
            self._shared[key] = joined(found) if found else None
        return self._shared[key]

    def _limits_of(self, trades: PlainTrades | None, evse: int) -> list[str]:
        """Where it is no limit that is known to have stopped others, too."""
        path = self._shape.paths[evse][::-1]
        if trades is None:
            return self._sources(self._run.bought, path, BOTH, _is_closed)
        if trades.refused[evse]:
            return self._short_of_minimum(trades, evse, path)
        spans, stop = self._shape.spans(self._shape.priorities[evse]), trades.stopped_by[evse]
        found: list[str] = []
        if stop == OWN or _is_one(spans[stop // 2]):
            found = self._sources(trades, [n for n in path if _is_one(spans[n])], BOTH, _is_used_up)
        return found or self._sources(trades, path, BOTH, _is_used_up)

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

    def _counts_above(self, limits: PlainLimits, node: int, field: int, count: int) -> list[str]:
        """From the root down to the parent of a node: the same for all below that."""
        parent = self._shape.parent[node]
        key = limits.direction, parent, field, count
        found = self._counts.get(key)
        if found is None:
            found = []
            if parent >= 0:
                found = self._counts_above(limits, parent, field, count)
                found = found + self._who_counts(limits, parent, field, count)
            self._counts[key] = found
        return found

    def _own_count(self, limits: PlainLimits, node: int, count: int) -> str | None:
        """Who set the maximum count of a node, where that is `count` and easily seen."""
        holder = self._run.tree.holder(limits.direction, node)
        if holder is None or limits.rows[node].max_phases != count:
            return None
        source = sources_in(holder, MOST_PHASES)
        return source if type(source) is str else None

    def _who_counts(self, limits: PlainLimits, node: int, field: int, count: int) -> list[str]:
        tree = self._run.tree
        holder = tree.holder(limits.direction, node)
        return count_sources(holder, limits.held[node], tree.nodes[node].uuid, field, count)


def _is_one(span: tuple[int, int]) -> bool:
    return span[1] - span[0] == 1
