"""A CSMS drives a running site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.energy.external import SourceStatus
from actors.ocpp.library import FRAME_MAX_B
from tests.integration.conftest import RunningSite, plugged, site_data, wait_for
from tests.integration.csms import Csms, csms

Begin = Callable[..., RunningSite]
EVSES = ["evse_1", "evse_2"]
MAXIMUM = {"1.6": "ChargePointMaxProfile", "2.0.1": "ChargingStationMaxProfile"}


def with_csms(csms: Csms, cars: list[dict[str, Any]], *, grid: bool = False, **config: Any) -> dict[str, Any]:
    data = site_data("ocpp.yaml", cars)
    modules = data["active_modules"]
    settings = modules["ocpp"]["config"]
    settings |= {
        "url": f"ws://127.0.0.1:{csms.port}/ocpp",
        "protocol": f"ocpp{csms.version}",
        "ping_interval_s": 1,
        "meter_interval_s": 1,
        "charge_point_id": "garage",
        **config,
    }
    if not grid:
        del settings["grid_operator_source"]
        del modules["energy_root"]["external_limits"]["dso"]
    return data


def in_force_A(site: RunningSite) -> dict[str, float]:
    """What the plant holds."""
    record = site.record()
    return {evse: record[-1]["evses"][evse]["limit_A"] for evse in EVSES} if record else {}


def holds(site: RunningSite, what: str, right: Callable[[dict[str, float]], bool]) -> None:
    wait_for(what, lambda: right(in_force_A(site)))


def source(site: RunningSite, module: str, name: str) -> SourceStatus | None:
    """How a source stands at a module."""
    return next((s for s in site.modules()[module].sources if s.name == name), None)


def bound_by(site: RunningSite, evse: str) -> str:
    """Which source keeps an EVSE from more."""
    limit = site.modules()[evse].limit
    return "" if limit is None or limit.ac_max_current_A is None else limit.ac_max_current_A.source


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_a_csms_drives_a_site(begin: Begin, version: str) -> None:
    with csms(version) as one:
        cars = [plugged("evse_1"), plugged("evse_2")]
        unit = "A" if version == "1.6" else "W"
        data = with_csms(one, cars, RequestCompositeScheduleUnit=unit)
        site = begin.data(data, "ocpp")  # type: ignore[attr-defined]
        for step in (
            is_told_how_the_site_is,
            limits_by_profiles,
            sends_garbage,
            goes_and_comes_back,
            site_goes_and_comes_back,
            lifts_the_limits,
        ):
            step(site, one)


def is_told_how_the_site_is(site: RunningSite, one: Csms) -> None:
    one.hears("BootNotification")
    if one.version == "1.6":
        one.hears("StatusNotification", connectorId=0, status="Available")
        one.hears("StatusNotification", connectorId=1, status="Charging")
        one.hears("StartTransaction", connectorId=2)
    else:
        one.hears("StatusNotification", evseId=1, connectorStatus="Occupied")
        one.hears("TransactionEvent", lambda e: e["eventType"] == "Started" and e["evse"]["id"] == 2)
        one.hears("TransactionEvent", lambda e: e["transactionInfo"].get("chargingState") == "Charging")
    assert one.ask("TriggerMessage", requested_message="Heartbeat").status == "Accepted"
    one.hears("Heartbeat")

    def charges(told: dict[str, Any]) -> bool:
        values = told.get("meterValue", [{"sampledValue": []}])[0]["sampledValue"]
        return any(v["measurand"] == "Power.Active.Import" and float(v["value"]) > 1000 for v in values)

    if one.version == "1.6":
        assert one.hears("MeterValues", charges)["transactionId"] > 40
    else:
        one.hears("TransactionEvent", charges, triggerReason="MeterValuePeriodic")


def transaction(one: Csms, evse: int) -> Any:
    """The id of the one that runs there."""
    if one.version == "1.6":
        return one.hears("MeterValues", lambda m: "transactionId" in m, connectorId=evse)["transactionId"]
    event = one.hears("TransactionEvent", lambda e: e["evse"]["id"] == evse)
    return event["transactionInfo"]["transactionId"]


def composite(one: Csms, evse: int) -> list[tuple[int, float]]:
    """Of the next ten minutes."""
    asked: dict[str, Any] = {"duration": 600, "charging_rate_unit": "A"}
    if one.version == "1.6":
        schedule = one.ask("GetCompositeSchedule", connector_id=evse, **asked).charging_schedule
    else:
        schedule = one.ask("GetCompositeSchedule", evse_id=evse, **asked).schedule
    assert schedule["charging_rate_unit"] == "A"
    return [(p["start_period"], p["limit"]) for p in schedule["charging_schedule_period"]]


def limits_by_profiles(site: RunningSite, one: Csms) -> None:
    assert composite(one, 1) == [(0, 32)]
    assert one.set_profile(1, one.profile(1, "TxDefaultProfile", 10)) == "Accepted"
    holds(site, "10 A by the default", lambda now: now["evse_1"] == 10 and now["evse_2"] > 10)
    assert composite(one, 1) == [(0, 10)]
    wait_for("it says why", lambda: bound_by(site, "evse_1") == "ocpp")
    tx = one.profile(2, "TxProfile", 8, transaction_id=transaction(one, 1))
    assert one.set_profile(1, tx) == "Accepted"
    # 21 A of one phase are 7 A each of the three that this hardware cannot leave.
    one_phase = [{"start_period": 0, "limit": 21.0, "number_phases": 1}]
    assert one.set_profile(2, one.profile(4, "TxDefaultProfile", 21, periods=one_phase)) == "Accepted"
    holds(site, "8 A by the transaction's, and one phase", lambda now: now == {"evse_1": 8, "evse_2": 7})
    tx["transaction_id"] = 12345 if one.version == "1.6" else "of somebody else"
    assert one.set_profile(1, tx) == "Rejected"
    assert one.set_profile(0, one.profile(3, MAXIMUM[one.version], 14)) == "Accepted"
    holds(site, "14 A for both", lambda now: now["evse_1"] + now["evse_2"] <= 14)
    assert composite(one, 0) == [(0, 14)]
    assert composite(one, 2) == [(0, 14)]


def sends_garbage(site: RunningSite, one: Csms) -> None:
    """Each has its answer, and nothing else changes."""
    for number, (text, code) in enumerate(
        [
            ('[2, "g0", "MakeCoffee", {}]', "NotImplemented"),
            ('[2, "g1", "SetChargingProfile", {"connectorId": "x"}]', "Violation"),
            ('[2, "g2", "SetChargingProfile", []]', "ProtocolError"),
            ('[2, "g3", "SetChargingProfile", {', "Violation"),
            ('[2, "g4", "GetCompositeSchedule", {"duration": NaN}]', "Violation"),
            (f'[2, "g5", "UpdateFirmware", {update_firmware(one)}]', "NotSupported"),
            ('[2, "g6", "Heartbeat", {"x": "' + "y" * FRAME_MAX_B + '"}]', "Violation"),
        ]
    ):
        one.send(text)
        answer = one.answer_to(f"g{number}")
        assert answer[0] == 4
        assert code in answer[2], answer
    for text in ("", "null", "[]", "[2]", '[3, "x", {}]', '[4, "x", "GenericError", "", {}]', "[" * 5000):
        one.send(text)
    one.send(b"\x00\xff")
    for absurd in ("-1", "1e300", "1e999", "9" * 400):
        one.send(setting(one, absurd, f"a{absurd}"[:36]))
        answer = one.answer_to(f"a{absurd}"[:36])
        assert answer[0] == 4 or answer[2]["status"] == "Rejected"
    assert composite(one, 2) == [(0, 14)]
    assert site.complete()
    assert sum(in_force_A(site).values()) <= 14
    (gateway,) = wait_for("status", site.try_status).gateways
    assert gateway.ok
    assert gateway.refused >= 7


def setting(one: Csms, limit: str, call_id: str) -> str:
    """A SetChargingProfile with this limit, as a frame."""
    periods = f'"chargingRateUnit": "A", "chargingSchedulePeriod": [{{"startPeriod": 0, "limit": {limit}}}]'
    common = (
        '"stackLevel": 3, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Relative"'
    )
    if one.version == "1.6":
        profile = f'{{"chargingProfileId": 9, {common}, "chargingSchedule": {{{periods}}}}}'
        payload = f'{{"connectorId": 2, "csChargingProfiles": {profile}}}'
    else:
        profile = f'{{"id": 9, {common}, "chargingSchedule": [{{"id": 1, {periods}}}]}}'
        payload = f'{{"evseId": 2, "chargingProfile": {profile}}}'
    return f'[2, "{call_id}", "SetChargingProfile", {payload}]'


def update_firmware(one: Csms) -> str:
    """Something that a CSMS may ask, and that a site does not do."""
    if one.version == "1.6":
        return '{"location": "http://x", "retrieveDate": "2026-03-02T10:00:00Z"}'
    return (
        '{"requestId": 1, "firmware": {"location": "http://x", "retrieveDateTime": "2026-03-02T10:00:00Z"}}'
    )


def goes_and_comes_back(site: RunningSite, one: Csms) -> None:
    """Without the CSMS profiles go on; when it is back it learns how the site is."""
    one.stop()
    wait_for("it is seen", lambda: not wait_for("status", site.try_status).gateways[0].ok)
    assert sum(in_force_A(site).values()) <= 14
    one.heard.clear()
    one.start()
    one.hears("StatusNotification")
    assert not one.all_of("BootNotification")
    assert composite(one, 1) == [(0, 8)]


def site_goes_and_comes_back(site: RunningSite, one: Csms) -> None:
    """A new life of the controller has the profiles and the transactions of the old one."""
    running = transaction(one, 1) if one.version == "2.0.1" else one.transactions
    one.heard.clear()
    site.restart_with_state("energy_root")
    one.hears("BootNotification")
    one.hears("StatusNotification")
    assert composite(one, 1) == [(0, 8)]
    assert composite(one, 0) == [(0, 14)]
    if one.version == "1.6":
        assert one.hears("MeterValues", lambda m: "transactionId" in m)["transactionId"] <= running
        assert not one.all_of("StartTransaction")
    else:
        assert transaction(one, 1) == running
        assert not one.all_of("TransactionEvent", eventType="Started")
        answer = one.ask("GetChargingProfiles", request_id=5, charging_profile={"stack_level": 0})
        assert answer.status == "Accepted"
        one.hears("ReportChargingProfiles", tbc=False)
        reports = one.all_of("ReportChargingProfiles", requestId=5)
        assert sorted(p["id"] for r in reports for p in r["chargingProfile"]) == [1, 2, 3, 4]
    assert sum(in_force_A(site).values()) <= 14


def lifts_the_limits(site: RunningSite, one: Csms) -> None:
    if one.version == "1.6":
        assert one.ask("ClearChargingProfile").status == "Accepted"
        assert one.ask("ClearChargingProfile").status == "Unknown"
    else:
        for number in (1, 2, 3, 4):
            assert one.ask("ClearChargingProfile", charging_profile_id=number).status == "Accepted"
        assert one.ask("ClearChargingProfile", charging_profile_id=1).status == "Unknown"
    holds(site, "32 A again", lambda now: sum(now.values()) == pytest.approx(32, abs=0.1))
    assert source(site, "evse_1", "ocpp") is None


@pytest.mark.processes
def test_a_csms_speaks_for_the_grid_operator_and_its_silence_is_safe(begin: Begin, tmp_path: Path) -> None:
    with csms("2.0.1", password="secret") as one:
        data = with_csms(one, [plugged("evse_1"), plugged("evse_2")], grid=True)
        data["active_modules"]["energy_root"]["external_limits"] = {
            "dso": {"lpc": {"failsafe_W": 4200, "heartbeat_timeout_s": 5}},
            "ocpp_offline": {"heartbeat_timeout_s": 4, "failsafe": {"ac_max_current_A": 20}},
        }
        (tmp_path / "password").write_text("secret\n")
        data["active_modules"]["ocpp"]["config"]["password_file"] = str(tmp_path / "password")
        site = begin.data(data, "ocpp")  # type: ignore[attr-defined]
        assert power_W(site) <= 4200 + 1  # nobody has been heard yet; currents are told to the milliampere

        def is_in(state: str, most_W: float, offline: str = "none") -> None:
            wait_for(state, lambda: (s := source(site, "energy_root", "dso")) and s.state == state)
            wait_for(f"offline: {offline}", lambda: offline_state(site) == offline)
            wait_for(f"{most_W} W hold", lambda: most_W - 700 < power_W(site) <= most_W + 1)

        limit = one.profile(7, "ChargingStationExternalConstraints", 9000, unit="W")
        assert one.set_profile(0, limit) == "Accepted"
        is_in("limited", 9000)
        assert one.ask("ClearChargingProfile", charging_profile_id=7).status == "Accepted"
        is_in("unlimited/controlled", 22080)
        limit["charging_schedule"][0]["charging_schedule_period"][0]["limit"] = 6000.0
        assert one.set_profile(0, limit) == "Accepted"
        is_in("limited", 6000)
        one.stop()
        is_in("failsafe", 4200, "failsafe")
        one.start()
        is_in("limited", 6000)
        report = one.ask(
            "GetChargingProfiles", request_id=1, charging_profile={"charging_limit_source": ["SO"]}
        )
        assert report.status == "Accepted"
        assert one.hears("ReportChargingProfiles")["chargingLimitSource"] == "SO"


def power_W(site: RunningSite) -> float:
    return sum(in_force_A(site).values()) * 3 * 230


def offline_state(site: RunningSite) -> str:
    found = source(site, "energy_root", "ocpp_offline")
    return "" if found is None else found.state
