"""External limits: what grid operators, solar systems and people set on a node, by named source.

A source holds at most one set of limits. Where several sources speak, the most restrictive wins
(`actors.energy.schedules` merges them). How a source's limits end:

    set (--for D) ──D over──────────────► none
    set ────────────clear───────────────► none          (without either they stay)
    set | none | start ──silent for heartbeat_timeout_s──► failsafe ──set or clear──► set | none

A source that must be heard (`heartbeat_timeout_s`) starts in its failsafe, and a heartbeat alone
does not lead out of it: only new limits (or their withdrawal) do, since what was said before the
silence may be stale. This is what EEBUS LPC asks of a grid operator's limit.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from actors.energy import timestamps
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
MAX_ENTRIES = 1_000
"""Entries of one schedule that a source may set."""

SourceState = Literal["none", "set", "failsafe"]


class ShortLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits without a schedule; `None` sets none. A positive setpoint charges."""

    total_power_W: float | None = None
    ac_max_current_A: float | None = None
    export_total_power_W: float | None = None
    export_ac_max_current_A: float | None = None
    setpoint_W: float | None = None
    setpoint_A: float | None = None


class SourceConfig(Struct, frozen=True, kw_only=True):
    """A named source of external limits, as declared at its module."""

    name: str
    limits: ExternalLimits | None = None
    """In force from the start, until the source says otherwise."""
    heartbeat_timeout_s: float | None = None
    """Silent for longer than this, the source falls to its failsafe."""
    failsafe: ExternalLimits | None = None
    """Declared exactly when heartbeat_timeout_s is."""


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


SourceEvent = SetLimits | ClearLimits | Heartbeat


class SourceStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One source, for the operator."""

    name: str
    state: SourceState
    limits: ExternalLimits | None = None
    """In force now."""
    ends_in_s: float | None = None
    silent_s: float | None = None
    """How long nothing was heard, where a heartbeat is due."""


class SavedSource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A source as it is kept over a restart."""

    name: str
    limits: ExternalLimits | None = None
    ends_in_s: float | None = None


class SavedSources(Struct, frozen=True, kw_only=True):
    """All sources of a module as they are kept over a restart."""

    saved_at_us: int
    """Wall clock, microseconds since the epoch."""
    sources: tuple[SavedSource, ...]


class SourceRefusedError(ValueError):
    """The source or its limits cannot be taken; the message says why in one line."""


class _Source:
    def __init__(self, config: SourceConfig, now_s: float) -> None:
        self.config = config
        self.limits = config.limits
        self.ends_s: float | None = None
        self.heard_s = now_s
        self.failed = config.heartbeat_timeout_s is not None

    def in_force(self) -> ExternalLimits | None:
        return self.config.failsafe if self.failed else self.limits

    def state(self) -> SourceState:
        return "failsafe" if self.failed else "none" if self.limits is None else "set"


