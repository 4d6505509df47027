"""The charge point: what it tells a CSMS next, and what it answers.

    down ──connected──► up ──BootNotification, once in a life──► accepted: all else, one call at a time

Of what it has to say the begins and ends of transactions come first, and none is left out or overtaken;
states and readings are told as they are when their turn comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.charging_profiles.installed import Criteria
from actors.energy.charging_profiles.profile import Profile, ProfileRefusedError, Unit, Version
from actors.energy.messages import Instant, ModuleStatus
from actors.gateways.ocpp.dialect import Booted, Composite, Dialect, Taken
from actors.gateways.ocpp.layout import Layout
from actors.gateways.ocpp.smart_charging import SmartCharging
from actors.gateways.ocpp.transactions import Kept, Outgoing, Transactions, View
from actors.gateways.ocpp.v16 import Dialect16
from actors.gateways.ocpp.v201 import Dialect201
from actors.ocpp.frames import Call
from actors.ocpp.session import Answer

BOOT_AGAIN_S = 10.0
"""After a BootNotification that was not answered, or without an interval."""
INTERVAL_MIN_S, INTERVAL_MAX_S = 1, 86_400
HEARTBEAT_S = 300
TRIES_MAX = 3
"""Of a message about a transaction that the CSMS answers with an error; then it is dropped."""
TRIGGERED_MAX = 100
"""Messages that a CSMS wants to have at a time."""
REPORTS_MAX = 200

LOST = ("ConnectionLost", "Timeout")
"""Not answered: it may be said again."""


class KeptStation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What outlives a restart."""

    version: Version | None = None
    profiles: tuple[Profile, ...] = ()
    transactions: Kept = Kept()
    settings: dict[str, int] = {}

    def fitting(self, layout: Layout) -> KeptStation:
        """What of it is of use: in another version transactions have other names."""
        profiles = tuple(p for p in self.profiles if p.evse < len(layout.evses))
        if self.version == layout.version:
            return replace(self, profiles=profiles)
        profiles = tuple(p for p in profiles if p.purpose != "TxProfile")
        transactions = Kept(energy_Wh=self.transactions.energy_Wh)
        return KeptStation(profiles=profiles, transactions=transactions, settings=self.settings)


