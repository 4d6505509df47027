"""The plant's process: steps the installation in real time, and talks to drivers.

    each STEP_s:  installation to now ─► messages that came ─► readings that are due ─► record, notices

Messages come in on the wire's thread and wait in a bounded inbox; all else happens in the thread that
calls `run`. A command counts from when it came, not from the step that takes it: what this process needs
to play a thousand EVSEs is no delay of theirs. A reading is sent ANSWER_s after a change that a driver must
know, on a changed current at most each CURRENT_EVERY_s, and in any case each READING_EVERY_s. When that is
differs from EVSE to EVSE: a burst of a thousand readings would be in the way of all else.
"""

from __future__ import annotations

import logging
import queue
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

import msgspec

from actors import clock, identities
from actors.energy.fixed_load import MeterReading
from actors.energy.messages import Actuate, Reading
from actors.injection import Injection
from actors.plant.hardware import Evse
from actors.plant.installation import Installation, RefusedError
from actors.plant.messages import (
    Commands,
    PlantCommand,
    PlantEvent,
    PlantReply,
    Plug,
    Readings,
    ResetBreaker,
    SetFixedLoad,
    SetMeter,
    Unplug,
    Watch,
    register_plant_messages,
)
from actors.plant.recording import Recorder
from actors.plant.story import StoryError, check_fixed_load, parse_story, parse_visit
from actors.plant.watchers import Watchers
from actors.site import Site
from actors.stop import Stop
from transport import Delivery, Keys, Pile, Registry, Wire

LOG = logging.getLogger("amptree.plant")

STEP_s = 0.05
RECORD_EVERY = 2
"""Steps from one line of the record to the next: ten lines a second."""
FLUSH_EVERY_s = 1.0
READING_EVERY_s = 0.9
"""So that, with what a step takes, there is one at least each second."""
ANSWER_s = 0.1
"""From a change to the reading that tells it. Hardware does not answer the instant that it is told something;
and where a plant shares its cores with controllers, its answers are not in the way of what they still say."""
CURRENT_EVERY_s = 0.5
NOTHING_SENT = -1
"""Instead of a revision: its driver knows nothing yet."""
CRUMB_s = 1e-6
CURRENT_CHANGE_A = 0.1
MAX_INBOX = 20_000
"""Messages between two steps; one more is lost, and drivers say theirs again."""
MAX_PILES = 256
"""Drivers whose readings are gathered; of more all are forgotten, as most are gone."""
DROPS_TOLD_EVERY_s = 10.0


class Outlet:
    """An EVSE, who watches it, and what it was last told."""

    def __init__(self, evse: Evse, phase_s: float = 0.0) -> None:
        """`phase_s`: when it tells something in any case, from 0 to READING_EVERY_s."""
        self.evse = evse
        self.watchers = Watchers()
        self._phase_s = phase_s
        self._due_s = 0.0
        self._news_since_s: float | None = None
        self.sent_s = 0.0
        self.sent_revision = NOTHING_SENT
        self.sent_currents_A = (0.0, 0.0, 0.0)

    def due(self, now_s: float) -> bool:
        """Its driver must be told something now."""
        evse = self.evse
        if now_s >= self._due_s or self.sent_revision == NOTHING_SENT:
            return True
        if evse.revision != self.sent_revision:
            if self._news_since_s is None:
                self._news_since_s = now_s
            if now_s >= self._news_since_s + ANSWER_s - CRUMB_s:
                return True
        if evse.moved_s <= self.sent_s or now_s - self.sent_s < CURRENT_EVERY_s:
            return False
        pairs = zip(self.evse.currents_A, self.sent_currents_A, strict=True)
        return any(abs(new_A - old_A) > CURRENT_CHANGE_A for new_A, old_A in pairs)

    def sent(self, now_s: float, reading: Reading) -> None:
        """Note what its driver was told."""
        self.sent_s, self.sent_revision, self._news_since_s = now_s, self.evse.revision, None
        since_turn_s = (now_s - self._phase_s + CRUMB_s) % READING_EVERY_s
        own_turn_s = now_s + READING_EVERY_s - since_turn_s
        self._due_s = max(own_turn_s, now_s + CURRENT_EVERY_s)
        self.sent_currents_A = reading.currents_A


