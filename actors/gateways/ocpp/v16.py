"""In the words of OCPP 1.6-J."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.energy import timestamps
from actors.energy.charging_profiles.checks import MAX_ID, MAX_PERIODS, MAX_STACK_LEVEL
from actors.energy.charging_profiles.installed import MAX_PROFILES, Criteria
from actors.energy.charging_profiles.wire import MAX_16, stamp
from actors.energy.messages import Instant
from actors.gateways.ocpp.dialect import MEASURANDS, MODEL, VENDOR, Desk, readings
from actors.gateways.ocpp.transactions import Outgoing, Run, View
from actors.ocpp.frames import Call, Fault
from actors.ocpp.session import Answer

TRIGGERS = ("BootNotification", "Heartbeat", "MeterValues", "StatusNotification")
SETTINGS = {"HeartbeatInterval": "heartbeat_s", "MeterValueSampleInterval": "meter_s"}

_STATUS = {"Available": "Available", "Faulted": "Faulted", "Unavailable": "Unavailable"}
_CHARGING = {
    "EVConnected": "Preparing",
    "Charging": "Charging",
    "SuspendedEV": "SuspendedEV",
    "SuspendedEVSE": "SuspendedEVSE",
}
_REFUSED: dict[str, dict[str, Any]] = {
    "ChangeAvailability": {"status": "Rejected"},
    "ClearCache": {"status": "Rejected"},
    "DataTransfer": {"status": "UnknownVendorId"},
    "RemoteStartTransaction": {"status": "Rejected"},
    "RemoteStopTransaction": {"status": "Rejected"},
    "Reset": {"status": "Rejected"},
    "UnlockConnector": {"status": "NotSupported"},
}
"""The site's EVSEs are nobody's to start, stop or reset from here."""


class Dialect16:
    """OCPP 1.6-J."""

    def __init__(self, id_tag: str) -> None:
        self._id_tag = id_tag
        self._answers: dict[str, Callable[[dict[str, Any], Desk, Instant], Answer]] = {
            "SetChargingProfile": _set_profile,
            "ClearChargingProfile": _clear_profile,
            "GetCompositeSchedule": _composite,
            "TriggerMessage": _trigger,
            "GetConfiguration": _configuration,
            "ChangeConfiguration": _change,
        }

    def boot(self) -> Outgoing:
        payload = {"chargePointVendor": VENDOR, "chargePointModel": MODEL}
        return Outgoing(action="BootNotification", payload=payload)

    def status_of(self, evse: int, view: View) -> str | None:
        """In one word; connector 0 is the charge point."""
        return _STATUS.get(view.connector) or _CHARGING[view.charging]

    def status(self, evse: int, view: View, run: Run | None, now: Instant) -> Outgoing:
        status = self.status_of(evse, view)
        payload = {
            "connectorId": evse,
            "errorCode": "OtherError" if status == "Faulted" else "NoError",
            "status": status,
            "timestamp": _now(now),
            **({"info": view.note[:50]} if view.note else {}),
        }
        return Outgoing(action="StatusNotification", payload=payload, evse=evse)

    def began(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing:
        payload = {
            "connectorId": evse,
            "idTag": self._id_tag,
            "meterStart": round(view.energy_Wh),
            "timestamp": stamp(run.started_s),
        }
        return Outgoing(action="StartTransaction", payload=payload, evse=evse, local=run.local)

    def changed(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing | None:
        """Its status tells it."""
        return None

    def metered(self, evse: int, run: Run | None, view: View, now: Instant) -> Outgoing:
        sampled = [
            {
                "value": f"{r.value:.1f}",
                "measurand": r.measurand,
                "unit": r.unit,
                **({"phase": r.phase} if r.phase else {}),
            }
            for r in readings(view)
        ]
        payload: dict[str, Any] = {
            "connectorId": evse,
            "meterValue": [{"timestamp": _now(now), "sampledValue": sampled}],
        }
        if run is not None and run.id is not None:
            payload["transactionId"] = int(run.id)
        return Outgoing(action="MeterValues", payload=payload, evse=evse)

    def ended(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing:
        payload: dict[str, Any] = {
            "meterStop": round(view.energy_Wh),
            "timestamp": _now(now),
            "reason": "EVDisconnected",
        }
        if run.id is not None:
            payload["transactionId"] = int(run.id)
        return Outgoing(action="StopTransaction", payload=payload, evse=evse, local=run.local)

    def transaction_id(self, payload: dict[str, Any]) -> int | None:
        """One that fits into OCPP's integers."""
        number: int | None = payload.get("transactionId")
        return None if number is None or abs(number) > MAX_ID else number

    def answer(self, call: Call, desk: Desk, now: Instant) -> Answer:
        if call.action in self._answers:
            return self._answers[call.action](call.payload, desk, now)
        if call.action in _REFUSED:
            return _REFUSED[call.action]
        return Fault("NotSupported", f"{call.action} is nothing that this site does")


