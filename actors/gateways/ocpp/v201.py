"""In the words of OCPP 2.0.1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.charging_profiles.checks import MAX_PERIODS, MAX_STACK_LEVEL
from actors.energy.charging_profiles.installed import MAX_PROFILES, Criteria
from actors.energy.charging_profiles.profile import Profile
from actors.energy.charging_profiles.wire import stamp, write_profile
from actors.energy.messages import Instant
from actors.gateways.ocpp.dialect import MODEL, VENDOR, Desk, readings
from actors.gateways.ocpp.smart_charging import EXTERNAL
from actors.gateways.ocpp.transactions import Outgoing, Run, View
from actors.ocpp.frames import Call, Fault
from actors.ocpp.session import Answer

TRIGGERS = ("BootNotification", "Heartbeat", "MeterValues", "StatusNotification", "TransactionEvent")
SETTINGS = {
    ("OCPPCommCtrlr", "HeartbeatInterval"): "heartbeat_s",
    ("SampledDataCtrlr", "TxUpdatedInterval"): "meter_s",
}
REPORTED_EACH = 10
"""Profiles in one ReportChargingProfiles."""
PROFILES_CSO, PROFILES_SO = "CSO", "SO"
"""Who set them: the CSMS by itself, or for the grid operator."""

_REFUSED: dict[str, dict[str, Any]] = {
    "ChangeAvailability": {"status": "Rejected"},
    "ClearCache": {"status": "Rejected"},
    "DataTransfer": {"status": "UnknownVendorId"},
    "GetBaseReport": {"status": "NotSupported"},
    "GetReport": {"status": "NotSupported"},
    "RequestStartTransaction": {"status": "Rejected"},
    "RequestStopTransaction": {"status": "Rejected"},
    "Reset": {"status": "Rejected"},
    "UnlockConnector": {"status": "UnknownConnector"},
}
"""The site's EVSEs are nobody's to start, stop or reset from here."""


class Dialect201:
    """OCPP 2.0.1."""

    def __init__(self) -> None:
        self._answers: dict[str, Callable[[dict[str, Any], Desk, Instant], Answer]] = {
            "SetChargingProfile": _set_profile,
            "ClearChargingProfile": _clear_profile,
            "GetChargingProfiles": _get_profiles,
            "GetCompositeSchedule": _composite,
            "GetTransactionStatus": _transaction_status,
            "GetVariables": _variables,
            "SetVariables": _set_variables,
            "TriggerMessage": _trigger,
        }

    def boot(self) -> Outgoing:
        station = {"vendorName": VENDOR, "model": MODEL}
        return Outgoing(action="BootNotification", payload={"reason": "PowerUp", "chargingStation": station})

    def status_of(self, evse: int, view: View) -> str | None:
        """In one word; only EVSEs have connectors."""
        return view.connector if evse else None

    def status(self, evse: int, view: View, run: Run | None, now: Instant) -> Outgoing:
        payload = {
            "timestamp": _now(now),
            "connectorStatus": view.connector,
            "evseId": evse,
            "connectorId": 1,
        }
        return Outgoing(action="StatusNotification", payload=payload, evse=evse)

    def began(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing:
        payload = self._event("Started", "CablePluggedIn", evse, run, view.charging, now)
        payload |= {"timestamp": stamp(run.started_s), "meterValue": [_meter(view, "Transaction.Begin", now)]}
        payload["idToken"] = {"idToken": "", "type": "NoAuthorization"}
        return Outgoing(action="TransactionEvent", payload=payload, evse=evse, local=run.local)

    def changed(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing | None:
        payload = self._event("Updated", "ChargingStateChanged", evse, run, view.charging, now)
        return Outgoing(action="TransactionEvent", payload=payload, evse=evse)

    def metered(self, evse: int, run: Run | None, view: View, now: Instant) -> Outgoing:
        meter = [_meter(view, "Sample.Periodic", now)]
        if run is None:
            return Outgoing(action="MeterValues", payload={"evseId": evse, "meterValue": meter}, evse=evse)
        payload = self._event("Updated", "MeterValuePeriodic", evse, run, view.charging, now)
        return Outgoing(action="TransactionEvent", payload={**payload, "meterValue": meter}, evse=evse)

    def ended(self, evse: int, run: Run, view: View, now: Instant) -> Outgoing:
        payload = self._event("Ended", "EVDeparted", evse, run, None, now)
        payload["transactionInfo"]["stoppedReason"] = "EVDisconnected"
        payload["meterValue"] = [_meter(view, "Transaction.End", now)]
        return Outgoing(action="TransactionEvent", payload=payload, evse=evse, local=run.local)

    def transaction_id(self, payload: dict[str, Any]) -> int | None:
        """Ids are the station's here."""
        return None

    def _event(
        self, event: str, why: str, evse: int, run: Run, charging: str | None, now: Instant
    ) -> dict[str, Any]:
        state = {} if charging is None else {"chargingState": charging}
        return {
            "eventType": event,
            "timestamp": _now(now),
            "triggerReason": why,
            "seqNo": run.seq,
            "transactionInfo": {"transactionId": run.local, **state},
            "evse": {"id": evse, "connectorId": 1},
        }

    def answer(self, call: Call, desk: Desk, now: Instant) -> Answer:
        if call.action in self._answers:
            return self._answers[call.action](call.payload, desk, now)
        if call.action in _REFUSED:
            return _REFUSED[call.action]
        return Fault("NotSupported", f"{call.action} is nothing that this site does")


