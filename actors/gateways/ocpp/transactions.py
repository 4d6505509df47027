"""Transactions, as a CSMS wants them: one begins when a car is plugged in, and ends when it is not any more.

The site authorizes nobody and sells nothing: a transaction is there so that profiles can be meant for it. It
outlives a restart. Energy is what the power of each second comes to; it is for balancing, not for billing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.charging_profiles.profile import Transaction
from actors.energy.messages import ModuleStatus
from actors.gateways.ocpp.layout import Layout

Connector = Literal["Available", "Occupied", "Faulted", "Unavailable"]
Charging = Literal["EVConnected", "Charging", "SuspendedEV", "SuspendedEVSE"]

OUTBOX_MAX = 500
"""Begins and ends of transactions that the CSMS has not taken yet; then the oldest are lost."""
SEQ_JUMP = 1_000
"""Events of a transaction that may not have been written down before a restart: their numbers are passed
over, since a number that comes again is taken for a message that comes again."""
GAP_MAX_S = 10.0
"""Between two looks at the power; what flowed in a longer one is not counted."""

_CHARGING: dict[str, Charging] = {
    "WaitForAuth": "EVConnected",
    "WaitForEnergy": "SuspendedEVSE",
    "PrepareCharging": "SuspendedEV",
    "Charging": "Charging",
    "PausedEV": "SuspendedEV",
    "PausedEVSE": "SuspendedEVSE",
    "Finished": "SuspendedEV",
}


class View(Struct, frozen=True):
    """An EVSE, or the station, as it was seen last."""

    connector: Connector = "Unavailable"
    charging: Charging = "EVConnected"
    currents_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    power_W: float = 0.0
    offered_A: float | None = None
    energy_Wh: float = 0.0
    note: str = ""


class Run(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A transaction that runs."""

    local: str
    """Its name here, and in 2.0.1 its id."""
    id: str | None = None
    """None in 1.6, while the CSMS has given none."""
    started_s: int
    seq: int = 0
    """2.0.1: the number of its next event."""
    told: str = ""
    """2.0.1: the charging state that the CSMS knows."""


class Outgoing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something for the CSMS."""

    action: str
    payload: dict[str, Any]
    evse: int = 0
    local: str = ""
    """The transaction that it begins or ends."""
    tries: int = 0


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What outlives a restart, of transactions."""

    runs: dict[int, Run] = {}
    outbox: tuple[Outgoing, ...] = ()
    energy_Wh: dict[int, float] = {}


class Change(Struct, frozen=True):
    """A transaction has begun, or ended."""

    evse: int
    run: Run
    began: bool


class Transactions:
    """Of one charge point. `now_s` is the wall clock's, `mono_s` the steady one's."""

    def __init__(self, layout: Layout, kept: Kept) -> None:
        count = len(layout.evses)
        self._layout = layout
        self._number = {evse.module_id: evse.number for evse in layout.evses}
        self.runs = {
            evse: replace(run, seq=run.seq + SEQ_JUMP) for evse, run in kept.runs.items() if 0 < evse < count
        }
        self.outbox: list[Outgoing] = list(kept.outbox)
        self.lost = 0
        """Begins and ends that there was no room for."""
        self.views: dict[int, View] = {
            evse: View(energy_Wh=kept.energy_Wh.get(evse, 0.0)) for evse in range(count)
        }
        self._seen_s: float | None = None

    def kept(self) -> Kept:
        """For the disk."""
        energy_Wh = {evse: round(view.energy_Wh, 1) for evse, view in self.views.items()}
        return Kept(runs=self.runs, outbox=tuple(self.outbox), energy_Wh=energy_Wh)

    def running(self) -> dict[int, Transaction]:
        """By EVSE."""
        return {evse: Transaction(run.id, run.started_s) for evse, run in self.runs.items()}

    def see(self, now_s: int, mono_s: float, statuses: Iterable[ModuleStatus]) -> list[Change]:
        """How the site is; returns what has begun and ended."""
        elapsed_s = 0.0 if self._seen_s is None else mono_s - self._seen_s
        self._seen_s = mono_s
        changes: list[Change] = []
        for status in statuses:
            evse = self._number.get(status.id)
            if evse is None:
                continue
            before = self.views[evse]
            flowed_s = elapsed_s if elapsed_s <= GAP_MAX_S and status.alive else 0.0
            energy_Wh = before.energy_Wh + max(0.0, before.power_W) * flowed_s / 3600
            view = self.views[evse] = _view(status, energy_Wh, evse)
            if evse and view.connector == "Occupied" and evse not in self.runs:
                local = str(uuid.uuid4())
                own = local if self._layout.version == "2.0.1" else None
                run = self.runs[evse] = Run(local=local, id=own, started_s=now_s)
                changes.append(Change(evse, run, True))
            elif view.connector == "Available" and evse in self.runs:
                changes.append(Change(evse, self.runs.pop(evse), False))
        return changes

    def post(self, message: Outgoing) -> None:
        """Let a begin or end wait for the CSMS."""
        self.outbox.append(message)
        if len(self.outbox) > OUTBOX_MAX:
            del self.outbox[1]  # the first may be under way
            self.lost += 1

    def named(self, local: str, transaction_id: int) -> int | None:
        """1.6: the CSMS has given a transaction its id; returns the EVSE where it still runs."""
        self.outbox = [
            replace(m, payload={**m.payload, "transactionId": transaction_id})
            if m.local == local and m.action == "StopTransaction"
            else m
            for m in self.outbox
        ]
        for evse, run in self.runs.items():
            if run.local == local:
                self.runs[evse] = replace(run, id=str(transaction_id))
                return evse
        return None


def _view(status: ModuleStatus, energy_Wh: float, evse: int) -> View:
    connector: Connector
    if not status.alive:
        connector = "Unavailable"
    elif evse == 0 or status.state == "Unplugged":
        connector = "Available"
    else:
        connector = "Faulted" if status.state not in _CHARGING else "Occupied"
    return View(
        connector=connector,
        charging=_CHARGING.get(status.state, "EVConnected"),
        currents_A=status.currents_A if status.alive else (0.0, 0.0, 0.0),
        power_W=status.power_W if status.alive else 0.0,
        offered_A=status.in_force_A if status.alive else None,
        energy_Wh=energy_Wh,
        note="not heard" if not status.alive else status.note,
    )
