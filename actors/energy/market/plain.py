"""Plain: the market of a small tree in one slot, in plain numbers.

Arrays cost much the same for one EVSE as for a hundred, so for a few EVSEs lists are several times
as fast. The rules are those of limits.py, phases.py and trading.py, written a second time; the
property tests hold both to the same reference, and to each other. Setpoints and forecasts are left
to the arrays.

    limits of every node ──> of every path ──> turns: first purchases in order, then from the leaves
                                               to the root what each limit leaves of them
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from operator import or_

from actors.energy.market.entries import Direction, Row
from actors.energy.market.filling import fill_plainly
from actors.energy.market.phases import ABOVE, PhaseReason
from actors.energy.market.plain_tree import PlainTree
from actors.energy.market.rounds import OWN, SLACK
from actors.energy.market.sale import FIXED_LOADS
from actors.energy.market.turns import CRUMB, Desk, Purchase, buy_in_turn
from actors.energy.types import EnergyManagerConfig

FINEST_SLICE = 1e-6
"""As trading.py's."""
_EXPORT, _MAXIMUM, _ACTIVE = map(int, (PhaseReason.EXPORT, PhaseReason.MAXIMUM, PhaseReason.ACTIVE))


@dataclass
class PlainLimits:
    """What one direction allows in one slot; see limits.PathLimits. Of nodes, and of EVSEs' paths."""

    direction: Direction
    held: list[int]
    """Of each node: which of its rows holds."""
    rows: list[Row]
    node_A: list[float]
    node_grid_W: list[float]
    to_grid: list[float]
    path_A: list[float]
    path_grid_W: list[float]
    min_A: list[float]
    max_phases: list[int]
    min_phases: list[int]
    evse_to_grid: list[float]
    tight: tuple[list[bool], list[bool]] | None = None
    """In ampere and in watt; see tight.py."""
    capped: tuple[list[bool], list[bool]] | None = None

    def open(self) -> list[bool]:
        """Where neither the current nor the power that limits allow is 0."""
        return [A > 0.0 and W > 0.0 for A, W in zip(self.path_A, self.path_grid_W, strict=True)]


def limits_at(tree: PlainTree, time_us: int, direction: Direction) -> PlainLimits:
    """What a direction allows at a time."""
    said = tree.said[direction]
    held = [each.at(time_us) if len(each.rows) > 1 else 0 for each in said]
    rows = [each.rows[number] for each, number in zip(said, held, strict=True)]
    converts = any(row[5] != 1.0 for row in rows)
    node_grid_W: list[float] = []
    to_grid: list[float] = []
    on_path: list[tuple[float, float, float, int, int]] = []
    for (A, W, least_A, most, fewest, _, _, _), above in zip(rows, tree.shape.parent, strict=True):
        factor = 1.0
        if converts and above >= 0:
            factor, efficiency = to_grid[above], rows[above][5]
            if efficiency != 1.0:
                factor = factor / efficiency if direction == "import" else factor * efficiency
            if factor != 1.0:
                W *= factor
        to_grid.append(factor)
        node_grid_W.append(W)
        if above >= 0:
            above_A, above_W, above_least_A, above_most, above_fewest = on_path[above]
            A = above_A if above_A < A else A
            W = above_W if above_W < W else W
            least_A = above_least_A if above_least_A > least_A else least_A
            most = above_most if above_most < most else most
            fewest = above_fewest if above_fewest > fewest else fewest
        on_path.append((A, W, least_A, most, fewest))
    evses = tree.shape.evses
    of_evses = [on_path[i] for i in evses]
    return PlainLimits(
        direction=direction,
        held=held,
        rows=rows,
        node_A=[row[0] for row in rows],
        node_grid_W=node_grid_W,
        to_grid=to_grid,
        path_A=[each[0] for each in of_evses],
        path_grid_W=[each[1] for each in of_evses],
        min_A=[each[2] for each in of_evses],
        max_phases=[each[3] for each in of_evses],
        min_phases=[each[4] for each in of_evses],
        evse_to_grid=[to_grid[i] for i in evses],
    )


