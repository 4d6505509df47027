"""Plain: the market of a small tree in one slot, in plain numbers.

Arrays cost much the same for one EVSE as for a hundred, so for a few EVSEs lists are several times
as fast. The rules are those of limits.py, phases.py and trading.py, written a second time; the
property tests hold both to the same reference, and to each other. Setpoints and forecasts are left
to the arrays.

    limits of every node ──> of every path ──> turns: first purchases in order, then from the leaves
                                               to the root what each limit leaves of them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from actors.energy.market.entries import Direction, Row
from actors.energy.market.phases import PhaseReason
from actors.energy.market.rounds import OWN, SLACK, fill_plainly, limit_number
from actors.energy.market.sale import FIXED_LOADS
from actors.energy.market.tree import CompiledTree
from actors.energy.market.turns import CRUMB, Desk, Purchase, buy_in_turn
from actors.energy.types import EnergyManagerConfig

MOST_EVSES = 40
"""Of a small tree; beyond, arrays are about as fast."""
FINEST_SLICE = 1e-6
"""As trading.py's."""


@dataclass
class PlainLimits:
    """What one direction allows in one slot; see limits.PathLimits. Of nodes, and of EVSEs' paths."""

    direction: Direction
    rows: list[Row]
    row_numbers: list[int]
    """Of each node: which row of the timetables holds."""
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


def limits_at(tree: CompiledTree, time_us: int, direction: Direction) -> PlainLimits:
    """What a direction allows at a time."""
    timetables, parent = tree.schedules[direction], tree.shape.parent
    numbers = timetables.at(time_us)
    rows = [timetables.rows[number] for number in numbers]
    node_A: list[float] = []
    node_grid_W: list[float] = []
    to_grid: list[float] = []
    lowest: list[tuple[float, float, float, int, int]] = []
    """Of each node's path: ampere, watt, minimum current, most and fewest phases."""
    for row, above in zip(rows, parent, strict=True):
        A, W, min_A, most, fewest, _, _, _ = row
        factor = 1.0
        if above >= 0:
            factor, efficiency = to_grid[above], rows[above].efficiency
            if efficiency != 1.0:
                factor = factor / efficiency if direction == "import" else factor * efficiency
        W *= factor
        node_A.append(A)
        node_grid_W.append(W)
        to_grid.append(factor)
        if above >= 0:
            up_A, up_W, up_min_A, up_most, up_fewest = lowest[above]
            A, W = (up_A if up_A < A else A), (up_W if up_W < W else W)
            min_A = up_min_A if up_min_A > min_A else min_A
            most = up_most if up_most < most else most
            fewest = up_fewest if up_fewest > fewest else fewest
        lowest.append((A, W, min_A, most, fewest))
    evses = tree.shape.evses
    return PlainLimits(
        direction=direction,
        rows=rows,
        row_numbers=numbers,
        node_A=node_A,
        node_grid_W=node_grid_W,
        to_grid=to_grid,
        path_A=[lowest[i][0] for i in evses],
        path_grid_W=[lowest[i][1] for i in evses],
        min_A=[lowest[i][2] for i in evses],
        max_phases=[lowest[i][3] for i in evses],
        min_phases=[lowest[i][4] for i in evses],
        evse_to_grid=[to_grid[i] for i in evses],
    )


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


