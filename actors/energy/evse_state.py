"""The simplified state of an EVSE, from what its hardware says and what it is offered.

    Unplugged ──car──► WaitForEnergy ──offered──► PrepareCharging ──asks──► Charging
                                                       │                    │  │
                          PausedEV ◄──30 s, never asks─┘   PausedEV ◄─stops─┘  └─offer ends─► PausedEVSE
    PausedEVSE ──offered──► PrepareCharging           PausedEV ──asks──► Charging
    plugged in, needs nothing more ──► Finished       fault or silent hardware ──► Disabled

A basic car shows that it wants energy only while some is offered, and a moment after, so "not
asking" counts as the car's own pause only under an offer, and after an offer that is new only when
it lasted. An offer that ends leaves PausedEV and PrepareCharging as they are.
"""

from __future__ import annotations

from actors.energy.messages import Reading
from actors.energy.types import EvseState

PREPARE_S = 30.0
"""A car that was offered energy for so long and never asked is taken as pausing."""
SILENT_S = 5.0
"""Hardware that said nothing for so long is taken as not there."""


class StateMachine:
    """Derives the state; `state` is the last one."""

    def __init__(self) -> None:
        self.state = EvseState.Disabled
        self._charged = False
        self._offered_since_s: float | None = None

    def step(self, now_s: float, reading: Reading | None, read_at_s: float, offered: bool) -> EvseState:
        """The state now, after this reading (received at `read_at_s`), with energy offered or not."""
        self.state = self._next(now_s, reading, read_at_s, offered)
        return self.state

    def due_s(self) -> float | None:
        """When the state changes by itself; None when it does not."""
        if self.state is not EvseState.PrepareCharging or self._offered_since_s is None:
            return None
        return self._offered_since_s + PREPARE_S

    def _next(self, now_s: float, reading: Reading | None, read_at_s: float, offered: bool) -> EvseState:
        if reading is None or now_s - read_at_s > SILENT_S or reading.fault is not None:
            return EvseState.Disabled
        if not reading.plugged_in:
            self._charged, self._offered_since_s = False, None
            return EvseState.Unplugged
        if not offered:
            self._offered_since_s = None
        elif self._offered_since_s is None:
            self._offered_since_s = now_s
        if reading.complete and not reading.car_asks:
            return EvseState.Finished
        if reading.car_asks and offered:
            self._charged = True
            return EvseState.Charging
        if not offered:
            if self.state is EvseState.PausedEV and not reading.car_asks:
                return EvseState.PausedEV
            if self.state is EvseState.PrepareCharging and not reading.car_asks:
                return EvseState.PrepareCharging
            return EvseState.PausedEVSE if self._charged else EvseState.WaitForEnergy
        assert self._offered_since_s is not None
        paused_itself = self.state in (EvseState.Charging, EvseState.PausedEV)
        if paused_itself or now_s - self._offered_since_s >= PREPARE_S:
            return EvseState.PausedEV
        return EvseState.PrepareCharging
