"""Meters at the feeders of nodes, and the loads that are not cars there.

A meter shows what flows through its node: cars and loads below it, phase by phase. What it shows is up to
`lag_s` old. It reads on while its node is dead, but nobody hears it then.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from actors.energy.fixed_load import MeterReading, MeterTrouble
from actors.simulation.clocks import RHO
from actors.simulation.metered_fuse import MeteredFuse
from actors.simulation.plan import MeterFault
from actors.simulation.processes import Slot
from actors.simulation.streams import stream
from actors.site import MeterConfig

if TYPE_CHECKING:
    from actors.simulation.world import World

EVERY_S = (0.5, 2.0)
"""Between two readings, of the quickest meter and the slowest."""
MOST_UNDER_WAY = 10_000


class Meter:
    """One node's."""

    def __init__(
        self, world: World, slot: Slot, config: MeterConfig, fuse: MeteredFuse, random: Random
    ) -> None:
        self.slot = slot
        self.fuse = fuse
        self._world = world
        self._config = config
        self._random = random
        self.every_s = random.uniform(*EVERY_S)
        self.first_s = self.every_s * random.random()
        self._has_clock = random.random() < 0.5
        self.parts = (1.0, random.random(), random.random())
        """Of the load, in each phase."""
        self.evses = [world.evses[m] for m in world.site.subtree(slot.id) if m in world.evses]
        self._fails: MeterFault | None = None
        self._fails_until_s = 0.0
        self._last = MeterReading(currents_A=(0.0, 0.0, 0.0))
        self._under_way: dict[int, tuple[MeterReading, float]] = {}
        """Readings that show what was, by their identity, and when that was so."""
        self._heard = self._changed = 0
        """Counts the readings that the node heard, and those that were another than the one before."""
        self._heard_last: MeterReading | None = None

    def fail(self, how: MeterFault, until_s: float) -> None:
        """Work no more for a while."""
        self._fails, self._fails_until_s = how, until_s

    def read(self, now_s: float) -> None:
        """Show what flows, as far as it works."""
        fails = self._fails if now_s < self._fails_until_s else None
        late_s = self._random.random() * self._config.lag_s
        if fails == "silent":
            if self._random.random() < 0.3:
                self._world.at(now_s, self._world.deliver, self.slot, MeterTrouble(why="it does not answer"))
            return
        if fails == "absurd":
            wrong_A = self._random.choice((float("nan"), float("inf"), -1e9, 1e7))
            reading = MeterReading(currents_A=(wrong_A, 0.0, 0.0), t_meter_s=now_s)
        elif fails == "frozen":
            reading = self._last
        else:
            t_meter_s = now_s if self._has_clock else None
            reading = self._last = MeterReading(currents_A=self._shown_A(), t_meter_s=t_meter_s)
            if len(self._under_way) >= MOST_UNDER_WAY:
                self._under_way.clear()
            self._under_way[id(reading)] = reading, now_s
        self._world.at(now_s + late_s, self._world.deliver, self.slot, reading)

    def hears(self, now_s: float, own_s: float, event: object) -> None:
        """The node takes an event: what that lets it know of the load."""
        if not isinstance(event, MeterReading):
            return
        of = self._under_way.pop(id(event), None)
        config, world = self._config, self._world
        if of is None and event is not self._last:
            return  # an absurd one
        self._heard += 1
        world.at(now_s + config.timeout_s / (1.0 - RHO), self._is_silent, self._heard)
        if event != self._heard_last:
            self._heard_last = event
            self._changed += 1
            world.at(now_s + config.frozen_s / (1.0 - RHO), self._is_frozen, self._changed)
        ledger = self.slot.ledger
        if of is None or ledger is None:
            return
        flows = ledger.committed(own_s)
        if flows is not None:
            self._knows(max(event.currents_A) - flows.import_A, of[1])

    def _is_silent(self, heard: int, _: object = None) -> None:
        if heard == self._heard:
            self._knows(self.fuse.declared_A)

    def _is_frozen(self, changed: int, _: object = None) -> None:
        if changed == self._changed:
            self._knows(self.fuse.declared_A)

    def begin_life(self) -> None:
        """The node begins anew."""
        self._heard += 1
        self._changed += 1
        self._heard_last = None
        self._knows(self.fuse.declared_A)

    def _knows(self, least_A: float, since_s: float | None = None) -> None:
        """The load is so much or more, as it was since then."""
        world = self._world
        if since_s is not None and since_s < self.fuse.changed_s:
            return
        again_s = self.fuse.knows(world.now_s, least_A)
        if again_s is not None:
            world.at(again_s, world.checker.look, again_s, self.slot.id)

    def _shown_A(self) -> tuple[float, float, float]:
        L1, L2, L3 = (self.fuse.load_A * part for part in self.parts)
        for evse in self.evses:
            one, two, three = evse.hardware.currents_A()
            L1, L2, L3 = L1 + one, L2 + two, L3 + three
        return L1, L2, L3


class Meters:
    """All meters of a world, and all loads that any of them shows."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._own_A: dict[str, float] = {}
        """The load of each node, without those below it."""
        self._meters: dict[str, Meter] = {}
        site = world.site
        for module_id, module in site.modules.items():
            if module.meter is None:
                continue
            slot = world.slots[module_id]
            fuse = world.checker.measure(module_id, module.meter)
            random = stream(world.plan.seed, "meter", module_id)
            slot.meter = self._meters[module_id] = Meter(world, slot, module.meter, fuse, random)
        self.told = {m for node in self._meters for m in site.subtree(node)}
        """Modules whose reports tell what cars draw."""

    def begin(self) -> None:
        """All begin to measure."""
        for meter in self._meters.values():
            self._world.at(meter.first_s, self._read, meter)

    def _read(self, meter: Meter, _: object = None) -> None:
        now_s = self._world.now_s
        meter.read(now_s)
        self._world.at(now_s + meter.every_s, self._read, meter)

    def begin_life(self, node: str) -> None:
        """A node begins anew."""
        if node in self._meters:
            self._meters[node].begin_life()

    def load(self, node: str, current_A: float) -> None:
        """A load changes."""
        world = self._world
        self._own_A[node] = current_A
        for above in world.site.path_to_root(node):
            if above in self._meters:
                load_A = sum(self._own_A.get(below, 0.0) for below in world.site.subtree(above))
                again_s = self._meters[above].fuse.becomes(world.now_s, load_A)
                world.checker.look(world.now_s, above)
                if again_s is not None:
                    world.at(again_s, world.checker.look, again_s, above)

    def fail(self, node: str, how: MeterFault, for_s: float) -> None:
        """A meter does not work for a while."""
        if node in self._meters:
            self._meters[node].fail(how, min(self._world.now_s + for_s, self._world.plan.hurt_s))

    def mend(self) -> None:
        """What cars draw is told as it is: what a charger does not tell would count as load, and bring its
        own limit down, step by step."""
        for meter in self._meters.values():
            for evse in meter.evses:
                evse.hardware.tell_all()
