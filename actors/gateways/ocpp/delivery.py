"""What the modules of the tree have of it: each source shall set what is wanted, and is told until it does.

Whether it does shows in the status of its module: also when a module has lost it, or an operator has cleared
it, it is set again. A source that listens for the CSMS hears of it, and only of it: what is worked out anew
while the CSMS is silent must not look like a word of it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable

from msgspec import Struct

from actors.energy import timestamps
from actors.energy.external import ClearLimits, Heartbeat, SetLimits, SourceEvent, SourceStatus
from actors.energy.messages import Command, Instant, ModuleStatus, Outcome
from actors.gateways.gathering import Below
from actors.gateways.ocpp.smart_charging import Wanted

ANSWER_TIMEOUT_S = 10.0
"""For a module to carry out a command."""
AGAIN_S = 5.0
"""After a command that failed, and after one that was carried out until its module is believed to lack it."""
LISTEN_S = 0.5
"""Between two signs of life that a source is told, at least."""
COMMANDS_MAX = 50
"""Under way at a time."""


class _Told(Struct):
    """A source of a module, and how far it is."""

    listens: bool
    """It is the grid operator's: it counts what it is told as a sign of life."""
    wanted: Wanted
    has: Wanted | None = None
    """What it confirmed last."""
    command: str = ""
    until_s: float = 0.0
    again_s: float = 0.0
    asked: Wanted | None = None


class Delivery:
    """Of one life of a gateway. Times are monotonic seconds unless said otherwise."""

    def __init__(self, gateway: str, below: Below, heard_for_s: float) -> None:
        """After a sign of life the CSMS counts as being there for so long."""
        self._heard_for_s = heard_for_s
        self._gateway = gateway
        self._below = below
        self._sources: dict[tuple[str, str], _Told] = {}
        self._listeners: dict[tuple[str, str], float] = {}
        """Sources that have to hear of the CSMS, and when they were told last."""
        self._seen: dict[tuple[str, str], SourceStatus] = {}
        self._alive: set[str] = set()
        self._heard_s = float("-inf")
        self._life = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self.trouble = ""
        """Why something could not be set last."""

    def want(self, module_id: str, source: str, wanted: Wanted, *, listens: bool = False) -> None:
        """From now on this shall hold."""
        told = self._sources.get((module_id, source))
        if told is None:
            self._sources[module_id, source] = _Told(listens, wanted)
        else:
            told.wanted = wanted

    def listen(self, module_id: str, source: str) -> None:
        """A source that has to hear of the CSMS."""
        self._listeners[module_id, source] = float("-inf")

    def heard(self, now_s: float) -> None:
        """The CSMS gave a sign of life."""
        self._heard_s = now_s

    def silent(self) -> None:
        """It is gone."""
        self._heard_s = float("-inf")

    def see(self, statuses: Iterable[ModuleStatus]) -> None:
        """How the modules are."""
        wanted = {module_id for module_id, _ in (*self._sources, *self._listeners)}
        of_ours = [status for status in statuses if status.id in wanted]
        self._alive = {status.id for status in of_ours if status.alive}
        self._seen = {(status.id, source.name): source for status in of_ours for source in status.sources}

    def done(self, outcome: Outcome, now_s: float) -> None:
        """A command came to its end."""
        for key, told in self._sources.items():
            if told.command == outcome.id:
                told.command = ""
                told.again_s = now_s + AGAIN_S
                if outcome.error is None:
                    told.has, self.trouble = told.asked, ""
                else:
                    self.trouble = f"{key[1]} at {key[0]}: {outcome.error}"
                return

    def settled(self) -> bool:
        """Whether every source has what it shall set."""
        return all(told.has == told.wanted for told in self._sources.values())

    def work(self, now: Instant) -> None:
        """Tell what is due."""
        now_s = now.mono_s
        for (module_id, source), last_s in self._listeners.items():
            if self._heard_s > last_s and now_s >= last_s + LISTEN_S:
                self._listeners[module_id, source] = now_s
                self._tell(module_id, Heartbeat(source=source))
                seen = self._seen.get((module_id, source))
                if seen is not None and seen.state == "failsafe" and (module_id, source) not in self._sources:
                    self._tell(module_id, ClearLimits(source=source))  # it is back; nothing else leads out
        under_way = sum(bool(told.command) for told in self._sources.values())
        for (module_id, source), told in self._sources.items():
            if told.command and now_s >= told.until_s:
                told.command, told.again_s = "", now_s
                self.trouble = f"{source} at {module_id}: no answer within {ANSWER_TIMEOUT_S:g} s"
            due = not told.command and self._needs(module_id, source, told, now)
            if due and under_way < COMMANDS_MAX and (not told.listens or self._is_heard(now_s)):
                under_way += 1
                told.asked, told.until_s = told.wanted, now_s + ANSWER_TIMEOUT_S
                told.command = self._tell(module_id, _event(source, told.wanted, now))

    def _needs(self, module_id: str, source: str, told: _Told, now: Instant) -> bool:
        seen = self._seen.get((module_id, source))
        if told.asked is None and told.wanted.limits is None and seen is None and not told.listens:
            # Nothing was told in this life. Whether an earlier one left something shows when the module is
            # heard.
            told.has = told.wanted if module_id in self._alive else None
            return False
        if told.has != told.wanted:
            return told.asked != told.wanted or now.mono_s >= told.again_s
        if now.mono_s < told.again_s or module_id not in self._alive:
            return False
        if told.listens:
            ends_s = told.wanted.ends_s
            over = ends_s is not None and now.wall_us >= ends_s * timestamps.MICROSECONDS
            return told.wanted.limits is not None and not over and (seen is None or seen.state != "limited")
        return (None if seen is None else seen.limits) != told.wanted.limits

    def _is_heard(self, now_s: float) -> bool:
        return now_s < self._heard_s + self._heard_for_s

    def _tell(self, module_id: str, event: SourceEvent) -> str:
        found = self._below.top_of(module_id)
        assert found is not None, f"{module_id} is not below this controller"
        top, handle = found
        command_id = f"{self._gateway}:{self._life}:{next(self._numbers)}"
        handle.tell(Command(id=command_id, origin=top, target=module_id, event=event), urgent=True)
        return command_id


def _event(source: str, wanted: Wanted, now: Instant) -> SourceEvent:
    if wanted.limits is None:
        return ClearLimits(source=source)
    for_s = None
    if wanted.ends_s is not None:
        for_s = max(0.001, wanted.ends_s - now.wall_us / timestamps.MICROSECONDS)
    return SetLimits(source=source, limits=wanted.limits, for_s=for_s)
