"""A car at an EVSE: what it draws, given what the EVSE offers.

    offered ──reaction time──► heard ──min current, own limit──► goal ──ramp up, at once down──► drawn

- It hears each offer exactly `reaction_time_s` late and draws as before until then, also through a
  sequence of changes (a pure delay).
- Heard less than `min_current_A`, it pauses; heard enough again, it goes on by itself.
- Its own limit tapers: full current up to TAPER_FROM of its battery, then linearly down to
  TAPER_END at a full one.
- Losing its supply, it is at 0 at once and forgets what it heard: it begins anew with the next offer.

A DC car is the same with its power turned into current on the grid side.
"""

from __future__ import annotations

import math
from collections import deque

from actors.plant.catalogue import Car

TAPER_FROM = 0.8
TAPER_END = 0.1
EFFICIENCY = 0.9
"""Of on-board charger and battery: what of the energy drawn stays."""
REST_S = 0.5
"""Longest time between two looks at a battery."""
MAX_HEARD = 256
"""Offers on their way to the car; one more takes the place of the newest."""


class CarAtEvse:
    """A car that is plugged in. Per phase, and positive from the grid."""

    def __init__(self, car: Car, now_s: float, *, max_current_A: float, min_current_A: float, speed: float):
        self.car = car
        self.current_A = 0.0
        self.wake_s = now_s
        """Until then a step changes nothing, unless it is offered something else."""
        self._max_A = max_current_A
        self._min_A = min_current_A
        self._fill_per_Ws = EFFICIENCY * speed / (car.battery_kWh * 3.6e6)
        self._soc = car.soc_percent / 100.0
        self._target = car.target_percent / 100.0
        self._offers: deque[tuple[float, float]] = deque()
        self._heard_A = 0.0
        self._supplied = False
        self._at_s = now_s

    @property
    def wants(self) -> bool:
        """Its battery is below its target."""
        return self._soc < self._target

    @property
    def soc_percent(self) -> float:
        """State of charge."""
        return 100.0 * self._soc

    @property
    def own_limit_A(self) -> float:
        """The most that it would draw now."""
        empty = min(1.0, max(0.0, (1.0 - self._soc) / (1.0 - TAPER_FROM)))
        return self._max_A * (TAPER_END + (1.0 - TAPER_END) * empty)

    @property
    def told_limit_A(self) -> float:
        """What it tells as its limit: never less than what it needs to charge at all."""
        return max(self._min_A, self.own_limit_A)

    def offer(self, now_s: float, offer_A: float) -> None:
        """The EVSE offers this from now on; 0: nothing."""
        effect = (now_s + self.car.reaction_time_s, offer_A)
        if len(self._offers) == MAX_HEARD:
            self._offers.pop()
        self._offers.append(effect)
        self.wake_s = min(self.wake_s, effect[0])

    def step(self, now_s: float, *, supplied: bool, power_W: float) -> None:
        """Go on to `now_s`, having drawn `power_W` since the last step."""
        dt_s, self._at_s = now_s - self._at_s, now_s
        if self.wants:
            self._soc = min(self._target, self._soc + power_W * dt_s * self._fill_per_Ws)
        if self._supplied and not supplied:
            self._heard_A = 0.0
        self._supplied = supplied
        ramp_from_s = now_s - dt_s
        while self._offers and self._offers[0][0] <= now_s:
            heard_at_s, self._heard_A = self._offers.popleft()
            ramp_from_s = max(ramp_from_s, heard_at_s)
        goal_A = 0.0
        if supplied and self.wants and self._heard_A >= self._min_A:
            goal_A = min(self.own_limit_A, self._heard_A)
        rise_A = self.car.ramp_A_per_s * (now_s - ramp_from_s)
        self.current_A = min(goal_A, self.current_A + rise_A)
        self._plan(now_s, goal_A)

    def _plan(self, now_s: float, goal_A: float) -> None:
        if self.current_A < goal_A:
            self.wake_s = now_s  # ramping: every step counts
            return
        next_offer_s = self._offers[0][0] if self._offers else math.inf
        self.wake_s = min(next_offer_s, now_s + REST_S if goal_A else math.inf)
