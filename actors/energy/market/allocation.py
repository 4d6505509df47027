"""The answer: enforced limits of every EVSE, made when somebody reads them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import overload

from actors.energy import timestamps
from actors.energy.market.bounds import bounds_of
from actors.energy.market.outcome import Outcome
from actors.energy.market.plain_run import PlainRun
from actors.energy.market.report import Report
from actors.energy.market.sources import joined, phases_source
from actors.energy.market.trace import Event, trace_of
from actors.energy.types import (
    EnforcedLimits,
    IntegerWithSource,
    LimitsRes,
    NumberWithSource,
    ScheduleResEntry,
    valid_for_s,
)


class Allocation(Sequence[EnforcedLimits]):
    """Enforced limits in depth-first order of the EVSEs; `of` finds one by its uuid.

    Each item is built from arrays at every access, so reading one EVSE costs the same in a tree
    of ten as in one of ten thousand. `report` says why; `trace` is the whole story, when asked for.
    """

    def __init__(self, run: Outcome | PlainRun, *, trace: bool = False):
        self._run = run
        self._tree = run.tree
        self.trace: tuple[Event, ...] = trace_of(run.outcome) if trace else ()

    @property
    def _outcome(self) -> Outcome:
        return self._run.outcome

    @cached_property
    def report(self) -> Report:
        """Why everyone got what they got."""
        return Report(self._outcome)

    def __len__(self) -> int:
        return len(self._tree.uuids)

    @overload
    def __getitem__(self, index: int) -> EnforcedLimits: ...

    @overload
    def __getitem__(self, index: slice) -> list[EnforcedLimits]: ...

    def __getitem__(self, index: int | slice) -> EnforcedLimits | list[EnforcedLimits]:
        if isinstance(index, slice):
            return [self._limits(evse) for evse in range(len(self))[index]]
        return self._limits(range(len(self))[index])

    @property
    def uuids(self) -> tuple[str, ...]:
        """All EVSEs, in depth-first order."""
        return tuple(self._tree.uuids)

    def of(self, uuid: str) -> EnforcedLimits:
        """The limits of one EVSE; KeyError for one that is not in the request."""
        return self._limits(self._tree.number_of[uuid])

    def now(self, uuid: str) -> LimitsRes:
        """Only what holds now: `limits_root_side` without the forecast."""
        return self._at(self._run.slots.active_column, self._tree.number_of[uuid])

    def active(self, *, named: bool = True) -> tuple[EnforcedLimits, ...]:
        """What holds now for every EVSE, without the forecast; without the sources unless `named`."""
        if isinstance(self._run, PlainRun) and not named:
            return self._run.bare()
        outcome = self._outcome
        column, valid_for = outcome.slots.active_column, valid_for_s(outcome.config)
        return tuple(
            EnforcedLimits(
                uuid=uuid, valid_for=valid_for, limits_root_side=self._at(column, evse, named=named)
            )
            for evse, uuid in enumerate(outcome.tree.uuids)
        )

    def _limits(self, evse: int) -> EnforcedLimits:
        outcome, slots = self._outcome, self._outcome.slots
        columns = [self._at(column, evse) for column in range(len(slots.columns_us))]
        return EnforcedLimits(
            uuid=outcome.tree.uuids[evse],
            valid_for=valid_for_s(outcome.config),
            limits_root_side=columns[slots.active_column],
            schedule=tuple(
                ScheduleResEntry(timestamp=time, limits_to_root=columns[column])
                for time, column in zip(self._timestamps, slots.column_of.tolist(), strict=True)
            ),
        )

    @property
    def _timestamps(self) -> list[str]:
        if not hasattr(self, "_texts"):
            self._texts = [timestamps.format_utc(time) for time in self._outcome.slots.times_us.tolist()]
        return self._texts

    def _at(self, column: int, evse: int, *, named: bool = True) -> LimitsRes:
        outcome = self._outcome
        source = joined(bound.source for bound in bounds_of(outcome, column, evse)) if named else ""
        current = power = phases = None
        if outcome.has_current[column, evse]:
            current = NumberWithSource(float(outcome.current_A[column, evse]), source)
        if outcome.has_power[column, evse]:
            power = NumberWithSource(float(outcome.power_W[column, evse]), source)
        if outcome.phases[column, evse] > 0:
            why = phases_source(outcome, column, evse) if named else ""
            phases = IntegerWithSource(int(outcome.phases[column, evse]), why)
        return LimitsRes(ac_max_current_A=current, total_power_W=power, ac_max_phase_count=phases)