class Plant:
    """A site's plant, listening at `address`; `run` once, then it is closed."""

    def __init__(
        self, site: Site, address: str, record: Path | None, keys: Keys, injection: Injection | None = None
    ) -> None:
        """Raises StoryError, AddressError, and OSError if the record cannot be written. `injection` are
        faults on purpose, for tests."""
        self._site = site
        self._injection = injection
        story = parse_story(site.plant.story, site)
        self.installation = Installation(site, story, clock.steady_s(), secrets.token_hex(4))
        evses = self.installation.evses.values()
        self._outlets = {
            evse.id: Outlet(evse, READING_EVERY_s * n / len(evses)) for n, evse in enumerate(evses)
        }
        self._piles: dict[str, Pile] = {}
        """Readings by who is told them."""
        self._meters = self.installation.meters
        self._drivers = {m: identities.controller(site.controller_of(m).name) for m in site.modules}
        """Whose key commands each EVSE, and may read each node's meter."""
        self._inbox: queue.Queue[tuple[float, Delivery]] = queue.Queue(MAX_INBOX)
        self._lost = 0  # only the wire's thread counts it
        self._lost_told = 0
        self._lost_told_s = 0.0
        registry = Registry()
        register_plant_messages(registry)
        faults = None if injection is None else injection.links
        self._wire = Wire(name="plant", registry=registry, keys=keys, faults=faults)
        self._recorder: Recorder | None = None
        try:
            self._port = self._wire.listen(
                address, self._on_message, name="plant", admits=_may_speak, shared_keys=True
            )
            if record is not None:
                self._recorder = Recorder(record, self._head())
        except BaseException:
            self._wire.stop()
            raise
        self.address = self._port.address

    def _head(self) -> dict[str, object]:
        start = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"site": self._site.name, "seed": self.installation.story.seed, "start": start}

    def run(self, stop: Stop) -> None:
        """Go on until `stop` is set."""
        try:
            self._wire.start()
            name, count = self._site.name, len(self._outlets)
            LOG.info("plant of site %s with %d EVSEs listens on %s", name, count, self.address)
            self._loop(stop)
        finally:
            self._wire.stop()
            if self._recorder is not None:
                self._recorder.close()
        LOG.info("plant of site %s has ended", self._site.name)

    def _loop(self, stop: Stop) -> None:
        turn = 0
        flush_s = due_s = clock.steady_s()
        self._wire.hold()
        while not stop.is_set():
            now_s = clock.steady_s()
            if self._injection is not None:
                self._injection.look()
            self._turn(now_s)
            if self._recorder is not None and turn % RECORD_EVERY == 0:
                self._recorder.write(self.installation.sample())
                if now_s >= flush_s:
                    flush_s = now_s + FLUSH_EVERY_s
                    self._recorder.flush()
            turn += 1
            due_s = max(due_s + STEP_s, now_s)  # what is late is not made up for
            stop.wait(due_s - clock.steady_s())

    def _turn(self, now_s: float) -> None:
        self.installation.step(now_s)
        for _ in range(MAX_INBOX):
            try:
                came_s, delivery = self._inbox.get_nowait()
            except queue.Empty:
                break
            self._take(came_s, delivery)
        for outlet in self._outlets.values():
            if outlet.due(now_s):
                self._send_reading(now_s, outlet)
        self._meters.send(now_s, self.installation.loads_A, self._send_meter)
        self._wire.let_go()
        for notice in self.installation.take_notices():
            LOG.log(logging.ERROR if notice.loud else logging.INFO, "%s", notice.text)
        self._tell_lost(now_s)

    # --- in ---------------------------------------------------------------------------------------

    def _on_message(self, delivery: Delivery) -> None:
        """On the wire's thread."""
        try:
            self._inbox.put_nowait((clock.steady_s(), delivery))
        except queue.Full:
            self._lost += 1

    def _tell_lost(self, now_s: float) -> None:
        lost = self._lost
        if lost > self._lost_told and now_s - self._lost_told_s >= DROPS_TOLD_EVERY_s:
            LOG.warning("%d messages lost: the inbox of %d was full", lost - self._lost_told, MAX_INBOX)
            self._lost_told, self._lost_told_s = lost, now_s

    def _take(self, now_s: float, delivery: Delivery) -> None:
        match delivery.message:
            case Watch() as watch:
                self._watch(now_s, watch, delivery)
            case Commands(evses=commands):
                for evse_id, command in commands.items():
                    self._actuate(now_s, delivery, evse_id, command)
            case PlantCommand() as command if identities.is_operator(delivery.identity):
                error = self._obey(command.event)
                LOG.info("by hand: %s: %s", command.event, error or "done")
                self._port.send(PlantReply(id=command.id, error=error), peer=delivery.peer)
            case _:
                LOG.debug("from %s: a plant takes no %s", delivery.peer, delivery.kind)

    def _watch(self, now_s: float, watch: Watch, delivery: Delivery) -> None:
        begun = 0
        for evse_id in watch.evses:
            outlet = self._outlets.get(evse_id)
            if outlet is None or delivery.identity != self._drivers[evse_id]:
                continue
            if outlet.watchers.watch(now_s, watch.driver, delivery.peer):
                begun += 1
                outlet.sent_revision = NOTHING_SENT
        read = 0
        for node in watch.meters:
            if node in self._meters and delivery.identity == self._drivers[node]:
                read += self._meters[node].watchers.watch(now_s, watch.driver, delivery.peer)
        if begun or read:
            text = "driver %s of %s watches %d EVSEs and %d meters"
            LOG.info(text, watch.driver, delivery.peer, begun, read)

    def _actuate(self, now_s: float, delivery: Delivery, evse_id: str, command: Actuate) -> None:
        outlet = self._outlets.get(evse_id)
        if outlet is None:
            LOG.debug("from %s: no EVSE %r", delivery.peer, evse_id)
        elif delivery.identity != self._drivers[outlet.evse.id]:
            LOG.debug("%s: %s does not host it", outlet.evse.id, delivery.identity)
        elif outlet.watchers.peer(now_s) != delivery.peer:
            LOG.debug("%s: %s does not serve it", outlet.evse.id, delivery.peer)
        elif (refused := self.installation.actuate(now_s, outlet.evse.id, command)) is not None:
            LOG.debug("%s: refused %.1f A: %s", outlet.evse.id, command.limit_A, refused)

    def _obey(self, event: PlantEvent) -> str | None:
        """Why it cannot be, or None."""
        try:
            match event:
                case Plug(car=car):
                    self.installation.plug(parse_visit(car, self._site))
                case Unplug(evse=evse):
                    self.installation.unplug(evse)
                case SetFixedLoad(node=node, currents_A=currents_A):
                    check_fixed_load(node, currents_A, self._site)
                    self.installation.set_fixed_load(node, currents_A)
                case SetMeter(node=node, state=state):
                    self.installation.set_meter(node, state)
                case ResetBreaker(node=node):
                    self.installation.reset_breaker(node)
                case _:
                    assert_never(event)
        except (RefusedError, StoryError) as error:
            return str(error)
        return None

    # --- out --------------------------------------------------------------------------------------

    def _send_reading(self, now_s: float, outlet: Outlet) -> None:
        peer = outlet.watchers.peer(now_s)
        if peer is None:
            return
        reading = outlet.evse.reading(now_s)
        outlet.sent(now_s, reading)
        pile = self._piles.get(peer)
        if pile is None:
            if len(self._piles) >= MAX_PILES:
                self._piles.clear()
            pile = self._piles[peer] = self._port.pile(Readings, peer=peer)
        self._port.put(pile, outlet.evse.id, reading)

    def _send_meter(self, peer: str, node: str, reading: MeterReading) -> None:
        self._port.send(reading, source=node, target=node, peer=peer, key=("meter", node))


def _may_speak(identity: str) -> bool:
    return identities.is_controller(identity) or identities.is_operator(identity)


def run_plant(
    site: Site,
    address: str,
    record: Path | None,
    keys: Keys,
    stop: Stop,
    injection: Injection | None = None,
) -> None:
    """Run a site's plant until `stop` is set. Raises StoryError, AddressError and OSError at once."""
    Plant(site, address, record, keys, injection).run(stop)


def with_seed(site: Site, seed: int) -> Site:
    """The site with another seed in its story."""
    story = {**site.plant.story, "seed": seed}
    return msgspec.structs.replace(site, plant=msgspec.structs.replace(site.plant, story=story))
