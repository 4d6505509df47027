"""The charge point: what it tells a CSMS next, and what it answers.

    down ──connected──► up ──BootNotification, once in a life──► accepted: all else, one call at a time

Of what it has to say the begins and ends of transactions come first, and none is left out or overtaken;
states and readings are told as they are when their turn comes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from actors.energy.messages import Instant, ModuleStatus
from actors.gateways.ocpp.desk import (
    HEARTBEAT_S,
    INTERVAL_MAX_S,
    INTERVAL_MIN_S,
    KeptStation,
    StationDesk,
    seconds,
)
from actors.gateways.ocpp.dialect import HEARTBEAT, Booted, Dialect, booted
from actors.gateways.ocpp.layout import Layout
from actors.gateways.ocpp.transactions import Outgoing
from actors.gateways.ocpp.v16 import Dialect16
from actors.gateways.ocpp.v201 import Dialect201
from actors.ocpp.frames import Call
from actors.ocpp.session import Answer

BOOT_AGAIN_S = 10.0
"""After a BootNotification that was not answered, or without an interval."""
TRIES_MAX = 3
"""Of a message about a transaction that the CSMS answers with an error; then it is dropped."""

GONE = "ConnectionLost"
LOST = (GONE, "Timeout")
"""Not answered: it may be said again."""


class ChargePoint:
    """Of one life of a gateway; knows no clock and no socket."""

    def __init__(self, layout: Layout, kept: KeptStation, now: Instant) -> None:
        self.layout = layout
        self.up = self.accepted = False
        self.told = ""
        """What the CSMS said to our begin, where it did not accept it."""
        self.dialect: Dialect = Dialect16(layout.config.id_tag) if layout.version == "1.6" else Dialect201()
        self.desk = StationDesk(layout, kept.fitting(layout), self.dialect.status_of)
        self.smart, self.transactions = self.desk.smart, self.desk.transactions
        self._seen = False
        self._busy: Outgoing | None = None
        self._statuses: dict[int, str] = {}
        """What the CSMS was told."""
        self._boot_due_s = self._beat_due_s = now.mono_s
        self._meter_due_s: dict[int, float] = {}

    # --- the site ------------------------------------------------------------------------------------

    def see(self, now: Instant, statuses: Iterable[ModuleStatus]) -> None:
        """How the site is."""
        self._seen = True
        for change in self.transactions.see(seconds(now), now.mono_s, statuses):
            view = self.transactions.views[change.evse]
            if change.began:
                self.transactions.post(self.dialect.began(change.evse, change.run, view, now))
                run = replace(change.run, seq=change.run.seq + 1, told=view.charging)
                self.transactions.runs[change.evse] = run
            else:
                self.transactions.post(self.dialect.ended(change.evse, change.run, view, now))
            self.smart.transaction_changed(change.evse, ended=not change.began)
            self._meter_due_s[change.evse] = now.mono_s + self.desk.setting("meter_s")
            self.desk.unkept = True

    # --- the CSMS ------------------------------------------------------------------------------------

    def connected(self, now: Instant) -> None:
        """There is a connection. What it was told before, it may have lost."""
        self.up, self._busy = True, None
        self._statuses.clear()
        self.desk.triggered.clear()
        self._boot_due_s = self._beat_due_s = now.mono_s

    def disconnected(self) -> None:
        """There is none."""
        self.up, self._busy = False, None
        self.desk.reports.clear()

    def next(self, now: Instant) -> Outgoing | None:
        """What to say now, if anything; until it is answered there is nothing else."""
        if not self.up or self._busy is not None:
            return None
        self._busy = self._next(now)
        return self._busy

    def answered(self, said: Outgoing, payload: dict[str, Any] | None, code: str, now: Instant) -> None:
        """An answer, or with `code` none."""
        if said is not self._busy:
            return  # of a former connection
        self._busy = None
        self.up = code != GONE  # then nothing else is tried on it
        if said.action == "BootNotification":
            self._booted(None if payload is None else booted(payload), code, now)
        elif said.local:
            self._delivered(said, payload, code)

    def asked(self, call: Call, now: Instant) -> Answer:
        """What the CSMS wants."""
        answer = self.dialect.answer(call, self.desk, now)
        if "meter_s" in self.desk.changed:
            self._meter_due_s.clear()
        if "heartbeat_s" in self.desk.changed:
            self._beat_due_s = now.mono_s
        self.desk.changed.clear()
        return answer

    def _booted(self, said: Booted | None, code: str, now: Instant) -> None:
        interval_s = 0 if said is None else said.interval_s
        self.accepted = said is not None and said.accepted
        self.told = "" if self.accepted else code if said is None else f"it said {said.status}"
        if self.accepted:
            self.desk.heartbeat_s = _within(interval_s) if interval_s > 0 else HEARTBEAT_S
            self._beat_due_s = now.mono_s + self.desk.setting("heartbeat_s")
        else:
            self._boot_due_s = now.mono_s + (_within(interval_s) if interval_s > 0 else BOOT_AGAIN_S)

    def _delivered(self, said: Outgoing, payload: dict[str, Any] | None, code: str) -> None:
        outbox = self.transactions.outbox
        if not outbox or outbox[0].local != said.local or outbox[0].action != said.action:
            return
        if payload is None and (code in LOST or outbox[0].tries + 1 < TRIES_MAX):
            outbox[0] = replace(outbox[0], tries=outbox[0].tries + (code not in LOST))
            return
        del outbox[0]
        self.desk.unkept = True
        number = None if payload is None else self.dialect.transaction_id(payload)
        if number is not None and said.action == "StartTransaction":
            evse = self.transactions.named(said.local, number)
            if evse is not None:
                self.smart.transaction_changed(evse, ended=False)

    def _next(self, now: Instant) -> Outgoing | None:
        if not self.accepted:
            return self.dialect.boot() if now.mono_s >= self._boot_due_s else None
        if not self._seen:
            return None
        while self.transactions.outbox:
            first = self.transactions.outbox[0]
            if first.action != "StopTransaction" or "transactionId" in first.payload:
                return first
            del self.transactions.outbox[0]  # of one that the CSMS never gave an id
            self.desk.unkept = True
        if self.desk.triggered:
            return self._of_trigger(*self.desk.triggered.popleft(), now)
        if self.desk.reports:
            return self.desk.reports.popleft()
        return self._of_states(now) or self._of_meters(now) or self._of_time(now)

    def _of_states(self, now: Instant) -> Outgoing | None:
        for evse, view in self.transactions.views.items():
            state = self.dialect.status_of(evse, view)
            if state is not None and self._statuses.get(evse) != state:
                self._statuses[evse] = state
                return self.dialect.status(evse, view, self.transactions.runs.get(evse), now)
        for evse, run in self.transactions.runs.items():
            view = self.transactions.views[evse]
            if view.connector == "Occupied" and run.told != view.charging:
                said = self.dialect.changed(evse, run, view, now)
                self.transactions.runs[evse] = replace(
                    run, told=view.charging, seq=run.seq + (said is not None)
                )
                if said is not None:
                    return said
        return None

    def _of_meters(self, now: Instant) -> Outgoing | None:
        for evse in (0, *self.transactions.runs):
            if now.mono_s >= self._meter_due_s.setdefault(evse, now.mono_s + self.desk.setting("meter_s")):
                return self._metered(evse, now)
        return None

    def _metered(self, evse: int, now: Instant) -> Outgoing:
        self._meter_due_s[evse] = now.mono_s + self.desk.setting("meter_s")
        run, view = self.transactions.runs.get(evse), self.transactions.views[evse]
        if run is not None:
            self.transactions.runs[evse] = replace(run, seq=run.seq + 1)
        return self.dialect.metered(evse, run, view, now)

    def _of_time(self, now: Instant) -> Outgoing | None:
        if now.mono_s < self._beat_due_s:
            return None
        self._beat_due_s = now.mono_s + self.desk.setting("heartbeat_s")
        return HEARTBEAT

    def _of_trigger(self, what: str, evse: int, now: Instant) -> Outgoing | None:
        run, view = self.transactions.runs.get(evse), self.transactions.views[evse]
        match what:
            case "BootNotification":
                return self.dialect.boot()
            case "Heartbeat":
                return HEARTBEAT
            case "StatusNotification":
                return self.dialect.status(evse, view, run, now)
            case _:
                return self._metered(evse, now)


def _within(interval_s: int) -> int:
    return max(INTERVAL_MIN_S, min(INTERVAL_MAX_S, interval_s))