def _set_profile(asked: dict[str, Any], desk: Desk, now: Instant) -> Answer:
    taken = desk.set_profile(asked["connectorId"], asked["csChargingProfiles"], now)
    return {"status": "Accepted" if taken.refused is None else "Rejected"}


def _clear_profile(asked: dict[str, Any], desk: Desk, now: Instant) -> Answer:
    purpose = asked.get("chargingProfilePurpose")
    which = Criteria(
        evse=asked.get("connectorId"),
        purpose="ChargingStationMaxProfile" if purpose == MAX_16 else purpose,
        stack_level=asked.get("stackLevel"),
    )
    if "id" in asked:  # 5.3: either one profile or all that meet the rest
        which = Criteria(ids=[asked["id"]])
    return {"status": "Accepted" if desk.clear_profiles(which, now) else "Unknown"}


def _composite(asked: dict[str, Any], desk: Desk, now: Instant) -> Answer:
    found = desk.compose(asked["connectorId"], asked.get("chargingRateUnit"), asked["duration"], now)
    if found is None:
        return {"status": "Rejected"}
    begins = stamp(found.start_s)
    return {
        "status": "Accepted",
        "connectorId": asked["connectorId"],
        "scheduleStart": begins,
        "chargingSchedule": {
            "duration": found.duration_s,
            "startSchedule": begins,
            "chargingRateUnit": found.unit,
            # One digit behind the point is all that there may be; never more than is allowed.
            "chargingSchedulePeriod": [{**p, "limit": _tenths(p["limit"])} for p in found.periods],
        },
    }


def _trigger(asked: dict[str, Any], desk: Desk, _: Instant) -> Answer:
    what = asked["requestedMessage"]
    if what not in TRIGGERS:
        return {"status": "NotImplemented"}
    return {"status": "Accepted" if desk.trigger(what, asked.get("connectorId")) else "Rejected"}


def _configuration(asked: dict[str, Any], desk: Desk, _: Instant) -> Answer:
    fixed = {
        "AuthorizeRemoteTxRequests": "false",
        "ChargeProfileMaxStackLevel": str(MAX_STACK_LEVEL),
        "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
        "ChargingScheduleMaxPeriods": str(MAX_PERIODS),
        "GetConfigurationMaxKeys": "50",
        "MaxChargingProfilesInstalled": str(MAX_PROFILES),
        "MeterValuesSampledData": ",".join(MEASURANDS),
        "NumberOfConnectors": str(desk.evse_count()),
        "StopTransactionOnEVSideDisconnect": "true",
        "SupportedFeatureProfiles": "Core,SmartCharging,RemoteTrigger",
        "TransactionMessageAttempts": "3",
    }
    known = [{"key": key, "readonly": True, "value": value} for key, value in fixed.items()]
    known += [
        {"key": key, "readonly": False, "value": str(desk.setting(name))} for key, name in SETTINGS.items()
    ]
    wanted = asked.get("key")
    if not wanted:
        return {"configurationKey": known}
    names = {entry["key"] for entry in known}
    return {
        "configurationKey": [entry for entry in known if entry["key"] in wanted],
        "unknownKey": [key for key in wanted if key not in names],
    }


def _change(asked: dict[str, Any], desk: Desk, now: Instant) -> Answer:
    name = SETTINGS.get(asked["key"])
    if name is None:
        known = _configuration({"key": [asked["key"]]}, desk, now)
        readonly = isinstance(known, dict) and known["configurationKey"]
        return {"status": "Rejected" if readonly else "NotSupported"}
    value = asked["value"]
    good = value.isascii() and value.isdigit() and len(value) < 9 and desk.change_setting(name, int(value))
    return {"status": "Accepted" if good else "Rejected"}


def _now(now: Instant) -> str:
    return timestamps.format_utc(now.wall_us // 1000 * 1000)


def _tenths(limit: float) -> float:
    """Cut off, not rounded up."""
    return int(limit * 10 + 1e-6) / 10
