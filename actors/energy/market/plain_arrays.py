"""A run in plain numbers as arrays of one column, for who asks what is told of arrays only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.limits import OnPaths, PathLimits, TightNodes
from actors.energy.market.outcome import Outcome
from actors.energy.market.rounds import OWN, limit_number
from actors.energy.market.sale import Sale
from actors.energy.market.trading import Trades
from actors.energy.market.tree import CompiledTree

if TYPE_CHECKING:
    from actors.energy.market.plain import PlainLimits, PlainSale, PlainTrades
    from actors.energy.market.plain_run import PlainRun


def as_outcome(run: PlainRun) -> Outcome:
    """All of it."""
    tree = run.tree.compiled
    return Outcome(
        tree=tree,
        slots=run.slots,
        config=run.config,
        heeded=[],
        bought=_trades(tree, run.bought),
        given=_trades(tree, run.given),
        imports=_row(run.imports, np.bool_),
        exports=_row(run.exports, np.bool_),
    )


def _row(values: Sequence[float], kind: type[np.generic] = np.float64) -> NDArray[Any]:
    return np.array([values], dtype=kind)


def _nothing_else(field: str) -> NDArray[Any]:
    raise KeyError(field)


def _limits(tree: CompiledTree, limits: PlainLimits) -> PathLimits:
    own = [limits.rows[node] for node in tree.shape.evses]
    tight = None
    if limits.tight is not None and limits.capped is not None:
        tight = TightNodes(*(_row(each, np.bool_) for each in (*limits.tight, *limits.capped)))
    on_paths = {
        "evse_to_grid": _row(limits.evse_to_grid),
        "min_A": _row(limits.min_A),
        "max_phases": _row(limits.max_phases, np.int8),
        "min_phases": _row(limits.min_phases, np.int8),
        "own_max_phases": _row([row.max_phases for row in own], np.int8),
        "active_phases": _row([row.active_phases for row in own], np.int8),
        "may_switch": _row([row.may_switch for row in own], np.bool_),
        "rows": tree.schedules[limits.direction].first + _row(limits.held, np.intp),
    }
    return PathLimits(
        direction=limits.direction,
        shape=tree.shape,
        node_A=_row(limits.node_A),
        node_grid_W=_row(limits.node_grid_W),
        to_grid=_row(limits.to_grid),
        extras=[],
        on_paths=OnPaths(_nothing_else, on_paths),
        tight=tight,
    )


def _sale(sale: PlainSale) -> Sale:
    if sale.ahead_A is None or sale.ahead_grid_W is None or sale.ahead is None:
        return Sale(_row(sale.node_A), _row(sale.node_grid_W))
    ahead = (_row(sale.ahead_A), _row(sale.ahead_grid_W), _row(sale.ahead, np.intp))
    return Sale(_row(sale.node_A), _row(sale.node_grid_W), *ahead)


def _trades(tree: CompiledTree, trades: PlainTrades) -> Trades:
    return Trades(
        limits=_limits(tree, trades.limits),
        sale=_sale(trades.sale),
        ampere=_row(trades.ampere, np.bool_),
        watt=_row(trades.watt, np.bool_),
        current_A=_row(trades.current_A),
        grid_W=_row(trades.grid_W),
        phases=_row(trades.phases, np.int8),
        tried=_row(trades.tried, np.int8),
        reasons=_row(trades.reasons, np.int8),
        refused=_row(trades.refused, np.bool_),
        stopped_by=_row(_limit_numbers(tree, trades.stopped_by), np.int32),
        wants_minimum=_row(trades.wants_minimum, np.bool_),
        sold=True,
    )


def _limit_numbers(tree: CompiledTree, stopped_by: list[int]) -> list[int]:
    """As rounds.limit_number has them: of groups of a tier's nodes instead of nodes."""
    numbers = [OWN] * len(stopped_by)
    for tier in tree.shape.tiers:
        groups: dict[int, int] = {}
        for group, start in enumerate(tier.group_starts.tolist()):
            nodes = tier.group_nodes[start : start + tier.group_length(group)]
            groups.update(dict.fromkeys(nodes.tolist(), group))
        for evse in tier.members.tolist():
            node, is_power = divmod(stopped_by[evse], 2)
            if stopped_by[evse] != OWN and node in groups:
                numbers[evse] = int(limit_number(groups[node], is_power=bool(is_power)))
    return numbers
