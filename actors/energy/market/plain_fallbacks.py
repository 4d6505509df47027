"""Fallbacks in plain numbers: tight.py and fallbacks.py for small trees, where the rules are told."""

from __future__ import annotations

from functools import cached_property
from math import inf

from actors.energy.market.fallbacks import FINE_PASSES, MOST_PASSES, SLACK_A, SLACK_W
from actors.energy.market.plain import PlainLimits, PlainSale, PlainTrades, Trader
from actors.energy.market.plain_tree import PlainTree
from actors.energy.market.sale import FIXED_LOADS
from actors.energy.market.tight import KEPT_SLACK
from actors.energy.market.turns import CRUMB


class Fallbacks:
    """Of all nodes in one unit: what is theirs, and what counts of those below each."""

    def __init__(self, tree: PlainTree, fallbacks: list[float]) -> None:
        self.own = fallbacks
        self.below = counted_below(tree, [0.0] * len(fallbacks), fallbacks)


def fallbacks_of(tree: PlainTree, limits: PlainLimits) -> tuple[Fallbacks, Fallbacks] | None:
    """In ampere and grid watt; None where there are none."""
    if not tree.fallbacks:
        return None
    fallback_A, fallback_grid_W = [0.0] * len(tree.nodes), [0.0] * len(tree.nodes)
    for node, (A, W) in tree.fallbacks.items():
        fallback_A[node], fallback_grid_W[node] = A, W * limits.to_grid[node]
    return Fallbacks(tree, fallback_A), Fallbacks(tree, fallback_grid_W)


def cap_at_fallbacks(tree: PlainTree, limits: PlainLimits, ampere: Fallbacks, watt: Fallbacks) -> None:
    """Lower import limits to fallbacks below tight nodes, in place."""
    tight_A, capped_A = _cap(tree, limits.node_A, ampere)
    tight_W, capped_W = _cap(tree, limits.node_grid_W, watt)
    if not any(tight_A) and not any(tight_W):
        return
    limits.tight, limits.capped = (tight_A, tight_W), (capped_A, capped_W)
    for evse, path in enumerate(tree.shape.paths):
        limits.path_A[evse] = min(limits.path_A[evse], *(limits.node_A[node] for node in path))
        limits.path_grid_W[evse] = min(limits.path_grid_W[evse], *(limits.node_grid_W[node] for node in path))


def _cap(tree: PlainTree, limits: list[float], fallbacks: Fallbacks) -> tuple[list[bool], list[bool]]:
    """Lowers limits in place; where nodes are tight, and where a node's limit is its fallback."""
    parent, count, least = tree.shape.parent, len(limits), fallbacks.below
    tight = [one > other and _is_above(one, other) for one, other in zip(least, limits, strict=True)]
    capped, below_tight = [False] * count, [False] * count
    if True not in tight:
        return tight, capped
    for node in range(1, count):
        above = parent[node]
        if tight[above]:
            most = max(fallbacks.own[node], least[node])
            if most < limits[node]:
                limits[node], capped[node] = most, True
        below_tight[node] = below_tight[above] or tight[above]
        tight[node] = _is_above(least[node], limits[node]) or (
            below_tight[node] and least[node] > 0.0 and not _is_above(limits[node], least[node])
        )
    return tight, capped


def _is_above(value: float, other: float) -> bool:
    """By more than sums are rounded."""
    return value > other + KEPT_SLACK * (1.0 + (other if other < inf else 0.0))


def counted_below(tree: PlainTree, own: list[float], fallbacks: list[float]) -> list[float]:
    """What each node sells: to its own EVSE (`own`, changed in place), and counts for its children."""
    parent = tree.shape.parent
    for node in range(len(own) - 1, 0, -1):
        amount, fallback = own[node], fallbacks[node]
        if fallback > amount:
            amount = fallback
        if amount:
            own[parent[node]] += amount
    return own


