"""The outcome of a run as arrays: everything that the answer, the report and the trace read.

Nothing here is rounded or named; names are looked up by sources.py when somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from actors.energy.market.arrays import Bools, Counts, Floats, Ints, looked_up, once, repeated
from actors.energy.market.entries import Direction, Unit
from actors.energy.market.heeding import Heeded
from actors.energy.market.limits import PathLimits, path_limits
from actors.energy.market.rounds import OWN
from actors.energy.market.slots import Slots
from actors.energy.market.tiers import Tier
from actors.energy.market.trading import Trades, nothing_traded
from actors.energy.market.tree import CompiledTree
from actors.energy.types import EnergyManagerConfig

USED_UP_A = 1e-6
USED_UP_W = 1e-3
"""A limit with no more than this left is what stopped those below it."""


FEW = 4
"""Nodes: in a single column what was sold below no more than so many is summed up for each."""

T = TypeVar("T")


def _alone(value: T, column: int) -> T:
    """One column of arrays, and of whatever holds arrays or is of a column."""
    found: Any = value
    if isinstance(value, PathLimits):
        found = value.part(slice(column, column + 1))
    elif isinstance(value, np.ndarray):
        found = value[column : column + 1]
    elif isinstance(value, dict):
        found = {key: _alone(each, column) for key, each in value.items()}
    elif isinstance(value, list):
        found = [replace(each, column=0) for each in value if each.column == column]
    elif is_dataclass(value) and not isinstance(value, type):
        found = replace(
            value, **{each.name: _alone(getattr(value, each.name), column) for each in fields(value)}
        )
    return found  # type: ignore[no-any-return]


class Some(NamedTuple):
    """Some EVSEs."""

    numbers: Ints
    here: slice | Ints
    """The same as they are best looked up."""
    nodes: Ints


@dataclass(frozen=True)
class Outcome:
    """One run; arrays are (columns, EVSEs) or (columns, nodes), see slots.py for columns."""

    tree: CompiledTree
    slots: Slots
    config: EnergyManagerConfig
    heeded: list[Heeded]
    bought: Trades
    given: Trades | None
    """None where the root never lets anybody export: then the limits of exports are seldom asked for."""
    imports: Bools
    exports: Bools

    @property
    def outcome(self) -> Outcome:
        """Itself; what is worked out in plain numbers has one, too."""
        return self

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those in which anybody may trade."""
        return ("import",) if self.given is None else ("import", "export")

    @cached_property
    def trades(self) -> dict[Direction, Trades]:
        """Of each direction."""
        given = self.given
        if given is None:
            given = nothing_traded(path_limits(self.tree, self.slots.columns_us, "export", self.heeded))
        return {"import": self.bought, "export": given}

    @property
    def sales(self) -> int:
        """EVSEs that got something, counted in every column."""
        trades = (self.trades[direction] for direction in self.directions)
        return int(sum(((each.current_A + each.grid_W) > 0.0).sum() for each in trades))

    @cached_property
    def current_A(self) -> Floats:
        """Import positive, export negative."""
        bought, given = self.bought, self.given
        return bought.current_A - given.current_A if given and given.sold else bought.current_A

    @cached_property
    def power_W(self) -> Floats:
        """At the EVSE's root side, where power takes part."""
        bought, given = self.bought, self.given
        return bought.power_W - given.power_W if given and given.sold else bought.power_W

    @cached_property
    def has_current(self) -> Bools:
        """Where a result has a current: the import offer has one, or current was traded."""
        limited, given = self.bought.limits.in_A, self.given
        if given is None or not given.sold:
            return limited
        return repeated(once(limited) | (once(given.phases) > 0), len(self.imports))

    @cached_property
    def has_power(self) -> Bools:
        """Where a result has a power, likewise."""
        limited, given = self.bought.limits.in_W, self.given
        if given is None or not given.sold:
            return limited
        return repeated(once(limited) | (once(given.power_W) > 0.0), len(self.imports))

    @cached_property
    def phases(self) -> Counts:
        """Phases that current was bought on; 0 where none was."""
        bought, given = self.bought, self.given
        if given is None or not given.sold:
            return bought.phases
        return repeated(np.asarray(np.maximum(once(bought.phases), once(given.phases))), len(self.imports))

    @cached_property
    def _upto(self) -> dict[tuple[Direction, Unit], Floats | None]:
        return {}

    def _sold(self, direction: Direction, unit: Unit) -> Floats | None:
        """What was sold to each EVSE; None where nothing was."""
        trades = self.trades[direction]
        if not trades.sold or (unit == "W" and not trades.limits.in_watts):
            return None
        return trades.current_A if unit == "A" else trades.grid_W

    def _sold_upto(self, direction: Direction, unit: Unit) -> Floats | None:
        """What was sold to all EVSEs before each, (columns, EVSEs + 1); None where nothing was."""
        key = direction, unit
        if key not in self._upto:
            upto, sold = None, self._sold(direction, unit)
            if sold is not None:
                upto = np.zeros((sold.shape[0], sold.shape[1] + 1))
                np.cumsum(sold, axis=1, out=upto[:, 1:])
            self._upto[key] = upto
        return self._upto[key]

    def _sold_below(self, direction: Direction, unit: Unit, nodes: Ints) -> Floats | None:
        """What was sold below some nodes: (columns, nodes); None where nothing was."""
        first, end = self.tree.first_evse[nodes], self.tree.end_evse[nodes]
        sold = self._sold(direction, unit)
        if sold is None:
            return None
        if len(sold) == 1 and len(nodes) <= FEW:
            return np.array([[sold[0, begin:until].sum() for begin, until in zip(first, end, strict=True)]])
        upto = self._sold_upto(direction, unit)
        return None if upto is None else upto[:, end] - upto[:, first]

    def left(self, direction: Direction, unit: Unit, nodes: Ints) -> Floats:
        """What some nodes have left, at their root side: (columns, nodes)."""
        trades, sold = self.trades[direction], self._sold_below(direction, unit, nodes)
        left = once(trades.sale.node_A if unit == "A" else trades.sale.node_grid_W)[:, nodes]
        if sold is not None:
            left = np.maximum(left - sold, 0.0)
        if unit == "W":
            left = left / once(trades.limits.to_grid)[:, nodes]
        return repeated(left, len(self.imports))

    def used_up(self, direction: Direction) -> Counts:
        """Which limits of inner nodes have nothing left: (columns, inner nodes), 2 for ampere, 1 for watt."""
        if direction not in self._used_up:
            inner = self.tree.shape.inner
            found = (once(self.left(direction, "A", inner)) <= USED_UP_A) * np.int8(2)
            if self.trades[direction].limits.in_watts:
                found = found + (once(self.left(direction, "W", inner)) <= USED_UP_W)
            self._used_up[direction] = found
        return self._used_up[direction]

    @cached_property
    def _used_up(self) -> dict[Direction, Counts]:
        return {}

    def left_at(self, direction: Direction, unit: Unit, column: int, node: int) -> float:
        """The same of one node in one column."""
        trades, upto = self.trades[direction], self._sold_upto(direction, unit)
        left = float((trades.sale.node_A if unit == "A" else trades.sale.node_grid_W)[column, node])
        if upto is not None:
            first, end = self.tree.first_evse[node], self.tree.end_evse[node]
            left = max(left - float(upto[column, end] - upto[column, first]), 0.0)
        return left / float(trades.limits.to_grid[column, node]) if unit == "W" else left

    def at(self, column: int) -> Outcome:
        """This one column alone."""
        slots = self.slots
        if len(slots.columns_us) == 1:
            return self
        alone = slots.columns_us[column : column + 1]
        return Outcome(
            tree=self.tree,
            slots=Slots(times_us=alone, active=0, column_of=np.zeros(1, dtype=np.intp), columns_us=alone),
            config=self.config,
            heeded=_alone(self.heeded, column),
            bought=_alone(self.bought, column),
            given=_alone(self.given, column),
            imports=_alone(self.imports, column),
            exports=_alone(self.exports, column),
        )

    def some(self, evses: Sequence[int] | Ints) -> Some:
        """Some of its EVSEs, by their numbers."""
        if isinstance(evses, range):  # of which an array makes objects first
            evses = np.arange(evses.start, evses.stop, evses.step)
        numbers = np.asarray(evses, dtype=np.intp)
        here = looked_up(numbers)
        return Some(numbers, here, self.tree.evse_node[here])

    def tier_of(self, evse: int) -> Tier:
        """The tier that an EVSE is served in."""
        priority = self.tree.priorities[evse]
        return next(tier for tier in self.tree.shape.tiers if tier.priority == priority)

    def shared_by(self, evse: int, number: int) -> set[int] | None:
        """Nodes that share the limit of a number (rounds.limit_number); of OWN, all that are shared.

        None where the number stands for no group's limit."""
        key = self.tree.priorities[evse], number
        found = self.tree.shape.shared_by
        if key not in found:
            found[key] = self._nodes_of(self.tier_of(evse), number)
        return found[key]

    @staticmethod
    def _nodes_of(tier: Tier, number: int) -> set[int] | None:
        if number == OWN:
            return set(tier.group_nodes.tolist())
        group = number // 2
        if group >= len(tier.group_starts):
            return None
        return set(tier.group_nodes[tier.group_starts[group] :][: tier.group_length(group)].tolist())

    def taking_part(self, direction: Direction) -> Bools:
        """Who trades in a direction: (columns, EVSEs)."""
        return self.imports if direction == "import" else self.exports

    def direction(self, column: int, evse: int) -> Direction | None:
        """Which way an EVSE trades in a column."""
        if self.imports[column, evse]:
            return "import"
        return "export" if self.exports[column, evse] else None
