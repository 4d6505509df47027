"""One EVSE's hardware: watchdog, control pilot, contactor, and the car that is plugged in.

    limit in force ──cable, rating, watt, minimum──► permitted ──pilot──► offered to the car
                                                         │
                          highest of the last settle time = allowed: above it the contactor opens

- **Pilot.** It offers what is permitted; nothing while `cp_state` is X1, E or F, phases are to be
  changed, or there is a fault or no supply. AC: less than `min_current_A` cannot be said and is 0.
- **Contactor.** It closes when the car asks and is offered something. It opens when nothing is
  offered or asked and no current flows any more, or by force when more than *allowed* flows: a
  current must follow a lower limit within `settle_time_s`. What was permitted within that time
  stays allowed, so a car that follows each of many decreases in time is not cut off. A car that
  disregarded what it was offered is cut off until it is unplugged; one that was merely slow to
  pause may go on.
- **Phases.** They are changed only while the contactor is open, and only by hardware that is
  configured for it; else they stay as wired, and readings say so.

One limit per phase serves AC and DC: a DC EVSE turns watt into ampere on the grid side.
"""

from __future__ import annotations

import math
from collections import deque

from actors.energy.messages import Actuate, Reading
from actors.energy.modules import EvseManagerConfig
from actors.plant.breakers import Currents
from actors.plant.cars import CarAtEvse
from actors.plant.catalogue import Car
from actors.plant.watchdog import Watchdog
from actors.plant.wiring import PhaseSet

CRUMB_A = 0.01
"""Less above the limit than hardware can tell is none."""
OPENING_s = 0.1
"""What supervision, a step, and the contactor need: so much before the settle time is over they begin."""
MAX_DECREASES = 1_000
"""Decreases remembered within a settle time; beyond it the earliest are forgotten, and less is allowed."""


