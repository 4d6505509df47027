"""Whatever a CSMS asks that its schemas allow has an answer that they allow, too."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gateways.ocpp.desk import KeptStation
from actors.ocpp.frames import Call, Fault, fault_of
from tests.gateways.ocpp_sites import Bench

PROFILE_16: dict[str, Any] = {
    "chargingProfileId": 1,
    "transactionId": 101,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Recurring",
    "recurrencyKind": "Daily",
    "validFrom": "2026-01-01T00:00:00Z",
    "validTo": "2027-01-01T00:00:00Z",
    "chargingSchedule": {
        "duration": 3600,
        "startSchedule": "2026-01-01T00:00:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 10.0, "numberPhases": 3},
            {"startPeriod": 60, "limit": 8.1},
        ],
        "minChargingRate": 6.0,
    },
}
PROFILE_201: dict[str, Any] = {
    **{k: v for k, v in PROFILE_16.items() if k not in ("chargingProfileId", "chargingSchedule")},
    "id": 1,
    "transactionId": "x",
    "chargingSchedule": [
        {
            **PROFILE_16["chargingSchedule"],
            "id": 1,
            "salesTariff": {"id": 1, "salesTariffEntry": [{"relativeTimeInterval": {"start": 0}}]},
        }
    ],
}
QUESTIONS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "1.6": [
        ("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": PROFILE_16}),
        (
            "ClearChargingProfile",
            {"id": 1, "connectorId": 1, "chargingProfilePurpose": "TxProfile", "stackLevel": 0},
        ),
        ("GetCompositeSchedule", {"connectorId": 1, "duration": 600, "chargingRateUnit": "W"}),
        ("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1}),
        ("GetConfiguration", {"key": ["HeartbeatInterval"]}),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"}),
        ("RemoteStartTransaction", {"idTag": "x", "chargingProfile": PROFILE_16}),
        ("Reset", {"type": "Hard"}),
        ("DataTransfer", {"vendorId": "x", "data": "y"}),
    ],
    "2.0.1": [
        ("SetChargingProfile", {"evseId": 1, "chargingProfile": PROFILE_201}),
        (
            "ClearChargingProfile",
            {"chargingProfileId": 1, "chargingProfileCriteria": {"evseId": 1, "stackLevel": 0}},
        ),
        ("GetCompositeSchedule", {"evseId": 1, "duration": 600, "chargingRateUnit": "W"}),
        ("GetChargingProfiles", {"requestId": 1, "evseId": 1, "chargingProfile": {"chargingProfileId": [1]}}),
        ("TriggerMessage", {"requestedMessage": "TransactionEvent", "evse": {"id": 1, "connectorId": 1}}),
        ("GetVariables", {"getVariableData": [{"component": {"name": "x"}, "variable": {"name": "y"}}]}),
        (
            "SetVariables",
            {
                "setVariableData": [
                    {
                        "attributeValue": "5",
                        "component": {"name": "OCPPCommCtrlr"},
                        "variable": {"name": "HeartbeatInterval"},
                    }
                ]
            },
        ),
        ("GetTransactionStatus", {"transactionId": "x"}),
        ("Reset", {"type": "Immediate"}),
    ],
}
leaves = (
    st.integers()
    | st.sampled_from(
        [
            0,
            -1,
            1,
            2,
            3,
            60,
            2**31,
            2**63,
            10**40,
            1e300,
            0.1,
            "",
            "A",
            "W",
            "Absolute",
            "Relative",
            "Weekly",
            "TxProfile",
            "ChargePointMaxProfile",
            "ChargingStationMaxProfile",
            "ChargingStationExternalConstraints",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2026-13-01",
        ]
    )
    | st.text(max_size=40)
    | st.none()
    | st.booleans()
    | st.lists(st.integers(), max_size=3)
)


@st.composite
def questions(draw: st.DrawFn, version: str) -> tuple[str, dict[str, Any]]:
    """A good one with some of its parts replaced or left out."""
    action, payload = draw(st.sampled_from(QUESTIONS[version]))
    payload = copy.deepcopy(payload)
    for _ in range(draw(st.integers(0, 4))):
        holder: Any = payload
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(holder[key], dict | list) and draw(st.booleans()):
                holder = holder[key]
            elif isinstance(holder, dict) and draw(st.integers(0, 3)) == 0:
                del holder[key]
                break
            else:
                holder[key] = draw(leaves)
                break
    return action, payload


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
@settings(max_examples=50)
@given(data=st.data())
def test_every_question_has_an_answer(version: str, data: st.DataObject) -> None:
    more = ", grid_operator_source: dso" if version == "2.0.1" else ""
    bench = Bench(version, more=more)
    bench.see(one="Charging", two="Unplugged")
    bench.up()
    for action, payload in data.draw(st.lists(questions(version), min_size=3, max_size=8)):
        if fault_of(bench.layout.version, action, payload) is not None:
            continue
        answer = bench.point.asked(Call("1", action, payload), bench.now())
        if not isinstance(answer, Fault):
            assert fault_of(bench.layout.version, action, answer, answer=True) is None, (
                action,
                payload,
                answer,
            )
            json.dumps(answer)
        bench.run(1)
        now_s, smart = bench.now().wall_us // 1_000_000, bench.point.smart
        for evse in smart.due(now_s):
            smart.wanted(evse, bench.point.transactions.running(), now_s)
        smart.wanted_of_grid(now_s)
    on_disk = msgspec.json.encode(bench.point.desk.kept())
    again = Bench(version, msgspec.json.decode(on_disk, type=KeptStation), more=more)
    assert again.point.smart.profiles == bench.point.smart.profiles
