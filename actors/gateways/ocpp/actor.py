"""OcppGateway: the actor between the tree and a CSMS.

It looks at the site each second, lets the charge point answer and speak, writes down what must outlive a
restart before the CSMS hears that it was taken, and sees to it that the modules have their limits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from actors import clock
from actors.energy.messages import ModuleStatus, Outcome
from actors.gateways.gathering import Below, Gathering
from actors.gateways.ocpp.charge_point import ChargePoint
from actors.gateways.ocpp.delivery import Delivery
from actors.gateways.ocpp.desk import KeptStation, seconds
from actors.gateways.ocpp.layout import layout
from actors.gateways.ocpp.link import Answered, Asked, Down, Event, Heard, Link, Up
from actors.handle import Handle
from actors.loop import Loop, LoopActor
from actors.ocpp.library import OcppError
from actors.site import OcppLink
from actors.state import StateFolder
from actors.tree_actor import Tick
from actors.wiring import GatewayStatus

LOG = logging.getLogger("amptree.ocpp")

LOOK_S = 1.0
"""Between two looks at the site."""
KEEP_S = 300.0
"""Between two times that readings of energy are written down."""
BEGIN_AGAIN_S = 10.0
"""Between two trials to make a link."""
SAID_EACH_S = 60.0
"""Between two lines of the log about the same trouble."""


class Seen(Struct, frozen=True):
    """How the site is."""

    modules: tuple[ModuleStatus, ...]


class OcppGateway(LoopActor):
    """One gateway of one controller."""

    def __init__(
        self,
        loop: Loop,
        gateway: OcppLink,
        below: Below,
        handle: Handle,
        show: Callable[[GatewayStatus], None],
        state: StateFolder,
    ) -> None:
        super().__init__(loop)
        self.gateway = gateway
        self._below = below
        self._handle = handle
        self._show = show
        self._state = state
        self._layout = layout(below.site, gateway)
        now = clock.now()
        kept = state.load_kept(gateway.id, "ocpp", KeptStation, "charging profiles set before are not known")
        self._point = ChargePoint(self._layout, kept or KeptStation(), now)
        self._delivery = Delivery(gateway.id, below, heard_for_s=2 * gateway.config.ping_interval_s)
        for module_id in below.modules:
            if any(s.name == gateway.config.offline_source for s in below.site.modules[module_id].sources):
                self._delivery.listen(module_id, gateway.config.offline_source)
        if gateway.config.grid_operator_source is not None:
            self._delivery.listen(self._layout.station.module_id, gateway.config.grid_operator_source)
        self._link: Link | None = None
        self._begin_due_s = self._look_due_s = 0.0
        self._keep_due_s = now.mono_s + KEEP_S
        self._told = "not connected yet"
        self._said: tuple[str, float] = ("", 0.0)

    # --- the actor -----------------------------------------------------------------------------------

    def on_wake(self) -> None:
        """Deal with what waits."""
        for event in self._handle.take():
            now = clock.now()
            match event:
                case Tick():
                    self._tick(now.mono_s)
                case Up():
                    self._is_up()
                case Down(why):
                    self._is_down(why)
                case Heard():
                    self._delivery.heard(now.mono_s)
                case Asked():
                    self._answer(event)
                case Answered(said, payload, code, why):
                    self._take_answer(said.action, code, why)
                    self._point.answered(said, payload, code, now)
                case Seen(modules):
                    self._point.see(now, modules)
                    self._delivery.see(modules)
                case Outcome():
                    self._delivery.done(event, now.mono_s)
                case _:
                    pass
            self._go_on()
        self._show(self._status())

    def on_stop(self) -> None:
        """End in good order."""
        self._keep()
        self._end()

    def on_failure(self, *_: object) -> None:
        """This life is over; another will begin."""
        self._end()

    def _end(self) -> None:
        if self._link is not None:
            self._link.stop()
            self._link = None

    def _status(self) -> GatewayStatus:
        received, refused = (0, 0) if self._link is None else self._link.counts()
        told = [self._told]
        told += [self._point.told] if self._point.up and self._point.told else []
        told += [self._delivery.trouble] if self._delivery.trouble else []
        lost = self._point.transactions.lost
        told += [f"{lost} begins or ends of transactions could not wait for it"] if lost else []
        return GatewayStatus(
            id=self.gateway.id,
            kind=self.gateway.kind,
            controller=self._below.controller,
            ok=self._point.accepted and self._point.up and not self._delivery.trouble,
            told="; ".join(told),
            received=received,
            refused=refused,
        )

    # --- the connection ------------------------------------------------------------------------------

    def _tick(self, now_s: float) -> None:
        if self._link is not None and not self._link.running():
            self._end()
            self._is_down("its loop has ended")
        if self._link is None and now_s >= self._begin_due_s:
            self._begin_due_s = now_s + BEGIN_AGAIN_S
            self._begin()
        if now_s >= self._look_due_s:
            self._look_due_s = now_s + LOOK_S
            self._below.ask(self._seen, ("status", self.gateway.id), with_reasons=False)
        if now_s >= self._keep_due_s:
            self._keep_due_s = now_s + KEEP_S
            self._keep()

    def _begin(self) -> None:
        if self.gateway.config.url is None:
            self._is_down("its file names no url")
            return
        try:
            self._link = Link(self._layout, Path(self._below.site.path).parent, self._hear)
        except OcppError as error:
            self._is_down(str(error))
            return
        self._link.start()

    def _hear(self, event: Event) -> None:
        """On the link's thread."""
        self._handle.tell(event, key="heard" if isinstance(event, Heard) else None)

    def _seen(self, gathering: Gathering) -> None:
        """On a node's thread."""
        self._handle.tell(Seen(gathering.modules()), key="seen")

    def _is_up(self) -> None:
        if self._link is None:
            return  # told by the link before
        now = clock.now()
        self._told = f"connected with {self._link.url}"
        self._said = ("", 0.0)
        LOG.info("%s is %s", self.gateway.id, self._told)
        self._point.connected(now)
        self._delivery.heard(now.mono_s)

    def _is_down(self, why: str) -> None:
        now_s = clock.steady_s()
        self._point.disconnected()
        self._delivery.silent()
        self._told = f"not connected with {self.gateway.config.url or 'a CSMS'}: {why}"
        if self._said[0] != why or now_s >= self._said[1] + SAID_EACH_S:
            self._said = (why, now_s)
            LOG.warning("%s is %s; the site goes on, and so do its profiles", self.gateway.id, self._told)

    # --- the charge point ----------------------------------------------------------------------------

    def _answer(self, asked: Asked) -> None:
        answer = self._point.asked(asked.call, clock.now())
        if self._point.desk.unkept:
            self._keep()  # what is accepted stays, whatever happens next
        if self._link is not None:
            self._link.answer(asked, answer)

    def _take_answer(self, action: str, code: str, why: str) -> None:
        if code and code != "ConnectionLost":
            LOG.warning("%s: the CSMS did not take %s: %s", self.gateway.id, action, why or code)

    def _go_on(self) -> None:
        """Whatever has happened: let the CSMS and the modules have what is due."""
        if self._point.desk.unkept:
            self._keep()
        now = clock.now()
        if self._link is not None and (said := self._point.next(now)) is not None:
            self._link.say(said)
        now_s, smart = seconds(now), self._point.smart
        due, running = smart.due(now_s), self._point.transactions.running()
        for number in due:
            evse = self._layout.evses[number]
            self._delivery.want(
                evse.module_id, self.gateway.config.source, smart.wanted(number, running, now_s)
            )
        grid = self.gateway.config.grid_operator_source
        if 0 in due and grid is not None and (wanted := smart.wanted_of_grid(now_s)) is not None:
            self._delivery.want(self._layout.station.module_id, grid, wanted, listens=True)
        self._delivery.work(now)

    def _keep(self) -> None:
        """On the disk. What cannot be written is in the log, and holds all the same."""
        self._point.desk.unkept = False
        without = "charging profiles will not outlive a restart"
        self._state.keep(self.gateway.id, "ocpp", self._point.desk.kept(), without)