class ChargePoint:
    """Of one life of a gateway; knows no clock and no socket."""

    def __init__(self, layout: Layout, kept: KeptStation, now: Instant) -> None:
        kept = kept.fitting(layout)
        self.layout = layout
        self.smart = SmartCharging(layout, kept.profiles)
        self.transactions = Transactions(layout, kept.transactions)
        self.unkept = False
        """Whether something has changed that must outlive a restart."""
        self.up = self.accepted = False
        self.told = ""
        """What the CSMS said to our begin, where it did not accept it."""
        self.dialect: Dialect = Dialect16(layout.config.id_tag) if layout.version == "1.6" else Dialect201()
        self._settings = dict(kept.settings)
        self._heartbeat_s = self._settings.get("heartbeat_s", HEARTBEAT_S)
        self._seen = False
        self._busy: Outgoing | None = None
        self._statuses: dict[int, str] = {}
        """What the CSMS was told."""
        self._triggered: deque[tuple[str, int]] = deque()
        self._reports: deque[Outgoing] = deque()
        self._boot_due_s = self._beat_due_s = now.mono_s
        self._meter_due_s: dict[int, float] = {}

    def kept(self) -> KeptStation:
        """For the disk."""
        return KeptStation(
            version=self.layout.version,
            profiles=self.smart.profiles,
            transactions=self.transactions.kept(),
            settings=self._settings,
        )

    # --- the site ------------------------------------------------------------------------------------

    def see(self, now: Instant, statuses: Iterable[ModuleStatus]) -> None:
        """How the site is."""
        self._seen = True
        for change in self.transactions.see(_seconds(now), now.mono_s, statuses):
            view = self.transactions.views[change.evse]
            if change.began:
                self.transactions.post(self.dialect.began(change.evse, change.run, view, now))
                run = replace(change.run, seq=change.run.seq + 1, told=view.charging)
                self.transactions.runs[change.evse] = run
            else:
                self.transactions.post(self.dialect.ended(change.evse, change.run, view, now))
            self.smart.transaction_changed(change.evse, ended=not change.began)
            self._meter_due_s[change.evse] = now.mono_s + self.setting("meter_s")
            self.unkept = True

    # --- the CSMS ------------------------------------------------------------------------------------

    def connected(self, now: Instant) -> None:
        """There is a connection. What it was told before, it may have lost."""
        self.up, self._busy = True, None
        self._statuses.clear()
        self._triggered.clear()
        self._boot_due_s = self._beat_due_s = now.mono_s

    def disconnected(self) -> None:
        """There is none."""
        self.up, self._busy = False, None
        self._reports.clear()

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
        if said.action == "BootNotification":
            self._booted(None if payload is None else self.dialect.booted(payload), code, now)
        elif said.local:
            self._delivered(said, payload, code)

    def asked(self, call: Call, now: Instant) -> Answer:
        """What the CSMS wants."""
        return self.dialect.answer(call, self, now)

    def _booted(self, booted: Booted | None, code: str, now: Instant) -> None:
        interval_s = 0 if booted is None else booted.interval_s
        self.accepted = booted is not None and booted.accepted
        self.told = "" if self.accepted else code if booted is None else f"it said {booted.status}"
        if self.accepted:
            if "heartbeat_s" not in self._settings:
                self._heartbeat_s = _within(interval_s) if interval_s > 0 else HEARTBEAT_S
            self._beat_due_s = now.mono_s + self._heartbeat_s
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
        self.unkept = True
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
            self.unkept = True
        if self._triggered:
            return self._of_trigger(*self._triggered.popleft(), now)
        if self._reports:
            return self._reports.popleft()
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
            if now.mono_s >= self._meter_due_s.setdefault(evse, now.mono_s + self.setting("meter_s")):
                return self._metered(evse, now)
        return None

    def _metered(self, evse: int, now: Instant) -> Outgoing:
        self._meter_due_s[evse] = now.mono_s + self.setting("meter_s")
        run, view = self.transactions.runs.get(evse), self.transactions.views[evse]
        if run is not None:
            self.transactions.runs[evse] = replace(run, seq=run.seq + 1)
        return self.dialect.metered(evse, run, view, now)

    def _of_time(self, now: Instant) -> Outgoing | None:
        if now.mono_s < self._beat_due_s:
            return None
        self._beat_due_s = now.mono_s + self._heartbeat_s
        return self.dialect.heartbeat()

    def _of_trigger(self, what: str, evse: int, now: Instant) -> Outgoing | None:
        run, view = self.transactions.runs.get(evse), self.transactions.views[evse]
        match what:
            case "BootNotification":
                return self.dialect.boot()
            case "Heartbeat":
                return self.dialect.heartbeat()
            case "StatusNotification":
                return self.dialect.status(evse, view, run, now)
            case _:
                return self._metered(evse, now)

    # --- what a CSMS may have done -------------------------------------------------------------------

    def set_profile(self, evse: int, raw: dict[str, Any], now: Instant) -> Taken:
        """Take a profile."""
        try:
            self.smart.set(evse, raw, self.transactions.running(), _seconds(now))
        except ProfileRefusedError as error:
            return Taken(error.code, str(error))
        self.unkept = True
        return Taken()

    def clear_profiles(self, which: Criteria, now: Instant) -> bool:
        """Whether there were any."""
        cleared = self.smart.clear(which)
        self.unkept |= cleared
        return cleared

    def find_profiles(self, which: Criteria) -> tuple[Profile, ...]:
        """Those that are meant."""
        return self.smart.found(which)

    def compose(self, evse: int, unit: Unit | None, duration_s: int, now: Instant) -> Composite | None:
        """What is allowed from now on; None: no such EVSE, or no duration."""
        start_s = _seconds(now)
        try:
            unit, found, covered_s = self.smart.compose(
                evse, unit, duration_s, self.transactions.running(), start_s
            )
        except KeyError:
            return None
        periods: list[dict[str, Any]] = [
            {
                "startPeriod": step.start_s,
                "limit": step.limit,
                **({} if step.phases is None else {"numberPhases": step.phases}),
            }
            for step in found
        ]
        return Composite(unit, start_s, covered_s, periods) if periods else None

    def trigger(self, what: str, evse: int | None) -> bool:
        """Say something; whether it will be said."""
        count = len(self.layout.evses)
        if evse is not None and not 0 <= evse < count:
            return False
        evses = (
            [0]
            if what in ("BootNotification", "Heartbeat")
            else list(range(count))
            if evse is None
            else [evse]
        )
        if what == "StatusNotification":
            evses = [e for e in evses if self.dialect.status_of(e, self.view(e)) is not None]
        if what == "TransactionEvent":
            evses = [e for e in evses if e in self.transactions.runs]
        if not evses or len(self._triggered) + len(evses) > max(TRIGGERED_MAX, count):
            return False
        self._triggered.extend((what, e) for e in evses)
        return True

    def report(self, messages: list[Outgoing]) -> None:
        """Say all of these, in place of what is left of the last report."""
        self._reports = deque(messages, maxlen=REPORTS_MAX)

    def setting(self, name: str) -> int:
        """Of heartbeat_s and meter_s."""
        if name == "heartbeat_s":
            return self._heartbeat_s
        return self._settings.get(name, round(self.layout.config.meter_interval_s))

    def change_setting(self, name: str, value: int) -> bool:
        """Whether it is changed."""
        if not INTERVAL_MIN_S <= value <= INTERVAL_MAX_S:
            return False
        self._settings[name] = value
        self._heartbeat_s = self._settings.get("heartbeat_s", self._heartbeat_s)
        self._meter_due_s.clear()
        self._beat_due_s = 0.0 if name == "heartbeat_s" else self._beat_due_s
        self.unkept = True
        return True

    def evse_count(self) -> int:
        """Without the station."""
        return len(self.layout.evses) - 1

    def has_outbox(self, local: str | None) -> bool:
        """Whether something about a transaction, or any, waits for the CSMS."""
        return any(local in (None, message.local) for message in self.transactions.outbox)

    def transaction_runs(self, local: str) -> bool:
        """Whether it does."""
        return any(run.local == local for run in self.transactions.runs.values())

    def view(self, evse: int) -> View:
        """How an EVSE was seen last."""
        return self.transactions.views[evse]


def _seconds(now: Instant) -> int:
    return now.wall_us // timestamps.MICROSECONDS


def _within(interval_s: int) -> int:
    return max(INTERVAL_MIN_S, min(INTERVAL_MAX_S, interval_s))
