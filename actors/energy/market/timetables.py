"""Timetables: all schedules of one direction as arrays, one row for each entry of a schedule.

A slot only says which row holds at which node. Rows are in no order but that those of one node stand
together, sorted by time: so what changes in a tree is read into the rows that it had, or, where it has
more or fewer now, into new ones at the end, and the rest stays as it is (`renewed`): columns in which
nothing changed, and what was worked out of them. What no entry has is no array: a column is None where it
is ABSENT everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from math import inf
from operator import or_
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Ints, all_of, looked_up, same_row
from actors.energy.market.entries import MOST_PHASES, Row
from actors.energy.market.patched import Patched
from actors.energy.packing import LEAVES, layout
from actors.energy.types import PackedSchedule

ABSENT = Row(inf, inf, 0.0, MOST_PHASES, 0, 1.0, 0, True)
"""An entry without any limit."""
_NUMBER_OF = {field: number for number, field in enumerate(Row._fields)}
KINDS = (np.float64, np.float64, np.float64, np.int8, np.int8, np.float64, np.int8, np.bool_)
"""Of the columns."""
MOST_DEAD = 1000
"""Rows that nobody has any more, beyond as many as there are nodes' rows: then all is read again."""

Column = NDArray[Any] | None
T = TypeVar("T")


