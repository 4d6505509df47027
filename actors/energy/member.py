"""What every module of the tree has: a name, external sources, and commands that are for it.

A command enters at any module, goes down the branch that its target is on, and its outcome goes
back up to where it entered.
"""

from __future__ import annotations

from actors.energy.effects import Effect, Save, Say, ToGateway, ToParent
from actors.energy.external import (
    ExternalSources,
    Heartbeat,
    SavedSources,
    SourceConfig,
    SourceRefusedError,
)
from actors.energy.messages import Command, Instant, Outcome


class Member:
    """Shared by the cores of EnergyManager, EnergyNode and EvseManager."""

    tells_status = True
    """Reports carry what operators look at; a simulation that nobody looks at does without."""

    def __init__(
        self, module_id: str, declared: tuple[SourceConfig, ...], saved: SavedSources | None, now: Instant
    ) -> None:
        self.id = module_id
        self.sources = ExternalSources(declared, now.mono_s)
        if saved is not None:
            self.sources.restore(saved, now.mono_s, now.wall_us)

    def obey(self, now: Instant, command: Command) -> list[Effect]:
        """Carry out a command that is for this module."""
        version = self.sources.version
        try:
            told = self.sources.step(now.mono_s, command.event)
        except SourceRefusedError as error:
            outcome = Outcome(id=command.id, origin=command.origin, error=str(error))
            return [Say("warning", f"command refused: {error}"), *self.answer(outcome)]
        return [
            Say("debug" if isinstance(command.event, Heartbeat) else "info", told),
            *([] if self.sources.version == version else [self._save(now)]),
            *self.answer(Outcome(id=command.id, origin=command.origin)),
        ]

    def answer(self, outcome: Outcome) -> list[Effect]:
        """Pass an outcome on towards its origin."""
        return [ToGateway(outcome) if outcome.origin == self.id else ToParent(outcome)]

    def tick_sources(self, now: Instant) -> list[Effect]:
        """End what has run out at the sources."""
        told = self.sources.tick(now.mono_s)
        if not told:
            return []
        return [*(Say("warning", line) for line in told), self._save(now)]

    def _save(self, now: Instant) -> Save:
        return Save(self.sources.save(now.mono_s, now.wall_us))
