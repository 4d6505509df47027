"""Naming: the sources of many results at once.

What stopped an EVSE is told by bounds.py, cell by cell. Mostly it is one limit: its own, whose source
is that of a row, or one that it shares, and then it is the same for all whom that limit stopped. These
are named together here; what is left over is asked for one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Bools, Floats, Ints, once
from actors.energy.market.bounds import UNITS, LimitsAbove, bounds_of, shared_bounds_of
from actors.energy.market.entries import Direction, Unit
from actors.energy.market.outcome import USED_UP_A, USED_UP_W, Outcome
from actors.energy.market.rounds import OWN
from actors.energy.market.sources import Above, joined, phases_source
from actors.energy.market.turns import CRUMB
from actors.energy.packing import AMPERE, MOST_PHASES, WATT

Objects = NDArray[np.object_]


def names_of(outcome: Outcome, evses: Ints) -> Objects:
    """Who stopped each of some EVSEs: (columns, EVSEs) of texts, '' where nothing did."""
    naming = _Naming(outcome, evses)
    for direction in outcome.trades:
        naming.name_own(direction)
        naming.name_shared(direction)
        naming.name_refused(direction)
    naming.name_closed()
    for column, i in np.argwhere(naming.missing).tolist():
        bounds = bounds_of(outcome, column, int(evses[i]))
        naming.names[column, i] = joined(bound.source for bound in bounds)
    return naming.names


class _Naming:
    def __init__(self, outcome: Outcome, evses: Ints) -> None:
        self._outcome = outcome
        self._evses = evses
        # An EVSE's columns lie side by side, as the entries do that they are named by.
        shape = len(outcome.slots.columns_us), len(evses)
        self.names: Objects = np.full(shape, None, dtype=np.object_, order="F")
        self.missing: Bools = np.ones(shape, dtype=np.bool_)
        """Where there is no name yet."""
        self._aimed_at = np.zeros(len(outcome.tree.nodes), dtype=np.bool_)
        self._aimed_at[[each.node for each in outcome.tree.targets]] = True
        self._node = outcome.tree.shape.evse_array[evses]

    def _takes_part(self, direction: Direction) -> Bools:
        outcome = self._outcome
        here = outcome.taking_part(direction) & ~outcome.trades[direction].refused
        return np.asarray(here[:, self._evses])

    def name_own(self, direction: Direction) -> None:
        """Where just one limit is used up of the nodes that an EVSE has for itself."""
        outcome = self._outcome
        trades = outcome.trades[direction]
        here = self._takes_part(direction) & (trades.stopped_by[:, self._evses] == OWN)
        if not here.any() or trades.limits.tight is not None:
            return
        found: list[tuple[Bools, Ints, Unit]] = []
        hits = np.zeros(here.shape, dtype=np.int8)
        for nodes, has in outcome.tree.shape.own_nodes:
            node, may = nodes[self._evses], has[self._evses]
            pairs: tuple[tuple[Unit, Floats, float], ...] = (
                ("A", trades.limits.node_A, USED_UP_A),
                ("W", trades.limits.node_grid_W, USED_UP_W),
            )
            for unit, limits, least in pairs:
                limited = may & np.isfinite(once(limits)[:, node])
                if not limited.any():
                    continue
                used_up = limited & (outcome.left(direction, unit, node) <= least)
                if used_up.any():
                    hits += used_up
                    found.append((used_up, node, unit))
        for used_up, node, unit in found:
            only = used_up & here & (hits == 1) & ~self._aimed_at[node]
            self._name_rows(only, node, direction, unit)

    def name_shared(self, direction: Direction) -> None:
        """All whom one limit stopped."""
        outcome = self._outcome
        number = outcome.trades[direction].stopped_by[:, self._evses]
        here = self._takes_part(direction) & (number != OWN)
        if not here.any():
            return
        columns, places = np.nonzero(here)
        tiers = len(outcome.tree.shape.tiers)
        of_tier = outcome.tree.shape.tier_of[self._evses][places]
        key = (number[here].astype(np.intp) * tiers + of_tier) * len(number) + columns
        keys, some, which = np.unique(key, return_index=True, return_inverse=True)
        del keys
        self._name_alike(
            columns,
            places,
            some,
            which,
            lambda column, evse: shared_bounds_of(outcome, column, evse, direction),
        )

    def name_refused(self, direction: Direction) -> None:
        """Whose minimum was refused: what is left above an EVSE is the same for all below its parent, only
        what each would have needed of it differs."""
        outcome, evses = self._outcome, self._evses
        trades = outcome.trades[direction]
        here = outcome.taking_part(direction)[:, evses] & trades.refused[:, evses]
        if not here.any() or trades.limits.extras:
            return
        columns, places = np.nonzero(here)
        cells = columns, evses[places]
        least_A = trades.limits.min_A[cells] - CRUMB
        least_W = least_A * trades.tried[cells] * outcome.config.nominal_ac_voltage
        node = self._node[places]
        own_A, own_W = (outcome.left(direction, unit, self._node)[columns, places] for unit in UNITS)
        alone = (own_A < least_A) | (own_W < least_W)
        above: dict[tuple[int, int], LimitsAbove] = {}
        numbers = (columns, places, outcome.tree.shape.parent_array[node], least_A, least_W)
        for column, place, parent, A, W in zip(*(each[~alone].tolist() for each in numbers), strict=True):
            if (column, parent) not in above:
                above[column, parent] = LimitsAbove(outcome, column, int(evses[place]), direction)
            if name := above[column, parent].short_of(A, W):
                self.names[column, place] = name
                self.missing[column, place] = False

    def name_closed(self) -> None:
        """Those who may not trade: their own limit is 0, or one of those above them."""
        outcome, limits = self._outcome, self._outcome.trades["import"].limits
        here = ~outcome.imports[:, self._evses] & ~outcome.exports[:, self._evses]
        if not here.any() or limits.extras or limits.tight is not None:
            return
        shape = outcome.tree.shape
        zeros = (limits.node_A == 0.0).astype(np.int16) + (limits.node_grid_W == 0.0)
        own = zeros[:, self._node]
        for level in shape.levels[1:]:
            zeros[:, level] += zeros[:, shape.parent_array[level]]
        above = zeros[:, self._node] - own
        units: tuple[tuple[Unit, Floats], ...] = (("A", limits.node_A), ("W", limits.node_grid_W))
        for unit, values in units:
            only = here & (own == 1) & (above == 0) & (values[:, self._node] == 0.0)
            self._name_rows(only & ~self._aimed_at[self._node], self._node, "import", unit)
        columns, places = np.nonzero(here & (own == 0))
        if len(columns):
            key = shape.parent_array[self._node[places]] * len(here) + columns
            _, some, which = np.unique(key, return_index=True, return_inverse=True)
            self._name_alike(columns, places, some, which, lambda c, evse: bounds_of(outcome, c, evse))

    def _name_alike(
        self,
        columns: Ints,
        places: Ints,
        some: Ints,
        which: Ints,
        ask: Callable[[int, int], Any],
    ) -> None:
        """One question for all cells that are alike; `some` are the first of each kind."""
        answers = np.empty(len(some), dtype=np.object_)
        for i, cell in enumerate(some.tolist()):
            bounds = ask(int(columns[cell]), int(self._evses[places[cell]]))
            answers[i] = joined(bound.source for bound in bounds) if bounds else None
        self.names[columns, places] = answers[which]
        unknown = np.array([answer is None for answer in answers.tolist()], dtype=np.bool_)
        self.missing[columns, places] = unknown[which]

    def _name_rows(self, cells: Bools, node: Ints, direction: Direction, unit: Unit) -> None:
        """Cells whose EVSE was stopped by a limit of one row."""
        rows = self._outcome.trades[direction].limits.rows[:, node].T[cells.T]
        if not len(rows):
            return
        field = AMPERE if unit == "A" else WATT
        names = self._outcome.tree.schedules[direction].sources(field, rows)
        self.names.T[cells.T] = names
        self.missing.T[cells.T] = False if all(names.tolist()) else names == None  # noqa: E711


def phase_sources_of(outcome: Outcome, evses: Ints) -> Objects:
    """Who set the phase counts of some EVSEs: (columns, EVSEs) of texts, '' where there is no count."""
    counts = outcome.phases[:, evses]
    found: Objects = np.full(counts.shape, "", dtype=np.object_, order="F")
    missing = counts > 0
    for direction in outcome.trades:
        cells = outcome.taking_part(direction)[:, evses] & (counts > 0)
        if cells.any():
            missing &= ~_own_counts(outcome, evses, direction, cells, found)
    above: Above = {}
    for column, i in np.argwhere(missing).tolist():
        found[column, i] = phases_source(outcome, column, int(evses[i]), above)
    return found


def _own_counts(outcome: Outcome, evses: Ints, direction: Direction, cells: Bools, found: Objects) -> Bools:
    """Where the count is the EVSE's own maximum, and nobody above has one: its source is in the request."""
    limits, schedules = outcome.trades[direction].limits, outcome.tree.schedules[direction]
    inner = np.ones(len(outcome.tree.nodes), dtype=np.bool_)
    inner[outcome.tree.evse_node] = False
    if schedules.says(MOST_PHASES, limits.rows[:, inner]):
        return np.zeros_like(cells)
    counts = outcome.phases[:, evses]
    alike: Bools = (
        cells & (counts == limits.own_max_phases[:, evses]) & (counts == limits.max_phases[:, evses])
    )
    rows = limits.rows[:, outcome.tree.evse_node[evses]].T[alike.T]
    names = schedules.sources(MOST_PHASES, rows)
    if all(names.tolist()):
        found.T[alike.T] = names
    else:
        named = names != None  # noqa: E711 - element by element
        alike.T[alike.T] = named
        found.T[alike.T] = names[named]
    return alike
