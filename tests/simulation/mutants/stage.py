"""A small site in the simulator on which a test says what happens, and when, with clocks at its choice."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from actors.config import parse_site
from actors.energy.messages import Grant
from actors.simulation import happenings
from actors.simulation.clocks import Clock, ProcessClocks, WallClock
from actors.simulation.network import Direction
from actors.simulation.plan import (
    Appetite,
    Car,
    Crash,
    Cut,
    Detour,
    Load,
    MeterFails,
    MeterFault,
    Plan,
    Plug,
    Unplug,
)
from actors.site import Controller
from tests.simulation.mutants.hunt import WatchedWorld

TWO = """
root: {module: EnergyManager, config: {update_interval: 1}, connections: {energy_trunk: [panel]}}
panel: {module: EnergyNode, config: {fuse_limit_A: 32}, connections: {energy_trunk: [a, b]}}
a: {module: EvseManager, config: {settle_time_s: 11}}
b: {module: EvseManager, config: {settle_time_s: 11}}
"""
DEEP = """
root: {module: EnergyManager, config: {update_interval: 1}, connections: {energy_trunk: [main]}}
main: {module: EnergyNode, config: {fuse_limit_A: 32}, connections: {energy_trunk: [panel, b]}}
panel: {module: EnergyNode, config: {fuse_limit_A: 32}, connections: {energy_trunk: [a]}}
a: {module: EvseManager, config: {settle_time_s: 11}}
b: {module: EvseManager, config: {settle_time_s: 11}}
"""
METERED = TWO.replace("fuse_limit_A: 32}", "fuse_limit_A: 32, fixed_load_A: 20}, meter: {driver: plant}")
LATE_CAR = Car(max_current_A=32.0, reaction_s=11.0, surges=True)
"""It takes exactly the settle time."""


class Stage:
    """Each module is a process of its own. An overload, or a promise of a ledger that is not kept, raises."""

    def __init__(self, text: str = TWO, rates: dict[str, float] | None = None) -> None:
        """`rates` of the clocks that are not right; `a#driver` is that of the hardware."""
        rates = rates or {}
        site = parse_site(text, "stage")
        alone = {name: Controller(name=name, listen=None, modules=(name,)) for name in site.modules}
        plan = Plan(
            seed=1,
            site=replace(site, controllers=alone),
            hurt_s=1e6,
            mended_s=0.0,
            happenings=(),
            qualities={},
        )
        self.world = WatchedWorld(plan)
        for name, process in self.world.processes.items():
            clock = Clock([(0.0, rates.get(name, 1.0))], begin_s=1000.0)
            process.clocks = ProcessClocks(clock, WallClock())
        for name, evse in self.world.evses.items():
            evse.hardware.clock = Clock([(0.0, rates.get(f"{name}#driver", 1.0))], begin_s=50.0)
            evse.hardware.advance(0.0)
        self.world.begin()

    def go(self, seconds: float) -> None:
        """Time goes by."""
        self.world.run_until(self.world.now_s + seconds)

    def plug(self, evse: str, car: Car = LATE_CAR) -> None:
        """A car comes."""
        self._happen(Plug(at_s=self.world.now_s, evse=evse, car=car))

    def unplug(self, evse: str) -> None:
        """It goes."""
        self._happen(Unplug(at_s=self.world.now_s, evse=evse))

    def crash(self, process: str, for_s: float, *, loses_state: bool = False) -> None:
        """A process dies, and is back later."""
        self._happen(Crash(at_s=self.world.now_s, process=process, for_s=for_s, loses_state=loses_state))

    def cut(self, link: str, for_s: float, direction: Direction = "both") -> None:
        """A link carries nothing."""
        self._happen(Cut(at_s=self.world.now_s, link=link, direction=direction, for_s=for_s))

    def detour(self, link: str, for_s: float, late_s: float) -> None:
        """What a link carries upwards comes late."""
        now_s = self.world.now_s
        self._happen(Detour(at_s=now_s, link=link, direction="up", for_s=for_s, late_s=late_s))

    def load(self, node: str, current_A: float) -> None:
        """What else than cars draws there."""
        self._happen(Load(at_s=self.world.now_s, node=node, current_A=current_A))

    def meter_fails(self, node: str, how: MeterFault, for_s: float) -> None:
        """It says nothing, or not what is."""
        self._happen(MeterFails(at_s=self.world.now_s, node=node, how=how, for_s=for_s))

    def appetite(self, evse: str, share: float) -> None:
        """A car takes another share of what it may."""
        self._happen(Appetite(at_s=self.world.now_s, evse=evse, share=share))

    def until_granted(self, child: str) -> None:
        """Until just after the next grant to a child was taken."""
        before = self.grant_of(child)
        while self.grant_of(child) is before:
            self.go(0.01)
        self.go(0.05)

    def grant_of(self, child: str) -> Grant | None:
        """The newest that it has taken."""
        core: Any = self.world.slots[child].core
        grant: Grant | None = core._lease.grant
        return grant

    def flows_A(self, module: str) -> float:
        """Through a node, or to an EVSE."""
        return self.world.checker.flow_below(module)[0]

    def _happen(self, what: Any) -> None:
        happenings.happen(self.world, what)
