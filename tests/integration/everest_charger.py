"""A charger that runs EVerest, as far as its API shows: energy node, energy manager, EVSE, powermeter, and a car.

It obeys schedules by its own wall clock, which may be wrong, each second, and remembers what flowed.
"""

from __future__ import annotations

import json
import math
import threading
import time
from datetime import UTC, datetime
from typing import Any, Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from actors.clock import steady_s

FUSE_A, CAR_A, MIN_A = 32.0, 32.0, 6.0
REACTION_S = 0.5
"""Of a car that is offered less."""
START_S = 1.5
"""Of a car that is offered something again when the charger has begun anew: its contactor was open."""
VOLT = 230.0


def written(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EverestCharger:
    """Context manager; `plugged` is a car that takes all it can have."""

    def __init__(self, port: int, name: str, clock_offset_s: float = 0.0) -> None:
        self.name = name
        self.clock_offset_s = clock_offset_s
        self.plugged = True
        self.ignores = False
        """It goes on with what it enforces, and says so."""
        self.flowed: list[tuple[float, float]] = []
        """Ampere per phase from when on."""
        self.limit_A = 0.0
        self._port = port
        self._schedule: list[dict[str, Any]] = []
        self._beats = 0
        self._told_plugged = False
        self._starts_s = -math.inf
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._begin()

    # --- its life -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(
            f"{self._limits}/m2e/set_external_limits", 1
        )
        self.client.on_message = self._take
        self.client.connect_async("127.0.0.1", self._port, 5)
        self.client.loop_start()

    def _end(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def restart(self) -> None:
        """Its software begins anew, and opens its contactor: it knows no limits but what it is told."""
        self._starts_s = math.inf
        self._end()
        self._schedule, self._beats, self._told_plugged = [], 0, False
        self._begin()
        self._starts_s = steady_s() + START_S

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """It is gone; idempotent."""
        self._stop.set()
        self._thread.join()
        self._end()

    # --- what it does -------------------------------------------------------------------------------

    @property
    def _evse(self) -> str:
        return f"everest_api/1/evse_manager_consumer/{self.name}"

    @property
    def _limits(self) -> str:
        return f"everest_api/1/external_energy_limits_consumer/{self.name}_limits"

    def _take(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        limits = json.loads(message.payload)
        assert limits.keys() == {"schedule_import", "schedule_export", "schedule_setpoints"}
        if not self.ignores:
            self._schedule = limits["schedule_import"]

    def _now_s(self) -> float:
        return time.time() + self.clock_offset_s

    def _allowed_A(self) -> float:
        """The last entry that has begun, else the first; the fuse without any."""
        now, allowed_A = self._now_s(), FUSE_A
        for n, entry in enumerate(self._schedule):
            if n == 0 or datetime.fromisoformat(entry["timestamp"]).timestamp() <= now:
                allowed_A = min(FUSE_A, entry["limits_to_root"]["ac_max_current_A"]["value"])
        return allowed_A

    def _run(self) -> None:
        second_due_s, lower_due_s, flows_A = 0.0, 0.0, 0.0
        while not self._stop.wait(0.05):
            now_s = steady_s()
            if now_s >= second_due_s:
                second_due_s = now_s + 1.0
                self._second(flows_A)
            closed = self.plugged and now_s >= self._starts_s
            offered_A = min(self.limit_A, CAR_A) if closed and self.limit_A >= MIN_A else 0.0
            if offered_A >= flows_A:
                lower_due_s = now_s + REACTION_S
            if offered_A > flows_A or now_s >= lower_due_s or not closed:
                flows_A = offered_A
            if not self.flowed or self.flowed[-1][1] != flows_A:
                self.flowed.append((now_s, flows_A))

    def _second(self, flows_A: float) -> None:
        """The energy manager's update, and what is told regularly."""
        self.limit_A = self._allowed_A()
        stamps = [{"timestamp": written(self._now_s() // 3600 * 3600)}, *self._schedule]
        source = {"value": self.limit_A, "source": "somebody"}
        enforced = {
            "uuid": self.name,
            "valid_for": 10,
            "limits_root_side": {"ac_max_current_A": source},
            "schedule": [{"timestamp": entry["timestamp"], "limits_to_root": {}} for entry in stamps],
        }
        self._tell("enforced_limits", enforced)
        self._tell("heartbeat", self._beats)
        self._beats += 1
        currents_A = dict.fromkeys(("L1", "L2", "L3"), flows_A)
        self._tell("powermeter", {"timestamp": "2001-01-01T00:00:00Z", "current_A": currents_A})
        if self.plugged != self._told_plugged:
            self._told_plugged = self.plugged
            event = "SessionStarted" if self.plugged else "SessionFinished"
            self._tell("session_event", {"uuid": "s", "event": event, "timestamp": written(self._now_s())})
            self._tell_session(flows_A)
        elif self.plugged:
            self._tell_session(flows_A)

    def _tell_session(self, flows_A: float) -> None:
        state = "Unplugged" if not self.plugged else "Charging" if flows_A else "ChargingPausedEVSE"
        self._tell("session_info", {"state": state, "timestamp": written(self._now_s())})

    def _tell(self, what: str, content: Any) -> None:
        self.client.publish(f"{self._evse}/e2m/{what}", json.dumps(content))


def most_together_A(chargers: list[EverestCharger], since_s: float) -> float:
    """The most that flowed on a phase of all together, from then on."""
    changes = sorted((at_s, n, A) for n, charger in enumerate(chargers) for at_s, A in charger.flowed)
    flows, most_A = dict.fromkeys(range(len(chargers)), 0.0), 0.0
    for at_s, n, flows_A in changes:
        flows[n] = flows_A
        if at_s >= since_s:
            most_A = max(most_A, sum(flows.values()))
    return most_A
