"""What a charge point tells its CSMS, and what it answers; every message fits its schema (ocpp_sites.py)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.energy.charging_profiles.installed import MAX_PROFILES
from actors.gateways.ocpp.charge_point import BOOT_AGAIN_S, TRIES_MAX
from actors.gateways.ocpp.desk import KeptStation
from actors.gateways.ocpp.transactions import OUTBOX_MAX
from actors.ocpp.frames import Call, Fault
from tests.gateways.ocpp_sites import Bench, a_layout

MAXIMUM = {"1.6": "ChargePointMaxProfile", "2.0.1": "ChargingStationMaxProfile"}
BOTH = pytest.mark.parametrize("version", ["1.6", "2.0.1"])


def actions(said: list[Any]) -> list[str]:
    return [message.action for message in said]


def test_ratings_are_those_of_hardware_and_fuses() -> None:
    root, one, two = a_layout("1.6").evses
    assert (root.rating_A, one.rating_A, two.rating_A) == (25.0, 25.0, 10.0)
    assert one.rating("W") == 25 * 690
    assert (root.dc, one.dc, two.dc) == (False, False, True)


@BOTH
def test_nothing_is_said_before_the_csms_has_accepted_the_begin(version: str) -> None:
    bench = Bench(version)
    bench.see(one="Charging", two="Unplugged")
    assert bench.run(5) == []
    bench.boot = {**bench.boot, "status": "Pending", "interval": 20}
    assert actions(bench.up()) == ["BootNotification"]
    assert "Pending" in bench.point.told
    assert actions(bench.run(45)) == ["BootNotification"] * 2
    bench.boot = {**bench.boot, "status": "Rejected", "interval": 0}
    assert actions(bench.run(20)) == ["BootNotification"]
    bench.boot = {**bench.boot, "status": "Accepted"}
    said = actions(bench.run(BOOT_AGAIN_S))
    assert said[0] == "BootNotification"
    assert len(said) > 3
    assert bench.point.told == ""


@BOTH
def test_a_connection_that_comes_back_is_no_new_begin(version: str) -> None:
    bench = Bench(version)
    bench.see(one="Charging", two="Unplugged")
    first = actions(bench.up())
    bench.point.disconnected()
    assert bench.run(5) == []
    again = actions(bench.up())
    assert "BootNotification" not in again
    assert (
        again.count("StatusNotification")
        == first.count("StatusNotification")
        == (3 if version == "1.6" else 2)
    )


@BOTH
def test_the_csms_says_how_often_it_wants_to_hear(version: str) -> None:
    bench = Bench(version)
    bench.boot["interval"] = 10
    bench.see(one="Unplugged", two="Unplugged")
    bench.up()
    assert actions(bench.run(35)).count("Heartbeat") == 3
    if version == "1.6":
        answer = bench.ask("ChangeConfiguration", key="HeartbeatInterval", value="5")
    else:
        data = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
        (answer,) = bench.ask("SetVariables", setVariableData=[{**data, "attributeValue": "5"}])[
            "setVariableResult"
        ]
        (got,) = bench.ask("GetVariables", getVariableData=[data])["getVariableResult"]
        assert got["attributeValue"] == "5"
    assert "Accepted" in answer.values()
    bench.run()
    assert actions(bench.run(20)).count("Heartbeat") == 4
    again = Bench(version, bench.point.desk.kept())
    again.see(one="Unplugged", two="Unplugged")
    again.up()
    assert actions(again.run(20)).count("Heartbeat") == 4


def test_a_transaction_of_1_6_gets_its_id_from_the_csms() -> None:
    bench = Bench("1.6")
    bench.up()
    bench.see(one="WaitForEnergy", two="Unplugged")
    assert bench.set_profile(1, 1, 10, "TxProfile", transactionId=101) == "Rejected"
    assert bench.set_profile(1, 2, 11, "TxProfile") == "Accepted"
    said = bench.run()
    start = next(message for message in said if message.action == "StartTransaction")
    assert start.payload == {
        "connectorId": 1,
        "idTag": "amptree",
        "meterStart": 0,
        "timestamp": "2026-03-02T10:00:00.000Z",
    }
    assert bench.set_profile(1, 1, 10, "TxProfile", transactionId=101, level=3) == "Accepted"
    for _ in range(600):
        bench.s += 1
        bench.see(one="Charging", two="Unplugged")
    meters = [m.payload for m in bench.run(1) if m.action == "MeterValues" and m.payload["connectorId"] == 1]
    assert meters[0]["transactionId"] == 101
    bench.see(one="Unplugged", two="Unplugged")
    stop = next(message for message in bench.run() if message.action == "StopTransaction")
    assert stop.payload["transactionId"] == 101
    assert stop.payload["meterStop"] == pytest.approx(600, abs=2)
    assert bench.point.smart.profiles == ()


def test_transactions_while_the_csms_is_away_are_told_later_in_order() -> None:
    bench = Bench("1.6")
    bench.up()
    for state in ("Charging", "Unplugged", "Charging", "Unplugged", "Charging"):
        bench.point.disconnected()
        bench.see(one=state, two="Unplugged")
        bench.s += 10
    # A new life in between takes them over.
    later = Bench("1.6", msgspec.json.decode(msgspec.json.encode(bench.point.desk.kept()), type=KeptStation))
    later.see(one="Charging", two="Unplugged")
    said = [m for m in later.up() if "Transaction" in m.action]
    assert actions(said) == ["StartTransaction", "StopTransaction"] * 2 + ["StartTransaction"]
    assert [m.payload.get("transactionId") for m in said] == [None, 101, None, 102, None]
    assert later.point.transactions.runs[1].id == "103"


def test_events_of_2_0_1_are_numbered_without_a_gap() -> None:
    bench = Bench("2.0.1")
    bench.up()
    for state in ("WaitForEnergy", "PrepareCharging", "Charging", "PausedEV", "Charging", "Unplugged"):
        bench.see(one=state, two="Unplugged")
        bench.run(70)
    events = [m.payload for m in bench.told if m.action == "TransactionEvent"]
    assert [e["seqNo"] for e in events] == list(range(len(events)))
    assert [e["eventType"] for e in events] == ["Started", *["Updated"] * (len(events) - 2), "Ended"]
    assert len({e["transactionInfo"]["transactionId"] for e in events}) == 1
    states = [
        e["transactionInfo"].get("chargingState")
        for e in events
        if e["triggerReason"] == "ChargingStateChanged"
    ]
    assert states == ["SuspendedEV", "Charging", "SuspendedEV", "Charging"]
    assert sum(e["triggerReason"] == "MeterValuePeriodic" for e in events) >= 5


def test_events_after_a_restart_have_numbers_of_their_own() -> None:
    bench = Bench("2.0.1")
    bench.up()
    bench.see(one="Charging", two="Unplugged")
    bench.run()
    kept = bench.point.desk.kept()
    bench.run(600)  # and nothing of this was written down
    later = Bench("2.0.1", kept)
    later.see(one="Charging", two="Unplugged")
    later.up()
    later.run(70)

    def numbers(of: Bench) -> list[int]:
        return [m.payload["seqNo"] for m in of.told if m.action == "TransactionEvent"]

    assert len(numbers(bench)) > 5
    assert min(numbers(later)) > max(numbers(bench))


def test_nothing_is_tried_on_a_connection_that_is_gone() -> None:
    bench = Bench("2.0.1")
    bench.see(one="Charging", two="Unplugged")
    bench.point.connected(bench.now())
    said = bench.point.next(bench.now())
    assert said is not None
    bench.point.answered(said, None, "ConnectionLost", bench.now())
    assert bench.point.next(bench.now()) is None
    assert actions(bench.up())[0] == "BootNotification"


def test_a_transaction_id_that_is_no_integer_of_ocpp_is_none() -> None:
    bench = Bench("1.6")
    bench.transactions = 2**40
    bench.up()
    bench.see(one="Charging", two="Unplugged")
    bench.run()
    bench.see(one="Unplugged", two="Unplugged")
    assert "StopTransaction" not in actions(bench.run())
    assert bench.point.transactions.outbox == []


@BOTH
@pytest.mark.parametrize(
    ("code", "tries"), [("GenericError", TRIES_MAX), ("Timeout", 40), ("ConnectionLost", 40)]
)
def test_what_the_csms_refuses_is_dropped_and_what_it_does_not_answer_is_not(
    version: str, code: str, tries: int
) -> None:
    bench = Bench(version)
    bench.up()
    bench.refuses = code
    bench.see(one="Charging", two="Unplugged")
    for _ in range(tries):
        said = bench.point.next(bench.now())
        assert said is not None
        assert said.local
        bench.answer(said)
        if code == "ConnectionLost":
            bench.point.connected(bench.now())
    waits = bench.point.transactions.outbox
    assert len(waits) == (0 if code == "GenericError" else 1)


@BOTH
def test_what_waits_for_the_csms_is_bounded(version: str) -> None:
    bench = Bench(version)
    for _ in range(OUTBOX_MAX):
        bench.see(one="Charging", two="Charging")
        bench.see(one="Unplugged", two="Unplugged")
        bench.s += 1
    assert len(bench.point.transactions.outbox) == OUTBOX_MAX
    assert bench.point.transactions.lost == 3 * OUTBOX_MAX


@BOTH
def test_a_fault_ends_no_transaction_and_a_silent_module_neither(version: str) -> None:
    bench = Bench(version)
    bench.up()
    for state in ("Charging", "Disabled", "silent", "Charging"):
        bench.see(one=state, two="Unplugged")
        bench.run()
    began = [m for m in bench.told if m.local]
    assert len(began) == 1
    words = [
        m.payload.get("status", m.payload.get("connectorStatus"))
        for m in bench.told
        if m.evse == 1 and m.action == "StatusNotification"
    ]
    assert words == ["Charging" if version == "1.6" else "Occupied", "Faulted", "Unavailable", words[0]]


@BOTH
def test_ten_thousand_profiles(version: str) -> None:
    bench = Bench(version)
    bench.up()
    refused = []
    for number in range(10_000):
        raw = {
            "chargingProfileId" if version == "1.6" else "id": number,
            "stackLevel": number // 2 % 101,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
        }
        schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}]}
        raw["chargingSchedule"] = schedule if version == "1.6" else [schedule]
        refused.append(bench.point.desk.set_profile(number % 2 + 1, raw, bench.now()).refused)
    assert refused[:MAX_PROFILES] == [None] * MAX_PROFILES
    assert set(refused) == {None, "TooManyElements"}
    assert len(bench.point.smart.profiles) <= MAX_PROFILES
    last = bench.point.smart.profiles[0].id
    assert bench.set_profile(0, last, 10, MAXIMUM[version]) == "Accepted"  # in its place there is room
    assert len(msgspec.json.encode(bench.point.desk.kept())) < 100_000


def test_profiles_are_reported_in_parts() -> None:
    bench = Bench("2.0.1", more=", grid_operator_source: dso")
    bench.see(one="Charging", two="Unplugged")
    bench.up()
    for number in range(25):
        assert bench.set_profile(1, number, 10, level=number) == "Accepted"
    assert bench.set_profile(0, 99, 9000, "ChargingStationExternalConstraints", unit="W") == "Accepted"
    asked = {"requestId": 7, "chargingProfile": {}}
    assert bench.ask("GetChargingProfiles", **asked)["status"] == "Accepted"
    reports = [m.payload for m in bench.run() if m.action == "ReportChargingProfiles"]
    assert [len(r["chargingProfile"]) for r in reports] == [10, 10, 5, 1]
    assert [r["tbc"] for r in reports] == [True, True, True, False]
    assert [(r["evseId"], r["chargingLimitSource"]) for r in reports] == [(1, "CSO")] * 3 + [(0, "SO")]
    for criteria, found in (
        ({"chargingProfileId": [3, 4, 500]}, 2),
        ({"stackLevel": 24}, 1),
        ({"chargingLimitSource": ["SO"]}, 1),
        ({"chargingLimitSource": ["EMS"]}, 0),
        ({"chargingProfilePurpose": "TxProfile"}, 0),
    ):
        answer = bench.ask("GetChargingProfiles", requestId=8, chargingProfile=criteria)
        assert answer["status"] == ("Accepted" if found else "NoProfiles")
        reported = [p for m in bench.run() for p in m.payload.get("chargingProfile", ())]
        assert len(reported) == found


def test_a_limit_of_1_6_is_cut_off_behind_one_digit() -> None:
    bench = Bench("1.6")
    assert bench.set_profile(0, 1, 1000, "ChargePointMaxProfile", unit="W") == "Accepted"
    answer = bench.ask("GetCompositeSchedule", connectorId=0, duration=60)
    assert answer["chargingSchedule"]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": 1.4}
    ]  # of 1.449


@BOTH
def test_questions_without_sense_are_refused(version: str) -> None:
    bench = Bench(version)
    number = "connectorId" if version == "1.6" else "evseId"
    for asked in (
        {number: 3, "duration": 60},
        {number: -1, "duration": 60},
        {number: 1, "duration": 0},
        {number: 1, "duration": -5},
    ):
        assert bench.ask("GetCompositeSchedule", **asked)["status"] == "Rejected"
    assert bench.ask("GetCompositeSchedule", **{number: 1, "duration": 10**30})["status"] == "Accepted"
    if version == "2.0.1":
        assert bench.ask("ClearChargingProfile")["status"] == "Unknown"
        assert (
            bench.ask("TriggerMessage", requestedMessage="StatusNotification", evse={"id": 5})["status"]
            == "Rejected"
        )
        assert (
            bench.ask("TriggerMessage", requestedMessage="SignV2GCertificate")["status"] == "NotImplemented"
        )
        asked_for = [("SmartChargingCtrlr", "Entries"), ("SmartChargingCtrlr", "x"), ("x", "y")]
        data = [{"component": {"name": c}, "variable": {"name": v}} for c, v in asked_for]
        got = bench.ask("GetVariables", getVariableData=data)["getVariableResult"]
        assert [g["attributeStatus"] for g in got] == ["Accepted", "UnknownVariable", "UnknownComponent"]
        unwanted = {"iso15118SchemaVersion": "x", "exiRequest": "y", "action": "Install"}
        assert isinstance(bench.point.asked(Call("1", "Get15118EVCertificate", unwanted), bench.now()), Fault)
    else:
        assert (
            bench.ask("TriggerMessage", requestedMessage="StatusNotification", connectorId=5)["status"]
            == "Rejected"
        )
        assert (
            bench.ask("TriggerMessage", requestedMessage="FirmwareStatusNotification")["status"]
            == "NotImplemented"
        )
        got = bench.ask("GetConfiguration", key=["ChargeProfileMaxStackLevel", "x"])
        assert [k["key"] for k in got["configurationKey"]] == ["ChargeProfileMaxStackLevel"]
        assert got["unknownKey"] == ["x"]
        assert len(bench.ask("GetConfiguration")["configurationKey"]) > 10
        for key, value, status in (
            ("NumberOfConnectors", "9", "Rejected"),
            ("x", "1", "NotSupported"),
            ("HeartbeatInterval", "-1", "Rejected"),
            ("HeartbeatInterval", "0", "Rejected"),
            ("HeartbeatInterval", "\N{SUPERSCRIPT TWO}", "Rejected"),
        ):
            assert bench.ask("ChangeConfiguration", key=key, value=value)["status"] == status
        assert isinstance(bench.ask("GetLocalListVersion"), Fault)


def test_another_version_takes_over_what_it_can() -> None:
    bench = Bench("2.0.1")
    bench.up()
    bench.see(one="Charging", two="Unplugged")
    bench.run()
    assert bench.set_profile(1, 1, 10) == "Accepted"
    run = bench.point.transactions.runs[1]
    assert bench.set_profile(1, 2, 9, "TxProfile", transactionId=run.local) == "Accepted"
    other = Bench("1.6", bench.point.desk.kept())
    other.up()
    other.see(one="Charging", two="Unplugged")
    assert "StartTransaction" in actions(other.run())
    assert [p.id for p in other.point.smart.profiles] == [1]


@BOTH
def test_default_profiles_hold_from_the_first_second_of_a_car(version: str) -> None:
    bench = Bench(version)
    bench.see(one="Unplugged", two="Unplugged")
    assert bench.set_profile(1, 1, 10) == "Accepted"
    smart, now_s = bench.point.smart, bench.now().wall_us // 1_000_000
    assert 1 in smart.due(now_s)
    before = smart.wanted(1, {}, now_s)
    assert before.limits is not None
    bench.see(one="Charging", two="Unplugged")
    assert 1 in smart.due(now_s)
    assert smart.wanted(1, bench.point.transactions.running(), now_s) == before