@dataclass(frozen=True)
class Timetables:
    """Node i's rows are first[i] … first[i] + count[i] - 1; `columns` are in the order of Row's fields."""

    first: Ints
    count: Ints
    times_us: Ints
    columns: list[Column]
    holders: Patched[PackedSchedule | None]
    """What each node said; None of one without a schedule."""
    fields: NDArray[np.int64]
    """Bits of each node: what any of its entries says (packing.FIELDS)."""
    starts: Counter[int]
    """How many rows start at each time; without those of nodes that have no schedule."""
    steady: frozenset[str]
    """Columns in which all rows of a node are alike, as far as that is easily seen."""
    differing: bool
    """Whether the sources of any node may differ between its rows."""
    hours: Ints | None
    """When the rows of all nodes start that have several; None where these are not the same for all."""
    _lasting: dict[tuple[str, str], Any] = field(default_factory=dict, init=False)
    """See `lasting`; of these arrays alone, so that other ones begin with none (`replace`)."""

    def __getitem__(self, field: str) -> Column:
        """A column by its name."""
        return self.columns[_NUMBER_OF[field]]

    # --- who says so ----------------------------------------------------------------------------------

    def holder_of(self, node: int, row: int) -> tuple[PackedSchedule | None, int]:
        """Of a row of a node: whose entry it is, and which; None of a node without a schedule."""
        return self.holders[node], row - int(self.first[node])

    def sources_of(self, field: int, nodes: Ints) -> list[str | tuple[str, ...] | None]:
        """Who set a limit of some nodes, in their own words, of all rows or of each; None where nobody, both
        sides or somebody without a name may have: then entries are to be asked. `field` is one of packing's,
        of a side."""
        holders = self.holders.some(nodes)
        fields = self.fields[nodes]
        if not self.differing and all_of(fields == fields[0]) and all(holders):
            place = _source_at(field, int(fields[0]), 0, 1)
            if place is None:
                return [None] * len(holders)
            return [each.sources[place] or None for each in holders]  # type: ignore[union-attr]  # all are there
        return [None if each is None else sources_in(each, field) for each in holders]

    def is_said_above(self, inner: Ints, field: int) -> bool:
        """Whether any of a tree's inner nodes may have a limit of a kind, on either side."""
        said = self.lasting("above", "fields", lambda: reduce(or_, set(self.fields[inner].tolist()), 0))
        return bool(said & (1 << field | 1 << field + LEAVES))

    # --- what holds when ------------------------------------------------------------------------------

    def rows_at(self, slots_us: Ints) -> Ints:
        """The row that holds in each slot at each node, the last stamped at or before, else the first:
        (slots, nodes), or (1, nodes) where it is the same in all."""
        several = self.count > 1
        if not several.any():
            return self.first[np.newaxis]
        if self.hours is not None:
            passed = np.maximum(np.searchsorted(self.hours, slots_us, side="right") - 1, 0)
            rows = np.multiply.outer(passed, several)
            rows += self.first
        else:
            rows = np.repeat(self.first[np.newaxis], len(slots_us), axis=0)
            rows[:, several] += self._passed(slots_us, self.first[several], self.count[several])
        return rows

    def always_closed(self) -> bool:
        """Whether the root allows nothing, ever."""
        rows = slice(int(self.first[0]), int(self.first[0] + self.count[0]))
        limits = (self["max_A"], self["max_W"])
        return any(limit is not None and max(limit[rows].tolist()) <= 0.0 for limit in limits)

    def is_steady(self, field: str) -> bool:
        """Whether a column is the same in all slots, as far as that is easily seen."""
        return field in self.steady

    def held_always(self, field: str) -> NDArray[Any]:
        """The values of a steady column: (1, nodes), not to be written to."""
        column = self[field]
        if column is None:
            return said_by_nobody(field, len(self.first))
        return self.lasting("node", field, lambda: column.take(self.first)[np.newaxis])

    def held_by(self, evses: Ints, field: str) -> NDArray[Any]:
        """The same of a tree's EVSEs alone: (1, EVSEs)."""
        column = self[field]
        if column is None:
            return said_by_nobody(field, len(evses))
        rows = self.lasting("EVSEs", "first", lambda: looked_up(self.first[evses]))
        return self.lasting("EVSEs", field, lambda: column[rows][np.newaxis])

    def lasting(self, what: str, field: str, work_out: Callable[[], T]) -> T:
        """What is worked out of a steady column alone: once, and again only when that column changes."""
        key = what, field
        found = self._lasting.get(key)
        if found is None:
            found = self._lasting[key] = work_out()
            if isinstance(found, np.ndarray):
                found.flags.writeable = False
        return found

    def held(self, field: str, rows: Ints) -> NDArray[Any]:
        """The values of any other column in `rows_at`: (slots, nodes)."""
        column = self[field]
        assert column is not None, "what nobody says is steady"
        return np.take(column, rows)

    def _passed(self, slots_us: Ints, first: Ints, count: Ints) -> Ints:
        """How many rows after its first began at or before each slot."""
        nodes = np.repeat(np.arange(len(count)), count - 1)
        later = np.arange(len(nodes)) + np.repeat(first + 1 - (np.cumsum(count - 1) - (count - 1)), count - 1)
        slot = np.searchsorted(slots_us, self.times_us[later], side="left")
        began = slot < len(slots_us)
        cells = slot[began] * len(count) + nodes[began]
        steps = np.bincount(cells, minlength=len(slots_us) * len(count)).reshape(-1, len(count))
        return np.cumsum(steps, axis=0)

    def renewed(self, places: Ints, new: Timetables) -> Timetables | None:
        """With other rows of the nodes at some places; None when it is time to read all again."""
        before, fields = self.holders.some(places), self.fields.copy()
        fields[places] = new.fields
        renewed = replace(
            self,
            holders=self.holders.patched(dict(zip(places.tolist(), new.holders, strict=True))),
            fields=fields,
            steady=self.steady & new.steady,
            differing=self.differing or new.differing,
            hours=self._hours_with(new),
        )
        if all(before) and all(new.holders) and np.array_equal(self.count[places], new.count):
            return self._with_rows(renewed, places, new)
        rows, more = len(self.times_us), len(new.times_us)
        if rows + more - int(self.count.sum()) > len(self.first) + MOST_DEAD:
            return None
        first, count = self.first.copy(), self.count.copy()
        first[places] = new.first + rows
        count[places] = new.count
        spoken = places[[each is not None for each in before]]
        return replace(
            renewed,
            first=first,
            count=count,
            times_us=np.concatenate([self.times_us, new.times_us]),
            columns=[
                None if one is None and other is None else np.concatenate([_filled(self, i), _filled(new, i)])
                for i, (one, other) in enumerate(zip(self.columns, new.columns, strict=True))
            ],
            starts=_exchanged(self.starts, self.times_us[_rows_of(self, spoken)], new.starts),
        )

    def with_numbers(self, places: Ints, told: Sequence[PackedSchedule], numbers: list[Column]) -> Timetables:
        """With other numbers in the rows of the nodes at some places: of the columns that these say, (nodes,
        entries), or 1 for all of either. Which fields they say, and when, is as before."""
        rows = self.first[places][:, np.newaxis] + np.arange(self.count[places[0]])
        columns, steady, changed = self.columns.copy(), set(self.steady), set()
        for number, (name, column, values) in enumerate(zip(Row._fields, columns, numbers, strict=True)):
            if values is None:
                continue
            assert column is not None, "they said so before"
            if values.shape[1] > 1 and name in steady:
                steady.remove(name)
                changed.add(name)
            if np.count_nonzero(column.take(rows) != values):
                other = columns[number] = column.copy()
                other[rows] = values
                changed.add(name)
        renewed = replace(
            self,
            columns=columns,
            steady=frozenset(steady),
            holders=self.holders.patched(dict(zip(places.tolist(), told, strict=True))),
        )
        renewed._lasting.update({key: each for key, each in self._lasting.items() if key[1] not in changed})
        return renewed

    def _with_rows(self, renewed: Timetables, places: Ints, new: Timetables) -> Timetables:
        """With as many rows as before of the nodes at some places, at the same places."""
        here, there = _rows_of(self, places), _rows_of(new, np.arange(len(places)))
        times_us, starts = self.times_us, self.starts
        if not np.array_equal(times_us[here], new.times_us[there]):
            starts = _exchanged(starts, times_us[here], new.starts)
            times_us = times_us.copy()
            times_us[here] = new.times_us[there]
        columns, changed = self.columns.copy(), set(self.steady ^ renewed.steady)
        for number, (one, other) in enumerate(zip(self.columns, new.columns, strict=True)):
            if one is None and other is None:
                continue
            values = ABSENT[number] if other is None else other[there]
            if one is None or (one[here] != values).any():
                column = columns[number] = _filled(self, number).copy()
                column[here] = values
                changed.add(Row._fields[number])
        if not np.array_equal(self.fields[places], new.fields):
            changed.add("fields")
        renewed = replace(renewed, times_us=times_us, columns=columns, starts=starts)
        renewed._lasting.update({key: each for key, each in self._lasting.items() if key[1] not in changed})
        return renewed

    def _hours_with(self, new: Timetables) -> Ints | None:
        if not (new.count > 1).any():
            return self.hours
        if not (self.count > 1).any():
            return new.hours
        if self.hours is None or new.hours is None or not np.array_equal(self.hours, new.hours):
            return None
        return self.hours