def trade_imports(
    tree: PlainTree,
    limits: PlainLimits,
    takes_part: list[bool],
    trader: Trader,
    ampere: Fallbacks,
    watt: Fallbacks,
) -> PlainTrades:
    """Sell to all who take part, but not what is others' fallback."""
    reserve = _Reserve(tree, limits, takes_part, ampere, watt)
    for number in range(MOST_PASSES):
        trades = trader.trade(reserve.sale())
        if not reserve.learn(trades, hurry=number >= FINE_PASSES):
            return trades
    reserve.keep_most()
    return trader.trade(reserve.sale())


class _Unit:
    """Ampere or grid watt, of nodes; see fallbacks._Unit."""

    def __init__(
        self,
        tree: PlainTree,
        limits: list[float],
        fallbacks: Fallbacks,
        tight: list[bool] | None,
        slack: float,
    ) -> None:
        self._tree = tree
        self._limits = limits
        self._slack = slack
        self._of = fallbacks
        self.fallbacks = fallbacks.own
        self.tight = tight or [False] * len(limits)
        self._matters = any_above(tree, [limit < inf for limit in limits])
        self._plays_a_part = True in self._matters
        self.fillers = [0.0] * len(limits)

    @cached_property
    def most(self) -> list[float]:
        """That nodes may lack of their fallbacks."""
        return [max(f - low, 0.0) for f, low in zip(self.fallbacks, self._of.below, strict=True)]

    @cached_property
    def ahead_to(self) -> list[float]:
        """Up to what those below a node may buy ahead of others."""
        if True not in self.tight:
            return self.fallbacks
        return [
            max(f, low) if is_tight else f
            for f, low, is_tight in zip(self.fallbacks, self._of.below, self.tight, strict=True)
        ]

    def missing(self, sold: list[float]) -> list[float]:
        """What nodes lack of their fallbacks, of the sales to EVSEs."""
        own = [0.0] * len(self._limits)
        if not self._plays_a_part:
            return own
        for node, amount in zip(self._tree.shape.evses, sold, strict=True):
            own[node] = amount
        below = counted_below(self._tree, own, self.fallbacks)
        return [
            f - b if matters and f > b else 0.0
            for f, b, matters in zip(self.fallbacks, below, self._matters, strict=True)
        ]

    def is_short(self, missing: list[float]) -> list[bool]:
        """Where more is missing than is kept."""
        return [m - filler > self._slack for m, filler in zip(missing, self.fillers, strict=True)]

    def for_sale(self, ahead: list[bool]) -> tuple[list[float], list[float]]:
        """What nodes have for sale in general, and for those who buy ahead."""
        if not self._plays_a_part:
            return self._limits, self._limits
        general, kept = self._limits, self.fillers
        if any(kept):
            kept = sums_below(self._tree, kept)
            general = [
                limit if is_tight else max(limit - k, 0.0)
                for limit, k, is_tight in zip(general, kept, self.tight, strict=True)
            ]
        if True not in ahead:
            return general, general
        for_ahead = [
            min(g, max(up_to - k, 0.0)) if goes and matters and up_to > 0.0 else g
            for g, goes, matters, up_to, k in zip(
                general, ahead, self._matters, self.ahead_to, kept, strict=True
            )
        ]
        return general, for_ahead