def nobody_exports(tree: PlainTree, time_us: int) -> bool:
    """Whether every EVSE's own limits say so."""
    said = tree.said["export"]
    for node in tree.shape.evses:
        _, rows, _ = each = said[node]
        row = rows[each.at(time_us) if len(rows) > 1 else 0]
        if row[0] != 0.0 and row[1] != 0.0:
            return False
    return True


@dataclass
class PlainChoices:
    """See phases.PhaseChoices."""

    counts: Sequence[list[int]]
    reasons: Sequence[list[int]]
    fallback: list[int]
    below_W: list[float]
    above_W: list[float]
    wants_minimum: Sequence[list[bool]] | None = None
    """None where the power plays no part."""


def settled_choices(tree: PlainTree, limits: PlainLimits) -> PlainChoices:
    """Where no phases are switched: the maximum count, or the active ones without a minimum."""
    rows, evses = limits.rows, tree.shape.evses
    if limits.direction == "export":
        counts, reasons = [rows[node].max_phases for node in evses], [_EXPORT] * len(evses)
    else:
        counts, reasons = limits.max_phases.copy(), [_MAXIMUM] * len(evses)
        if 0.0 in limits.min_A:
            for i, node in enumerate(evses):
                if limits.min_A[i] == 0.0:
                    counts[i], reasons[i] = min(rows[node].active_phases or 3, counts[i]), _ACTIVE
    never = [-inf] * len(counts)
    return PlainChoices([counts] * 3, [reasons] * 3, [0] * len(counts), never, never.copy())


@dataclass
class PlainSale:
    """See sale.Sale: what nodes have for sale, and who buys ahead."""

    node_A: list[float]
    node_grid_W: list[float]
    ahead_A: list[float] | None = None
    ahead_grid_W: list[float] | None = None
    ahead: list[int] | None = None


@dataclass
class PlainTrades:
    """See trading.Trades; `stopped_by` are nodes here, twice, and one more where power stopped it."""

    limits: PlainLimits
    sale: PlainSale
    ampere: list[bool]
    watt: list[bool]
    current_A: list[float]
    grid_W: list[float]
    sold_A: list[float] = field(init=False)
    sold_grid_W: list[float] = field(init=False)
    """By each node."""
    phases: list[int] = field(init=False)
    tried: list[int] = field(init=False)
    reasons: list[int] = field(init=False)
    refused: list[bool] = field(init=False)
    stopped_by: list[int] = field(init=False)
    wants_minimum: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        count, nodes = len(self.ampere), len(self.limits.node_A)
        self.sold_A, self.sold_grid_W = [0.0] * nodes, [0.0] * nodes
        self.phases, self.tried, self.reasons = [0] * count, [1] * count, [0] * count
        self.refused, self.wants_minimum = [False] * count, [False] * count
        self.stopped_by = [OWN] * count

    def power_W(self, evse: int) -> float:
        """At the EVSE's root side; 0 where no power limit takes part."""
        if self.watt[evse] or self.limits.path_grid_W[evse] < inf:
            return self.grid_W[evse] / self.limits.evse_to_grid[evse]
        return 0.0


def nothing_traded(limits: PlainLimits) -> PlainTrades:
    """Before anybody takes part."""
    count = len(limits.path_A)
    nobody, nothing = [False] * count, [0.0] * count
    sale = PlainSale(limits.node_A, limits.node_grid_W)
    return PlainTrades(limits, sale, nobody, nobody, nothing, nothing.copy())


