"""Meters at the feeders of nodes, and the loads that are not cars there.

A meter shows what flows through its node: cars and loads below it, phase by phase. What it shows is up to
`lag_s` old. It reads on while its node is dead, but nobody hears it then.
"""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from actors.energy.fixed_load import LESS_A, Currents, MeterReading, MeterTrouble
from actors.energy.trunk import Trunk
from actors.simulation.clocks import RHO
from actors.simulation.hardware import NO_CURRENTS_A
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
NOISE_A = 0.02
"""A meter without a clock never shows the same twice, or it would be taken for frozen."""
TOO_LITTLE = 0.4
"""Of what cars tell, that a meter shows of all."""
NO_CURRENT_A = (math.inf, -math.inf, -1e9, 1e7)
"""What cannot be."""


class Meter:
    """One node's."""

    def __init__(
        self, world: World, slot: Slot, config: MeterConfig, fuse: MeteredFuse, random: Random
    ) -> None:
        self.slot = slot
        self.fuse = fuse
        self.evses = [world.evses[m] for m in world.site.subtree(slot.id) if m in world.evses]
        self.every_s = random.uniform(*EVERY_S)
        self.first_s = self.every_s * random.random()
        self._world = world
        self._config = config
        self._random = random
        self._has_clock = random.random() < 0.5
        self._in_bursts = random.random() < 0.25
        self._parts = (1.0, random.random(), random.random())
        """Of the load, in each phase."""
        self._fails: MeterFault | None = None
        self._fails_until_s = 0.0
        self._last = MeterReading(currents_A=NO_CURRENTS_A)
        self._is_fresh = False
        """Whether what it shows is of now."""
        self._under_way: dict[int, tuple[MeterReading, float | None]] = {}
        """Readings that can be believed, by their identity; when what they show was so, if it was."""
        self._heard = self._changed = 0
        """Counts the readings that the node heard, and those that were another than the one before."""
        self._heard_last: MeterReading | None = None

    def fail(self, now_s: float, how: MeterFault, for_s: float) -> None:
        """Work no more for a while, unless it has not worked since it last did so: it shows what was for no
        longer than its node bears."""
        if self._is_fresh:
            self._fails, self._fails_until_s = how, min(now_s + for_s, self._world.plan.hurt_s)

    def read(self, now_s: float) -> None:
        """Show what flows, as far as it works."""
        fails = self._fails if now_s < self._fails_until_s else None
        self._is_fresh = fails is None
        late_s = self._random.random() * self._config.lag_s
        if self._in_bursts and self._config.lag_s > 0.0:
            late_s = self._config.lag_s - now_s % self._config.lag_s
        at_s, t_meter_s = now_s + late_s, now_s if self._has_clock else None
        match fails:
            case None:
                self._last = MeterReading(currents_A=self._flow_A(), t_meter_s=t_meter_s)
                self._send(at_s, self._last, now_s)
            case "frozen":
                self._send(at_s, self._last, None)
            case "less":
                currents_A = self._too_little_A(now_s)
                self._last = MeterReading(currents_A=currents_A or self._flow_A(), t_meter_s=t_meter_s)
                self._send(at_s, self._last, None if currents_A else now_s)
            case "absurd":
                wrong_A = self._random.choice((*NO_CURRENT_A, 15.0 * self.fuse.fuse_A))
                reading = MeterReading(currents_A=(wrong_A, 0.0, 0.0), t_meter_s=t_meter_s)
                if wrong_A in NO_CURRENT_A:
                    self._world.at(at_s, self._world.deliver, self.slot, reading)
                else:
                    self._send(at_s, reading, None)
            case "silent":
                if self._random.random() < 0.3:
                    trouble = MeterTrouble(why="it does not answer")
                    self._world.at(at_s, self._world.deliver, self.slot, trouble)

    def _send(self, at_s: float, reading: MeterReading, true_s: float | None) -> None:
        """What can be believed, and was so at `true_s`, if it was."""
        if len(self._under_way) >= MOST_UNDER_WAY:
            self._under_way.clear()
        self._under_way[id(reading)] = reading, true_s
        self._world.at(at_s, self._world.deliver, self.slot, reading)

    def hears(self, now_s: float, own_s: float, event: object) -> None:
        """The node takes an event: what that lets it know of the load."""
        known = self._under_way.get(id(event))
        if known is None or not isinstance(event, MeterReading):
            return
        if known[1] is not None:
            self._under_way[id(event)] = event, None
        config, world = self._config, self._world
        self._heard += 1
        world.at(now_s + config.timeout_s / (1.0 - RHO), self._is_silent, self._heard)
        if event != self._heard_last:
            self._heard_last = event
            self._changed += 1
            world.at(now_s + config.frozen_s / (1.0 - RHO), self._is_frozen, self._changed)
        flows = None if self.slot.ledger is None else self.slot.ledger.committed(own_s)
        if known[1] is not None and flows is not None:
            self._knows(max(event.currents_A) - NOISE_A - flows.import_A, known[1])

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

    def _flow_A(self) -> Currents:
        noise_A = 0.0 if self._has_clock else self._random.random() * NOISE_A
        L1, L2, L3 = (self.fuse.load_A * part + noise_A for part in self._parts)
        for evse in self.evses:
            one, two, three = evse.hardware.currents_A()
            L1, L2, L3 = L1 + one, L2 + two, L3 + three
        return L1, L2, L3

    def _too_little_A(self, now_s: float) -> Currents | None:
        """Less than the cars that the node hears of tell that they draw, by so much that it must be noticed;
        None: they draw little."""
        slot = self.slot
        if not isinstance(slot.core, Trunk):
            return None
        told_A, _ = slot.core.branch.currents_A(slot.process.clocks.now(now_s).mono_s)
        L1, L2, L3 = (TOO_LITTLE * phase_A for phase_A in told_A)
        return (L1, L2, L3) if L1 + L2 + L3 > LESS_A else None


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
            self._meters[node].fail(self._world.now_s, how, for_s)

    def mend(self) -> None:
        """What cars draw is told as it is: what a charger does not tell would count as load, and bring its
        own limit down, step by step."""
        for meter in self._meters.values():
            for evse in meter.evses:
                evse.hardware.tell_all()
