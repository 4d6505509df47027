"""What a CSMS may have done, in the words of neither version; and what must outlive a restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.charging_profiles.installed import MAX_PROFILES, Criteria
from actors.energy.charging_profiles.profile import Profile, ProfileRefusedError, Unit, Version
from actors.energy.messages import Instant
from actors.gateways.ocpp.dialect import Composite, Taken
from actors.gateways.ocpp.layout import Layout
from actors.gateways.ocpp.smart_charging import SmartCharging
from actors.gateways.ocpp.transactions import Kept, Outgoing, Transactions, View

INTERVAL_MIN_S, INTERVAL_MAX_S = 1, 86_400
HEARTBEAT_S = 300
"""Where the CSMS names no interval."""
TRIGGERED_MAX = 100
"""Messages that a CSMS wants to have at a time; all EVSEs of one kind of them at least."""
REPORTS_MAX = 2 * MAX_PROFILES
"""Messages about profiles that wait; twice all profiles at least."""


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


class StationDesk:
    """Of one life of a gateway."""

    def __init__(
        self, layout: Layout, kept: KeptStation, status_of: Callable[[int, View], str | None]
    ) -> None:
        """`status_of`: the dialect's."""
        self.layout = layout
        self.smart = SmartCharging(layout, kept.profiles)
        self.transactions = Transactions(layout, kept.transactions)
        self.unkept = False
        """Whether something has changed that must outlive a restart."""
        self.settings = dict(kept.settings)
        self.changed: set[str] = set()
        """Settings that the CSMS has changed just now."""
        self.heartbeat_s = HEARTBEAT_S
        """Unless it is set."""
        self.triggered: deque[tuple[str, int]] = deque()
        self.reports: deque[Outgoing] = deque()
        self._status_of = status_of

    def kept(self) -> KeptStation:
        """For the disk."""
        return KeptStation(
            version=self.layout.version,
            profiles=self.smart.profiles,
            transactions=self.transactions.kept(),
            settings=self.settings,
        )

    def set_profile(self, evse: int, raw: dict[str, Any], now: Instant) -> Taken:
        """Take a profile."""
        try:
            self.smart.set(evse, raw, self.transactions.running(), seconds(now))
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
        start_s = seconds(now)
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
            evses = [e for e in evses if self._status_of(e, self.transactions.views[e]) is not None]
        if what == "TransactionEvent":
            evses = [e for e in evses if e in self.transactions.runs]
        if not evses or len(self.triggered) + len(evses) > max(TRIGGERED_MAX, count):
            return False
        self.triggered.extend((what, e) for e in evses)
        return True

    def report(self, messages: list[Outgoing]) -> bool:
        """Say all of these; whether it will be said."""
        if len(self.reports) + len(messages) > REPORTS_MAX:
            return False
        self.reports.extend(messages)
        return True

    def setting(self, name: str) -> int:
        """Of heartbeat_s and meter_s."""
        default = self.heartbeat_s if name == "heartbeat_s" else round(self.layout.config.meter_interval_s)
        return self.settings.get(name, default)

    def change_setting(self, name: str, value: int) -> bool:
        """Whether it is changed."""
        if not INTERVAL_MIN_S <= value <= INTERVAL_MAX_S:
            return False
        self.settings[name] = value
        self.changed.add(name)
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


def seconds(now: Instant) -> int:
    """Since the epoch."""
    return now.wall_us // timestamps.MICROSECONDS
