"""The shell around a core: take a message, step the core, carry out its effects.

The actor knows the clock and where its messages go; every decision is the core's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from actors import clock
from actors.energy.effects import (
    Effect,
    KeepEpoch,
    RunMarket,
    Save,
    Say,
    ToChild,
    ToDriver,
    ToGateway,
    ToParent,
)
from actors.energy.external import SavedSources
from actors.energy.messages import (
    Actuate,
    Command,
    EpochKept,
    Grant,
    Instant,
    ModuleStatus,
    OptimizerStatus,
    Outcome,
    Report,
)
from actors.handle import Handle
from actors.loop import Loop, LoopActor
from actors.market_runner import Sessions

NOT_KEPT = "it could not be written to disk and will not outlive a restart; see the log of its controller"

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class Core(Protocol):
    """What an actor steps."""

    id: str
    due_s: float

    def step(self, now: Instant, event: Any) -> list[Effect]: ...
    def farewell(self, now: Instant) -> list[Effect]: ...
    def report_status(self, now: Instant) -> tuple[ModuleStatus, ...]: ...


class Outlets(Protocol):
    """Where messages go; the controller's switchboard."""

    def to_parent(self, module_id: str, message: Report | Outcome) -> None: ...
    def to_child(self, module_id: str, child: str, message: Grant | Command) -> None: ...
    def to_driver(self, module_id: str, message: Actuate) -> None: ...
    def to_gateway(self, message: Outcome) -> None: ...
    def let_go(self) -> None: ...
    def save(self, module_id: str, sources: SavedSources) -> bool: ...
    def keep_epoch(self, module_id: str, epoch: int) -> str | None: ...
    def load_sessions(self, module_id: str) -> Sessions: ...
    def keep_sessions(self, module_id: str, sessions: Sessions) -> bool: ...


class Tick(Struct, frozen=True):
    """Time has passed."""


class Leave(Struct, frozen=True):
    """The process ends in good order: tell the parent."""


class StatusQuery(Struct, frozen=True):
    """Asks for the status of a module and all below it."""

    answer: Callable[[StatusAnswer], None]
    with_request: bool = False
    with_reasons: bool = True
    """Also the forecast."""


class StatusAnswer(Struct, frozen=True):
    """The module first, then all below it; the optimizer's where the module is the root."""

    modules: tuple[ModuleStatus, ...]
    optimizer: OptimizerStatus | None = None


class TreeActor(LoopActor):
    """One module of the tree. An exception ends this life; the controller begins another."""

    def __init__(self, loop: Loop, core: Core, handle: Handle, outlets: Outlets) -> None:
        super().__init__(loop)
        self.core = core
        self._handle = handle
        self._outlets = outlets
        self._log = logging.getLogger(f"amptree.{core.id}")

    def on_wake(self) -> None:
        """Step the core with what waits."""
        for event in self._handle.take():
            match event:
                case StatusQuery():
                    event.answer(self.status(event))
                case Leave():
                    self._carry_out_all(self.core.farewell(clock.now()))
                case _:
                    self.step(None if isinstance(event, Tick) else event)

    def step(self, event: Any) -> None:
        """One step of the core, and what it asks for."""
        self._carry_out_all(self.core.step(clock.now(), event))

    def _carry_out_all(self, effects: list[Effect]) -> None:
        """First what limits currents; then what waits for a disk, and is confirmed once it is there."""
        if Save not in map(type, effects):
            for effect in effects:
                self.carry_out(effect)
            return
        kept = True
        for effect in sorted(effects, key=_waits):
            match effect:
                case Save(sources):
                    kept = self._outlets.save(self.core.id, sources)
                case ToGateway(Outcome() as outcome) | ToParent(Outcome() as outcome) if not kept:
                    self.carry_out(replace(effect, message=replace(outcome, warning=NOT_KEPT)))
                case _:
                    self.carry_out(effect)

    def status(self, _: StatusQuery) -> StatusAnswer:
        """This module and all below it."""
        return StatusAnswer(self.core.report_status(clock.now()))

    def carry_out(self, effect: Effect) -> None:
        """Do what the core asked for."""
        match effect:  # without patterns of what is in it, which cost more than what is done with it
            case ToDriver():
                self._outlets.to_driver(self.core.id, effect.message)
            case ToChild():
                self._outlets.to_child(self.core.id, effect.child, effect.message)
            case ToParent():
                self._outlets.to_parent(self.core.id, effect.message)
            case ToGateway():
                self._outlets.to_gateway(effect.message)
            case Say(level, text):
                self._log.log(LEVELS[level], "%s", text)
            case KeepEpoch(epoch):
                fault = self._outlets.keep_epoch(self.core.id, epoch)
                self.step(EpochKept(epoch=epoch, ok=fault is None, fault=fault or ""))
            case RunMarket():
                self.run_market(effect)
            case Save():
                raise AssertionError(f"{self.core.id} has saved it already")

    def run_market(self, run: RunMarket) -> None:
        """Of those that ask a market."""
        raise AssertionError(f"{self.core.id} has no market")


def _waits(effect: Effect) -> bool:
    """Whether an effect is to come after all others, in their order."""
    match effect:
        case Save() | ToGateway() | ToParent(Outcome()):
            return True
    return False
