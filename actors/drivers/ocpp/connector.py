"""What a charger says of one of its connectors (2.0.1: EVSEs): car, session, and what flows."""

from __future__ import annotations

from typing import Any

from actors.drivers.ocpp.meter_values import Flow

NOBODY = ("Available", "Reserved", "Unavailable")
"""States without a car."""
DONE = ("Finishing",)
CHARGING = ("Charging", "SuspendedEVSE")
"""The car would take something: it does, or the charger lets it not."""
TEXT_MAX = 80


class Connector:
    """Of an EVSE with `phases`; `voltage_V` between a phase and neutral. Until a charger has told anything,
    a car may be there."""

    def __init__(self, phases: int, voltage_V: float, *, dc: bool) -> None:
        self._phases, self._voltage_V, self._dc = phases, voltage_V, dc
        self.plugged_in = True
        self.is_told = False
        """A status has come, on this connection."""
        self.asks = False
        self.complete = False
        self.fault: str | None = None
        self.currents_A = (0.0, 0.0, 0.0)
        self.power_W = 0.0
        self.transaction: int | str | None = None
        """The one that runs, as far as it is known."""

    @property
    def is_empty(self) -> bool:
        """Whether there is surely no car."""
        return self.is_told and not self.plugged_in

    def status(self, told: dict[str, Any]) -> None:
        """StatusNotification, of either version."""
        self.is_told = True
        status = told.get("status", told.get("connectorStatus"))
        self.fault = None
        if status == "Faulted":
            parts = [told.get("errorCode"), told.get("vendorErrorCode"), told.get("info")]
            self.fault = " ".join(["faulted", *(str(part) for part in parts if part)])[:TEXT_MAX]
        elif status == "Unavailable":
            self.fault = "unavailable"
        if status in NOBODY:
            self._leave()
        elif status == "Occupied":
            self.plugged_in = True
        elif status != "Faulted":
            self.plugged_in = True
            self.asks, self.complete = status in CHARGING, status in DONE
            if not self.asks and status != "SuspendedEV":
                self._nothing_flows()

    def begins(self, transaction: int | str) -> None:
        """A transaction begins, or is heard of."""
        self.plugged_in, self.complete, self.transaction = True, False, transaction

    def charging_state(self, state: str | None) -> None:
        """Of 2.0.1's transactions."""
        if state is not None:
            self.plugged_in = state != "Idle"
            self.asks = state in CHARGING

    def ends(self) -> None:
        """The transaction is over; the car may still be there."""
        self.asks, self.complete, self.transaction = False, True, None
        self._nothing_flows()

    def flows(self, flow: Flow) -> None:
        """A meter's values."""
        if self._dc:  # its currents are those of the car's side
            flow = Flow(None, flow.power_W)
        if flow.power_W is not None:
            self.power_W = flow.power_W
        if flow.currents_A is not None:
            self.currents_A = flow.currents_A
            if flow.power_W is None:
                self.power_W = sum(flow.currents_A) * self._voltage_V
        elif flow.power_W is not None:
            each_A = flow.power_W / (self._phases * self._voltage_V)
            self.currents_A = (each_A, each_A * (self._phases > 1), each_A * (self._phases > 2))

    def _leave(self) -> None:
        self.plugged_in = self.asks = self.complete = False
        self.transaction = None
        self._nothing_flows()

    def _nothing_flows(self) -> None:
        self.currents_A, self.power_W = (0.0, 0.0, 0.0), 0.0
