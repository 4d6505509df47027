"""Blocks: the numbers of schedules that say the same fields, a field of all of them at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.energy import packing
from actors.energy.market.entries import HUGE, MOST_ENTRIES, MOST_PHASES, Direction, Row
from actors.energy.market.errors import DoubtError
from actors.energy.market.timetables import KINDS, Column
from actors.energy.types import PackedSchedule

_LEAST = sys.float_info.min
"""The least number above 0."""


class Block:
    """Schedules with as many entries that say the same fields."""

    def __init__(self, members: Sequence[PackedSchedule], row: int, direction: Direction) -> None:
        one = members[0]
        layout, self.count = packing.layout_of(one)
        values, sources = [each.values for each in members], [each.sources for each in members]
        if (
            self.count > MOST_ENTRIES
            or set(map(len, values)) != {8 * layout.values}
            or set(map(len, sources)) != {layout.sources}
        ):
            raise DoubtError
        self.size = len(members)
        self.rows = slice(row, row + self.size * self.count)
        """Of the timetables, member after member."""
        numbers = np.frombuffer(b"".join(values), dtype="<f8")
        self._numbers = numbers.reshape(len(members), layout.values)
        across = np.ascontiguousarray(self._numbers.T)  # numpy is quick along the last axis
        self._lowest: list[float] = np.minimum.reduce(across, axis=1).tolist()
        self._highest: list[float] = np.maximum.reduce(across, axis=1).tolist()
        self._varying = one.varying
        self._places = {field: place for field, (place, _) in layout.places.items()}
        self._direction = direction

    def columns(self) -> list[Column]:
        """In the order of Row's fields, (members, entries), or 1 for all of either; entries.steps_of says the
        same of one."""
        found: list[Column] = [None] * len(KINDS)
        for field in sorted(self._places, reverse=True):  # the efficiency before what it converts
            rule = _RULES[field]
            values, other = self._values(field, rule), found[rule.column]
            if field == packing.LEAVES + packing.WATT and (efficiency := found[_EFFICIENCY]) is not None:
                values = values / efficiency if self._direction == "import" else values * efficiency
            found[rule.column] = values if other is None else rule.pick(values, other)
        return found

    def _values(self, field: int, rule: _Rule) -> NDArray[Any]:
        """Of a field: (members, entries), or 1 for all of either; absent values filled in."""
        place, most = self._places[field], rule.most
        upto = place + (self.count if self._varying >> field & 1 else 1)
        lowest, highest = self._lowest[place], self._highest[place]
        if upto > place + 1:
            lowest = float(np.minimum.reduce(self._lowest[place:upto]))
            highest = float(np.maximum.reduce(self._highest[place:upto]))
        if lowest == highest:
            values, are_whole = self._numbers[:1, place : place + 1], lowest.is_integer()
        else:
            values = self._numbers[:, place:upto]
            are_whole = not rule.whole or not (values != np.floor(values))[~np.isnan(values)].any()
        if rule.whole and not are_whole:
            raise DoubtError
        if lowest >= rule.least and highest <= most:  # NaN is neither
            return values
        silent = np.isnan(values)
        if most == HUGE:
            values = np.where(values < inf, np.minimum(values, HUGE), values)
        if not ((values >= rule.least) & (values <= most) | silent).all():
            raise DoubtError
        return np.where(silent, rule.absent, values)


class _Rule(NamedTuple):
    """What the numbers of a field may be, and what they come to."""

    column: int
    least: float
    most: float
    absent: float
    pick: Callable[[Any, Any], Any]
    """Of the values of the root side and the leaf side one each."""
    whole: bool = False


def _first_said(absent: float) -> Callable[[Any, Any], Any]:
    return lambda one, other: np.where(one == absent, other, one)


_COLUMN = {name: number for number, name in enumerate(Row._fields)}
_EFFICIENCY = _COLUMN["efficiency"]
_OF_SIDES = (  # in the order of packing's fields
    _Rule(_COLUMN["max_W"], 0.0, HUGE, inf, np.minimum),
    _Rule(_COLUMN["max_A"], 0.0, HUGE, inf, np.minimum),
    _Rule(_COLUMN["min_A"], 0.0, HUGE, 0.0, np.maximum),
    _Rule(_COLUMN["max_phases"], 1.0, MOST_PHASES, MOST_PHASES, np.minimum, whole=True),
    _Rule(_COLUMN["min_phases"], 1.0, MOST_PHASES, 0.0, np.maximum, whole=True),
    _Rule(_COLUMN["may_switch"], 0.0, 1.0, 2.0, _first_said(2.0), whole=True),  # 2 becomes True
    _Rule(_COLUMN["active_phases"], 1.0, MOST_PHASES, 0.0, _first_said(0.0), whole=True),
)
_RULES = (*_OF_SIDES, *_OF_SIDES, _Rule(_EFFICIENCY, _LEAST, 1.0, 1.0, np.minimum))
