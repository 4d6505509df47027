"""Results: enforced limits of many EVSEs, made of the arrays of a run at once.

There may be hundreds of thousands of them, so they are made by `map` of their fields in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np

from actors.energy import timestamps
from actors.energy.market.arrays import Bools, Floats, Ints
from actors.energy.market.naming import Objects, names_of, phase_counts_of
from actors.energy.market.outcome import Outcome
from actors.energy.types import (
    EnforcedLimits,
    IntegerWithSource,
    LimitsRes,
    NumberWithSource,
    ScheduleResEntry,
    valid_for_s,
)

Numbers = Sequence[NumberWithSource | None]
SAMPLE = 50
"""EVSEs that tell whether it is worth looking for what stays the same from column to column."""


class Results:
    """Of one run, with the forecast or without, and with sources if `named`."""

    def __init__(self, outcome: Outcome, *, forecast: bool = True, named: bool = True) -> None:
        self._outcome = outcome
        self._forecast = forecast
        self._named = named

    def of(self, evses: Sequence[int]) -> list[EnforcedLimits]:
        """In the given order."""
        outcome, slots = self._outcome, self._outcome.slots
        numbers = np.array(evses, dtype=np.intp)
        limits = self._limits(numbers)
        count, valid_for, uuids = (
            len(slots.columns_us),
            valid_for_s(outcome.config),
            [outcome.tree.uuids[evse] for evse in evses],
        )
        now = limits[slots.active_column :: count]
        if not self._forecast:
            return list(map(EnforcedLimits, uuids, repeat(valid_for), now))
        times = [timestamps.format_utc(time) for time in slots.times_us.tolist()]
        columns = slots.column_of.tolist()
        found = []
        for i, uuid in enumerate(uuids):
            own = limits[i * count : (i + 1) * count]
            held = own if len(times) == count else [own[column] for column in columns]
            schedule = tuple(map(ScheduleResEntry, times, held))
            found.append(EnforcedLimits(uuid, valid_for, now[i], schedule))
        return found

    def _limits(self, evses: Ints) -> list[LimitsRes]:
        """EVSE after EVSE, column after column of each."""
        outcome = self._outcome
        names: Objects | None = None
        if self._named:
            names, phases = names_of(outcome, evses), phase_counts_of(outcome, evses)
        else:
            bare: Objects = np.array([None, *map(IntegerWithSource, (1, 2, 3))], dtype=np.object_)
            phases = bare[outcome.phases[:, evses]]
        amounts = [
            (outcome.current_A[:, evses], outcome.has_current[:, evses]),
            (outcome.power_W[:, evses], outcome.has_power[:, evses]),
        ]
        new = _differs([array for pair in amounts for array in pair], phases, names)
        told = None if names is None else _flat(names, new)
        current_A, power_W = (_numbers(values, has, new, told) for values, has in amounts)
        nothing = repeat(None)
        made = list(map(LimitsRes, power_W or nothing, current_A or nothing, _flat(phases, new)))
        if new is None:
            return made
        each: Objects = np.empty(len(made), dtype=np.object_)
        each[:] = made
        found: list[LimitsRes] = each[np.cumsum(new.T.reshape(-1)) - 1].tolist()
        return found


def _differs(numbers: list[Any], phases: Objects, names: Objects | None) -> Bools | None:
    """Where anything is not as in the column before; None where that is so of most."""
    columns, evses = phases.shape
    some = np.s_[:, :: evses // SAMPLE + 1]
    if columns < 2 or _are_most(_changes([*(each[some] for each in numbers), _ids(phases[some])])):
        return None
    new = _changes(numbers)
    if _are_most(new):
        return None
    for each in (phases, names):
        if each is not None:
            new[1:] |= each[1:] != each[:-1]
    return new


def _changes(arrays: list[Any]) -> Bools:
    new = np.ones(arrays[0].shape, dtype=np.bool_)
    new[1:] = False
    for each in arrays:
        new[1:] |= each[1:] != each[:-1]
    return new


def _are_most(cells: Bools) -> bool:
    return 2 * int(np.count_nonzero(cells)) > cells.size


def _ids(objects: Objects) -> Ints:
    """Who is who: to compare those that are not the same objects costs more than it saves."""
    return np.array([id(each) for each in objects.reshape(-1).tolist()], dtype=np.intp).reshape(objects.shape)


def _numbers(
    values: Floats, present: Bools, new: Bools | None, names: Sequence[str] | None
) -> Numbers | None:
    """With their sources; None where no value is present."""
    if not present.any():
        return None
    numbers: Numbers = list(map(NumberWithSource, _flat(values, new), *([] if names is None else [names])))
    if present.all():
        return numbers
    return [number if there else None for number, there in zip(numbers, _flat(present, new), strict=True)]


def _flat(values: np.ndarray[Any, np.dtype[Any]], new: Bools | None) -> list[Any]:
    """(columns, EVSEs) as a list, EVSE after EVSE; only some cells, if said so."""
    flat: list[Any] = (values.T.reshape(-1) if new is None else values.T[new.T]).tolist()
    return flat
