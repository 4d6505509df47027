"""Naming: the sources of many results at once.

What stopped an EVSE is told by bounds.py, cell by cell. Mostly it is one limit: its own, whose source
is that of a row, or one that it shares, and then it is the same for all whom that limit stopped. These
are named together here; what is left over is asked for one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from actors.energy.market.arrays import Bools, Floats, Ints, all_of, any_of, once
from actors.energy.market.bounds import UNITS, LimitsAbove, bounds_of, shared_bounds_of
from actors.energy.market.entries import Direction, Unit
from actors.energy.market.outcome import USED_UP_A, USED_UP_W, Outcome, Some
from actors.energy.market.phases import PhaseReason
from actors.energy.market.rounds import OWN
from actors.energy.market.sources import Above, count_sources_above, joined, phases_source
from actors.energy.market.texts import UNKNOWN, Numbers, Texts, unknown
from actors.energy.market.turns import CRUMB
from actors.energy.packing import AMPERE, MOST_PHASES, WATT

DENSE = 8
"""Numbers, of which there are no more than so many for each cell, are sorted by counting."""

_FIELDS: dict[Unit, int] = {"A": AMPERE, "W": WATT}


def names_of(outcome: Outcome, some: Some, texts: Texts) -> Numbers:
    """Who stopped each of some EVSEs: (columns, EVSEs) of texts' numbers, that of '' where nothing did."""
    naming = _Naming(outcome, some, texts)
    for direction in outcome.directions:
        naming.name_traders(direction)
    naming.name_closed()
    for column, i in unknown(naming.names):
        bounds = bounds_of(outcome, column, int(some.numbers[i]))
        naming.names[column, i] = texts.number(joined(bound.source for bound in bounds))
    return naming.names


