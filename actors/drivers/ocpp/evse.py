"""One EVSE of an OCPP charger: what it was told, what it says, and the reading that follows."""

from __future__ import annotations

from actors.drivers.account import Account, Limit
from actors.drivers.chargers import Served
from actors.drivers.ocpp.connector import Connector
from actors.energy.messages import Actuate, Reading

CARRIES_A = 1.0
"""More, and a phase is connected."""


class ChargerEvse:
    """Lives as long as the driver, over all connections of its charger. Times are monotonic seconds."""

    def __init__(self, now_s: float, served: Served, meter_interval_s: float) -> None:
        self.served = served
        self.account = Account(now_s, served.default, served.longest_s)
        self.is_dc = served.config.charge_mode == "DC"
        self.connector = Connector(served.phases, served.voltage_V, dc=self.is_dc)
        self.ready = False
        """Its charger has its default, on this connection."""
        self.trouble: str | None = None
        """Why it cannot be served."""
        self.silent = True
        """Its charger is not connected."""
        self._told_of: int | str | None = None
        """The transaction of which its charger is told limits, where it is told of one."""
        self.cleared = False
        """What others left at its charger was taken away, in this life of the driver."""
        self._patience_s = served.config.settle_time_s + meter_interval_s

    @property
    def id(self) -> str:
        """As the tree knows it."""
        return self.served.evse_id

    def begin(self) -> None:
        """Its charger connects, or began anew."""
        self.ready, self.silent, self.trouble = False, False, None
        self.connector.is_told = False
        self.account.forget_held()

    def lose(self, now_s: float) -> None:
        """Its charger is gone."""
        self.ready, self.silent = False, True
        self.account.no_answer(now_s)

    def want(self, now_s: float, command: Actuate) -> str | None:
        """What the tree lets it have; returns why it is not taken."""
        return self.account.want(now_s, command)

    def goes_on(self) -> bool:
        """Whether a transaction runs; what was told for another has ended with that."""
        if self.connector.transaction != self._told_of:
            self._told_of = self.connector.transaction
            self.account.forget_held()
        return self._told_of is not None

    def measured(self, now_s: float) -> None:
        """Its meter told something."""
        self.account.measure(now_s, max(self.connector.currents_A))

    def ignores(self, now_s: float) -> bool:
        """Whether it has been letting through more than it may for longer than any car takes."""
        return self.account.exceeds_s(now_s) > self._patience_s

    def reading(self, now_s: float) -> Reading | None:
        """What its hardware says; nothing while that is not known."""
        if self.silent or not (self.ready or self.trouble):
            return None
        connector = self.connector
        limit, ends_in_s = self.account.in_force(now_s)
        fault = self.trouble or connector.fault
        if fault is None and self.ignores(now_s):
            fault = f"draws {max(connector.currents_A):.1f} A, told {limit.limit_A:g} A: ignores its limit"
        return Reading(
            t_hardware_s=now_s,
            plugged_in=connector.plugged_in,
            car_asks=connector.asks,
            complete=connector.complete,
            closed_phases=self._phases(limit),
            currents_A=connector.currents_A,
            power_W=connector.power_W,
            limit_A=limit.limit_A,
            limit_W=limit.limit_W,
            limit_ends_in_s=ends_in_s,
            mark=self.account.mark(now_s) if self.ready else "",
            contactor_closed=True,
            fault=fault,
        )

    def _phases(self, limit: Limit) -> int:
        """It connects those that it was told, as far as anybody can see."""
        carrying = sum(current_A > CARRIES_A for current_A in self.connector.currents_A)
        return max(1, min(self.served.phases, max(limit.phase_count, carrying)))