class _Reserve:
    """What is kept, and who buys ahead, as far as it is known."""

    def __init__(
        self,
        tree: PlainTree,
        limits: PlainLimits,
        takes_part: list[bool],
        ampere: Fallbacks,
        watt: Fallbacks,
    ) -> None:
        self._tree = tree
        self._limits = limits
        self._takes_part = takes_part
        tight_A, tight_W = limits.tight or (None, None)
        self._ampere = _Unit(tree, limits.node_A, ampere, tight_A, SLACK_A)
        self._watt = _Unit(tree, limits.node_grid_W, watt, tight_W, SLACK_W)
        self._tight = [A or W for A, W in zip(self._ampere.tight, self._watt.tight, strict=True)]
        self._ahead = [False] * len(tree.nodes)
        self._may_go_ahead: list[bool] | None = None
        # What an EVSE cannot buy even when it is alone is missing whatever is sold.
        for unit, most in ((self._ampere, limits.path_A), (self._watt, limits.path_grid_W)):
            unit.fillers = unit.missing([m if t else 0.0 for t, m in zip(takes_part, most, strict=True)])

    def _can_go_ahead(self) -> list[bool]:
        """Nodes with an EVSE that would use their fallback, and nothing tight above."""
        limits, shape = self._limits, self._tree.shape
        for_node_A = [inf] * len(shape.parent)
        for evse, node in enumerate(shape.evses):
            if self._takes_part[evse] and shape.priorities[evse] != FIXED_LOADS:
                for_node_A[node] = limits.min_A[evse] if limits.path_A[evse] < inf else 0.0
        for node in range(len(for_node_A) - 1, 0, -1):
            above = shape.parent[node]
            if for_node_A[node] < for_node_A[above]:
                for_node_A[above] = for_node_A[node]
        below_tight = any_above(self._tree, self._tight)
        return [
            least_A < inf and (up_to_A == 0.0 or least_A <= up_to_A + CRUMB) and not tight
            for least_A, up_to_A, tight in zip(for_node_A, self._ampere.ahead_to, below_tight, strict=True)
        ]

    def sale(self) -> PlainSale:
        """As far as it is known now."""
        node_A, ahead_A = self._ampere.for_sale(self._ahead)
        node_grid_W, ahead_grid_W = self._watt.for_sale(self._ahead)
        if True not in self._ahead:
            return PlainSale(node_A, node_grid_W)
        # Of nested ones the inner buys first, else the outer one's others might take all of it.
        rank = [sum(self._ahead[node] for node in path) for path in self._tree.shape.paths]
        return PlainSale(node_A, node_grid_W, ahead_A, ahead_grid_W, rank)

    def learn(self, trades: PlainTrades, *, hurry: bool) -> bool:
        """Note what else is missing, after a trade; whether there was anything."""
        missing_A = self._ampere.missing(trades.current_A)
        missing_grid_W = self._watt.missing(trades.grid_W)
        short_A, short_W = self._ampere.is_short(missing_A), self._watt.is_short(missing_grid_W)
        if True not in short_A and True not in short_W:
            return False
        short = [A or W for A, W in zip(short_A, short_W, strict=True)]
        if self._may_go_ahead is None:
            self._may_go_ahead = self._can_go_ahead()
        short_below = sums_below(self._tree, [float(is_short) for is_short in short])
        candidates = [
            may and not goes and (is_short or (tight and below > 0.0))
            for may, goes, is_short, tight, below in zip(
                self._may_go_ahead, self._ahead, short, self._tight, short_below, strict=True
            )
        ]
        if any(candidates):
            # Who else lacks what is seen best when those who buy ahead have bought.
            nested = any_above(self._tree, candidates)
            self._ahead = [
                goes or (candidate and not inner)
                for goes, candidate, inner in zip(self._ahead, candidates, nested, strict=True)
            ]
            return True
        for unit, missing, lacks in (
            (self._ampere, missing_A, short_A),
            (self._watt, missing_grid_W, short_W),
        ):
            if hurry:
                missing = [
                    most if is_short else m
                    for m, most, is_short in zip(missing, unit.most, lacks, strict=True)
                ]
            unit.fillers = [max(filler, m) for filler, m in zip(unit.fillers, missing, strict=True)]
        return True

    def keep_most(self) -> None:
        """Keep the most that may be missing, where nobody buys ahead then."""
        for unit in (self._ampere, self._watt):
            unit.fillers = unit.most
        self._ahead = [False] * len(self._ahead)


def sums_below(tree: PlainTree, values: list[float]) -> list[float]:
    """The sum over all that is below each node, without itself."""
    below, parent = [0.0] * len(values), tree.shape.parent
    for node in range(len(values) - 1, 0, -1):
        if amount := below[node] + values[node]:
            below[parent[node]] += amount
    return below


def any_above(tree: PlainTree, values: list[bool]) -> list[bool]:
    """Whether something holds at any node above, without the node itself."""
    above, parent = [False] * len(values), tree.shape.parent
    for node in range(1, len(values)):
        above[node] = above[parent[node]] or values[parent[node]]
    return above