class _Naming:
    def __init__(self, outcome: Outcome, some: Some, texts: Texts) -> None:
        self._outcome = outcome
        self._evses, self._of_evses, self._node = some
        self._texts = texts
        self.names = np.full((len(outcome.slots.columns_us), len(self._evses)), UNKNOWN, dtype=np.int32)
        self._aimed_at = np.zeros(len(outcome.tree.nodes), dtype=np.bool_)
        for each in outcome.tree.targets:
            self._aimed_at[each.node] = True

    def name_traders(self, direction: Direction) -> None:
        """Those who trade in a direction."""
        takes_part = self._outcome.taking_part(direction)[:, self._of_evses]
        if not any_of(takes_part):
            return
        trades = self._outcome.trades[direction]
        if any_of(once(trades.refused)):
            refused = takes_part & trades.refused[:, self._of_evses]
            takes_part = takes_part & ~refused
            self._name_refused(direction, refused)
        own = takes_part & (trades.stopped_by[:, self._of_evses] == OWN)
        self._name_own(direction, own)
        self._name_shared(direction, takes_part & ~own)

    def _name_own(self, direction: Direction, here: Bools) -> None:
        """Where just one limit is used up of the nodes that an EVSE has for itself."""
        outcome = self._outcome
        trades = outcome.trades[direction]
        if not any_of(here) or trades.limits.tight is not None:
            return
        found: list[tuple[Bools, Ints, Unit]] = []
        hits = np.zeros(here.shape, dtype=np.int8)
        for nodes, has in outcome.tree.shape.own_nodes:
            node, may = nodes[self._of_evses], has[self._of_evses]
            pairs: tuple[tuple[Unit, Floats, float], ...] = (
                ("A", trades.limits.node_A, USED_UP_A),
                ("W", trades.limits.node_grid_W, USED_UP_W),
            )
            for unit, limits, least in pairs:
                limited = may & np.isfinite(once(limits)[:, node])
                if not any_of(limited):
                    continue
                used_up = limited & (outcome.left(direction, unit, node) <= least)
                if any_of(used_up):
                    hits += used_up
                    found.append((used_up, node, unit))
        for used_up, node, unit in found:
            only = used_up & here & (hits == 1) & ~self._aimed_at[node]
            self._name_rows(only, node, direction, unit)

    def _name_shared(self, direction: Direction, here: Bools) -> None:
        """All whom one limit stopped."""
        outcome = self._outcome
        if not any_of(here):
            return
        columns, places = np.nonzero(here)
        tiers = len(outcome.tree.shape.tiers)
        limit = number = outcome.trades[direction].stopped_by[:, self._of_evses][here].astype(np.intp)
        if tiers > 1:
            limit = number * tiers + outcome.tree.shape.tier_of[self._evses][places]
        some, which = _one_of_each(limit)
        named = self._limits_of_one_node(direction, number[some], places[some])
        self.names[columns, places] = found = named[columns, which]
        rest = np.flatnonzero(found == UNKNOWN)
        if len(rest):
            self._name_alike(
                columns[rest],
                places[rest],
                limit[rest] * len(here) + columns[rest],
                lambda column, evse: shared_bounds_of(outcome, column, evse, direction),
            )

    def _limits_of_one_node(self, direction: Direction, number: Ints, places: Ints) -> Numbers:
        """Who set limits that some EVSEs share, where these are of one node each and used up: (columns,
        limits)."""
        outcome, trades = self._outcome, self._outcome.trades[direction]
        named = np.full((len(self.names), len(number)), UNKNOWN, dtype=np.int32)
        if trades.limits.tight is not None:
            return named
        of_one: dict[Unit, list[tuple[int, int]]] = {unit: [] for unit in UNITS}
        for i, (evse, its) in enumerate(zip(self._evses[places].tolist(), number.tolist(), strict=True)):
            shared = outcome.shared_by(evse, its)
            if shared is not None and len(shared) == 1:
                (node,) = shared
                if not self._aimed_at[node]:
                    of_one[UNITS[its % 2]].append((i, node))
        units: tuple[tuple[Unit, Floats, float], ...] = (
            ("A", trades.limits.node_A, USED_UP_A),
            ("W", trades.limits.node_grid_W, USED_UP_W),
        )
        for unit, limits, least in units:
            if of_one[unit]:
                some, nodes = np.array(of_one[unit]).T
                used_up = np.isfinite(limits[:, nodes]) & (outcome.left(direction, unit, nodes) <= least)
                found = named[:, some]
                _name_by_rows(outcome, self._texts, used_up, nodes, direction, _FIELDS[unit], found)
                named[:, some] = found
        return named

    def _name_refused(self, direction: Direction, here: Bools) -> None:
        """Whose minimum was refused: what is left above an EVSE is the same for all below its parent, only
        what each would have needed of it differs."""
        outcome, evses = self._outcome, self._evses
        trades = outcome.trades[direction]
        if not any_of(here) or trades.limits.extras:
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
                self.names[column, place] = self._texts.number(name)

    def name_closed(self) -> None:
        """Those who may not trade: their own limit is 0, or one of those above them."""
        outcome, limits = self._outcome, self._outcome.trades["import"].limits
        if all_of(once(outcome.imports)):
            return
        here = ~outcome.imports[:, self._of_evses] & ~outcome.exports[:, self._of_evses]
        if not any_of(here) or limits.extras or limits.tight is not None:
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
            self._name_alike(columns, places, key, lambda c, evse: bounds_of(outcome, c, evse))

    def _name_alike(self, columns: Ints, places: Ints, key: Ints, ask: Callable[[int, int], Any]) -> None:
        """One question for all cells that have the same key."""
        some, which = _one_of_each(key)
        answers: list[str | None] = []
        for cell in some.tolist():
            bounds = ask(int(columns[cell]), int(self._evses[places[cell]]))
            answers.append(joined(bound.source for bound in bounds) if bounds else None)
        self.names[columns, places] = self._texts.numbers(answers)[which]

    def _name_rows(self, cells: Bools, node: Ints, direction: Direction, unit: Unit) -> None:
        """Cells whose EVSE was stopped by a limit of one row."""
        if any_of(cells):
            _name_by_rows(self._outcome, self._texts, cells, node, direction, _FIELDS[unit], self.names)


def _one_of_each(key: Ints) -> tuple[Ints, Ints]:
    """The place of one of each kind, and of which kind each is. As np.unique, which sorts."""
    least, most = int(key.min()), int(key.max())
    if most == least:
        return np.zeros(1, dtype=np.intp), np.zeros(len(key), dtype=np.intp)
    if most - least > DENSE * len(key):
        _, some, which = np.unique(key, return_index=True, return_inverse=True)
        return some, which
    number = np.zeros(most - least + 1, dtype=np.intp)
    number[key - least] = 1
    kinds = np.cumsum(number) - 1
    which = kinds[key - least]
    some = np.empty(int(kinds[-1]) + 1, dtype=np.intp)
    some[which] = np.arange(len(key))
    return some, which


