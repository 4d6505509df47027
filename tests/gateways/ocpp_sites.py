"""A site with a CSMS, for tests without one."""

from __future__ import annotations

from typing import Any

from actors.config import parse_site
from actors.energy.messages import Instant, ModuleStatus
from actors.gateways.ocpp.charge_point import ChargePoint
from actors.gateways.ocpp.desk import KeptStation
from actors.gateways.ocpp.layout import Layout, layout
from actors.gateways.ocpp.transactions import Outgoing
from actors.ocpp.frames import Call, fault_of
from actors.site import OcppLink, Site

TEXT = """
active_modules:
  root: {{module: EnergyManager, external_limits: {{dso: {{lpc: {{}}}}, ocpp_offline: {{heartbeat_timeout_s: 60, failsafe: {{total_power_W: 9000}}}}}}}}
  floor: {{module: EnergyNode, config: {{fuse_limit_A: 25}}, connections: {{energy_grid: root}}}}
  one: {{module: EvseManager, config: {{connector_id: 1}}, connections: {{energy_grid: floor}}}}
  two: {{module: EvseManager, config: {{connector_id: 2, charge_mode: DC, max_power_W: 6900}}, connections: {{energy_grid: floor}}}}
  ocpp: {{module: OCPP, config: {{url: "ws://csms/", protocol: ocpp{version}{more}}}}}
"""
BEGIN_US = 1_772_445_600_000_000


def site(version: str, more: str = "") -> Site:
    return parse_site(TEXT.format(version=version, more=more), "garage")


def a_layout(version: str, more: str = "") -> Layout:
    made = site(version, more)
    link = made.gateways["ocpp"]
    assert isinstance(link, OcppLink)
    return layout(made, link)


class Bench:
    """A charge point, and a CSMS that answers as it is told; every message is judged by the schemas."""

    def __init__(self, version: str, kept: KeptStation | None = None, more: str = "") -> None:
        self.s = 0.0
        self.layout = a_layout(version, more)
        self.point = ChargePoint(self.layout, kept or KeptStation(), self.now())
        self.told: list[Outgoing] = []
        self.transactions = 100
        self.boot: dict[str, Any] = {
            "status": "Accepted",
            "interval": 300,
            "currentTime": "2026-03-02T10:00:00Z",
        }
        self.refuses: str | None = None
        """Answers with this code to what is about transactions."""

    def now(self) -> Instant:
        return Instant(self.s, BEGIN_US + int(self.s * 1e6))

    def see(self, **states: str) -> None:
        """EVSEs in these states."""
        self.point.see(
            self.now(),
            [
                ModuleStatus(
                    id=module,
                    kind="EvseManager",
                    controller="x",
                    alive=state != "silent",
                    state=state,
                    power_W=3600.0 if state == "Charging" else 0.0,
                    currents_A=(5.2, 5.2, 5.2),
                )
                for module, state in states.items()
            ],
        )

    def run(self, for_s: float = 0.0) -> list[Outgoing]:
        """Let it say what it has to; returns that."""
        began, until_s = len(self.told), self.s + for_s
        while True:
            while (said := self.point.next(self.now())) is not None:
                version = self.layout.version
                assert fault_of(version, said.action, said.payload) is None, said
                self.told.append(said)
                assert len(self.told) - began < 5000
                self.answer(said)
            if self.s >= until_s:
                return self.told[began:]
            self.s += 1.0

    def answer(self, said: Outgoing) -> None:
        payload: dict[str, Any] = {}
        if said.action == "BootNotification":
            payload = self.boot
        elif said.local and self.refuses:
            self.point.answered(said, None, self.refuses, self.now())
            return
        elif said.action == "StartTransaction":
            self.transactions += 1
            payload = {"transactionId": self.transactions, "idTagInfo": {"status": "Accepted"}}
        self.point.answered(said, payload, "", self.now())

    def up(self) -> list[Outgoing]:
        self.point.connected(self.now())
        return self.run()

    def ask(self, action: str, **payload: Any) -> Any:
        """The answer, judged by the schemas as the question is."""
        version = self.layout.version
        assert fault_of(version, action, payload) is None
        answer = self.point.asked(Call("1", action, payload), self.now())
        if isinstance(answer, dict):
            assert fault_of(version, action, answer, answer=True) is None, answer
        return answer

    def set_profile(
        self, evse: int, number: int, limit: float, purpose: str = "TxDefaultProfile", **more: Any
    ) -> str:
        unit = more.pop("unit", "A")
        schedule: dict[str, Any] = {
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": more.pop("periods", [{"startPeriod": 0, "limit": limit}]),
            "startSchedule": "2026-01-01T00:00:00Z",
        }
        profile = {
            "stackLevel": more.pop("level", 0),
            "chargingProfilePurpose": purpose,
            "chargingProfileKind": "Absolute",
            **more,
        }
        if self.layout.version == "1.6":
            profile |= {"chargingProfileId": number, "chargingSchedule": schedule}
            answer = self.ask("SetChargingProfile", connectorId=evse, csChargingProfiles=profile)
        else:
            profile |= {"id": number, "chargingSchedule": [{"id": 1, **schedule}]}
            answer = self.ask("SetChargingProfile", evseId=evse, chargingProfile=profile)
        return str(answer["status"])