def _set_profile(asked: dict[str, Any], desk: Desk, now: Instant) -> Answer:
    taken = desk.set_profile(asked["evseId"], asked["chargingProfile"], now)
    if taken.refused is None:
        return {"status": "Accepted"}
    return {"status": "Rejected", **_info(taken.refused, taken.why)}


def _info(code: str, why: str) -> dict[str, Any]:
    return {"statusInfo": {"reasonCode": code, "additionalInfo": why[:512]}} if why else {}


def _clear_profile(asked: dict[str, Any], desk: Desk, now: Instant) -> Answer:
    criteria = asked.get("chargingProfileCriteria")
    if "chargingProfileId" in asked:
        which = Criteria(ids=[asked["chargingProfileId"]])
    elif criteria:
        which = Criteria(
            evse=criteria.get("evseId"),
            purpose=criteria.get("chargingProfilePurpose"),
            stack_level=criteria.get("stackLevel"),
        )
    else:  # K10.FR.02: one of them has to be there
        return {"status": "Unknown", **_info("MissingParam", "chargingProfileId or chargingProfileCriteria")}
    return {"status": "Accepted" if desk.clear_profiles(which, now) else "Unknown"}


def _get_profiles(asked: dict[str, Any], desk: Desk, _: Instant) -> Answer:
    criteria = asked["chargingProfile"]
    which = Criteria(
        ids=criteria.get("chargingProfileId"),
        evse=asked.get("evseId"),
        purpose=criteria.get("chargingProfilePurpose"),
        stack_level=criteria.get("stackLevel"),
    )
    sources = criteria.get("chargingLimitSource", (PROFILES_CSO, PROFILES_SO))
    groups: dict[tuple[int, str], list[Profile]] = {}
    for profile in desk.find_profiles(which):
        source = PROFILES_SO if profile.purpose == EXTERNAL else PROFILES_CSO
        if source in sources:
            groups.setdefault((profile.evse, source), []).append(profile)
    if not groups:
        return {"status": "NoProfiles"}
    reports = [
        Outgoing(
            action="ReportChargingProfiles",
            payload={
                "requestId": asked["requestId"],
                "chargingLimitSource": source,
                "evseId": evse,
                "chargingProfile": [write_profile(p) for p in profiles[at : at + REPORTED_EACH]],
                "tbc": True,
            },
        )
        for (evse, source), profiles in groups.items()
        for at in range(0, len(profiles), REPORTED_EACH)
    ]
    reports[-1] = replace(reports[-1], payload={**reports[-1].payload, "tbc": False})
    if not desk.report(reports):
        return Fault("GenericError", "the reports that were asked for before have not been told yet")
    return {"status": "Accepted"}


