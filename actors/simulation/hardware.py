"""EVSE hardware and the car at it, as bad as the assumptions allow.

    limit in force ──rating, watt, minimum, pilot──► permitted
    what was permitted in the car's last `reaction_s` ──largest──► may be drawn

The car takes more at once and less only when its time is over; both are within its settle time. An
open contactor carries nothing, and a car that it is closed for begins with what is permitted now.
The end of a limit is counted by the hardware's own clock, the car's reaction in true seconds.
"""

from __future__ import annotations

import math
from collections import deque

from msgspec.structs import replace

from actors.energy.fixed_load import Currents
from actors.energy.messages import Actuate, Reading
from actors.energy.modules import EvseManagerConfig
from actors.plant.watchdog import Watchdog
from actors.simulation.clocks import Clock
from actors.simulation.plan import Car

NO_CURRENTS_A = (0.0, 0.0, 0.0)
MOST_DECREASES = 10_000
"""Remembered within a reaction time: far more than a run can give, and asserted."""


class Hardware:
    """One EVSE. `advance` before reading it, and at `next_s` at the latest; times are true seconds."""

    def __init__(
        self, evse_id: str, config: EvseManagerConfig, phases: int, voltage_V: float, clock: Clock
    ) -> None:
        self.id = evse_id
        self.clock = clock
        self.car: Car | None = None
        self.asks = False
        self.contactor_closed = False
        self.closed_phases = phases
        self.permitted_A = 0.0
        self.current_A = 0.0
        """Per phase that carries any."""
        self.power_W = 0.0
        self.mark = ""
        self.revision = 0
        """Counts what a driver must know at once; currents apart."""
        self.next_s = 0.0
        self.back_s = -math.inf
        """While it restarts: when it hears and says something again."""
        self._config = config
        self._phases = phases
        self._voltage_V = voltage_V
        self.floor_A = config.min_current_A if config.charge_mode == "AC" else 0.0
        self._changes_phases = config.charge_mode == "AC" and config.supports_changing_phases_during_charging
        fallback_A = config.fallback_limit_A
        self._fallback_A = fallback_A if fallback_A >= self.floor_A else 0.0
        self._lives = 1
        self.watchdog = Watchdog(self._fallback_A, self.boot)
        self._share = 1.0
        self._past: deque[tuple[float, float]] = deque()
        """(until when it may still be drawn, ampere), the largest first."""
        self._told: tuple[object, ...] = ()
        self._metered_A = 0.0
        self.advance(0.0)

    @property
    def boot(self) -> str:
        """Names its present life."""
        return str(self._lives)

    # --- what happens to it -----------------------------------------------------------------------

    def actuate(self, now_s: float, command: Actuate) -> str | None:
        """Take a new limit, or tell why not."""
        if now_s < self.back_s:
            return "it restarts"
        refused = self.watchdog.take(self.clock.own_s(now_s), command)
        if refused is None:
            self.mark = command.mark
        self.advance(now_s)
        return refused

    def restart(self, now_s: float, back_s: float, *, opens: bool) -> None:
        """It begins anew, with a clock that shows 0 when it is back, and knows nothing of before."""
        self.clock.begin_anew(back_s)
        self._lives += 1
        self.watchdog, self.mark, self.back_s = Watchdog(self._fallback_A, self.boot), "", back_s
        if opens:
            self.contactor_closed = False
            self._past.clear()
        self.revision += 1
        self.advance(now_s)

    def plug(self, now_s: float, car: Car) -> None:
        """A car is plugged in; one that is there goes first."""
        self.unplug(now_s)
        settle_s = self._config.settle_time_s
        assert car.reaction_s <= settle_s, f"{self.id}: a car that takes longer than {settle_s} s"
        self.car, self.asks, self._share = car, True, car.share
        self.advance(now_s)

    def unplug(self, now_s: float) -> None:
        """The car goes, also under current."""
        self.car, self.asks, self.contactor_closed = None, False, False
        self._past.clear()
        self.advance(now_s)

    def ask(self, now_s: float, asks: bool) -> None:
        """The car wants energy, or pauses."""
        self.asks = asks and self.car is not None
        self.advance(now_s)

    def appetite(self, now_s: float, share: float) -> None:
        """The car takes another share of what it may."""
        self._share = share
        self.advance(now_s)

    # --- time -------------------------------------------------------------------------------------

    def advance(self, now_s: float) -> None:
        """Go on to `now_s`."""
        self.watchdog.expire(self.clock.own_s(now_s))
        if self.watchdog.limit.ends_s == math.inf:
            self.mark = ""
        self._permit(now_s)
        while self._past and self._past[0][0] <= now_s:
            self._past.popleft()
        self._draw()
        self._switch(now_s)
        ends_s = self.watchdog.limit.ends_s
        self.next_s = math.inf if ends_s == math.inf else self.clock.true_s(ends_s) + 1e-7
        if self._past:
            self.next_s = min(self.next_s, self._past[0][0])
        if now_s < self.back_s:
            self.next_s = min(self.next_s, self.back_s)
        limit = self.watchdog.limit
        told = (
            limit.limit_A,
            limit.limit_W,
            limit.phase_count,
            limit.cp_state,
            self.car is None,
            self.asks,
            self.contactor_closed,
            self.closed_phases,
            now_s < self.back_s,
        )
        if told != self._told:
            self._told = told
            self.revision += 1

    def watt_per_ampere(self) -> float:
        """With the phases that are connected."""
        return self._voltage_V * self.closed_phases

    def rated_A(self) -> float:
        """The most that it can let through, per phase."""
        rated_A = self._config.max_current_A if self._config.charge_mode == "AC" else math.inf
        rated_W = self._config.max_power_W
        return rated_A if rated_W is None else min(rated_A, rated_W / self.watt_per_ampere())

    def _permit(self, now_s: float) -> None:
        limit = self.watchdog.limit
        permitted_A = min(limit.limit_A, self.rated_A())
        if limit.limit_W is not None:
            permitted_A = min(permitted_A, limit.limit_W / self.watt_per_ampere())
        switching = self._wanted_phases() != self.closed_phases
        if permitted_A < self.floor_A or limit.cp_state != "on" or switching:
            permitted_A = 0.0
        if permitted_A < self.permitted_A and self.contactor_closed and self.car is not None:
            while self._past and self._past[-1][1] <= self.permitted_A:
                self._past.pop()  # it may be drawn for longer than those
            self._past.append((now_s + self.car.reaction_s, self.permitted_A))
            assert len(self._past) <= MOST_DECREASES
        self.permitted_A = permitted_A

    def _wanted_phases(self) -> int:
        wanted = self.watchdog.limit.phase_count
        if wanted is None or not self._changes_phases:
            return self.closed_phases
        return min(wanted, self._phases)

    def _draw(self) -> None:
        car = self.car
        if car is None or not self.contactor_closed or not self.asks:
            self.current_A = self.power_W = 0.0
            return
        before_A = self._past[0][1] if self._past else 0.0
        if before_A <= self.permitted_A:
            current_A = min(car.max_current_A, self.permitted_A) * self._share
        else:
            current_A = min(car.max_current_A, before_A) * (1.0 if car.surges else self._share)
        self.current_A = current_A
        self.power_W = current_A * self._voltage_V * self._carrying(car)

    def _carrying(self, car: Car) -> int:
        phases = self.closed_phases
        return phases if self._config.charge_mode == "DC" else min(phases, car.phases)

    def _switch(self, now_s: float) -> None:
        if self.contactor_closed:
            if (self.permitted_A > 0.0 or self._past) and self.asks:
                return
            self.contactor_closed = False
            self._past.clear()
        if (wanted := self._wanted_phases()) != self.closed_phases:
            self.closed_phases = wanted
            self._permit(now_s)
        if self.asks and self.permitted_A > 0.0 and now_s >= self.back_s:
            self.contactor_closed = True
        self._draw()

    # --- what it says -----------------------------------------------------------------------------

    def currents_A(self) -> Currents:
        """What flows, per phase."""
        if self.car is None or self.current_A == 0.0:
            return NO_CURRENTS_A
        count, current_A = self._carrying(self.car), self.current_A
        return current_A, current_A if count > 1 else 0.0, current_A if count > 2 else 0.0

    def tell_all(self) -> None:
        """From now on readings tell what flows as it is."""
        if self.car is not None:
            self.car = replace(self.car, meter=1.0, meter_lags=False)

    def reading(self, now_s: float) -> Reading:
        """What it tells its driver; its meter lags, and may tell less than flows."""
        car, limit, own_s = self.car, self.watchdog.limit, self.clock.own_s(now_s)
        currents_A, power_W = NO_CURRENTS_A, 0.0
        if car is not None:
            shown_A = (self._metered_A if car.meter_lags else self.current_A) * car.meter
            count = self._carrying(car)
            currents_A = (shown_A, shown_A if count > 1 else 0.0, shown_A if count > 2 else 0.0)
            power_W = shown_A * self._voltage_V * count
        self._metered_A = self.current_A
        return Reading(
            t_hardware_s=own_s,
            boot=self.boot,
            plugged_in=car is not None,
            car_asks=self.asks,
            closed_phases=self.closed_phases,
            currents_A=currents_A,
            power_W=power_W,
            limit_A=limit.limit_A,
            limit_W=limit.limit_W,
            limit_ends_in_s=self.watchdog.ends_in_s(own_s),
            mark=self.mark,
            contactor_closed=self.contactor_closed,
        )
