"""One process: it builds its actors, wakes them when they are due, and begins a new life for each
that dies. More than a few deaths in a short while end the process: its limits then run out, and
what is below falls back, which is safer than going on with something that is broken.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from msgspec import Struct

from actors import clock, identities
from actors.build import build_core
from actors.deaths import Deaths
from actors.drivers import Driver
from actors.drivers.chargers import charger_drivers
from actors.drivers.meters.making import MeterDriver, meter_drivers
from actors.drivers.plant import PlantDriver
from actors.energy.lease import longest_grant_s
from actors.energy.ledger import STRETCH
from actors.energy.modules import EvseManagerConfig
from actors.evse import EvseManager
from actors.gateways.control import ControlGateway
from actors.gateways.gathering import Below
from actors.gateways.hosting import HostedGateway
from actors.handle import Handle
from actors.injection import Injection
from actors.loop import Loop, let_go
from actors.manager import EnergyManager
from actors.node import EnergyNode
from actors.rundir import RunDir
from actors.site import Site
from actors.state import StateFolder
from actors.stop import Stop
from actors.switchboard import Switchboard
from actors.tree_actor import Core, Leave, Tick, TreeActor
from actors.wiring import MESSAGE_MAX_B, GatewayStatus, tree_registry
from transport import Keys, Wire

LOG = logging.getLogger("amptree.controller")

TICK_S = 0.05
"""How late, at most, an actor that is due is woken."""
WATCH_S = 0.25
"""How often dead actors are looked for."""
DEATHS_MAX = 3
DEATHS_WINDOW_S = 10.0
TOO_MUCH_DIED = 3
"""Exit code."""
DRIVER_TICK_S = 1.0
OVERDUE_S = 10.0
"""An actor that did not step for so long after it was due hangs: then there is no sign of life."""
END_S = 5.0
"""For all actors to end; one that hangs is left behind."""
FAREWELL_S = 0.5
"""For the last messages to go out."""

KINDS: dict[str, type[TreeActor]] = {
    "EnergyManager": EnergyManager,
    "EnergyNode": EnergyNode,
    "EvseManager": EvseManager,
}


class Addresses(Struct, frozen=True, kw_only=True):
    """Where this controller listens, whom it calls, and where its plant is."""

    listen: str | None
    """None when none of its modules has a child elsewhere."""
    parents: dict[str, str]
    """Controller -> address, of each that hosts a parent of one of its modules."""
    control: str
    plant: str


def addresses(site: Site, name: str, plant: str | None = None) -> Addresses:
    """As configured; where the file names none, sockets in the site's run folder. Raises RunDirError."""
    run_dir = RunDir(site.name)

    def of(controller: str) -> str:
        return site.controllers[controller].listen or run_dir.address(controller)

    mine = set(site.controllers[name].modules)
    parents = {p for m in mine if (p := site.modules[m].parent) is not None and p not in mine}
    elsewhere = any(c not in mine for m in mine for c in site.modules[m].children)
    return Addresses(
        listen=of(name) if elsewhere else None,
        parents={c: of(c) for c in sorted({site.controller_of(p).name for p in parents})},
        control=run_dir.address(f"{name}.control"),
        plant=plant or site.plant.listen or run_dir.address("plant"),
    )


