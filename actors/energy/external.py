"""External limits: what grid operators, solar systems and people set on a node, by named source.

A source holds at most one set of limits. Where several sources speak, the most restrictive wins
(`actors.energy.schedules` merges them). How a source's limits end:

    set (--for D) ──D over──────────────► none
    set ────────────clear───────────────► none          (without either they stay)
    set | none | start ──silent for heartbeat_timeout_s──► failsafe ──set or clear──► set | none

A source that must be heard (`heartbeat_timeout_s`) starts in its failsafe, and a heartbeat alone
does not lead out of it: only new limits (or their withdrawal) do, since what was said before the
silence may be stale. A grid operator's source (`grid`) has more states: see grid_limit.py.
"""

from __future__ import annotations

import math

from msgspec import Struct

from actors.energy.external_checks import (
    MAX_ENTRIES_IN_ALL,
    check_limits,
    check_name,
    count_entries,
)
from actors.energy.external_checks import SourceRefusedError as SourceRefusedError
from actors.energy.external_source import Source, SourceState
from actors.energy.external_source import SourceConfig as SourceConfig
from actors.energy.types import (
    ExternalLimits,
    LimitsReq,
    NumberWithSource,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
    SetpointType,
)

ALWAYS = "1970-01-01T00:00:00.000Z"
"""Timestamp of an entry that holds from the start."""
MAX_SOURCES = 64
"""Sources that a node remembers; one more is refused."""


class ShortLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits without a schedule; `None` sets none. A positive setpoint charges."""

    total_power_W: float | None = None
    ac_max_current_A: float | None = None
    export_total_power_W: float | None = None
    export_ac_max_current_A: float | None = None
    setpoint_W: float | None = None
    setpoint_A: float | None = None


class SetLimits(Struct, frozen=True, kw_only=True, tag=True):
    """A source sets its limits, in place of those it had."""

    source: str
    limits: ExternalLimits
    for_s: float | None = None
    """They end after so many seconds; None: they stay until cleared."""


class ClearLimits(Struct, frozen=True, kw_only=True, tag=True):
    """A source withdraws its limits."""

    source: str


class Heartbeat(Struct, frozen=True, kw_only=True, tag=True):
    """A source says that it is there, and nothing else."""

    source: str


class CancelDelay(Struct, frozen=True, kw_only=True, tag=True):
    """What a source allows counts now, without waiting for its random delay."""

    source: str


SourceEvent = SetLimits | ClearLimits | Heartbeat | CancelDelay


class SourceStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One source, for the operator."""

    name: str
    state: SourceState
    limits: ExternalLimits | None = None
    """In force now."""
    ends_in_s: float | None = None
    silent_s: float | None = None
    """How long nothing was heard, where a heartbeat is due."""
    delayed_s: float | None = None
    """How long something that it allowed less than now goes on to hold."""


