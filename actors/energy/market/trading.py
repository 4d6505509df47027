"""Trading: who gets what, in one direction, tier after tier.

Each tier trades with what the tiers before it left. Mostly it is sold to all together (together.py). Else
the first round settles who takes part and on how many phases (first_round.py), and the other rounds are a
formula (rounds.py).
Import and export are sold apart: neither makes room for the other. What is not for sale, and who
buys ahead of the others, is said by a Sale (sale.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import (
    Bools,
    Counts,
    Floats,
    Ints,
    any_of,
    joined_columns,
    once,
    repeated,
    same_rows,
)
from actors.energy.market.crossing import SharedLimit, sell_rounds_crossing
from actors.energy.market.first_round import Counter, FirstPurchases, buy_first
from actors.energy.market.limits import Extra, PathLimits
from actors.energy.market.phases import PhaseChoices
from actors.energy.market.rounds import OWN, Positions, limit_number, sell_rounds
from actors.energy.market.sale import Sale, Turn, turns
from actors.energy.market.tiers import Tier
from actors.energy.market.together import Sold, sell_together
from actors.energy.market.tree import CompiledTree
from actors.energy.market.turns import CRUMB
from actors.energy.types import EnergyManagerConfig

FINEST_SLICE = 1e-6
"""Finer slices change no answer by more than this, and their number would overflow."""

CELLS_AT_ONCE = 60_000
"""Columns times EVSEs."""


@dataclass
class Trades:
    """What was sold in one direction; (columns, EVSEs) unless it says otherwise."""

    limits: PathLimits
    sale: Sale
    ampere: Bools
    watt: Bools
    current_A: Floats
    grid_W: Floats
    """0 where no limit is in watts."""
    phases: Counts
    tried: Counts
    """The phase count of the first purchase, also where that was refused."""
    reasons: Counts
    refused: Bools
    stopped_by: NDArray[np.int32]
    """Which limit stopped an EVSE; see Positions."""
    wants_minimum: Bools
    """Whether the minimum phase count was what was wanted at any turn."""
    sold: bool = False
    """Whether anything was, so far."""

    @property
    def power_W(self) -> Floats:
        """At the EVSE's root side; 0 where no power limit takes part."""
        if not self.limits.in_watts:
            return same_rows(0.0, self.current_A.shape, np.float64)
        with_power = self.watt | self.limits.in_W
        return np.where(with_power, self.grid_W / self.limits.evse_to_grid, 0.0)