class Evse:
    """EVSE hardware. `step` goes on in time; the rest happens at the time of the last step."""

    def __init__(
        self,
        evse_id: str,
        config: EvseManagerConfig,
        phases: PhaseSet,
        voltage_V: float,
        now_s: float,
        boot: str = "",
    ) -> None:
        """`boot` names its life."""
        self.id = evse_id
        self.boot = boot
        self.config = config
        self.car: CarAtEvse | None = None
        self.contactor_closed = False
        self.fault: str | None = None
        self.closed_phases = len(phases)
        self.supplied = True
        self.wake_s = now_s
        """Until then a step changes nothing."""
        self.moved = True
        """Something may be other than whoever set this to False has seen."""
        self.moved_s = now_s
        """When a step last changed anything, currents too."""
        self._changed = True
        """What may flow follows from something else than in the last step, its end apart."""
        self.revision = 0
        """Counts what a driver must know at once; currents apart."""
        self._phases = phases
        self._voltage_V = voltage_V
        floor_A = 0.0 if config.charge_mode == "DC" else config.min_current_A
        self._floor_A = floor_A
        fallback_A = config.fallback_limit_A if config.fallback_limit_A >= config.min_current_A else 0.0
        self.watchdog = Watchdog(fallback_A, boot)
        self._now_s = now_s
        self._offered_A = 0.0
        self._permitted_A = 0.0
        self._past: deque[tuple[float, float]] = deque(maxlen=MAX_DECREASES)
        self._told: tuple[object, ...] = ()

    # --- what happens to it -----------------------------------------------------------------------

    def plug(self, car: Car, speed: float) -> None:
        """A car is plugged in; there is none yet."""
        assert self.car is None
        max_A, min_A = car.max_current_A, car.min_current_A
        if self.config.charge_mode == "DC":
            assert car.max_power_W is not None
            max_A, min_A = car.max_power_W / (self._voltage_V * len(self._phases)), 0.0
        self.car = CarAtEvse(car, self._now_s, max_current_A=max_A, min_current_A=min_A, speed=speed)
        self._offered_A = 0.0
        self._touch()

    def unplug(self) -> None:
        """The car is gone, also under current: the pilot parts first, and the contactor opens."""
        self.car = None
        self.fault = None
        self.contactor_closed = False
        self._touch()

    def actuate(self, now_s: float, command: Actuate) -> str | None:
        """Take a new limit, or tell why not."""
        self.watchdog.expire(now_s)
        before = self.watchdog.limit
        refused = self.watchdog.take(now_s, command)
        if refused is not None:
            return refused
        if self.watchdog.limit.goes_on_with(before):  # as most do: there is only another end to wake for
            self.wake_s = min(self.wake_s, self.watchdog.limit.ends_s)
        else:
            self._permit(now_s)
            self._wake()
        return None

    def supply(self, supplied: bool) -> None:
        """The feeder is cut or back."""
        if supplied != self.supplied:
            self.supplied = supplied
            self.contactor_closed = self.contactor_closed and supplied
            if self.car is not None and not supplied:
                self.car.current_A = 0.0
            self._touch()

    def _touch(self) -> None:
        self._changed = True
        self._wake()

    def _wake(self) -> None:
        self.wake_s, self.moved = -math.inf, True
        self._note_change()

    # --- time -------------------------------------------------------------------------------------

    def step(self, now_s: float) -> None:
        """Go on to `now_s`."""
        current_A, power_W, self._now_s = self.current_A, self.power_W, now_s
        limit, wanted = self.watchdog.limit, self.car is not None and self.car.wants
        self.watchdog.expire(now_s)
        changed, self._changed = self._changed or self.watchdog.limit is not limit, False
        if changed:  # else all that it follows from is as it was, or it was found out when it changed
            self._permit(now_s)
        if self.car is not None:
            self._offer(now_s)
            self.car.step(now_s, supplied=self.contactor_closed, power_W=power_W)
        self._changed = self._supervise(now_s) or self._switch()
        self.wake_s = now_s if self._changed else self._next_s()
        if changed or self._changed or self.current_A != current_A:
            self.moved, self.moved_s = True, now_s
        if changed or self._changed or (self.car is not None and self.car.wants != wanted):
            self._note_change()

    def _permit(self, now_s: float) -> None:
        """What may flow per phase from now on."""
        limit, config = self.watchdog.limit, self.config
        permitted_A = limit.limit_A
        if limit.limit_W is not None:
            permitted_A = min(permitted_A, limit.limit_W / (self._voltage_V * self.closed_phases))
        if config.max_power_W is not None:
            permitted_A = min(permitted_A, config.max_power_W / (self._voltage_V * self.closed_phases))
        if config.charge_mode == "AC":
            permitted_A = min(permitted_A, config.max_current_A)
            if self.car is not None:
                permitted_A = min(permitted_A, self.car.car.cable_A)
        if permitted_A < self._floor_A or not self._is_open_to_charge():
            permitted_A = 0.0
        if permitted_A < self._permitted_A:
            allowed_until_s = now_s + max(0.0, self.config.settle_time_s - OPENING_s)
            self._past.append((allowed_until_s, self._permitted_A))
        self._permitted_A = permitted_A

    def _is_open_to_charge(self) -> bool:
        pilot = self.watchdog.limit.cp_state == "on" and self.fault is None
        return pilot and self.supplied and self._wanted_phases() == self.closed_phases

    def _wanted_phases(self) -> int:
        wanted = self.watchdog.limit.phase_count
        if wanted is None or not self.config.supports_changing_phases_during_charging:
            return self.closed_phases
        return min(wanted, len(self._phases))

    def _offer(self, now_s: float) -> None:
        assert self.car is not None
        if self._permitted_A != self._offered_A:
            self._offered_A = self._permitted_A
            self.car.offer(now_s, self._offered_A)

    def _supervise(self, now_s: float) -> bool:
        """Open by force if more flows than was permitted at any time of the last settle time."""
        while self._past and self._past[0][0] <= now_s:
            self._past.popleft()
        if self.current_A <= self._permitted_A + CRUMB_A:
            return False
        allowed_A = max([self._permitted_A, *(amount_A for _, amount_A in self._past)])
        if self.current_A <= allowed_A + CRUMB_A:
            return False
        if self._permitted_A > 0.0:
            settle_s = self.config.settle_time_s
            self.fault = f"car draws {self.current_A:.1f} A, permitted {allowed_A:.1f} A for {settle_s:g} s"
            self._permitted_A = 0.0
        self._open()
        return True

    def _switch(self) -> bool:
        """Contactor and phases, each only when it may; one move at a time."""
        asked = self.car is not None and self.car.wants and self._permitted_A > 0.0
        if self.contactor_closed:
            if asked or self.current_A > 0.0:
                return False
            self._open()
        elif self._wanted_phases() != self.closed_phases:
            self.closed_phases = self._wanted_phases()
        elif asked:
            self.contactor_closed = True
        else:
            return False
        return True

    def _open(self) -> None:
        self.contactor_closed = False
        if self.car is not None:
            self.car.current_A = 0.0

    def _next_s(self) -> float:
        times_s = [self.watchdog.limit.ends_s]
        if self.car is not None:
            times_s.append(self.car.wake_s)
            if self._past and self.current_A > self._permitted_A + CRUMB_A:
                times_s.append(self._past[0][0])
        return min(times_s)

    # --- what it says -----------------------------------------------------------------------------

    @property
    def current_A(self) -> float:
        """Per phase that carries any."""
        return self.car.current_A if self.car is not None and self.contactor_closed else 0.0

    @property
    def currents_A(self) -> Currents:
        """On L1, L2 and L3 of the grid."""
        current_A = self.current_A
        if not current_A:
            return (0.0, 0.0, 0.0)
        carrying = self._carrying()
        return (
            current_A if 0 in carrying else 0.0,
            current_A if 1 in carrying else 0.0,
            current_A if 2 in carrying else 0.0,
        )

    @property
    def power_W(self) -> float:
        """From the grid."""
        current_A = self.current_A
        return self._voltage_V * current_A * len(self._carrying()) if current_A else 0.0

    def _carrying(self) -> PhaseSet:
        count = self.closed_phases
        if self.config.charge_mode == "AC" and self.car is not None:
            count = min(count, self.car.car.phases)
        return self._phases[:count]

    @property
    def state(self) -> str:
        """A no car, B car connected, C charging (contactor closed), F fault or no supply."""
        if self.fault is not None or not self.supplied:
            return "F"
        if self.car is None:
            return "A"
        return "C" if self.contactor_closed else "B"

    def reading(self, now_s: float) -> Reading:
        """What it tells its driver."""
        car, limit = self.car, self.watchdog.limit
        talks = car is not None and (car.car.communicates or self.config.charge_mode == "DC")
        return Reading(
            t_hardware_s=now_s,
            boot=self.boot,
            plugged_in=car is not None,
            car_asks=car is not None and car.wants,
            complete=talks and car is not None and not car.wants,
            closed_phases=self.closed_phases,
            currents_A=self.currents_A,
            power_W=self.power_W,
            limit_A=limit.limit_A,
            limit_W=limit.limit_W,
            limit_ends_in_s=self.watchdog.ends_in_s(now_s),
            mark=limit.mark,
            contactor_closed=self.contactor_closed,
            cable_limit_A=None if car is None or self.config.charge_mode == "DC" else car.car.cable_A,
            car_limit_A=round(car.told_limit_A, 1) if talks and car is not None else None,
            fault=self.fault if self.supplied else "no supply",
        )

    def _note_change(self) -> None:
        limit, car = self.watchdog.limit, self.car
        told = (
            car is not None,
            car is not None and car.wants,
            self.contactor_closed,
            self.closed_phases,
            limit.limit_A,
            limit.limit_W,
            limit.cp_state,
            limit.life,
            self.fault,
            self.supplied,
        )
        if told != self._told:
            self._told = told
            self.revision += 1
