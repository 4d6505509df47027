"""The whole site: EVSEs and their cars, fixed loads, and the load of every node on each phase.

    load of a node = its fixed load + the loads of all below it, phase by phase

A node with a fuse has a breaker. A tripped one carries nothing and cuts everything below it, until
someone resets it. Time goes on in steps of at most MAX_STEP_s, so that a plant that was held up
finds out what its hardware did meanwhile; EVSEs in which nothing can change are passed over.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from actors.energy.messages import Actuate
from actors.energy.modules import EnergyNodeConfig
from actors.plant.arrivals import visits
from actors.plant.breakers import Breaker, Currents
from actors.plant.hardware import Evse
from actors.plant.meters import Meters
from actors.plant.story import FixedLoad, Story, Visit
from actors.plant.wiring import evse_configs, wire
from actors.site import Site

MAX_STEP_s = 0.1
MAX_STEPS = 2_000
"""Steps in one go; after a longer hold-up they are longer instead."""
MAX_NOTICES = 10_000
"""Notices that wait to be taken; beyond it the oldest are lost."""
MAX_CHANGES = 20_000
"""Changed limits between two samples; beyond it the oldest are lost."""
NOTHING: Currents = (0.0, 0.0, 0.0)


class Notice(Struct, frozen=True):
    """Something that people at the site would notice."""

    text: str
    loud: bool = False


class RefusedError(ValueError):
    """What was asked of the site cannot be; the message says why in one line."""


class Installation:
    """A site from `start_s` on, as its story tells it and as its drivers command it."""

    def __init__(self, site: Site, story: Story, start_s: float, boot: str = "") -> None:
        """`boot` names this life of the hardware."""
        self.story = story
        self.now_s = start_s
        self.voltage_V = site.manager_config().nominal_ac_voltage
        wired = wire(site)
        configs = evse_configs(site)
        self.evses = {e: Evse(e, c, wired[e], self.voltage_V, start_s, boot) for e, c in configs.items()}
        self.breakers = {
            m.id: Breaker(m.config.fuse_limit_A)
            for m in site.modules.values()
            if isinstance(m.config, EnergyNodeConfig) and m.config.fuse_limit_A is not None
        }
        self.fixed_A: dict[str, Currents] = {}
        nodes = [m.id for m in site.modules.values() if m.kind != "EvseManager"]
        self.loads_A: dict[str, Currents] = dict.fromkeys(nodes, NOTHING)
        """Of every node."""
        self._summed_A: dict[str, Currents] = dict.fromkeys(self.evses, NOTHING)
        """What of each EVSE is in the loads of the nodes."""
        self._to_sum = True
        """Something else is not."""
        self._samples: dict[str, Mapping[str, object]] = {}
        """What was recorded of each EVSE last."""
        self._start_s = start_s
        self._parents = {m.id: m.parent for m in site.modules.values()}
        self._nodes = list(reversed(self.loads_A))  # children before parents
        self._below = {node: [d for d in site.subtree(node) if d in self.evses] for node in self.breakers}
        self._cut: set[str] = set()
        self._visits = visits(story, configs)
        self._next = next(self._visits, None)
        self._leaving: list[tuple[float, int, str]] = []
        self._stays: dict[str, int] = {}
        self._plugged = 0
        self._loads = deque(sorted(story.fixed_loads, key=lambda load: load.at_s))
        self.meters = Meters(self.loads_A)
        self._meter_states = deque(sorted(story.meters, key=lambda meter: meter.at_s))
        self._notices: deque[Notice] = deque(maxlen=MAX_NOTICES)
        self._changes: deque[tuple[float, str, float]] = deque(maxlen=MAX_CHANGES)

    # --- what is done to it -------------------------------------------------------------------------

    def actuate(self, now_s: float, evse_id: str, command: Actuate) -> str | None:
        """A driver's command; why not, if it is refused."""
        evse = self.evses[evse_id]
        before = evse.watchdog.limit
        refused = evse.actuate(now_s, command)
        if refused is None and (command.limit_A, command.limit_W) != (before.limit_A, before.limit_W):
            self._changes.append((round(now_s, 4), evse_id, round(command.limit_A, 3)))
        return refused

    def plug(self, visit: Visit) -> None:
        """A car arrives now. Raises RefusedError if another one is there."""
        evse = self.evses[visit.evse]
        if evse.car is not None:
            raise RefusedError(f"{visit.evse} is taken")
        evse.plug(visit, self.story.speed)
        self._plugged += 1
        self._stays[visit.evse] = self._plugged
        if visit.stay_s is not None:
            heapq.heappush(self._leaving, (self.now_s + visit.stay_s, self._plugged, visit.evse))
        self._notices.append(Notice(f"{visit.evse}: {visit.kind} car comes with {visit.soc_percent:.0f} %"))

    def unplug(self, evse_id: str) -> None:
        """The car leaves now. Raises RefusedError if there is none."""
        evse = self._evse(evse_id)
        if evse.car is None:
            raise RefusedError(f"no car at {evse_id}")
        self._notices.append(Notice(f"{evse_id}: car leaves with {evse.car.soc_percent:.0f} %"))
        evse.unplug()

    def set_fixed_load(self, node: str, currents_A: Currents) -> None:
        """A node's fixed load from now on."""
        self.fixed_A[node] = currents_A
        self._to_sum = True

    def set_meter(self, node: str, state: Literal["ok", "dead", "frozen"]) -> None:
        """How a node's meter is from now on. Raises RefusedError if there can be none."""
        if node not in self.meters:
            raise RefusedError(f"no node {node!r} that could have a meter")
        self.meters[node].state = state
        self._notices.append(Notice(f"meter of {node}: {state}"))

    def reset_breaker(self, node: str) -> None:
        """Close a tripped breaker. Raises RefusedError if there is none."""
        if node not in self.breakers:
            raise RefusedError(f"no breaker at {node!r}; known: {', '.join(self.breakers)}")
        self.breakers[node].reset()
        self._cut.discard(node)
        self._to_sum = True
        self._supply()

    def take_notices(self) -> list[Notice]:
        """What was noticed since it was last asked."""
        taken = list(self._notices)
        self._notices.clear()
        return taken

    def _evse(self, evse_id: str) -> Evse:
        if evse_id not in self.evses:
            raise RefusedError(f"no EVSE {evse_id!r}")
        return self.evses[evse_id]

    # --- time ---------------------------------------------------------------------------------------

    def step(self, now_s: float) -> None:
        """Go on to `now_s`."""
        since_s = self.now_s
        steps = min(MAX_STEPS, math.ceil((now_s - since_s) / MAX_STEP_s - 1e-6))
        for k in range(1, steps + 1):
            self._advance(now_s if k == steps else since_s + (now_s - since_s) * k / steps)

    def _advance(self, now_s: float) -> None:
        dt_s, self.now_s = now_s - self.now_s, now_s
        self._tell_story(now_s - self._start_s)
        for evse in self.evses.values():
            if evse.wake_s <= now_s:
                evse.step(now_s)
                self._note_current(evse)
        if self._to_sum:
            self._to_sum = False
            self._add_up()
        self._heat_breakers(dt_s)

    def _tell_story(self, story_s: float) -> None:
        while self._leaving and self._leaving[0][0] <= self.now_s:
            _, stay, evse_id = heapq.heappop(self._leaving)
            if self._stays.get(evse_id) == stay and self.evses[evse_id].car is not None:
                self.unplug(evse_id)
        while self._next is not None and self._next.at_s <= story_s:
            try:
                self.plug(self._next)
            except RefusedError:
                self._notices.append(Notice(f"{self._next.evse}: is taken, {self._next.kind} car drives on"))
            self._next = next(self._visits, None)
        while self._loads and self._loads[0].at_s <= story_s:
            self._take_load(self._loads.popleft())
        while self._meter_states and self._meter_states[0].at_s <= story_s:
            entry = self._meter_states.popleft()
            self.set_meter(entry.node, entry.state)
        if self.story.end_s is not None and story_s >= self.story.end_s and self._stays:
            for evse_id in self._stays:
                if self.evses[evse_id].car is not None:
                    self.unplug(evse_id)
            self._stays.clear()

    def _take_load(self, load: FixedLoad) -> None:
        self.set_fixed_load(load.node, load.currents_A)
        amounts = " ".join(f"{current_A:g}" for current_A in load.currents_A)
        self._notices.append(Notice(f"{load.node}: fixed load {amounts} A"))

    def _note_current(self, evse: Evse) -> None:
        currents_A = evse.currents_A
        if currents_A != self._summed_A[evse.id]:
            self._summed_A[evse.id] = currents_A
            self._to_sum = True

    def _add_up(self) -> None:
        sums: dict[str, list[float]] = {node: [0.0, 0.0, 0.0] for node in self._nodes}
        parents = self._parents
        for evse_id, currents_A in self._summed_A.items():
            parent = parents[evse_id]
            if parent is not None and currents_A is not NOTHING:
                _add(sums[parent], currents_A)
        for node in self._nodes:
            own = sums[node]
            _add(own, self.fixed_A.get(node, NOTHING))
            if node in self._cut:
                own[:] = NOTHING
            self.loads_A[node] = (own[0], own[1], own[2])
            parent = parents[node]
            if parent is not None:
                _add(sums[parent], self.loads_A[node])

    def _heat_breakers(self, dt_s: float) -> None:
        tripped = False
        for node, breaker in self.breakers.items():
            if breaker.tripped and self.story.breakers == "trip":
                breaker.step(dt_s, NOTHING)
                continue
            noticed = breaker.step(dt_s, self.loads_A[node])
            if noticed is None:
                continue
            amounts = " ".join(f"{current_A:.1f}" for current_A in self.loads_A[node])
            match noticed:
                case "trip":
                    self._notices.append(
                        Notice(f"BREAKER {node} TRIPS: {amounts} A, rating {breaker.rating_A:g} A", loud=True)
                    )
                    if self.story.breakers == "trip":
                        self._cut.add(node)
                        tripped = True
                case "overload":
                    text = f"breaker {node} is overloaded: {amounts} A, rating {breaker.rating_A:g} A"
                    self._notices.append(Notice(text, loud=True))
                case "over":
                    self._notices.append(Notice(f"breaker {node} is no longer overloaded: {amounts} A"))
        if tripped:
            self._supply()
            self._add_up()

    def _supply(self) -> None:
        """Cut what stands below a tripped breaker, and nothing else."""
        dark = {evse_id for node in self._cut for evse_id in self._below[node]}
        for evse in self.evses.values():
            evse.supply(evse.id not in dark)
            self._note_current(evse)

    # --- what is recorded -----------------------------------------------------------------------------

    def sample(self) -> dict[str, object]:
        """One line of the record."""
        line: dict[str, object] = {
            "t": round(self.now_s, 3),
            "evses": {evse.id: self._sample_of(evse) for evse in self.evses.values()},
            "breakers": {
                node: {
                    "currents_A": _rounded(self.loads_A[node]),
                    "rating_A": breaker.rating_A,
                    "tripped": breaker.tripped,
                }
                for node, breaker in self.breakers.items()
            },
            "loads": {n: _rounded(load) for n, load in self.loads_A.items() if n not in self.breakers},
        }
        if self.fixed_A:
            line["fixed"] = {node: _rounded(load) for node, load in self.fixed_A.items()}
        if self._changes:
            line["changes"] = list(self._changes)
            self._changes.clear()
        return line

    def _sample_of(self, evse: Evse) -> Mapping[str, object]:
        """The very same as long as nothing has happened to it."""
        if evse.moved:
            evse.moved = False
            self._samples[evse.id] = _evse_sample(evse)
        return self._samples[evse.id]


def _evse_sample(evse: Evse) -> Mapping[str, object]:
    limit = evse.watchdog.limit
    sample: dict[str, object] = {"limit_A": round(limit.limit_A, 3)}
    if limit.limit_W is not None:
        sample["limit_W"] = round(limit.limit_W, 3)
    sample["currents_A"] = _rounded(evse.currents_A)
    sample["phases"] = evse.closed_phases
    sample["state"] = evse.state
    return sample


def _rounded(currents_A: Currents) -> list[float]:
    return [round(current_A, 3) for current_A in currents_A]


def _add(total: list[float], currents_A: Currents) -> None:
    total[0] += currents_A[0]
    total[1] += currents_A[1]
    total[2] += currents_A[2]