def _composite(asked: dict[str, Any], desk: Desk, now: Instant) -> Answer:
    found = desk.compose(asked["evseId"], asked.get("chargingRateUnit"), asked["duration"], now)
    if found is None:
        return {"status": "Rejected", **_info("InvalidValue", "no such EVSE, or no duration")}
    schedule = {
        "evseId": asked["evseId"],
        "duration": found.duration_s,
        "scheduleStart": stamp(found.start_s),
        "chargingRateUnit": found.unit,
        "chargingSchedulePeriod": found.periods,
    }
    return {"status": "Accepted", "schedule": schedule}


def _transaction_status(asked: dict[str, Any], desk: Desk, _: Instant) -> Answer:
    local = asked.get("transactionId")
    answer = {"messagesInQueue": desk.has_outbox(local)}
    return answer if local is None else {**answer, "ongoingIndicator": desk.transaction_runs(local)}


def _trigger(asked: dict[str, Any], desk: Desk, _: Instant) -> Answer:
    what = asked["requestedMessage"]
    if what not in TRIGGERS:
        return {"status": "NotImplemented"}
    evse = asked.get("evse", {}).get("id")
    return {"status": "Accepted" if desk.trigger(what, evse) else "Rejected"}


def _fixed(desk: Desk) -> dict[tuple[str, str], str]:
    return {
        ("SmartChargingCtrlr", "Available"): "true",
        ("SmartChargingCtrlr", "Enabled"): "true",
        ("SmartChargingCtrlr", "Entries"): str(MAX_PROFILES),
        ("SmartChargingCtrlr", "LimitChangeSignificance"): "0",
        ("SmartChargingCtrlr", "PeriodsPerSchedule"): str(MAX_PERIODS),
        ("SmartChargingCtrlr", "ProfileStackLevel"): str(MAX_STACK_LEVEL),
        ("SmartChargingCtrlr", "RateUnit"): "A,W",
        ("SmartChargingCtrlr", "ACPhaseSwitchingSupported"): "false",
        ("TxCtrlr", "TxStartPoint"): "EVConnected",
        ("TxCtrlr", "TxStopPoint"): "EVConnected",
    }


def _variables(asked: dict[str, Any], desk: Desk, _: Instant) -> Answer:
    fixed = _fixed(desk)
    results = []
    for wanted in asked["getVariableData"]:
        component, variable = wanted["component"]["name"], wanted["variable"]["name"]
        value = fixed.get((component, variable))
        if (name := SETTINGS.get((component, variable))) is not None:
            value = str(desk.setting(name))
        found: dict[str, Any] = {"attributeStatus": "Accepted", "attributeValue": value}
        if value is None:
            found = {"attributeStatus": _unknown(component, fixed)}
        results.append({**found, "component": wanted["component"], "variable": wanted["variable"]})
    return {"getVariableResult": results}


def _set_variables(asked: dict[str, Any], desk: Desk, _: Instant) -> Answer:
    fixed = _fixed(desk)
    results = []
    for wanted in asked["setVariableData"]:
        key = wanted["component"]["name"], wanted["variable"]["name"]
        value, name = wanted["attributeValue"], SETTINGS.get(key)
        if name is not None:
            good = value.isascii() and value.isdigit() and len(value) < 9
            good = good and desk.change_setting(name, int(value))
            status = "Accepted" if good else "Rejected"
        else:
            status = "Rejected" if key in fixed else _unknown(key[0], fixed)
        results.append(
            {"attributeStatus": status, "component": wanted["component"], "variable": wanted["variable"]}
        )
    return {"setVariableResult": results}


def _unknown(component: str, fixed: dict[tuple[str, str], str]) -> str:
    known = component in {name for name, _ in (*fixed, *SETTINGS)}
    return "UnknownVariable" if known else "UnknownComponent"


def _meter(view: View, context: str, now: Instant) -> dict[str, Any]:
    sampled = [
        {
            "value": round(r.value, 1),
            "context": context,
            "measurand": r.measurand,
            "unitOfMeasure": {"unit": r.unit},
            **({"phase": r.phase} if r.phase else {}),
        }
        for r in readings(view)
    ]
    return {"timestamp": _now(now), "sampledValue": sampled}


def _now(now: Instant) -> str:
    return timestamps.format_utc(now.wall_us // 1000 * 1000)