class Trader:
    """Sells in one direction of one slot; as often as fallbacks need it."""

    def __init__(
        self,
        tree: PlainTree,
        limits: PlainLimits,
        takes_part: list[bool],
        choices: PlainChoices,
        config: EnergyManagerConfig,
    ) -> None:
        self._tree = tree
        self._limits = limits
        self._choices = choices
        self._ampere = [takes and inf > A for takes, A in zip(takes_part, limits.path_A, strict=True)]
        self._watt = [
            takes and not in_A and inf > W
            for takes, in_A, W in zip(takes_part, self._ampere, limits.path_grid_W, strict=True)
        ]
        self._only_minimums = (
            limits.path_grid_W.count(inf) == len(self._watt) and min(limits.min_A, default=0.0) >= CRUMB
        )
        self._desk = Desk(
            watt=self._watt,
            own_A=limits.path_A,
            own_grid_W=limits.path_grid_W,
            to_grid=limits.evse_to_grid,
            min_A=limits.min_A,
            counts=choices.counts,
            reasons=choices.reasons,
            fallback=choices.fallback,
            below_W=choices.below_W,
            above_W=choices.above_W,
            slice_A=max(config.slice_ampere, FINEST_SLICE),
            slice_W=max(config.slice_watt, FINEST_SLICE),
            volts=config.nominal_ac_voltage,
        )
        buying: defaultdict[int, list[int]] = defaultdict(list)
        for evse, buys in enumerate(map(or_, self._ampere, self._watt)):
            if buys:
                buying[tree.shape.priorities[evse]].append(evse)
        self._tiers = sorted(buying.items())

    def trade(self, sale: PlainSale | None = None) -> PlainTrades:
        """Sell to everyone; without a sale, all that limits allow."""
        limits = self._limits
        trades = nothing_traded(limits)
        trades.ampere, trades.watt = self._ampere, self._watt
        if sale is not None:
            trades.sale = sale
        for buyers, node_A, node_grid_W in self._turns(trades.sale):
            self._sell(trades, buyers, (node_A, node_grid_W))
        return trades

    def _turns(self, sale: PlainSale) -> list[tuple[list[int], list[float], list[float]]]:
        """Who buys when, and of what."""
        ahead = sale.ahead
        if ahead is None or sale.ahead_A is None or sale.ahead_grid_W is None:
            return [(members, sale.node_A, sale.node_grid_W) for _, members in self._tiers]
        found = [(m, sale.node_A, sale.node_grid_W) for tier, m in self._tiers if tier == FIXED_LOADS]
        others = [members for tier, members in self._tiers if tier != FIXED_LOADS]
        for rank in sorted({ahead[evse] for members in others for evse in members}, reverse=True):
            node_A, node_grid_W = sale.node_A, sale.node_grid_W
            if rank > 0:
                node_A, node_grid_W = sale.ahead_A, sale.ahead_grid_W
            for members in others:
                now = [evse for evse in members if ahead[evse] == rank]
                if now:
                    found.append((now, node_A, node_grid_W))
        return found

    def _sell(
        self,
        trades: PlainTrades,
        buyers: list[int],
        limits: tuple[list[float], list[float]],
    ) -> None:
        """One turn; what nodes have sold grows."""
        paths, sold = self._tree.shape.paths, (trades.sold_A, trades.sold_grid_W)
        left_A, left_grid_W = (
            [limit - taken if limit > taken else 0.0 for limit, taken in zip(each, gone, strict=True)]
            if gone[0]
            else each
            for each, gone in zip(limits, sold, strict=True)
        )
        first = self._minimums_of_all(buyers, left_A) or buy_in_turn(
            self._desk, buyers, paths, left_A.copy(), left_grid_W.copy()
        )
        caps, stopped_by = self._all_rounds(buyers, first, left_A, left_grid_W)
        sold_A, sold_grid_W = sold
        for evse, purchase, bought, stop in zip(buyers, first, caps, stopped_by, strict=True):
            held, phases, reason, refused, _, unit_W = purchase
            trades.tried[evse], trades.refused[evse], trades.stopped_by[evse] = phases, refused, stop
            in_A = self._ampere[evse]
            if in_A and held > 0.0:
                trades.phases[evse], trades.reasons[evse] = phases, reason
            if bought < CRUMB:
                continue
            power_W = bought * unit_W
            current_A = bought if in_A else 0.0
            trades.current_A[evse], trades.grid_W[evse] = current_A, power_W
            for node in paths[evse]:
                sold_A[node] += current_A
                sold_grid_W[node] += power_W
        if self._choices.wants_minimum is not None:
            self._note_wishes(trades, buyers, first, limits[1], sold[1])

    def _minimums_of_all(self, buyers: list[int], left_A: list[float]) -> list[Purchase] | None:
        """What everyone buys where only minimum currents are bought, and all of them fit; else None."""
        if not self._only_minimums:
            return None
        desk = self._desk
        held = [desk.min_A[evse] for evse in buyers]
        if any(desk.own_A[evse] < least_A for evse, least_A in zip(buyers, held, strict=True)):
            return None
        for node, low, high in self._tree.shape.reached_by(tuple(buyers)):
            if sum(held[low:high]) > left_A[node]:
                return None
        counts, reasons = desk.counts[ABOVE], desk.reasons[ABOVE]  # as power is not limited
        return [
            Purchase(least_A, counts[i], reasons[i], False, ABOVE, counts[i] * desk.volts * desk.to_grid[i])
            for i, least_A in zip(buyers, held, strict=True)
        ]

    def _all_rounds(
        self, buyers: list[int], first: list[Purchase], left_A: list[float], left_grid_W: list[float]
    ) -> tuple[list[float], list[int]]:
        """What each buyer holds in the end, and the limit that stopped it: see rounds.py."""
        desk, shape = self._desk, self._tree.shape
        held = [purchase.held for purchase in first]
        power_W = [purchase.per_unit_W for purchase in first]
        steps = [desk.slice_W if desk.watt[evse] else desk.slice_A for evse in buyers]
        caps = []
        for evse, x, unit_W in zip(buyers, held, power_W, strict=True):
            own = desk.own_grid_W[evse] / unit_W
            if not desk.watt[evse] and desk.own_A[evse] < own:
                own = desk.own_A[evse]
            caps.append(0.0 if x <= 0.0 else x if x > own else own)
        stopped_by = [OWN] * len(buyers)
        for node, low, high in shape.reached_by(tuple(buyers)):
            limit = left_A[node]
            if limit < inf and (caps[low] if high - low == 1 else sum(caps[low:high])) > limit:
                new = fill_plainly(limit, held[low:high], caps[low:high], steps[low:high])
                _narrow(caps, stopped_by, low, new, 2 * node)
            limit = left_grid_W[node]
            if limit < inf:
                unit = power_W[low:high]
                in_W = [cap * factor for cap, factor in zip(caps[low:high], unit, strict=True)]
                if sum(in_W) > limit:
                    held_W = [x * factor for x, factor in zip(held[low:high], unit, strict=True)]
                    steps_W = [step * factor for step, factor in zip(steps[low:high], unit, strict=True)]
                    new = fill_plainly(limit, held_W, in_W, steps_W)
                    new = [amount / factor for amount, factor in zip(new, unit, strict=True)]
                    _narrow(caps, stopped_by, low, new, 2 * node + 1)
        return caps, stopped_by

    def _note_wishes(
        self,
        trades: PlainTrades,
        buyers: list[int],
        first: list[Purchase],
        limits_grid_W: list[float],
        sold_grid_W: list[float],
    ) -> None:
        """Who wants the minimum phase count: at the first turn, or, refused, at the last."""
        choices = self._choices
        assert choices.wants_minimum is not None
        for evse, purchase in zip(buyers, first, strict=True):
            if not self._ampere[evse]:
                continue
            wants = choices.wants_minimum[purchase.power_class][evse]
            if purchase.refused and not wants:
                left = min(_left(limits_grid_W[n], sold_grid_W[n]) for n in self._tree.shape.paths[evse])
                offer_W = left / self._limits.evse_to_grid[evse]
                power_class = (offer_W >= choices.below_W[evse]) + (offer_W >= choices.above_W[evse])
                wants = choices.wants_minimum[power_class][evse]
            trades.wants_minimum[evse] = wants


def _left(limit: float, sold: float) -> float:
    return limit - sold if limit > sold else 0.0


def _narrow(caps: list[float], stopped_by: list[int], low: int, new: list[float], number: int) -> None:
    for i, amount in enumerate(new, low):
        if amount < caps[i]:
            if amount < caps[i] - SLACK:
                stopped_by[i] = number
            caps[i] = amount