class Controller:
    """Runs the modules that a site gives to one of its controllers."""

    def __init__(
        self,
        site: Site,
        name: str,
        where: Addresses,
        state_folder: Path,
        keys: Keys,
        injection: Injection | None = None,
    ) -> None:
        """`injection` are faults on purpose, for tests. Raises DriverError."""
        self.site = site
        self.name = name
        self._where = where
        self._keys = keys
        self._injection = injection
        self._state = StateFolder(state_folder)
        self._handles = {m: Handle(m) for m in site.controllers[name].modules}
        self._cores: dict[str, Core] = {}
        self._deaths = Deaths(DEATHS_MAX, DEATHS_WINDOW_S)
        self._switchboard = Switchboard(site, name, self._handles, self._state)
        board = self._switchboard
        board.drivers = charger_drivers(site, name, board.from_hardware)
        self._drivers: list[Driver] = list(dict.fromkeys(board.drivers.values()))
        self._meters: list[MeterDriver] = meter_drivers(site, name, self._handles, board.from_meter)
        below = Below(site, name, self._handles)
        gateways = (site.gateways[g] for g in site.controllers[name].gateways)
        self._gateways = [HostedGateway(gateway, below, self._state) for gateway in gateways]
        # A thread for all EVSEs, and one for each node: what a market or a disk holds up is then no EVSE.
        # EVSEs say little in a turn, and many take one; what a node says in a turn leaves together.
        self._evses = Loop(f"{name}-evses")
        self._loops = {m: self._evses if self._is_evse(m) else Loop(m, turns_max=1) for m in self._handles}

    def _is_evse(self, module_id: str) -> bool:
        return isinstance(self.site.modules[module_id].config, EvseManagerConfig)

    def _all_drivers(self) -> tuple[Driver | MeterDriver, ...]:
        return (*self._drivers, *self._meters)

    def _is_played(self, module_id: str) -> bool:
        """Whether it has a meter of the plant's."""
        module = self.site.modules[module_id]
        return module.meter is not None and module.meter_link is None

    def run(self, stop: Stop, beat: Callable[[], None] = lambda: None) -> int:
        """Until `stop`; returns the exit code. `beat` is called some times a second while all is well: the
        I/O thread runs and no actor hangs. Raises AddressError when an address cannot be had."""
        with ExitStack() as stack:
            faults = None if self._injection is None else self._injection.links
            wire = Wire(name=self.name, registry=tree_registry(), keys=self._keys, faults=faults)
            stack.callback(wire.stop, drain_s=FAREWELL_S)
            self._open(wire)
            self._switchboard.let_go = partial(let_go_of_all, wire)
            wire.start()
            for loop in dict.fromkeys(self._loops.values()):
                loop.start(wire.hold, wire.let_go)
                stack.callback(loop.stop)
            for driver in self._all_drivers():
                stack.callback(driver.stop)
            stack.callback(self._end_actors)
            for module_id in self._handles:
                self._begin(module_id)
            for driver in self._all_drivers():
                driver.tick()
            LOG.info("controller %s of site %s runs: %s", self.name, self.site.name, ", ".join(self._handles))
            return self._supervise(stop, wire, beat)

    def _open(self, wire: Wire) -> None:
        gateway = ControlGateway(self.site, self.name, self._handles, wire.counters, self._gateway_status)
        gateway.port = wire.listen(
            self._where.control,
            gateway.on_message,
            name="control",
            message_max_B=MESSAGE_MAX_B,
            admits=identities.is_client,
            shared_keys=True,
        )
        board = self._switchboard
        board.gateways = [gateway, *self._gateways]
        if self._where.listen is not None:
            board.links_down = wire.listen(
                self._where.listen,
                board.from_link,
                name="links",
                message_max_B=MESSAGE_MAX_B,
                admits=identities.is_controller,
            )
        for parent, address in self._where.parents.items():
            board.links_up[parent] = wire.connect(
                address,
                board.from_link,
                name=f"to {parent}",
                peer=identities.controller(parent),
                message_max_B=MESSAGE_MAX_B,
            )
        evses = [m for m in self._handles if self._is_evse(m) and m not in board.drivers]
        meters = [m for m in self._handles if self._is_played(m)]
        if evses or meters:
            driver = PlantDriver(
                wire, self._where.plant, evses, board.from_hardware, meters, board.from_meter
            )
            self._drivers.append(driver)
            board.drivers |= dict.fromkeys(evses, driver)

    def _begin(self, module_id: str) -> None:
        """Begin a life of a module's actor."""
        saved = self._state.load(module_id)
        epoch = self._epoch(module_id)
        core = build_core(self.site, module_id, secrets.token_hex(8), clock.now(), saved, epoch)
        handle = self._handles[module_id]
        actor_type = KINDS[self.site.modules[module_id].kind]
        handle.attach(actor_type.start(self._loops[module_id], core, handle, self._switchboard))
        self._cores[module_id] = core

    def _epoch(self, module_id: str) -> int | None:
        """The last epoch of a node; an EVSE grants nothing, and has none."""
        if self._is_evse(module_id):
            return None
        epoch = self._state.load_epoch(module_id)
        if epoch is None:
            wait_s = longest_grant_s(self.site.manager_config()) * STRETCH
            LOG.warning(
                "%s grants nothing for %.0f s, until all that a former life may have granted is over: "
                "there is no last epoch of it in %s",
                module_id,
                wait_s,
                self._state.folder,
            )
        return epoch

    def _supervise(self, stop: Stop, wire: Wire, beat: Callable[[], None]) -> int:
        watch_due_s = driver_due_s = clock.steady_s()
        while not stop.wait(TICK_S):
            now_s = clock.steady_s()
            if self._injection is not None:
                self._injection.look()
            for module_id, core in self._cores.items():
                if now_s >= core.due_s:
                    self._handles[module_id].tell(Tick(), key="tick")
            if now_s >= driver_due_s:
                driver_due_s = now_s + DRIVER_TICK_S
                for driver in self._all_drivers():
                    driver.tick()
            for gateway in self._gateways:
                gateway.tick(now_s)
            if now_s >= watch_due_s:
                watch_due_s = now_s + WATCH_S
                if not self._revive(now_s):
                    return TOO_MUCH_DIED
                threads: tuple[Wire | Loop, ...] = (wire, *dict.fromkeys(self._loops.values()))
                if dead := [thread for thread in threads if not thread.running()]:
                    LOG.critical("the thread of %s is dead: controller %s ends", dead[0].name, self.name)
                    return TOO_MUCH_DIED
                if all(now_s < core.due_s + OVERDUE_S for core in self._cores.values()):
                    beat()
        LOG.info("controller %s stops", self.name)
        return 0

    def _revive(self, now_s: float) -> bool:
        """Begin anew what has died; False when too much has."""
        for module_id, handle in self._handles.items():
            if handle.alive():
                continue
            if (count := self._deaths.note(now_s)) > DEATHS_MAX:
                LOG.critical(
                    "%d actors died within %.0f s: controller %s ends and lets its limits run out",
                    count,
                    DEATHS_WINDOW_S,
                    self.name,
                )
                return False
            LOG.error("%s died and begins anew", module_id)
            self._begin(module_id)
        return True

    def _gateway_status(self) -> tuple[GatewayStatus, ...]:
        return tuple(gateway.status for gateway in self._gateways)

    def _end_actors(self) -> None:
        gateways_end = [gateway.end() for gateway in self._gateways]
        for module_id, handle in self._handles.items():
            if self.site.modules[module_id].parent not in self._handles:
                handle.tell(Leave())
        deadline_s = clock.steady_s() + END_S
        ends = [handle.end() for handle in self._handles.values()]
        for handle, end in zip(self._handles.values(), ends, strict=True):
            if not end(deadline_s - clock.steady_s()):
                LOG.error("%s did not end within %g s", handle.name, END_S)
        for wait in gateways_end:
            wait(deadline_s - clock.steady_s())


def let_go_of_all(wire: Wire) -> None:
    """What this thread said until now goes out, to actors of this process and of others."""
    let_go()
    wire.let_go()
