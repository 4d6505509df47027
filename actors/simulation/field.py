"""The hardware's side of the world: what reaches an EVSE, what flows there, what it tells, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.energy.messages import Actuate
from actors.simulation.bench import Evse

if TYPE_CHECKING:
    from actors.simulation.world import World

NEVER_S = float("inf")


class Field:
    """All EVSEs of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def begin(self) -> None:
        """Each tells what it is for the first time."""
        for evse in self._world.evses.values():
            self._observe(evse)
            self._world.at(0.1 * evse.offset, self._read_out, evse, evse.timer)

    def tell(self, evse_id: str, message: Actuate) -> None:
        """Send something to an EVSE's hardware."""
        evse = self._world.evses[evse_id]
        for at_s in evse.down.arrivals(self._world.now_s):
            self._world.at(at_s, self._actuate, evse, message)

    def touched(self, evse_id: str) -> None:
        """Something was done to an EVSE's hardware."""
        self._observe(self._world.evses[evse_id])

    def _actuate(self, evse: Evse, message: Actuate) -> None:
        now_s = self._world.now_s
        refused = evse.hardware.actuate(now_s, message)
        self._world.digest.actuated(now_s, evse.index, message)
        if self._world.recorder is not None:
            self._world.recorder.actuated(now_s, evse.id, message, refused)
        self._observe(evse)

    def _observe(self, evse: Evse) -> None:
        """What flows now, what its driver must know at once, and when it changes by itself."""
        now_s = self._world.now_s
        hardware = evse.hardware
        if evse.flow != (hardware.current_A, hardware.power_W):
            evse.flow = (hardware.current_A, hardware.power_W)
            if self._world.recorder is not None:
                self._world.recorder.flows(now_s, evse.id, hardware)
            # Between changes of a flow exposures only fall: just before it falls is when a promise fails.
            self._world.hold_to_promises(evse.id)
            self._world.checker.flow(now_s, evse.id, hardware.current_A, hardware.power_W)
            self._world.hold_to_promises(evse.id)
        if evse.revision != hardware.revision:
            evse.revision = hardware.revision
            evse.timer += 1
            self._read_out(evse, evse.timer)
        if hardware.next_s < evse.next_s:
            evse.next_s = hardware.next_s
            self._world.at(hardware.next_s, self._advance, evse, hardware.next_s)

    def _advance(self, evse: Evse, due_s: float) -> None:
        now_s = self._world.now_s
        if evse.next_s != due_s:
            return
        evse.next_s = NEVER_S
        evse.hardware.advance(now_s)
        self._observe(evse)

    def _read_out(self, evse: Evse, timer: int) -> None:
        """Send a reading, and the next one a while later."""
        if timer != evse.timer:
            return
        world = self._world
        now_s = world.now_s
        if now_s >= evse.hardware.back_s:
            reading = evse.hardware.reading(now_s)
            for at_s in evse.up.arrivals(now_s):
                world.at(at_s, world.deliver, evse.slot, reading)
        world.at(now_s + evse.period_s, self._read_out, evse, timer)
