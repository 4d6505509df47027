"""Fallbacks: what a node may import whenever it hears nothing is sold to nobody else.

A node above never counts less for a node than its fallback, so what it counts is

    max(sold to the node itself + what it counts for its children, its fallback)

with all that is missing up to the fallback, the filler, not for sale at any node further up:

    root, 32 A ──┬── idle, fallback 6 A: 6 A are missing
                 └── car: 26 A are for sale

How much is missing depends on what is sold, so it is traded again until nothing more is found
missing. Where others took it, though it could have been used, the node's EVSEs buy ahead of the
others from then on, up to its fallback: nobody else can have that room anyway. What is missing
otherwise is kept as filler; no filler ever shrinks.

A node whose limit is below the sum of what it counts at least for its children, a tight one, keeps
nothing, as it could not: tight.py caps its children at their fallbacks, and its limit is divided
among them as any other. Nodes further up still count the fallbacks, as an EVSE that hears nothing
hears of no such limit either; so all below it buy ahead together, or nobody does.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from actors.energy.market.arrays import Bools, Floats
from actors.energy.market.limits import PathLimits
from actors.energy.market.phases import PhaseChoices
from actors.energy.market.sale import FIXED_LOADS, Sale
from actors.energy.market.tiers import Tier
from actors.energy.market.tight import counted_below, fallbacks_of
from actors.energy.market.trading import Trades, trade
from actors.energy.market.tree import CompiledTree
from actors.energy.market.turns import CRUMB
from actors.energy.types import EnergyManagerConfig

FINE_PASSES = 4
"""After as many, what is kept for a node that still lacks something is the most that it may lack."""
MOST_PASSES = 8
"""Where more would be needed, the most that may be missing is kept, and nobody buys ahead."""
SLACK_A = 1e-7
SLACK_W = 1e-4
"""Less than this is not missing."""


def trade_imports(
    tree: CompiledTree,
    tiers: tuple[Tier, ...],
    limits: PathLimits,
    takes_part: Bools,
    choices: PhaseChoices,
    config: EnergyManagerConfig,
) -> Trades:
    """Sell to all EVSEs of `takes_part` (columns, EVSEs), but not what is others' fallback."""
    if not tree.fallbacks:
        return trade(tree, tiers, limits, takes_part, choices, config)
    reserve = _Reserve(tree, limits, takes_part)
    for number in range(MOST_PASSES):
        trades = trade(tree, tiers, limits, takes_part, choices, config, reserve.sale())
        missing = reserve.learn(trades, hurry=number >= FINE_PASSES)
        if not missing.any():
            return trades
    reserve.keep_most(missing)
    return trade(tree, tiers, limits, takes_part, choices, config, reserve.sale())


class _Unit:
    """Ampere or grid watt; arrays are (columns, nodes)."""

    def __init__(
        self, tree: CompiledTree, limits: Floats, fallbacks: Floats, tight: Bools | None, slack: float
    ):
        self._tree = tree
        self._limits = limits
        self._slack = slack
        self.fallbacks = fallbacks
        least = counted_below(tree, np.zeros_like(limits), fallbacks)
        self.most = np.maximum(fallbacks - least, 0.0)
        """The most that may be missing at a node itself."""
        self.tight = np.zeros(limits.shape, dtype=np.bool_) if tight is None else tight
        self.ahead_to = np.where(self.tight, np.maximum(fallbacks, least), fallbacks)
        """Up to what a node's EVSEs buy ahead."""
        self._matters = _any_above(tree, np.isfinite(limits))
        self.fillers = np.zeros_like(limits)

    def missing(self, sold: Floats) -> Floats:
        """What nodes lack of their fallbacks, of sales (columns, EVSEs)."""
        own = np.zeros_like(self._limits)
        own[:, self._tree.evse_node] = sold
        below = counted_below(self._tree, own, self.fallbacks)
        return np.where(self._matters, np.maximum(self.fallbacks - below, 0.0), 0.0)

    def is_short(self, missing: Floats) -> Bools:
        """Where more is missing than is kept."""
        return np.asarray(missing - self.fillers > self._slack)

    def for_sale(self, ahead: Bools) -> tuple[Floats, Floats]:
        """What nodes have for sale in general, and for those who buy ahead."""
        kept = _sums_below(self._tree, self.fillers)
        general = np.where(self.tight, self._limits, np.maximum(self._limits - kept, 0.0))
        capped = ahead & self._matters & (self.ahead_to > 0.0)
        return general, np.where(capped, np.minimum(general, np.maximum(self.ahead_to - kept, 0.0)), general)


