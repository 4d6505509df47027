"""Results: enforced limits of many EVSEs, made of the arrays of a run at once.

What holds now is made as objects, by `map` of their fields in order; what is foreseen stays numbers
(forecasts.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np

from actors.energy import timestamps
from actors.energy.forecasts import packed
from actors.energy.market.arrays import Bools, Counts, Floats, Ints, all_of, any_of, in_order
from actors.energy.market.naming import names_of, phase_sources_of
from actors.energy.market.outcome import Outcome, Some
from actors.energy.market.texts import Texts
from actors.energy.types import (
    EnforcedLimits,
    IntegerWithSource,
    LimitsRes,
    NumberWithSource,
    PackedForecast,
    ScheduleResEntry,
    valid_for_s,
)


class Results:
    """Of one run, with the forecast or without, and with sources if `named`."""

    def __init__(self, outcome: Outcome, *, forecast: bool = True, named: bool = True) -> None:
        self._outcome = outcome
        self._forecast = forecast
        self._named = named

    def of(self, evses: Sequence[int] | Ints) -> list[EnforcedLimits]:
        """In the given order."""
        outcome, slots = self._outcome, self._outcome.slots
        some = outcome.some(evses)
        shares = _Shares(outcome, some, named=self._named)
        now = shares.limits(slots.active_column)
        everyone, here = outcome.tree.uuids, some.here
        uuids = everyone[here] if isinstance(here, slice) else in_order(everyone, here)
        valid_for = valid_for_s(outcome.config)
        if not self._forecast:
            return list(map(EnforcedLimits, uuids, repeat(valid_for), now))
        times = tuple([timestamps.format_utc(time) for time in slots.times_us.tolist()])
        schedules: list[Any]
        if len(times) == 1:
            schedules = list(zip(map(ScheduleResEntry, repeat(times[0]), now), strict=True))
        else:
            schedules = shares.forecasts(times, slots.column_of)
        return list(map(EnforcedLimits, uuids, repeat(valid_for), now, schedules))


class _Shares:
    """What some EVSEs get, and why: (columns, EVSEs)."""

    def __init__(self, outcome: Outcome, some: Some, *, named: bool) -> None:
        here = some.here
        self.current_A: Floats = outcome.current_A[:, here]
        self.has_current: Bools = outcome.has_current[:, here]
        self.power_W: Floats = outcome.power_W[:, here]
        self.has_power: Bools = outcome.has_power[:, here]
        self.phases: Counts = outcome.phases[:, here]
        self.texts = Texts(compared=len(outcome.slots.columns_us) > 1)
        if named:
            self.names = names_of(outcome, some, self.texts)
            self.phase_names = phase_sources_of(outcome, some, self.texts)
        else:
            self.names = self.phase_names = np.zeros(self.phases.shape, dtype=np.int32)

    def limits(self, column: int) -> list[LimitsRes]:
        """In one column."""
        names = self.texts.of(self.names[column])
        return list(
            map(
                LimitsRes,
                _numbers(self.power_W[column], self.has_power[column], names),
                _numbers(self.current_A[column], self.has_current[column], names),
                _counts(self.phases[column].tolist(), self.texts.of(self.phase_names[column])),
            )
        )

    def forecasts(self, times: tuple[str, ...], column_of: Ints) -> list[PackedForecast]:
        """In all slots, each of which is as one of the columns."""
        every = np.s_[:] if len(times) == len(self.phases) else column_of
        return packed(
            times,
            np.where(self.has_current, self.current_A, np.nan).T[:, every],
            np.where(self.has_power, self.power_W, np.nan).T[:, every],
            self.phases.T[:, every],
            self.texts.all(),
            self.names.T[:, every],
            self.phase_names.T[:, every],
        )


def _numbers(values: Floats, present: Bools, names: list[str]) -> list[NumberWithSource | None]:
    """With their sources."""
    if not any_of(present):
        return [None] * len(names)
    numbers: list[NumberWithSource | None] = list(map(NumberWithSource, values.tolist(), names))
    if all_of(present):
        return numbers
    return [number if there else None for number, there in zip(numbers, present.tolist(), strict=True)]


def _counts(phases: list[int], names: list[str]) -> list[IntegerWithSource | None]:
    """With their sources; None for 0."""
    if all(phases):
        return list(map(IntegerWithSource, phases, names))
    return [
        IntegerWithSource(count, name) if count else None for count, name in zip(phases, names, strict=True)
    ]
