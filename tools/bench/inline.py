"""A site's actors in one process, in a time of their own, without threads and sockets.

Cores, actors, handles, switchboards and hardware are the real ones. Turns are taken one after the other, and
a message between two controllers is packed, checked and unpacked, no more. So what is measured stays the same
beside something else that is at work. What CPU time is used for is marked on the way.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from actors import identities
from actors.build import build_core
from actors.config import load_site
from actors.controller import KINDS
from actors.energy.effects import Effect
from actors.energy.messages import Actuate, Instant, MarketAnswer
from actors.handle import Handle
from actors.loop import TURNS_MAX, Loop
from actors.plant.installation import Installation
from actors.plant.messages import Commands
from actors.plant.story import parse_story
from actors.state import StateFolder
from actors.switchboard import Switchboard
from actors.tree_actor import Tick
from actors.wiring import MESSAGE_MAX_B, tree_registry
from tools.bench.sites import ROOT, Size, write_site
from transport import Delivery
from transport.bodies import body_fault
from transport.frames import encode_header
from transport.inbound import Message, open_message

TICK_S = 0.05
READING_EVERY = 18
"""Ticks from one reading of an EVSE to its next."""


class Clock:
    """The site's own time, and what CPU time was used for."""

    def __init__(self) -> None:
        self.now = Instant(1000.0, 1_750_000_000_000_000)
        self.used_s: defaultdict[str, float] = defaultdict(float)
        self._since_s = 0.0

    def tick(self) -> None:
        """The site's time goes on."""
        self.now = Instant(self.now.mono_s + TICK_S, self.now.wall_us + round(TICK_S * 1e6))

    def begin(self) -> None:
        """Count CPU time anew."""
        self.used_s.clear()
        self._since_s = time.process_time()

    def mark(self, stage: str) -> None:
        """What was done since the last mark was this."""
        now_s = time.process_time()
        self.used_s[stage] += now_s - self._since_s
        self._since_s = now_s

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """What is done in here is this; before it were turns of actors."""
        self.mark("turns")
        yield
        self.mark(stage)


class _TimedCore:
    """A core in the site's own time."""

    def __init__(self, core: Any, clock: Clock, stage: str) -> None:
        self.core, self.id = core, core.id
        self._clock, self._stage = clock, stage

    def step(self, _: Instant, event: Any) -> list[Effect]:
        self._clock.mark(f"{self._stage}_market" if type(event) is MarketAnswer else "turns")
        effects: list[Effect] = self.core.step(self._clock.now, event)
        self._clock.mark(self._stage)
        return effects


class _Turns(Loop):
    """A loop without a thread."""

    def __init__(self, name: str, turns_max: int, rest: Callable[[], None]) -> None:
        super().__init__(name, turns_max)
        self._rest = rest

    def take(self) -> bool:
        """Take all turns that are due now; whether there were any."""
        if self._tokens.empty():
            return False
        self._tokens.put(False)
        self._run()
        self._rest()
        return True


class _Controller:
    """The actors of one controller; it is their links and their driver."""

    def __init__(self, whole: InlineSite, name: str, state: Path) -> None:
        self._whole, self._name = whole, name
        config, clock = whole.config, whole.clock
        self.handles = {m: Handle(m) for m in config.controllers[name].modules}
        self.cores = {m: build_core(config, m, "boot", clock.now, None, 0) for m in self.handles}
        self.board = Switchboard(config, name, self.handles, StateFolder(state))
        outlet: Any = self
        self.board.links_down, self.board.links_up = outlet, dict.fromkeys(config.controllers, outlet)
        self.board.drivers = dict.fromkeys(self.handles, outlet)
        self._said: dict[str, Actuate] = {}
        evses = _Turns(name, TURNS_MAX, self._let_go)
        self.loops = [evses]
        for module_id, handle in self.handles.items():
            kind, loop = config.modules[module_id].kind, evses
            if kind != "EvseManager":
                loop = _Turns(module_id, 1, lambda: None)
                self.loops.append(loop)
            stage = "evses" if loop is evses else "root" if module_id == ROOT else "floors"
            core = _TimedCore(self.cores[module_id], clock, stage)
            handle.attach(KINDS[kind].start(loop, core, handle, self.board))

    def send(self, message: Struct, *, target: str, source: str, **_: object) -> None:
        """To another controller."""
        with self._whole.clock.stage("packing"):
            kind, body = self._whole.registry.kind_of(message), _packed(message)
            head = encode_header(kind=kind, sender=self._name, source=source, target=target, sequence=1)
        self._whole.under_way.append((self._name, head, body))

    def actuate(self, evse_id: str, command: Actuate) -> bool:
        """To the plant, as one message with all that is said until the loop lets it out."""
        self._said[evse_id] = command
        return True

    def _let_go(self) -> None:
        if self._said:
            with self._whole.clock.stage("packing"):
                self._whole.to_plant.append(_packed(Commands(self._said)))
            self._said = {}