class _Reserve:
    """What is kept, and who buys ahead, as far as it is known."""

    def __init__(self, tree: CompiledTree, limits: PathLimits, takes_part: Bools):
        self._tree = tree
        self._limits = limits
        self._takes_part = takes_part
        fallback_A, fallback_grid_W = fallbacks_of(tree, limits)
        tight = limits.tight
        tight_A = tight.tight_A if tight else None
        self._ampere = _Unit(tree, limits.node_A, fallback_A, tight_A, SLACK_A)
        tight_W = tight.tight_W if tight else None
        self._watt = _Unit(tree, limits.node_grid_W, fallback_grid_W, tight_W, SLACK_W)
        self._tight = self._ampere.tight | self._watt.tight
        self._ahead = np.zeros(limits.node_A.shape, dtype=np.bool_)
        # What an EVSE cannot buy even when it is alone is missing whatever is sold.
        for unit, most in ((self._ampere, limits.path_A), (self._watt, limits.path_grid_W)):
            unit.fillers = unit.missing(np.where(takes_part, most, 0.0))

    @cached_property
    def _may_go_ahead(self) -> Bools:
        """Nodes with an EVSE that would use their fallback, and nothing tight above."""
        limits, priorities = self._limits, self._tree.priorities
        least_A = np.where(limits.in_A, limits.min_A, 0.0)
        for_node_A = np.full(limits.node_A.shape, np.inf)
        for_node_A[:, self._tree.evse_node] = np.where(
            self._takes_part & (priorities != FIXED_LOADS), least_A, np.inf
        )
        for level, starts, parents in reversed(self._tree.families):
            below = np.minimum.reduceat(for_node_A[:, level], starts, axis=1)
            for_node_A[:, parents] = np.minimum(for_node_A[:, parents], below)
        up_to_A = self._ampere.ahead_to
        uses = np.isfinite(for_node_A) & ((up_to_A == 0.0) | (for_node_A <= up_to_A + CRUMB))
        return np.asarray(uses & ~_any_above(self._tree, self._tight))

    def sale(self) -> Sale:
        """As far as it is known now."""
        node_A, ahead_A = self._ampere.for_sale(self._ahead)
        node_grid_W, ahead_grid_W = self._watt.for_sale(self._ahead)
        if not self._ahead.any():
            return Sale(node_A, node_grid_W)
        # Of nested ones the inner buys first, else the outer one's others might take all of it.
        depth = self._ahead.astype(np.intp)
        for level in self._tree.levels[1:]:
            depth[:, level] += depth[:, self._tree.parent[level]]
        return Sale(node_A, node_grid_W, ahead_A, ahead_grid_W, depth[:, self._tree.evse_node])

    def learn(self, trades: Trades, *, hurry: bool) -> Bools:
        """Note what else is missing, after a trade; the columns in which something was."""
        missing_A = self._ampere.missing(trades.current_A)
        missing_grid_W = self._watt.missing(trades.grid_W)
        short = self._ampere.is_short(missing_A) | self._watt.is_short(missing_grid_W)
        columns = np.asarray(short.any(axis=1))
        if columns.any():
            short_below = _sums_below(self._tree, short.astype(np.float64)) > 0.0
            candidates = (short | (self._tight & short_below)) & self._may_go_ahead & ~self._ahead
            self._ahead |= candidates & ~_any_above(self._tree, candidates)
            # Who else lacks what is seen best when those who buy ahead have bought.
            settled = columns & ~candidates.any(axis=1)
            for unit, missing in ((self._ampere, missing_A), (self._watt, missing_grid_W)):
                if hurry:
                    missing = np.where(unit.is_short(missing), unit.most, missing)
                unit.fillers[settled] = np.maximum(unit.fillers, missing)[settled]
        return columns

    def keep_most(self, columns: Bools) -> None:
        """Keep the most that may be missing in some columns, where nobody buys ahead then."""
        for unit in (self._ampere, self._watt):
            unit.fillers[columns] = unit.most[columns]
        self._ahead[columns] = False


def _sums_below(tree: CompiledTree, values: Floats) -> Floats:
    """The sum over all that is below each node, without itself."""
    below = np.zeros_like(values)
    for level, starts, parents in reversed(tree.families):
        below[:, parents] = np.add.reduceat(below[:, level] + values[:, level], starts, axis=1)
    return below


def _any_above(tree: CompiledTree, values: Bools) -> Bools:
    """Whether something holds at any node above, without the node itself."""
    above = np.zeros_like(values)
    for level in tree.levels[1:]:
        parent = tree.parent[level]
        above[:, level] = above[:, parent] | values[:, parent]
    return above