def sources_in(holder: PackedSchedule, field: int) -> str | tuple[str, ...] | None:
    """Of one schedule: see Timetables.sources_of."""
    count = len(holder.times_us) // 8
    place = _source_at(field, holder.fields, holder.differing, count)
    if place is not None and holder.differing >> field & 1:
        return holder.sources[place : place + count]
    return None if place is None else holder.sources[place] or None


@lru_cache(maxsize=1000)
def _source_at(field: int, fields: int, differing: int, count: int) -> int | None:
    """Where the source of a field of the root side stands; None where it has none, or the leaf side has the
    field, too."""
    at = layout(fields, 0, differing, count).places.get(field)
    return None if at is None or fields >> field + LEAVES & 1 else at[1]


def _rows_of(of: Timetables, nodes: Ints) -> Ints:
    """All rows of some nodes, one node after the other."""
    first, count = of.first[nodes], of.count[nodes]
    if (count == 1).all():
        return first
    return np.repeat(first - np.cumsum(count) + count, count) + np.arange(int(count.sum()))


def _exchanged(starts: Counter[int], gone_us: Ints, more: Counter[int]) -> Counter[int]:
    """When rows start, after some are gone and others came."""
    found = starts + more
    found.subtract(Counter(gone_us.tolist()))
    return +found


def said_by_nobody(field: str, count: int) -> NDArray[Any]:
    """The values of a column that is not there: (1, count), not to be written to."""
    number = _NUMBER_OF[field]
    return same_row(ABSENT[number], count, KINDS[number])


def _filled(of: Timetables, number: int) -> NDArray[Any]:
    column = of.columns[number]
    return np.full(len(of.times_us), ABSENT[number], dtype=KINDS[number]) if column is None else column
