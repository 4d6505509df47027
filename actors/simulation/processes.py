"""Processes of a site, with the modules that each hosts and what each keeps on disk."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.amount import NOTHING, Amount, largest
from actors.energy.effects import Effect, RunMarket
from actors.energy.external import SavedSources
from actors.energy.ledger import Ledger
from actors.energy.market import Memory
from actors.energy.messages import Instant, Report
from actors.energy.trunk import Trunk
from actors.energy.types import EnforcedLimits
from actors.simulation.clocks import ProcessClocks
from actors.simulation.network import Link
from actors.site import Site

if TYPE_CHECKING:
    from actors.simulation.meters import Meter

MOST_WAITING = 50_000
"""Messages that wait for a process that stands still; beyond it the oldest are lost."""

State = Literal["up", "paused", "down"]


class Core(Protocol):
    """What is simulated."""

    due_s: float

    def step(self, now: Instant, event: Any) -> list[Effect]: ...
    def farewell(self, now: Instant) -> list[Effect]: ...


class Build(Protocol):
    """Makes a core; `actors.build.build_core` is one."""

    def __call__(
        self,
        site: Site,
        module_id: str,
        boot: str,
        now: Instant,
        saved: SavedSources | None = ...,
        kept_epoch: int | None = ...,
    ) -> Any: ...


class Trap(Struct):
    """Ends or pauses a process in the middle of a step."""

    effects_left: int
    pauses: bool
    for_s: float
    loses_state: bool = False
    reboots: bool = False


class Slot:
    """A module's place in its process; its core is there while the process is up."""

    def __init__(self, module_id: str, index: int, process: Process) -> None:
        self.id = module_id
        self.index = index
        self.process = process
        self.parent: Slot | None = None
        self.up: Link | None = None
        self.down: Link | None = None
        """To its parent, and back; the root has neither."""
        self.core: Core | None = None
        self.ledger: Ledger | None = None
        """That of its core, of a node."""
        self.meter: Meter | None = None
        self.lives = 0
        self.memory: Memory | None = None
        self.last_run: RunMarket | None = None
        self.last_answer: tuple[EnforcedLimits, ...] = ()
        self.wake_own_s = float("inf")
        """The earliest wake that is on its way, by the process's clock."""
        self.gives_back = (0.0, NOTHING)
        """Until when it says that this flows back below it."""
        self.kept_sources: SavedSources | None = None
        self.kept_epoch: int | None = 0

    def begin(self, core: Core) -> None:
        """A life begins."""
        self.core = core
        self.ledger = core.branch.ledger if isinstance(core, Trunk) else None

    def end(self) -> None:
        """Its life ends."""
        self.core = self.ledger = None


def giving_back(report: Report, back: Amount) -> Report:
    """A report that says besides that this flows back."""
    committed = None if report.committed is None else largest(report.committed, back)
    return replace(report, committed=committed, holds=largest(report.holds, back))


class Process:
    """One controller."""

    def __init__(self, name: str, clocks: ProcessClocks) -> None:
        self.name = name
        self.clocks = clocks
        self.slots: list[Slot] = []
        self.state: State = "down"
        self.turn = 0
        """Counts its changes of state: what was planned for an earlier one is void."""
        self.waiting: deque[tuple[Slot, Any]] = deque(maxlen=MOST_WAITING)
        self.unfinished: list[tuple[Slot, Core, list[Effect]]] = []
        """What a step that was stopped in its middle had still to do, the innermost first."""
        self.resume_s = 0.0
        self.trap: Trap | None = None
        self.disk_fails_until_s = 0.0

    def is_up(self) -> bool:
        """Whether it runs now; what a step does may change that."""
        return self.state == "up"

    def turn_to(self, state: State) -> int:
        """Change state; returns the new turn."""
        self.state = state
        self.turn += 1
        return self.turn
