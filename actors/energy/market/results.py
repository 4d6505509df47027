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
from actors.energy.market.naming import names_of, phase_counts_of
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
        names: Sequence[str] | None = None
        phases: Sequence[IntegerWithSource | None]
        if self._named:
            names = _flat(names_of(outcome, evses))
            phases = _flat(phase_counts_of(outcome, evses))
        else:
            bare = [None, *map(IntegerWithSource, (1, 2, 3))]
            phases = [bare[count] for count in _flat(outcome.phases[:, evses])]
        current_A = _numbers(outcome.current_A[:, evses], outcome.has_current[:, evses], names)
        power_W = _numbers(outcome.power_W[:, evses], outcome.has_power[:, evses], names)
        nothing = repeat(None)
        return list(map(LimitsRes, power_W or nothing, current_A or nothing, phases))


def _numbers(values: Floats, present: Bools, names: Sequence[str] | None) -> Numbers | None:
    """With their sources; None where no value is present."""
    if not present.any():
        return None
    numbers: Numbers
    if names is None:
        numbers = list(map(NumberWithSource, _flat(values)))
    else:
        numbers = list(map(NumberWithSource, _flat(values), names))
    if present.all():
        return numbers
    return [number if there else None for number, there in zip(numbers, _flat(present), strict=True)]


def _flat(values: np.ndarray[Any, np.dtype[Any]]) -> list[Any]:
    """(columns, EVSEs) as a list, EVSE after EVSE."""
    flat: list[Any] = values.T.reshape(-1).tolist()
    return flat