class ExternalSources:
    """The sources of one node. Times are monotonic seconds; `tick` before reading what is in force."""

    def __init__(self, declared: tuple[SourceConfig, ...], now_s: float) -> None:
        self._sources = {config.name: _Source(config, now_s) for config in declared}
        self.version = 0
        """Counts changes of what is in force."""

    def step(self, now_s: float, event: SourceEvent) -> str:
        """Take an event; returns a line for the log. Raises SourceRefusedError."""
        if event.source not in self._sources:
            if not isinstance(event, SetLimits):
                raise SourceRefusedError(f"no source {event.source!r} here; known: {self._known()}")
            if len(self._sources) >= MAX_SOURCES:
                raise SourceRefusedError(f"{MAX_SOURCES} sources are known here; clear one first")
        match event:
            case SetLimits():
                check_limits(event.limits)
                if event.for_s is not None and not 0 < event.for_s < math.inf:
                    raise SourceRefusedError(f"for_s must be above 0, got {event.for_s}")
                source = self._sources.setdefault(
                    event.source, _Source(SourceConfig(name=event.source), now_s)
                )
                source.limits = event.limits
                source.ends_s = None if event.for_s is None else now_s + event.for_s
                source.failed = False
                told = f"source {event.source} sets limits" + (
                    "" if event.for_s is None else f" for {event.for_s:g} s"
                )
            case ClearLimits():
                source = self._sources[event.source]
                source.limits, source.ends_s, source.failed = None, None, False
                told = f"source {event.source} withdraws its limits"
            case Heartbeat():
                source = self._sources[event.source]
                told = f"heartbeat of source {event.source}"
        source.heard_s = now_s
        if not isinstance(event, Heartbeat):
            self.version += 1
        if source.limits is None and source.config == SourceConfig(name=event.source):
            del self._sources[event.source]  # declared nowhere: a withdrawn source is forgotten
        return told

    def tick(self, now_s: float) -> list[str]:
        """End what has run out; returns lines for the log."""
        told = []
        for name, source in list(self._sources.items()):
            if source.ends_s is not None and now_s >= source.ends_s:
                source.limits, source.ends_s = None, None
                told.append(f"limits of source {name} have run out")
                if source.config == SourceConfig(name=name):
                    del self._sources[name]
            timeout_s = source.config.heartbeat_timeout_s
            if timeout_s is not None and not source.failed and now_s - source.heard_s >= timeout_s:
                source.failed = True
                told.append(f"source {name} silent for more than {timeout_s:g} s: its failsafe holds")
        self.version += bool(told)
        return told

    def due_s(self) -> float | None:
        """When something runs out next; None when nothing does."""
        sources = self._sources.values()
        ends = [s.ends_s for s in sources if s.ends_s is not None]
        ends += [
            s.heard_s + s.config.heartbeat_timeout_s
            for s in sources
            if s.config.heartbeat_timeout_s is not None and not s.failed
        ]
        return min(ends, default=None)

    def in_force(self) -> list[tuple[str, ExternalLimits]]:
        """Name and limits of each source that sets any."""
        return [(n, limits) for n, s in self._sources.items() if (limits := s.in_force()) is not None]

    def status(self, now_s: float) -> tuple[SourceStatus, ...]:
        """Every source, for the operator."""
        return tuple(
            SourceStatus(
                name=name,
                state=source.state(),
                limits=source.in_force(),
                ends_in_s=None if source.ends_s is None else max(0.0, source.ends_s - now_s),
                silent_s=None if source.config.heartbeat_timeout_s is None else now_s - source.heard_s,
            )
            for name, source in self._sources.items()
        )

    def save(self, now_s: float, wall_us: int) -> SavedSources:
        """What must outlive a restart: limits stay until cleared, also when a process dies."""
        return SavedSources(
            saved_at_us=wall_us,
            sources=tuple(
                SavedSource(
                    name=name,
                    limits=source.limits,
                    ends_in_s=None if source.ends_s is None else source.ends_s - now_s,
                )
                for name, source in self._sources.items()
            ),
        )

    def restore(self, saved: SavedSources, now_s: float, wall_us: int) -> None:
        """Take up what was saved. Sources with a heartbeat stay in their failsafe until heard.

        The wall clock measures how long the process was away; where it was set back, nothing is
        taken off, so that a limit rather holds too long than too short.
        """
        away_s = max(0.0, (wall_us - saved.saved_at_us) / 1e6)
        for entry in saved.sources:
            ends_s = None if entry.ends_in_s is None else now_s + entry.ends_in_s - away_s
            if entry.name not in self._sources and (
                entry.limits is None or len(self._sources) >= MAX_SOURCES
            ):
                continue
            source = self._sources.setdefault(entry.name, _Source(SourceConfig(name=entry.name), now_s))
            source.limits, source.ends_s = entry.limits, ends_s
        self.version += 1
        self.tick(now_s)

    def _known(self) -> str:
        return ", ".join(self._sources) or "none"


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


def check_limits(limits: ExternalLimits) -> None:
    """Refuse what the market would refuse, before it is in force. Raises SourceRefusedError."""
    for name in ("schedule_import", "schedule_export", "schedule_setpoints"):
        entries = getattr(limits, name)
        if len(entries) > MAX_ENTRIES:
            raise SourceRefusedError(f"{name}: at most {MAX_ENTRIES} entries, got {len(entries)}")
        for index, entry in enumerate(entries):
            _check_entry(f"{name}[{index}]", entry)


def _check_entry(path: str, entry: ScheduleReqEntry | ScheduleSetpointEntry) -> None:
    try:
        timestamps.parse(entry.timestamp)
    except ValueError as error:
        raise SourceRefusedError(f"{path}.timestamp: {error}") from error
    if isinstance(entry, ScheduleSetpointEntry):
        for name in ("ac_current_A", "total_power_W"):
            value = getattr(entry.setpoint, name, None)
            if value is not None and not math.isfinite(value):
                raise SourceRefusedError(f"{path}.setpoint.{name}: must be finite, got {value}")
        return
    efficiency = entry.conversion_efficiency
    if efficiency is not None and not 0 < efficiency <= 1:
        raise SourceRefusedError(f"{path}.conversion_efficiency: must be in (0, 1], got {efficiency}")
    for side in ("limits_to_root", "limits_to_leaves"):
        for name in ("total_power_W", "ac_max_current_A", "ac_min_current_A"):
            number = getattr(getattr(entry, side), name)
            if number is not None and not 0 <= number.value < math.inf:
                raise SourceRefusedError(
                    f"{path}.{side}.{name}: must be finite and not negative, got {number.value}"
                )
