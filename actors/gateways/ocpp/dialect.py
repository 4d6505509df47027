"""What both versions have a word for, and what they need of the charge point to answer a CSMS."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from actors.energy.charging_profiles.installed import Criteria
from actors.energy.charging_profiles.profile import Profile, Unit
from actors.energy.messages import Instant
from actors.gateways.ocpp.transactions import Outgoing, Run, View
from actors.ocpp.frames import Call
from actors.ocpp.session import Answer

VENDOR, MODEL = "amptree", "amptree site"
CURRENT, POWER = "Current.Import", "Power.Active.Import"
ENERGY, OFFERED = "Energy.Active.Import.Register", "Current.Offered"
MEASURANDS = (CURRENT, POWER, ENERGY, OFFERED)


class Taken(Struct, frozen=True):
    """What became of a profile."""

    refused: str | None = None
    """A reason code of 2.0.1; None: it was taken."""
    why: str = ""


class Composite(Struct, frozen=True):
    """A composite schedule, in the words of both versions."""

    unit: Unit
    start_s: int
    duration_s: int
    periods: list[dict[str, Any]]


class Booted(Struct, frozen=True):
    """What a CSMS said to the begin of a charge point."""

    accepted: bool
    status: str
    interval_s: int


HEARTBEAT = Outgoing(action="Heartbeat", payload={})


def booted(payload: dict[str, Any]) -> Booted:
    """The answer to a BootNotification."""
    return Booted(payload["status"] == "Accepted", payload["status"], payload["interval"])


class Desk(Protocol):
    """What a CSMS may have done."""

    def set_profile(self, evse: int, raw: dict[str, Any], now: Instant) -> Taken: ...
    def clear_profiles(self, which: Criteria, now: Instant) -> bool: ...
    def find_profiles(self, which: Criteria) -> tuple[Profile, ...]: ...
    def compose(self, evse: int, unit: Unit | None, duration_s: int, now: Instant) -> Composite | None: ...
    def trigger(self, what: str, evse: int | None) -> bool: ...
    def report(self, messages: list[Outgoing]) -> bool: ...
    def setting(self, name: str) -> int: ...
    def change_setting(self, name: str, value: int) -> bool: ...
    def evse_count(self) -> int: ...
    def has_outbox(self, local: str | None) -> bool: ...
    def transaction_runs(self, local: str) -> bool: ...


class Dialect(Protocol):
    """A version of OCPP. EVSE 0 is the station."""

    def boot(self) -> Outgoing: ...
    def status_of(self, evse: int, view: View) -> str | None: ...
    def status(self, evse: int, view: View, run: Run | None, now: Instant) -> Outgoing: ...
    def began(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing: ...
    def changed(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing | None: ...
    def metered(self, evse: int, run: Run | None, view: View, now: Instant) -> Outgoing: ...
    def ended(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing: ...
    def transaction_id(self, payload: dict[str, Any]) -> int | None: ...
    def answer(self, call: Call, desk: Desk, now: Instant) -> Answer: ...


class Reading(Struct, frozen=True):
    """One measured value."""

    value: float
    measurand: str
    unit: str
    phase: str | None = None


def readings(view: View) -> list[Reading]:
    """What an EVSE tells of what flows."""
    phases = zip(("L1", "L2", "L3"), view.currents_A, strict=True)
    found = [Reading(current_A, CURRENT, "A", phase) for phase, current_A in phases]
    found.append(Reading(view.power_W, POWER, "W"))
    found.append(Reading(view.energy_Wh, ENERGY, "Wh"))
    if view.offered_A is not None:
        found.append(Reading(view.offered_A, OFFERED, "A"))
    return found
