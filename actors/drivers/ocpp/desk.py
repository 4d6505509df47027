"""What a charger asks and tells, answered. Schemas have been judged before."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from actors.drivers.kinds import OcppChargersConfig
from actors.drivers.ocpp.charger_clock import ChargerClock, SiteClock
from actors.drivers.ocpp.evse import ChargerEvse
from actors.drivers.ocpp.meter_values import flow
from actors.energy import timestamps
from actors.energy.charging_profiles.profile import Version
from actors.energy.messages import Instant
from actors.ocpp.frames import Call, Fault
from actors.ocpp.session import Answer

HEARTBEAT_S = 60
"""How often a charger shall ask for the time."""
NOTED: dict[str, dict[str, Any]] = {
    "DataTransfer": {"status": "UnknownVendorId"},
    "NotifyEVChargingNeeds": {"status": "Rejected"},
    "NotifyEVChargingSchedule": {"status": "Rejected"},
    **{
        action: {}
        for action in (
            *("DiagnosticsStatusNotification", "FirmwareStatusNotification", "SecurityEventNotification"),
            *("LogStatusNotification", "NotifyReport", "NotifyEvent", "NotifyChargingLimit"),
            *("ReportChargingProfiles", "ClearedChargingLimit", "NotifyMonitoringReport"),
            *("NotifyCustomerInformation", "NotifyDisplayMessages", "ReservationStatusUpdate"),
        )
    },
}
"""What is taken note of, and what is answered."""


class Desk:
    """Of one connection. `evses` by connector (2.0.1: by EVSE). `on_boot` is told when the charger began
    anew, `on_news` of an EVSE about which something was told."""

    def __init__(
        self,
        version: Version,
        config: OcppChargersConfig,
        evses: Mapping[int, ChargerEvse],
        now: Callable[[], Instant],
        clocks: tuple[SiteClock, ChargerClock],
        *,
        on_boot: Callable[[], None],
        on_news: Callable[[ChargerEvse], None],
    ) -> None:
        self._version: Version = version
        self._config = config
        self._evses = evses
        self._now = now
        self._site_clock, self._charger_clock = clocks
        self._on_boot, self._on_news = on_boot, on_news
        self._next_transaction = secrets.randbelow(1 << 30)

    def answer(self, call: Call) -> Answer:
        """Of a call that its schema allows."""
        told = call.payload
        match call.action:
            case "BootNotification":
                self._on_boot()
                return {"currentTime": self._time(), "interval": HEARTBEAT_S, "status": "Accepted"}
            case "Heartbeat":
                return {"currentTime": self._time()}
            case "Authorize":
                return self._judgement(told)
            case "StatusNotification":
                self._status(told)
                return {}
            case "MeterValues":
                self._meter(told)
                return {}
            case "StartTransaction":
                return self._start(told)
            case "StopTransaction":
                self._stop(told)
                return self._judgement(told) if "idTag" in told else {}
            case "TransactionEvent":
                return self._event(told)
        if call.action in NOTED:
            return NOTED[call.action]
        return Fault("NotSupported", f"nothing is done with {call.action} here")

    # --- the time ------------------------------------------------------------------------------------

    def _time(self) -> str:
        now = self._now()
        return timestamps.format_utc(self._site_clock.now_us(now.mono_s, now.wall_us))

    def _note_time(self, text: Any) -> None:
        """A time that the charger's clock has shown."""
        try:
            shown_us = timestamps.parse(str(text))
        except ValueError:
            return
        now = self._now()
        self._charger_clock.shows(now.mono_s, shown_us, self._site_clock.now_us(now.mono_s, now.wall_us))

    # --- what is told ---------------------------------------------------------------------------------

    def _status(self, told: dict[str, Any]) -> None:
        self._note_time(told.get("timestamp"))
        number = told.get("evseId", told.get("connectorId"))
        if number == 0:  # of the charger as a whole
            return
        evse = self._evses.get(number) if isinstance(number, int) else None
        if evse is not None:
            evse.connector.status(told)
            self._note(evse)

    def _meter(self, told: dict[str, Any]) -> None:
        evse = self._evses.get(told.get("evseId", told.get("connectorId", 0)))
        transaction = told.get("transactionId")
        if evse is not None and isinstance(transaction, int) and evse.connector.transaction is None:
            evse.connector.transaction = transaction
        self._values(evse, told.get("meterValue", []))

    def _values(self, evse: ChargerEvse | None, meter_values: list[dict[str, Any]]) -> None:
        for values in meter_values:
            self._note_time(values.get("timestamp"))
        if evse is not None:
            evse.connector.flows(flow(meter_values, self._version, evse.served.phases))
            self._note(evse)

    def _note(self, evse: ChargerEvse) -> None:
        evse.measured(self._now().mono_s)
        self._on_news(evse)

    # --- transactions ---------------------------------------------------------------------------------

    def _judgement(self, told: dict[str, Any]) -> dict[str, Any]:
        card = told.get("idTag") or told.get("idToken", {}).get("idToken", "")
        allowed = self._config.id_tags is None or card in self._config.id_tags
        status = {"status": "Accepted" if allowed else "Invalid"}
        return {"idTagInfo": status} if self._version == "1.6" else {"idTokenInfo": status}

    def _start(self, told: dict[str, Any]) -> dict[str, Any]:
        judgement = self._judgement(told)
        self._next_transaction += 1
        evse = self._evses.get(told["connectorId"])
        if evse is not None and judgement["idTagInfo"]["status"] == "Accepted":
            evse.connector.begins(self._next_transaction)
            self._note(evse)
        return {"transactionId": self._next_transaction, **judgement}

    def _stop(self, told: dict[str, Any]) -> None:
        for evse in self._evses.values():
            if evse.connector.transaction == told["transactionId"]:
                evse.connector.ends()
                self._note(evse)

    def _event(self, told: dict[str, Any]) -> dict[str, Any]:
        if not told.get("offline", False):
            self._note_time(told["timestamp"])
        info, number = told["transactionInfo"], told.get("evse", {}).get("id")
        evse = self._evses.get(number) or self._running(info["transactionId"])
        if evse is not None:
            if told["eventType"] == "Ended":
                evse.connector.ends()
            else:
                evse.connector.begins(info["transactionId"])
                evse.connector.charging_state(info.get("chargingState"))
                self._values(evse, told.get("meterValue", []))
            self._note(evse)
        return self._judgement(told) if "idToken" in told else {}

    def _running(self, transaction: str) -> ChargerEvse | None:
        for evse in self._evses.values():
            if evse.connector.transaction == transaction:
                return evse
        return None
