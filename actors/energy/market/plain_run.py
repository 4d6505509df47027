"""A run in plain numbers, from limits to results; arrays of it are made only for who asks why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.limits import OnPaths, PathLimits, TightNodes
from actors.energy.market.memory import Contexts
from actors.energy.market.outcome import Outcome
from actors.energy.market.phases import import_choices
from actors.energy.market.plain import (
    PlainChoices,
    PlainLimits,
    PlainSale,
    PlainTrades,
    Trader,
    limit_numbers,
    limits_at,
    nothing_traded,
    settled_choices,
)
from actors.energy.market.plain_fallbacks import cap_at_fallbacks, trade_imports
from actors.energy.market.sale import Sale
from actors.energy.market.slots import Slots
from actors.energy.market.trading import Trades
from actors.energy.market.tree import CompiledTree
from actors.energy.types import (
    EnergyManagerConfig,
    EnforcedLimits,
    IntegerWithSource,
    LimitsRes,
    NumberWithSource,
    valid_for_s,
)


@dataclass(frozen=True)
class PlainRun:
    """One run over one slot."""

    tree: CompiledTree
    slots: Slots
    config: EnergyManagerConfig
    bought: PlainTrades
    given: PlainTrades
    """Exports."""
    imports: list[bool]
    exports: list[bool]
    """Who may trade which way."""

    def bare(self) -> tuple[EnforcedLimits, ...]:
        """What holds now for every EVSE, without sources."""
        valid_for, bought, given = valid_for_s(self.config), self.bought, self.given
        found = []
        for evse, uuid in enumerate(self.tree.shape.uuids):
            exported_W, current, power, phases = given.power_W(evse), None, None, None
            if bought.limits.path_A[evse] < inf or given.phases[evse]:
                current = NumberWithSource(bought.current_A[evse] - given.current_A[evse])
            if bought.limits.path_grid_W[evse] < inf or exported_W > 0.0:
                power = NumberWithSource(bought.power_W(evse) - exported_W)
            if count := bought.phases[evse] or given.phases[evse]:
                phases = IntegerWithSource(count)
            limits = LimitsRes(ac_max_current_A=current, total_power_W=power, ac_max_phase_count=phases)
            found.append(EnforcedLimits(uuid=uuid, valid_for=valid_for, limits_root_side=limits))
        return tuple(found)

    @cached_property
    def outcome(self) -> Outcome:
        """The same as arrays of one column."""
        return Outcome(
            tree=self.tree,
            slots=self.slots,
            config=self.config,
            heeded=[],
            trades={
                "import": _as_trades(self.tree, self.bought),
                "export": _as_trades(self.tree, self.given),
            },
            imports=_row(self.imports, np.bool_),
            exports=_row(self.exports, np.bool_),
        )


def run_plainly(
    tree: CompiledTree,
    limits: PlainLimits,
    slots: Slots,
    config: EnergyManagerConfig,
    contexts: Contexts,
    start_us: int,
) -> PlainRun:
    """Trade in the only column of `slots`; `limits` are those of imports there."""
    cap_at_fallbacks(tree, limits)
    imports = limits.open()
    choices = _choices(tree, limits, config, contexts, start_us)
    bought = trade_imports(tree, limits, imports, Trader(tree, limits, imports, choices, config))
    out = limits_at(tree, int(slots.columns_us[0]), "export")
    exports = [may and not imported for may, imported in zip(out.open(), imports, strict=True)]
    if any(exports):
        given = Trader(tree, out, exports, settled_choices(tree, out), config).trade()
    else:
        given = nothing_traded(out)
    return PlainRun(tree, slots, config, bought, given, imports, exports)


def _choices(
    tree: CompiledTree,
    limits: PlainLimits,
    config: EnergyManagerConfig,
    contexts: Contexts,
    start_us: int,
) -> PlainChoices:
    if config.switch_3ph1ph_while_charging_mode == "Never":
        return settled_choices(tree, limits)
    found = import_choices(_as_path_limits(tree, limits), config, contexts, 0, start_us)
    wants = [each[0].tolist() for each in found.wants_minimum] if found.depends.any() else None
    return PlainChoices(
        counts=[each[0].tolist() for each in found.counts],
        reasons=[each[0].tolist() for each in found.reasons],
        fallback=found.fallback[0].tolist(),
        below_W=found.below_W[0].tolist(),
        above_W=found.above_W[0].tolist(),
        wants_minimum=wants,
    )


def _row(values: Sequence[float], kind: type[np.generic] = np.float64) -> NDArray[Any]:
    return np.array([values], dtype=kind)


def _nothing_else(field: str) -> NDArray[Any]:
    raise KeyError(field)


def _as_path_limits(tree: CompiledTree, limits: PlainLimits) -> PathLimits:
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
        "rows": _row(limits.row_numbers, np.intp),
    }
    return PathLimits(
        direction=limits.direction,
        node_A=_row(limits.node_A),
        node_grid_W=_row(limits.node_grid_W),
        to_grid=_row(limits.to_grid),
        extras=[],
        path_A=_row(limits.path_A),
        path_grid_W=_row(limits.path_grid_W),
        on_paths=OnPaths(_nothing_else, on_paths),
        tight=tight,
    )


def _as_sale(sale: PlainSale) -> Sale:
    if sale.ahead_A is None or sale.ahead_grid_W is None or sale.ahead is None:
        return Sale(_row(sale.node_A), _row(sale.node_grid_W))
    ahead = (_row(sale.ahead_A), _row(sale.ahead_grid_W), _row(sale.ahead, np.intp))
    return Sale(_row(sale.node_A), _row(sale.node_grid_W), *ahead)


def _as_trades(tree: CompiledTree, trades: PlainTrades) -> Trades:
    return Trades(
        limits=_as_path_limits(tree, trades.limits),
        sale=_as_sale(trades.sale),
        ampere=_row(trades.ampere, np.bool_),
        watt=_row(trades.watt, np.bool_),
        current_A=_row(trades.current_A),
        grid_W=_row(trades.grid_W),
        phases=_row(trades.phases, np.int8),
        tried=_row(trades.tried, np.int8),
        reasons=_row(trades.reasons, np.int8),
        refused=_row(trades.refused, np.bool_),
        stopped_by=_row(limit_numbers(tree, trades.stopped_by), np.int32),
        wants_minimum=_row(trades.wants_minimum, np.bool_),
        sold=True,
    )