class InlineSite:
    """All of it; between two calls nobody has anything to do."""

    def __init__(self, size: Size, folder: Path) -> None:
        self.config = load_site(write_site(size, "inline", folder))
        self.clock = Clock()
        self.registry = tree_registry()
        self.plant = Installation(
            self.config, parse_story(self.config.plant.story, self.config), self.clock.now.mono_s
        )
        self.under_way: deque[tuple[str, bytes, bytes]] = deque()
        """Sender, header and body."""
        self.to_plant: deque[bytes] = deque()
        self._commands = msgspec.msgpack.Decoder(Commands)
        self._ticks = 0
        controllers = [_Controller(self, name, folder / name) for name in self.config.controllers]
        self._loops = [loop for controller in controllers for loop in controller.loops]
        self._hosts = {m: controller for controller in controllers for m in controller.handles}

    def tell(self, module_id: str, message: Struct) -> None:
        """Tell a module something urgent, and let all do what follows from it."""
        self._hosts[module_id].handles[module_id].tell(message, urgent=True)
        self._work()

    def limits_A(self) -> list[float]:
        """In force at the hardware."""
        return [evse.watchdog.limit.limit_A for evse in self.plant.evses.values()]

    def go_on(self, seconds: float) -> None:
        """Let time go by."""
        for _ in range(round(seconds / TICK_S)):
            self._ticks += 1
            self.clock.tick()
            now_s = self.clock.now.mono_s
            self.plant.step(now_s)
            for number, evse in enumerate(self.plant.evses.values()):
                if (self._ticks + number) % READING_EVERY == 0:
                    self._hosts[evse.id].board.from_hardware(evse.id, evse.reading(now_s))
            for module_id, controller in self._hosts.items():
                if now_s >= controller.cores[module_id].due_s:
                    controller.handles[module_id].tell(Tick(), key="tick")
            self._work()

    def _work(self) -> None:
        while any(loop.take() for loop in self._loops) or self.under_way or self.to_plant:
            while self.under_way:
                self._deliver(*self.under_way.popleft())
            while self.to_plant:
                self._command(self.to_plant.popleft())

    def _deliver(self, sender: str, head: bytes, body: bytes) -> None:
        with self.clock.stage("unpacking"):
            opened = open_message(head, body, self.registry, MESSAGE_MAX_B)
        assert isinstance(opened, Message), opened
        header = opened.header
        delivery = Delivery(
            port_name="links",
            peer=sender,
            identity=identities.controller(sender),
            source=header.source,
            target=header.target,
            kind=header.kind,
            message=opened.body,
            size=len(body),
        )
        self._hosts[header.target].board.from_link(delivery)

    def _command(self, body: bytes) -> None:
        with self.clock.stage("plant"):
            assert body_fault(body) is None
            for evse_id, command in self._commands.decode(body).evses.items():
                self.plant.actuate(self.clock.now.mono_s, evse_id, command)


def _packed(message: Struct) -> bytes:
    """Its body, looked through as before it is sent."""
    body = msgspec.msgpack.encode(message)
    assert body_fault(body) is None
    return body