class SavedSource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A source as it is kept over a restart."""

    name: str
    limits: ExternalLimits | None = None
    ends_in_s: float | None = None


class SavedSources(Struct, frozen=True, kw_only=True):
    """All sources of a module as they are kept over a restart."""

    saved_at_us: int
    """Wall clock, microseconds since the epoch."""
    saved_at_s: float | None = None
    """Monotonic seconds, which begin anew with each start of the machine."""
    sources: tuple[SavedSource, ...]


class ExternalSources:
    """The sources of one node. Times are monotonic seconds; `tick` before reading what is in force."""

    def __init__(self, declared: tuple[SourceConfig, ...], now_s: float) -> None:
        self._sources = {config.name: Source(config, now_s) for config in declared}
        self._later: list[str] = []
        self.version = 0
        """Counts changes of what is in force, and of until when."""

    def step(self, now_s: float, event: SourceEvent) -> str:
        """Take an event; returns a line for the log. Raises SourceRefusedError."""
        if event.source not in self._sources:
            if not isinstance(event, SetLimits):
                raise SourceRefusedError(f"no source {event.source!r} here; known: {self._known()}")
            if len(self._sources) >= MAX_SOURCES:
                raise SourceRefusedError(f"{MAX_SOURCES} sources are known here; clear one first")
        before = self._in_force_until(event.source)
        if (known := self._sources.get(event.source)) is not None:
            led = known.tick_grid(now_s)
            self._later += led
            self.version += bool(led)
        match event:
            case SetLimits():
                check_name(event.source)
                check_limits(event.limits)
                self._check_room(event)
                if event.for_s is not None and not 0 < event.for_s < math.inf:
                    raise SourceRefusedError(f"for_s must be above 0, got {event.for_s}")
                source = self._sources.get(event.source) or Source(SourceConfig(name=event.source), now_s)
                source.set(now_s, event.limits, event.for_s)
                self._sources[event.source] = source
                told = f"source {event.source} sets limits" + (
                    "" if event.for_s is None else f" for {event.for_s:g} s"
                )
            case ClearLimits():
                source = self._sources[event.source]
                source.set(now_s, None, None)
                told = f"source {event.source} withdraws its limits"
            case Heartbeat():
                source = self._sources[event.source]
                if source.grid is not None:
                    source.grid.heartbeat(now_s)
                told = f"heartbeat of source {event.source}"
            case CancelDelay():
                source = self._sources[event.source]
                if not source.delay.cancel():
                    raise SourceRefusedError(f"nothing is delayed at source {event.source!r}")
                self.version += 1
                told = f"the random delay of source {event.source} is cancelled"
        if not isinstance(event, CancelDelay):
            source.heard_s = now_s
            source.has_changed(now_s, None if before is None else before[0])
        self.version += before != self._in_force_until(event.source)
        if source.limits is None and source.config == SourceConfig(name=event.source):
            del self._sources[event.source]  # declared nowhere: a withdrawn source is forgotten
        return told

    def tick(self, now_s: float) -> list[str]:
        """End what has run out; returns lines for the log."""
        if not self._sources and not self._later:
            return []
        told, self._later = self._later, []
        for name, source in list(self._sources.items()):
            before = source.in_force()
            if source.delay.tick(now_s):
                told.append(f"the random delay of source {name} is over")
            if source.ends_s is not None and now_s >= source.ends_s:
                source.limits, source.ends_s = None, None
                told.append(f"limits of source {name} have run out")
                if source.config == SourceConfig(name=name):
                    del self._sources[name]
            told += source.tick_grid(now_s)
            if now_s >= source.silent_from_s():
                source.failed = True
                told.append(
                    f"source {name} silent for {source.config.heartbeat_timeout_s:g} s: its failsafe holds"
                )
            source.has_changed(now_s, before)
        self.version += bool(told)
        return told

    def due_s(self) -> float | None:
        """When something runs out next; None when nothing does."""
        if not self._sources:
            return None
        sources = self._sources.values()
        ends = [s.ends_s for s in sources if s.ends_s is not None]
        ends += [due_s for s in sources if s.grid is not None and (due_s := s.grid.due_s()) is not None]
        ends += [due_s for s in sources if (due_s := s.delay.due_s()) is not None]
        ends += [at_s for s in sources if (at_s := s.silent_from_s()) < math.inf]
        return min(ends, default=None)

    def in_force(self) -> list[tuple[str, ExternalLimits]]:
        """Name and limits of each source that sets any; more than once where a raise is delayed."""
        found: list[tuple[str, ExternalLimits]] = []
        if not self._sources:
            return found
        for name, source in self._sources.items():
            found += [(name, limits) for limits in source.delay.held()]
            if (limits := source.in_force()) is not None:
                found.append((name, limits))
        return found

    def status(self, now_s: float) -> tuple[SourceStatus, ...]:
        """Every source, for the operator."""
        return tuple(
            SourceStatus(
                name=name,
                state=source.state(),
                limits=source.in_force(),
                ends_in_s=None if (ends_s := source.ends()) is None else max(0.0, ends_s - now_s),
                silent_s=now_s - source.heard_s if source.watches() else None,
                delayed_s=None if (until_s := source.delay.ends_s()) is None else max(0.0, until_s - now_s),
            )
            for name, source in self._sources.items()
        )

    def save(self, now_s: float, wall_us: int) -> SavedSources:
        """What must outlive a restart: limits stay until cleared, also when a process dies.

        What holds as declared is left out, so that a changed declaration is not overruled.
        """
        return SavedSources(
            saved_at_us=wall_us,
            saved_at_s=now_s,
            sources=tuple(
                SavedSource(
                    name=name,
                    limits=source.limits,
                    ends_in_s=None if source.ends_s is None else source.ends_s - now_s,
                )
                for name, source in self._sources.items()
                if not source.as_declared()
            ),
        )

    def restore(self, saved: SavedSources, now_s: float, wall_us: int) -> None:
        """Take up what was saved. Sources with a heartbeat stay in their failsafe until heard.

        A limit rather holds too long than too short. So the monotonic clock tells how long the
        process was away at least; where it shows that the machine was started since, the wall clock
        does, and if that was set back, nothing is taken off.
        """
        away_s = max(0.0, (wall_us - saved.saved_at_us) / 1e6)
        if saved.saved_at_s is not None and now_s >= saved.saved_at_s:
            away_s = now_s - saved.saved_at_s
        for entry in saved.sources:
            ends_s = None if entry.ends_in_s is None else now_s + entry.ends_in_s - away_s
            if entry.name not in self._sources and entry.limits is None:
                continue  # withdrawn, and declared no longer
            if entry.name in self._sources and self._sources[entry.name].grid is not None:
                continue  # it was another kind of source when that was said
            try:
                check_name(entry.name)
                check_limits(entry.limits or ExternalLimits())
            except SourceRefusedError as error:
                self._later.append(f"what source {entry.name!r} had set is not taken up: {error}")
                continue
            source = self._sources.setdefault(entry.name, Source(SourceConfig(name=entry.name), now_s))
            source.limits, source.ends_s = entry.limits, ends_s
        self.version += 1
        self._later += self.tick(now_s)

    def _known(self) -> str:
        return ", ".join(self._sources) or "none"

    def _check_room(self, event: SetLimits) -> None:
        others = sum(s.entries() for name, s in self._sources.items() if name != event.source)
        if others + count_entries(event.limits) > MAX_ENTRIES_IN_ALL:
            raise SourceRefusedError(
                f"all sources together may set {MAX_ENTRIES_IN_ALL} entries; the others have {others}"
            )

    def _in_force_until(self, name: str) -> tuple[ExternalLimits | None, float | None] | None:
        source = self._sources.get(name)
        return None if source is None else (source.in_force(), source.ends())


def short_form(limits: ShortLimits, source: str) -> ExternalLimits:
    """Limits that hold from now on, in the form of schedules with one entry each.

    A direction or setpoint that is not named is left alone. Raises SourceRefusedError.
    """
    if limits.setpoint_W is not None and limits.setpoint_A is not None:
        raise SourceRefusedError("a setpoint is in watt or in ampere, not both")
    setpoint = None
    if limits.setpoint_W is not None or limits.setpoint_A is not None:
        setpoint = SetpointType(
            priority=0, source=source, ac_current_A=limits.setpoint_A, total_power_W=limits.setpoint_W
        )
    external = ExternalLimits(
        schedule_import=_always(limits.total_power_W, limits.ac_max_current_A, source),
        schedule_export=_always(limits.export_total_power_W, limits.export_ac_max_current_A, source),
        schedule_setpoints=(
            () if setpoint is None else (ScheduleSetpointEntry(timestamp=ALWAYS, setpoint=setpoint),)
        ),
    )
    check_limits(external)
    return external


def _always(power_W: float | None, current_A: float | None, source: str) -> tuple[ScheduleReqEntry, ...]:
    if power_W is None and current_A is None:
        return ()
    limits = LimitsReq(
        total_power_W=None if power_W is None else NumberWithSource(power_W, source),
        ac_max_current_A=None if current_A is None else NumberWithSource(current_A, source),
    )
    return (ScheduleReqEntry(timestamp=ALWAYS, limits_to_root=limits, limits_to_leaves=LimitsReq()),)
