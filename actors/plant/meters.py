"""The meters of a site: what flows at each node, while a driver watches it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from actors.energy.fixed_load import MeterReading
from actors.plant.breakers import Currents
from actors.plant.watchers import Watchers

EVERY_s = 0.5


class Meter:
    """One node's."""

    def __init__(self) -> None:
        self.watchers = Watchers()
        self.state: Literal["ok", "dead", "frozen"] = "ok"
        self._due_s = 0.0
        self._said: MeterReading | None = None

    def reading(self, now_s: float, currents_A: Currents) -> MeterReading | None:
        """What it has to say now; None: nothing yet."""
        if now_s < self._due_s or self.state == "dead":
            return None
        self._due_s = now_s + EVERY_s
        if self.state == "ok" or self._said is None:
            self._said = MeterReading(currents_A=currents_A, t_meter_s=round(now_s, 3))
        return self._said


class Meters:
    """Of all nodes."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._meters = {node: Meter() for node in nodes}

    def __contains__(self, node: str) -> bool:
        return node in self._meters

    def __getitem__(self, node: str) -> Meter:
        return self._meters[node]

    def send(
        self, now_s: float, loads_A: dict[str, Currents], send: Callable[[str, str, MeterReading], None]
    ) -> None:
        """Have `send(peer, node, reading)` called for each that is due and watched."""
        for node, meter in self._meters.items():
            peer = meter.watchers.peer(now_s)
            if peer is not None and (reading := meter.reading(now_s, loads_A[node])) is not None:
                send(peer, node, reading)
