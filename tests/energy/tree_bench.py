"""A whole tree of cores without processes: one root, two panels, four EVSEs, in simulated time.

    root (60 A) ── left (32 A) ── l1, l2
                └─ right (32 A) ── r1, r2

Messages take their time, get lost and come twice; a module can be cut off from its parent, stopped
and begun anew. The market is the real one. Each EVSE has hardware with a watchdog.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from actors.energy.amount import Amount
from actors.energy.effects import Effect, KeepEpoch, RunMarket, ToChild, ToDriver, ToParent
from actors.energy.evse import EvseCore
from actors.energy.fixed_load import MeterReading
from actors.energy.manager import ManagerCore
from actors.energy.market import Memory, allocate
from actors.energy.messages import Actuate, EpochKept, MarketAnswer
from actors.energy.node import NodeCore
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig, EnforcedLimits, value_of
from tests.energy.builders import VOLT, at, child, evse, reading, trunk

SITE = EnergyManagerConfig()
FALLBACK_A = 6.0
PARENTS = {"left": "root", "right": "root", "l1": "left", "l2": "left", "r1": "right", "r2": "right"}
EVSES = ("l1", "l2", "r1", "r2")
STEP_S = 0.05
Core = ManagerCore | NodeCore | EvseCore


class Hardware:
    """A limit with an end, and a clock of its own."""

    def __init__(self, clock_shift_s: float) -> None:
        self._shift_s = clock_shift_s
        self._ends_s = 0.0
        self._limit_A = FALLBACK_A
        self._mark = ""
        self.car = True

    def take(self, now_s: float, told: Actuate) -> None:
        """Put a limit in force unless it is over already."""
        ends_s = told.t_echo_s - self._shift_s + told.duration_s
        if now_s < ends_s:
            self._limit_A, self._ends_s, self._mark = told.limit_A, ends_s, told.mark

    def limit_A(self, now_s: float) -> float:
        """In force."""
        return self._limit_A if now_s < self._ends_s else FALLBACK_A

    def reading(self, now_s: float) -> Any:
        """What it says now."""
        limit_A = self.limit_A(now_s)
        ends_in_s = max(0.0, self._ends_s - now_s)
        return reading(
            now_s + self._shift_s,
            plugged_in=self.car,
            car_asks=self.car,
            currents_A=(limit_A if self.car else 0.0,) * 3,
            limit_A=limit_A,
            limit_ends_in_s=ends_in_s,
            mark=self._mark if ends_in_s else "",
            contactor_closed=self.car,
        )


class Tree:
    """The tree, its links and its time."""

    def __init__(
        self,
        seed: int = 0,
        *,
        lost: float = 0.0,
        twice: float = 0.0,
        late_s: float = 0.02,
        left: dict[str, Any] | None = None,
    ) -> None:
        """`left` are more settings of the left panel; with a meter, that shows the cars and `load_A`."""
        self.now_s = 0.0
        self.left = left or {}
        self.load_A = 0.0
        self.meter_works = True
        self.lost, self.twice, self.late_s = lost, twice, late_s
        self.cut: set[str] = set()
        """Modules whose link to their parent is cut."""
        self.hardware = {name: Hardware(1000.0 * i) for i, name in enumerate(EVSES, 1)}
        self.last_request: EnergyFlowRequest | None = None
        self._random = Random(seed)
        self._order = count()
        self._under_way: list[tuple[float, int, str, Any]] = []
        self._lives = count(1)
        self._memories: dict[str, Memory] = {}
        self._epochs = {"root": 0, "left": 0, "right": 0}
        self._next_reading_s = 0.0
        self._next_metered_s = 0.25
        self.cores: dict[str, Core] = {}
        for name in ("root", "left", "right", *EVSES):
            self.begin(name)

    # --- modules ---------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Begin a (new) life of a module; its clock goes on."""
        boot = f"{name} {next(self._lives)}"
        now = at(self.now_s)
        if name == "root":
            settings = trunk("root", self._child("left"), self._child("right"), fuse_A=60.0, site=SITE)
            self.cores[name] = ManagerCore(settings, now, kept_epoch=self._epochs[name])
            self._memories.pop(name, None)
        elif name in EVSES:
            core = evse(evse_id=name, boot=boot, fallback_limit_A=FALLBACK_A, site=SITE, born_s=self.now_s)
            self.cores[name] = core
        else:
            below = [child(e, fallback_A=FALLBACK_A) for e in EVSES if PARENTS[e] == name]
            fallback_A = FALLBACK_A * len(below)
            fallback = Amount(fallback_A, fallback_A * 3 * VOLT)
            more = self.left if name == "left" else {}
            settings = trunk(name, *below, fuse_A=32.0, site=SITE, fallback=fallback, **more)
            self.cores[name] = NodeCore(settings, boot, now, kept_epoch=self._epochs[name])

    def stop(self, name: str) -> None:
        """End a life of a module."""
        del self.cores[name]

    def _child(self, name: str) -> Any:
        below = [e for e in EVSES if PARENTS[e] == name]
        return child(name, *below, kind="EnergyNode", fallback_A=FALLBACK_A * len(below))

    # --- time ------------------------------------------------------------------------------------

    def run(self, seconds: float, check: Callable[[], None] = lambda: None) -> None:
        """Let time go by."""
        end_s = self.now_s + seconds
        while self.now_s < end_s - STEP_S / 2:
            self.now_s += STEP_S
            if self.now_s >= self._next_reading_s:
                self._next_reading_s = self.now_s + 1.0
                for name, hardware in self.hardware.items():
                    self._send(name, hardware.reading(self.now_s))
            if "meter" in self.left and self.meter_works and self.now_s >= self._next_metered_s:
                self._next_metered_s = self.now_s + 0.5
                shown = MeterReading(currents_A=(self.at_left_A(),) * 3, t_meter_s=self.now_s)
                self._send("left", shown)
            while self._under_way and self._under_way[0][0] <= self.now_s:
                _, _, name, message = heapq.heappop(self._under_way)
                self._step(name, message)
            for name, core in list(self.cores.items()):
                if self.now_s >= core.due_s:
                    self._step(name, None)
            check()

    def plug(self, name: str, plugged_in: bool) -> None:
        """A car comes or goes; the hardware says so at once."""
        self.hardware[name].car = plugged_in
        self._step(name, self.hardware[name].reading(self.now_s))

    def _step(self, name: str, event: Any) -> None:
        core = self.cores.get(name)
        if core is not None:
            for effect in core.step(at(self.now_s), event):
                self._carry_out(name, effect)

    def _carry_out(self, name: str, effect: Effect) -> None:
        match effect:
            case ToParent(message) if name not in self.cut:
                self._over_link(PARENTS[name], message)
            case ToChild(child_id, message) if child_id not in self.cut:
                self._over_link(child_id, message)
            case ToDriver(message):
                self.hardware[name].take(self.now_s, message)
            case KeepEpoch(epoch):
                self._epochs[name] = epoch
                self._step(name, EpochKept(epoch=epoch, ok=True))
            case RunMarket(request, config, start_us, _):
                if name == "root":
                    self.last_request = request
                allocation, self._memories[name] = allocate(
                    request, config, start_us, self._memories.get(name)
                )
                self._step(name, MarketAnswer(limits=tuple(allocation)))
            case _:
                pass

    def _over_link(self, target: str, message: Any) -> None:
        if self._random.random() < self.lost:
            return
        for _ in range(2 if self._random.random() < self.twice else 1):
            self._send(target, message, self._random.uniform(0.0, self.late_s))

    def _send(self, target: str, message: Any, late_s: float = 0.0) -> None:
        heapq.heappush(self._under_way, (self.now_s + late_s, next(self._order), target, message))

    # --- what can be seen --------------------------------------------------------------------------

    def at_left_A(self) -> float:
        """What flows at the left panel: its load, and its cars."""
        cars_A = sum(
            self.hardware[e].reading(self.now_s).currents_A[0] for e in EVSES if PARENTS[e] == "left"
        )
        return float(self.load_A + cars_A)

    def in_force(self) -> dict[str, float]:
        """The limit at the hardware of each EVSE."""
        return {name: hardware.limit_A(self.now_s) for name, hardware in self.hardware.items()}

    def allocated(self) -> dict[str, float | None]:
        """What the market gives on the root's last request, by itself."""
        assert self.last_request is not None
        limits: tuple[EnforcedLimits, ...] = tuple(
            allocate(self.last_request, SITE, at(self.now_s).wall_us)[0]
        )
        return {entry.uuid: value_of(entry.limits_root_side.ac_max_current_A) for entry in limits}
