"""The answer: enforced limits of every EVSE, made when somebody reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

from actors.energy.market.changes import changed_evses
from actors.energy.market.outcome import Outcome
from actors.energy.market.plain_run import PlainRun
from actors.energy.market.report import Report
from actors.energy.market.results import Results
from actors.energy.market.trace import Event, trace_of
from actors.energy.types import EnforcedLimits, LimitsRes


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
    def _now(self) -> Outcome:
        return self._outcome.at(self._outcome.slots.active_column)

    @cached_property
    def report(self) -> Report:
        """Why everyone got what they got."""
        return Report(self._run)

    def __len__(self) -> int:
        return len(self._tree.uuids)

    @overload
    def __getitem__(self, index: int) -> EnforcedLimits: ...

    @overload
    def __getitem__(self, index: slice) -> list[EnforcedLimits]: ...

    def __getitem__(self, index: int | slice) -> EnforcedLimits | list[EnforcedLimits]:
        if isinstance(index, slice):
            return self.some(range(len(self))[index])
        return self.some((range(len(self))[index],))[0]

    def __iter__(self) -> Iterator[EnforcedLimits]:
        return iter(self.some(range(len(self))))

    def some(self, evses: Sequence[int]) -> list[EnforcedLimits]:
        """The limits of some EVSEs, by their numbers."""
        if isinstance(self._run, PlainRun):
            return self._run.results(evses)
        return Results(self._outcome).of(evses)

    def renewed(self, before: Allocation, results: Sequence[EnforcedLimits]) -> list[EnforcedLimits]:
        """The same as list(self), where `results` is list(before): only what changed is built."""
        if isinstance(self._run, PlainRun) or isinstance(before._run, PlainRun):
            return list(self)
        return self._renewed(self._outcome, before._outcome, results, forecast=True)

    def renewed_active(
        self, before: Allocation, results: Sequence[EnforcedLimits]
    ) -> tuple[EnforcedLimits, ...]:
        """The same as `active`, where `results` is that of `before`: only what changed is built."""
        if isinstance(self._run, PlainRun) or isinstance(before._run, PlainRun):
            return self.active()
        return tuple(self._renewed(self._now, before._now, results, forecast=False))

    def _renewed(
        self, now: Outcome, before: Outcome, results: Sequence[EnforcedLimits], *, forecast: bool
    ) -> list[EnforcedLimits]:
        changed = changed_evses(now, before)
        found = list(results)
        if len(found) != len(self):
            return Results(now, forecast=forecast).of(range(len(self)))
        renewed = Results(now, forecast=forecast).of(changed)
        for evse, limits in zip(changed.tolist(), renewed, strict=True):
            found[evse] = limits
        return found

    @property
    def uuids(self) -> tuple[str, ...]:
        """All EVSEs, in depth-first order."""
        return tuple(self._tree.uuids)

    def of(self, uuid: str) -> EnforcedLimits:
        """The limits of one EVSE; KeyError for one that is not in the request."""
        return self[self._tree.number_of[uuid]]

    def now(self, uuid: str) -> LimitsRes:
        """Only what holds now: `limits_root_side` without the forecast."""
        if isinstance(self._run, PlainRun):
            return self._run.results((self._tree.number_of[uuid],), forecast=False)[0].limits_root_side
        return Results(self._now, forecast=False).of((self._tree.number_of[uuid],))[0].limits_root_side

    def active(self, *, named: bool = True) -> tuple[EnforcedLimits, ...]:
        """What holds now for every EVSE, without the forecast; without the sources unless `named`."""
        if isinstance(self._run, PlainRun):
            return tuple(self._run.results(range(len(self)), forecast=False, named=named))
        return tuple(Results(self._now, forecast=False, named=named).of(range(len(self))))