def trade(
    tree: CompiledTree,
    tiers: tuple[Tier, ...],
    limits: PathLimits,
    takes_part: Bools,
    choices: PhaseChoices,
    config: EnergyManagerConfig,
    sale: Sale | None = None,
) -> Trades:
    """Sell to all EVSEs of `takes_part` (columns, EVSEs); without a sale, all that limits allow.

    Some columns at a time, so that what is worked out on the way stays in the processor's cache."""
    columns, evses = takes_part.shape
    at_once = max(CELLS_AT_ONCE // max(evses, 1), 1)
    if not any_of(once(takes_part)):
        return nothing_traded(limits, sale)
    if columns <= at_once or sale is not None or limits.extras:
        return _trade(tree, tiers, limits, takes_part, choices, config, sale)
    parts = [slice(begin, begin + at_once) for begin in range(0, columns, at_once)]
    found = [
        _trade(tree, tiers, limits.part(part), takes_part[part], choices.part(part), config, None)
        for part in parts
    ]
    arrays = {
        name: joined_columns([getattr(each, name) for each in found])
        for name in (each.name for each in fields(Trades))
        if isinstance(getattr(found[0], name), np.ndarray)
    }
    whole = Sale(limits.node_A, limits.node_grid_W)
    return Trades(limits=limits, sale=whole, sold=any(each.sold for each in found), **arrays)


def _trade(
    tree: CompiledTree,
    tiers: tuple[Tier, ...],
    limits: PathLimits,
    takes_part: Bools,
    choices: PhaseChoices,
    config: EnergyManagerConfig,
    sale: Sale | None,
) -> Trades:
    trades = nothing_traded(limits, sale)
    takes = once(takes_part)
    ampere = takes & once(limits.in_A)
    trades.ampere = repeated(ampere, len(takes_part))
    if limits.in_watts:
        trades.watt = repeated(takes & ~ampere & once(limits.in_W), len(takes_part))
    for turn in turns(tiers, trades.sale):
        if any_of(once(turn.buys(trades.ampere))) or any_of(once(turn.buys(trades.watt))):
            _trade_tier(tree, turn, trades, choices, config)
            trades.sold = True
    return trades


def nothing_traded(limits: PathLimits, sale: Sale | None = None) -> Trades:
    """As it is before anybody has bought: one row stands for all columns, not to be written to."""
    sale = sale or Sale(limits.node_A, limits.node_grid_W)
    return Trades(limits=limits, sale=sale, **_nothing(len(limits.node_A), len(limits.shape.evses)))


@lru_cache(maxsize=16)
def _nothing(columns: int, evses: int) -> dict[str, Any]:
    shape = columns, evses
    nobody, none = same_rows(False, shape, np.bool_), same_rows(0, shape, np.int8)
    nothing = same_rows(0.0, shape, np.float64)
    return {
        "ampere": nobody,
        "watt": nobody,
        "current_A": nothing,
        "grid_W": nothing,
        "phases": none,
        "tried": same_rows(1, shape, np.int8),
        "reasons": none,  # PhaseReason.NOTHING
        "refused": nobody,
        "stopped_by": same_rows(OWN, shape, np.int32),
        "wants_minimum": nobody,
    }


def _trade_tier(
    tree: CompiledTree, turn: Turn, trades: Trades, choices: PhaseChoices, config: EnergyManagerConfig
) -> None:
    counter = _counter(tree, turn, trades, choices.of(turn.tier), config)
    sold = sell_together(counter) or _sell_in_rounds(counter)
    first = sold.first
    trades.current_A = turn.put(trades.current_A, sold.current_A)
    if sold.grid_W is not None:
        trades.grid_W = turn.put(trades.grid_W, sold.grid_W)
    trades.phases = turn.put(trades.phases, first.phases)
    trades.tried = turn.put(trades.tried, first.tried)
    trades.reasons = turn.put(trades.reasons, first.reasons)
    trades.refused = turn.put(trades.refused, first.refused)
    trades.stopped_by = turn.put(trades.stopped_by, sold.stopped_by)
    if counter.choices.any_depends:
        wanted = _wanted_minimum(tree, turn, trades, counter, first)
        trades.wants_minimum = turn.put(trades.wants_minimum, wanted)


def _sell_in_rounds(counter: Counter) -> Sold:
    first = buy_first(counter)
    positions = _positions(counter, first)
    if not counter.extras:
        in_watts = counter.shared_grid_W if counter.in_watts else None
        sell_rounds(counter.tier, counter.shared_A, in_watts, positions)
    else:
        plain = np.ones(len(first.held), dtype=np.bool_)
        plain[list(counter.extras)] = False
        some = positions.of_columns(plain)
        sell_rounds(counter.tier, counter.shared_A[plain], counter.shared_grid_W[plain], some)
        positions.caps[plain] = some.caps
        positions.stopped_by[plain] = some.stopped_by
        for column in counter.extras:
            sell_rounds_crossing(_crossing_limits(counter, column), positions, column)
    sold = positions.caps
    sold[sold < CRUMB] = 0.0
    current_A = np.where(counter.ampere, sold, 0.0) if any_of(once(counter.watt)) else sold
    grid_W = sold * positions.grid_W if counter.in_watts else None
    return Sold(first, current_A, grid_W, positions.stopped_by)


def left_of(tree: CompiledTree, limits: Floats, sold: Floats) -> Floats:
    """What nodes have left: (columns, nodes), of their limits and what each EVSE bought."""
    upto = np.zeros((sold.shape[0], sold.shape[1] + 1))
    np.cumsum(sold, axis=1, out=upto[:, 1:])
    return np.asarray(np.maximum(limits - (upto[:, tree.end_evse] - upto[:, tree.first_evse]), 0.0))


def _counter(
    tree: CompiledTree, turn: Turn, trades: Trades, choices: PhaseChoices, config: EnergyManagerConfig
) -> Counter:
    tier, limits = turn.tier, trades.limits
    node_A, node_grid_W = turn.node_A, turn.node_grid_W
    if trades.sold:
        node_A = left_of(tree, node_A, trades.current_A)
        if limits.in_watts:
            node_grid_W = left_of(tree, node_grid_W, trades.grid_W)
    extras: dict[int, list[tuple[Extra, float, float]]] = {}
    for extra in limits.extras:
        bought = (extra.column, extra.members)
        left_A = extra.limit_A - float(trades.current_A[bought].sum())
        left_grid_W = extra.limit_grid_W - float(trades.grid_W[bought].sum())
        extras.setdefault(extra.column, []).append((extra, max(left_A, 0.0), max(left_grid_W, 0.0)))
    shape, groups = (len(node_A), len(tier.members)), (len(node_A), len(tier.group_starts))
    return Counter(
        tier=tier,
        ampere=turn.buys(trades.ampere),
        watt=turn.buys(trades.watt),
        own_A=tier.own(node_A),
        own_grid_W=tier.own(node_grid_W) if limits.in_watts else same_rows(np.inf, shape, np.float64),
        shared_A=tier.shared(node_A),
        shared_grid_W=tier.shared(node_grid_W) if limits.in_watts else same_rows(np.inf, groups, np.float64),
        extras=extras,
        in_watts=limits.in_watts,
        to_grid=tier.of(limits.evse_to_grid),
        min_A=tier.of(limits.min_A),
        choices=choices,
        slice_A=max(config.slice_ampere, FINEST_SLICE),
        slice_W=max(config.slice_watt, FINEST_SLICE),
        volts=config.nominal_ac_voltage,
    )


def _positions(counter: Counter, first: FirstPurchases) -> Positions:
    """Where everyone stands after the first round; who bought nothing there has a cap of nothing."""
    own, grid_W = counter.own_A, same_rows(1.0, first.held.shape, np.float64)
    if counter.in_watts:
        per_unit = np.where(counter.ampere & (first.phases > 0), first.phases * counter.volts, 1.0)
        grid_W = per_unit * once(counter.to_grid)
        own_W = counter.own_grid_W / grid_W
        own = np.where(counter.ampere, np.minimum(own, own_W), own_W)
    held = once(first.held)
    caps = np.maximum(own, held)
    if not held.all():
        caps = np.where(held > 0.0, caps, 0.0)
    steps: Floats | float = counter.slice_A
    if any_of(once(counter.watt)):
        steps = np.where(counter.ampere, counter.slice_A, counter.slice_W)
    return Positions(first.held, caps, steps, grid_W, np.full(caps.shape, OWN, dtype=np.int32))


def _crossing_limits(counter: Counter, column: int) -> list[SharedLimit]:
    tier, found = counter.tier, []
    for stage in tier.stages:
        for group, first, length in zip(
            stage.groups.tolist(), stage.first.tolist(), stage.length.tolist(), strict=True
        ):
            found += _pair(
                np.arange(first, first + length),
                float(counter.shared_A[column, group]),
                float(counter.shared_grid_W[column, group]),
                group,
            )
    for index, (extra, left_A, left_grid_W) in enumerate(counter.extras[column]):
        members = np.flatnonzero(np.isin(tier.members, extra.members, assume_unique=True))
        if len(members):
            found += _pair(members, left_A, left_grid_W, len(tier.group_starts) + index)
    return [limit for limit in found if np.isfinite(limit.limit)]


def _pair(members: Ints, limit_A: float, limit_grid_W: float, group: int) -> list[SharedLimit]:
    return [
        SharedLimit(members, limit, is_power, int(limit_number(group, is_power=is_power)))
        for limit, is_power in ((limit_A, False), (limit_grid_W, True))
    ]


def _wanted_minimum(
    tree: CompiledTree, turn: Turn, trades: Trades, counter: Counter, first: FirstPurchases
) -> Bools:
    """At the first turn, or, where that was refused, at the last: each round it is tried again."""
    choices = counter.choices
    wanted = choices.wanting_minimum(first.classes)
    if any_of(first.refused):
        after = _counter_offers_W(tree, turn, trades, counter)
        wanted |= first.refused & choices.wanting_minimum(choices.classes(after))
    return wanted & counter.ampere


def _counter_offers_W(tree: CompiledTree, turn: Turn, trades: Trades, counter: Counter) -> Floats:
    tier = turn.tier
    node_grid_W = left_of(tree, turn.node_grid_W, trades.grid_W)
    offers = tier.offers(tier.own(node_grid_W), tier.shared(node_grid_W))
    for column, extras in counter.extras.items():
        for extra, _, _ in extras:
            members = np.flatnonzero(np.isin(tier.members, extra.members, assume_unique=True))
            left = extra.limit_grid_W - float(trades.grid_W[column, extra.members].sum())
            offers[column, members] = np.minimum(offers[column, members], left)
    return offers / counter.to_grid