def _name_by_rows(
    outcome: Outcome,
    texts: Texts,
    cells: Bools,
    node: Ints,
    direction: Direction,
    field: int,
    names: Numbers,
) -> None:
    """Some cells of `names` by who set a field of the row that holds there at the node of each EVSE."""
    schedules = outcome.tree.schedules[direction]
    said = schedules.sources_of(field, node)
    alike, changing = said, []
    if schedules.differing:
        changing = [(i, each) for i, each in enumerate(said) if type(each) is tuple]
        alike = [None if type(each) is tuple else each for each in said]
    np.copyto(names, texts.numbers(alike), where=cells)  # type: ignore[arg-type]
    for i, own in changing:
        rows, here = outcome.trades[direction].limits.rows, cells[:, i]
        numbers = texts.numbers([source or None for source in own])
        names[here, i] = numbers[rows[here, node[i]] - schedules.first[node[i]]]


def phase_sources_of(outcome: Outcome, some: Some, texts: Texts) -> Numbers:
    """Who set the phase counts of some EVSEs, as `names_of`; that of '' where there is no count."""
    counts = outcome.phases[:, some.here]
    has_count = counts > 0
    found = np.where(has_count, np.int32(UNKNOWN), np.int32(0))
    above: Above = {}
    for direction in outcome.directions:
        cells = outcome.taking_part(direction)[:, some.here] & has_count
        if any_of(cells):
            _own_counts(outcome, some, texts, direction, cells, found)
            cells &= found == UNKNOWN
            if any_of(cells):
                _most_on_path(outcome, some, texts, direction, cells, found, above)
    for column, i in unknown(found):
        found[column, i] = texts.number(phases_source(outcome, column, int(some.numbers[i]), above))
    return found


def _own_counts(
    outcome: Outcome, some: Some, texts: Texts, direction: Direction, cells: Bools, found: Numbers
) -> None:
    """Where the count is the EVSE's own maximum, and nobody above has one: its source is in the request."""
    limits, schedules = outcome.trades[direction].limits, outcome.tree.schedules[direction]
    if schedules.is_said_above(outcome.tree.shape.inner, MOST_PHASES):
        return
    here = some.here
    counts = outcome.phases[:, here]
    alike: Bools = cells & (counts == limits.own_max_phases[:, here]) & (counts == limits.max_phases[:, here])
    _name_by_rows(outcome, texts, alike, some.nodes, direction, MOST_PHASES, found)


def _most_on_path(
    outcome: Outcome,
    some: Some,
    texts: Texts,
    direction: Direction,
    cells: Bools,
    found: Numbers,
    above: Above,
) -> None:
    """Where the count is the most that all on the path allow: its sources above are the same for all below a
    node, and after them comes the EVSE's own, where that is as low."""
    trades, tree, here = outcome.trades[direction], outcome.tree, some.here
    counts, limits = outcome.phases[:, here], trades.limits
    cells = cells & (counts == limits.max_phases[:, here])
    cells &= trades.reasons[:, here] != PhaseReason.EXPORT
    columns, places = np.nonzero(cells)
    if not len(columns):
        return
    nodes, parents = some.nodes, tree.shape.parent
    own: Bools = counts == limits.own_max_phases[:, here]
    said = tree.schedules[direction].sources_of(MOST_PHASES, nodes)
    of_cells = (columns, places, nodes[places], counts[cells], own[cells])
    shared: dict[tuple[int, int, int], tuple[list[str], str]] = {}
    answers: list[str | None] = []
    for column, place, node, count, its in zip(*(each.tolist() for each in of_cells), strict=True):
        key = column, parents[node], count
        if (told := shared.get(key)) is None:
            sources = count_sources_above(outcome, column, direction, key[1], MOST_PHASES, count, above)
            told = shared[key] = sources, joined(sources)
        if not its:
            answers.append(told[1] or None)
        elif type(source := said[place]) is not str:
            answers.append(None)
        elif source in told[0]:
            answers.append(told[1])
        else:
            answers.append(f"{told[1]},{source}" if told[1] else source)
    found[cells] = texts.numbers(answers)