def settled_choices(tree: CompiledTree, limits: PlainLimits) -> PlainChoices:
    """Where no phases are switched: the maximum count, or the active ones without a minimum."""
    counts, reasons = [], []
    for i, node in enumerate(tree.shape.evses):
        row = limits.rows[node]
        if limits.direction == "export":
            counts.append(row.max_phases)
            reasons.append(int(PhaseReason.EXPORT))
        elif limits.min_A[i] > 0.0:
            counts.append(limits.max_phases[i])
            reasons.append(int(PhaseReason.MAXIMUM))
        else:
            counts.append(min(row.active_phases or 3, limits.max_phases[i]))
            reasons.append(int(PhaseReason.ACTIVE))
    never = [-inf] * len(counts)
    return PlainChoices([counts] * 3, [reasons] * 3, [0] * len(counts), never, never)


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
    phases: list[int] = field(init=False)
    tried: list[int] = field(init=False)
    reasons: list[int] = field(init=False)
    refused: list[bool] = field(init=False)
    stopped_by: list[int] = field(init=False)
    wants_minimum: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.ampere)
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
        tree: CompiledTree,
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
            takes and inf == A and inf > W
            for takes, A, W in zip(takes_part, limits.path_A, limits.path_grid_W, strict=True)
        ]
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
        buying: dict[int, list[int]] = {}
        for evse, (A, W) in enumerate(zip(self._ampere, self._watt, strict=True)):
            if A or W:
                buying.setdefault(tree.shape.priorities[evse], []).append(evse)
        self._tiers = sorted(buying.items())

    def trade(self, sale: PlainSale | None = None) -> PlainTrades:
        """Sell to everyone; without a sale, all that limits allow."""
        limits = self._limits
        trades = nothing_traded(limits)
        trades.ampere, trades.watt = self._ampere, self._watt
        if sale is not None:
            trades.sale = sale
        sold_A, sold_grid_W = [0.0] * len(limits.node_A), [0.0] * len(limits.node_A)
        for buyers, node_A, node_grid_W in self._turns(trades.sale):
            self._sell(trades, buyers, (node_A, node_grid_W), (sold_A, sold_grid_W))
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
        sold: tuple[list[float], list[float]],
    ) -> None:
        """One turn; `sold` of the nodes grows."""
        paths = self._tree.shape.paths
        left_A, left_grid_W = (
            [
                limit - taken if limit > taken else 0.0
                for limit, taken in zip(all_limits, all_taken, strict=True)
            ]
            for all_limits, all_taken in zip(limits, sold, strict=True)
        )
        first = buy_in_turn(self._desk, buyers, paths, left_A.copy(), left_grid_W.copy())
        caps, stopped_by = self._all_rounds(buyers, first, left_A, left_grid_W)
        for evse, purchase, cap, stop in zip(buyers, first, caps, stopped_by, strict=True):
            bought = 0.0 if cap < CRUMB else cap
            ampere = self._ampere[evse]
            trades.current_A[evse] = bought if ampere else 0.0
            trades.grid_W[evse] = power_W = bought * purchase.per_unit_W
            trades.tried[evse], trades.refused[evse] = purchase.phases, purchase.refused
            if ampere and purchase.held > 0.0:
                trades.phases[evse], trades.reasons[evse] = purchase.phases, purchase.reason
            trades.stopped_by[evse] = stop
            if bought:
                for node in paths[evse]:
                    sold[0][node] += trades.current_A[evse]
                    sold[1][node] += power_W
        if self._choices.wants_minimum is not None:
            self._note_wishes(trades, buyers, first, limits[1], sold[1])

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
            caps.append(max(own, x) if x > 0.0 else 0.0)
        stopped_by = [OWN] * len(buyers)
        place, place_of = 0, []
        for evse in range(len(desk.watt) + 1):
            place_of.append(place)
            if place < len(buyers) and buyers[place] == evse:
                place += 1
        for node in range(len(left_A) - 1, -1, -1):
            low, high = place_of[shape.first[node]], place_of[shape.end[node]]
            if low == high:
                continue
            some, limit = slice(low, high), left_A[node]
            if limit < inf and sum(caps[some]) > limit:
                new = fill_plainly(limit, held[some], caps[some], steps[some])
                _narrow(caps, stopped_by, low, new, 2 * node)
            limit = left_grid_W[node]
            if limit < inf:
                unit = power_W[some]
                in_W = [cap * factor for cap, factor in zip(caps[some], unit, strict=True)]
                if sum(in_W) > limit:
                    held_W = [x * factor for x, factor in zip(held[some], unit, strict=True)]
                    steps_W = [step * factor for step, factor in zip(steps[some], unit, strict=True)]
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


def limit_numbers(tree: CompiledTree, stopped_by: list[int]) -> list[int]:
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
