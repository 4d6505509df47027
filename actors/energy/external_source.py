"""One source of external limits: what it set, what holds when it is silent, and until when."""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from actors.energy.external_checks import count_entries
from actors.energy.grid_limit import GridLimit, GridLimitConfig, GridState, grid_limits
from actors.energy.random_delay import RandomDelay
from actors.energy.types import ExternalLimits

SourceState = Literal["none", "set", "failsafe"] | GridState


class SourceConfig(Struct, frozen=True, kw_only=True):
    """A named source of external limits, as declared at its module."""

    name: str
    limits: ExternalLimits | None = None
    """In force from the start, until the source says otherwise."""
    heartbeat_timeout_s: float | None = None
    """Silent for longer than this, the source falls to its failsafe."""
    failsafe: ExternalLimits | None = None
    """Declared exactly when heartbeat_timeout_s or grid is."""
    grid: GridLimitConfig | None = None
    """It is the grid operator's, and follows these rules instead."""
    random_delay_s: float = 0.0
    """What it allows more it allows after a random while of up to so long."""


class Source:
    """Times are monotonic seconds."""

    def __init__(self, config: SourceConfig, now_s: float) -> None:
        self.config = config
        self.limits = config.limits
        self.ends_s: float | None = None
        self.heard_s = now_s
        self.failed = config.heartbeat_timeout_s is not None
        self.grid = None if config.grid is None else GridLimit(config.grid, now_s)
        self.delay = RandomDelay(config.name, config.random_delay_s)

    def in_force(self) -> ExternalLimits | None:
        holds = None if self.grid is None else self.grid.holds()
        if self.failed or holds == "failsafe":
            return self.config.failsafe
        return None if holds == "nothing" else self.limits

    def state(self) -> SourceState:
        if self.grid is not None:
            return self.grid.state
        return "failsafe" if self.failed else "none" if self.limits is None else "set"

    def ends(self) -> float | None:
        """When what is in force ends by itself."""
        return self.ends_s if self.grid is None else self.grid.ends_s()

    def set(self, now_s: float, limits: ExternalLimits | None, for_s: float | None) -> None:
        """Set limits, or withdraw them (None). Raises SourceRefusedError, then all is as it was."""
        if self.grid is not None:
            if limits is not None:
                limits = grid_limits(limits, self.grid.config.floor_W())
            self.grid.limit(now_s, active=limits is not None, for_s=for_s)
        self.limits = limits
        self.ends_s = None if limits is None or for_s is None or self.grid is not None else now_s + for_s
        self.failed = False

    def tick_grid(self, now_s: float) -> list[str]:
        """Where time has led a grid operator's source; returns lines for the log."""
        told = [] if self.grid is None else self.grid.tick(now_s)
        if told:
            self.limits = None
        return [f"grid operator {self.config.name}: {line}" for line in told]

    def has_changed(self, now_s: float, before: ExternalLimits | None) -> None:
        """What was in force before goes on to hold for a while, where raises are delayed."""
        if self.config.random_delay_s:
            self.delay.note(now_s, before, self.in_force())

    def watches(self) -> bool:
        """Whether it must be heard."""
        return self.grid is not None or self.config.heartbeat_timeout_s is not None

    def silent_from_s(self) -> float:
        """When it counts as silent, unless it is heard; never without a heartbeat to wait for."""
        timeout_s = self.config.heartbeat_timeout_s
        return math.inf if timeout_s is None or self.failed else self.heard_s + timeout_s

    def as_declared(self) -> bool:
        """Whether nobody has said anything that must outlive a restart; after one a grid operator begins
        anew."""
        return self.grid is not None or (self.ends_s is None and self.limits == self.config.limits)

    def entries(self) -> int:
        """Of its limits, in all schedules."""
        return 0 if self.limits is None else count_entries(self.limits)
