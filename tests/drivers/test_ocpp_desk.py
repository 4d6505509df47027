"""What chargers tell, in the forms in which they do, and the readings that follow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.drivers.chargers import Served
from actors.drivers.kinds import OcppChargersConfig
from actors.drivers.ocpp.charger_clock import ChargerClock, SiteClock
from actors.drivers.ocpp.desk import NOTED, Desk
from actors.drivers.ocpp.evse import ChargerEvse
from actors.drivers.ocpp.meter_values import Flow, flow
from actors.energy import timestamps
from actors.energy.charging_profiles.profile import Version
from actors.energy.messages import Actuate, Instant, Reading
from actors.energy.modules import EvseManagerConfig
from actors.ocpp.frames import Call, Fault, actions, fault_of

STAMP = "2026-03-01T10:20:30Z"


def served(**config: Any) -> Served:
    return Served(
        evse_id="evse",
        charger="cp",
        config=EvseManagerConfig(driver="ocpp", **config),
        phases=3,
        voltage_V=230.0,
        longest_s=0.0,
    )


class Counter:
    """A desk with one EVSE, whose charger is ready."""

    def __init__(self, version: Version, id_tags: tuple[str, ...] | None = None, **config: Any) -> None:
        self.version: Version = version
        self.now_s = 100.0
        self.boots = 0
        self.evse = ChargerEvse(0.0, served(**config), 10.0)
        self.evse.begin()
        self.evse.ready = True
        self.clock = ChargerClock()
        self.desk = Desk(
            version,
            OcppChargersConfig(id_tags=id_tags),
            {1: self.evse},
            lambda: Instant(self.now_s, round(self.now_s * 1e6)),
            (SiteClock(), self.clock),
            on_boot=self._boot,
            on_news=lambda _: None,
        )

    def _boot(self) -> None:
        self.boots += 1

    def tell(self, action: str, **payload: Any) -> dict[str, Any]:
        assert fault_of(self.version, action, payload) is None, "the test's own message"
        answer = self.desk.answer(Call("1", action, payload))
        assert isinstance(answer, dict)
        assert fault_of(self.version, action, answer, answer=True) is None
        return answer

    def reading(self) -> Reading:
        reading = self.evse.reading(self.now_s)
        assert reading is not None
        return reading


@pytest.mark.parametrize(
    ("status", "plugged_in", "asks", "complete", "fault"),
    [
        ("Available", False, False, False, None),
        ("Preparing", True, False, False, None),
        ("Charging", True, True, False, None),
        ("SuspendedEVSE", True, True, False, None),
        ("SuspendedEV", True, False, False, None),
        ("Finishing", True, False, True, None),
        ("Reserved", False, False, False, None),
        ("Unavailable", False, False, False, "unavailable"),
        ("Faulted", True, False, False, "faulted GroundFailure"),
    ],
)
def test_the_states_of_1_6(
    status: str, plugged_in: bool, asks: bool, complete: bool, fault: str | None
) -> None:
    desk = Counter("1.6")
    code = "GroundFailure" if status == "Faulted" else "NoError"
    desk.tell("StatusNotification", connectorId=1, errorCode=code, status=status)
    reading = desk.reading()
    found = (reading.plugged_in, reading.car_asks, reading.complete, reading.fault)
    assert found == (plugged_in, asks, complete, fault)
    assert reading.contactor_closed, "no status proves that it is open"


def test_a_session_of_1_6() -> None:
    desk = Counter("1.6")
    begun = desk.tell("StartTransaction", connectorId=1, idTag="card", meterStart=0, timestamp=STAMP)
    assert begun["idTagInfo"] == {"status": "Accepted"}
    desk.tell("StatusNotification", connectorId=1, errorCode="NoError", status="Charging")
    samples = [
        {"value": "4.2", "measurand": "Current.Import", "phase": "L1"},
        {"value": "0.0", "measurand": "Current.Import", "phase": "L2"},
        {"value": "966", "measurand": "Power.Active.Import"},
        {"value": "1200"},
    ]
    desk.tell("MeterValues", connectorId=1, meterValue=[{"timestamp": STAMP, "sampledValue": samples}])
    reading = desk.reading()
    assert (reading.currents_A, reading.power_W) == ((4.2, 0.0, 0.0), 966.0)
    desk.tell("StopTransaction", meterStop=1, timestamp=STAMP, transactionId=begun["transactionId"])
    assert desk.reading().complete
    assert desk.reading().power_W == 0.0


def test_a_session_of_2_0_1() -> None:
    desk = Counter("2.0.1")
    desk.tell("StatusNotification", timestamp=STAMP, connectorStatus="Occupied", evseId=1, connectorId=1)
    event = {"timestamp": STAMP, "triggerReason": "CablePluggedIn", "seqNo": 0}
    info = {"transactionId": "a", "chargingState": "EVConnected"}
    answer = desk.tell(
        "TransactionEvent",
        eventType="Started",
        transactionInfo=info,
        evse={"id": 1},
        idToken={"idToken": "card", "type": "Central"},
        **event,
    )
    assert answer == {"idTokenInfo": {"status": "Accepted"}}
    assert (desk.reading().plugged_in, desk.reading().car_asks) == (True, False)
    values = [
        {"value": 7.36, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W", "multiplier": 3}}
    ]
    desk.tell(
        "TransactionEvent",
        eventType="Updated",
        transactionInfo=info | {"chargingState": "Charging"},
        meterValue=[{"timestamp": STAMP, "sampledValue": values}],
        **event,
    )
    reading = desk.reading()
    assert reading.car_asks
    assert reading.power_W == 7360.0
    assert reading.currents_A == pytest.approx((10.667, 10.667, 10.667), abs=0.001)
    desk.tell("TransactionEvent", eventType="Ended", transactionInfo={"transactionId": "a"}, **event)
    assert desk.reading().complete


def test_only_cards_that_are_listed_charge() -> None:
    desk = Counter("1.6", id_tags=("good",))
    assert desk.tell("Authorize", idTag="good")["idTagInfo"]["status"] == "Accepted"
    assert desk.tell("Authorize", idTag="bad")["idTagInfo"]["status"] == "Invalid"
    answer = desk.tell("StartTransaction", connectorId=1, idTag="bad", meterStart=0, timestamp=STAMP)
    assert answer["idTagInfo"]["status"] == "Invalid"
    assert desk.evse.connector.transaction is None


def test_a_boot_begins_anew_and_tells_the_time() -> None:
    desk = Counter("1.6")
    answer = desk.tell("BootNotification", chargePointModel="m", chargePointVendor="v")
    assert (answer["status"], answer["currentTime"]) == ("Accepted", "1970-01-01T00:01:40.000Z")
    assert desk.boots == 1
    assert desk.tell("Heartbeat") == {"currentTime": "1970-01-01T00:01:40.000Z"}


def test_times_in_messages_show_the_chargers_clock() -> None:
    desk = Counter("1.6")
    stamp = "1970-01-01T00:01:10Z"
    desk.tell("StatusNotification", connectorId=1, errorCode="NoError", status="Available", timestamp=stamp)
    assert desk.clock.ahead_s(100.0) == -30.0


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_what_is_only_noted_is_answered_as_its_schema_wants(version: Version) -> None:
    for action in actions(version) & NOTED.keys():
        assert fault_of(version, action, NOTED[action], answer=True) is None, action


def test_what_no_charger_should_ask_is_refused() -> None:
    answer = Counter("2.0.1").desk.answer(Call("1", "Get15118EVCertificate", {}))
    assert isinstance(answer, Fault)
    assert answer.code == "NotSupported"


def test_messages_about_connectors_that_are_not_there_change_nothing() -> None:
    desk = Counter("1.6")
    before = desk.reading()
    for number in (0, 7):
        desk.tell("StatusNotification", connectorId=number, errorCode="NoError", status="Charging")
        values = [{"timestamp": STAMP, "sampledValue": [{"value": "9", "measurand": "Current.Import"}]}]
        desk.tell("MeterValues", connectorId=number, meterValue=values)
    desk.tell("StopTransaction", meterStop=1, timestamp=STAMP, transactionId=99)
    assert desk.reading() == before


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        ([{"value": "16", "measurand": "Current.Import"}], Flow((16.0, 16.0, 16.0))),
        (
            [{"value": "1600", "measurand": "Current.Import", "unit": "mA", "phase": "L2-N"}],
            Flow((0.0, 1.6, 0.0)),
        ),
        ([{"value": "11", "measurand": "Power.Active.Import", "unit": "kW"}], Flow(None, 11000.0)),
        (
            [{"value": "230", "measurand": "Power.Active.Import", "phase": p} for p in ("L1", "L3")],
            Flow(None, 460.0),
        ),
        ([{"value": "-3", "measurand": "Current.Import", "phase": "L1"}], Flow((0.0, 0.0, 0.0))),
        ([{"value": "nan", "measurand": "Current.Import"}], Flow()),
        ([{"value": "1e400", "measurand": "Current.Import"}], Flow()),
        ([{"value": "12,5", "measurand": "Current.Import"}], Flow()),
        ([{"value": "9", "measurand": "Current.Import", "location": "Body"}], Flow()),
        ([{"value": "9", "measurand": "Current.Import", "unit": "Celsius"}], Flow()),
        ([{"value": "9", "measurand": "Current.Offered"}, {"value": "77"}], Flow()),
    ],
)
def test_sampled_values(samples: list[dict[str, Any]], found: Flow) -> None:
    assert flow([{"timestamp": STAMP, "sampledValue": samples}], "1.6", 3) == found


def test_a_dc_charger_flows_what_its_power_is_on_the_grid_side() -> None:
    desk = Counter("2.0.1", charge_mode="DC", max_power_W=50_000)
    values = [
        {"value": 100.0, "measurand": "Current.Import"},
        {"value": 34500.0, "measurand": "Power.Active.Import"},
    ]
    desk.tell("MeterValues", evseId=1, meterValue=[{"timestamp": STAMP, "sampledValue": values}])
    assert desk.reading().currents_A == pytest.approx((50.0, 50.0, 50.0))


# --- what follows -----------------------------------------------------------------------------------


def test_there_is_no_reading_of_a_charger_that_is_not_there_or_not_ready() -> None:
    evse = ChargerEvse(0.0, served(), 10.0)
    assert evse.reading(1.0) is None
    evse.begin()
    assert evse.reading(1.0) is None
    evse.trouble = "takes no default"
    reading = evse.reading(1.0)
    assert reading is not None
    assert (reading.fault, reading.mark) == ("takes no default", "")
    evse.lose(2.0)
    assert evse.reading(2.0) is None


def test_a_charger_that_lets_more_through_than_it_may_is_told_of_after_a_while() -> None:
    desk = Counter("1.6", settle_time_s=5.0)
    command = Actuate(t_echo_s=100.0, duration_s=60.0, mark="m", limit_A=8.0, phase_count=3)
    assert desk.evse.want(100.0, command) is None
    order = desk.evse.account.order(100.0)
    assert order is not None
    desk.evse.account.answer(100.0, order.number, accepted=True)
    values = [{"timestamp": STAMP, "sampledValue": [{"value": "16", "measurand": "Current.Import"}]}]
    desk.tell("MeterValues", connectorId=1, meterValue=values)
    assert desk.reading().fault is None
    desk.now_s = 115.1
    assert desk.reading().fault == "draws 16.0 A, told 8 A: ignores its limit"


# --- anything -----------------------------------------------------------------------------------------

SAMPLE: dict[str, Any] = {
    "measurand": "Current.Import",
    "phase": "L1",
    "location": "Outlet",
    "context": "Trigger",
}
OLD_VALUES = [
    {"timestamp": STAMP, "sampledValue": [SAMPLE | {"value": "16.0", "unit": "A", "format": "Raw"}]}
]
UNIT = {"unit": "A", "multiplier": 0}
NEW_VALUES = [{"timestamp": STAMP, "sampledValue": [SAMPLE | {"value": 16.0, "unitOfMeasure": UNIT}]}]
MESSAGES: list[tuple[Version, str, dict[str, Any]]] = [
    (
        "1.6",
        "StatusNotification",
        {"connectorId": 1, "errorCode": "NoError", "status": "Charging", "info": "x"},
    ),
    ("1.6", "MeterValues", {"connectorId": 1, "transactionId": 1, "meterValue": OLD_VALUES}),
    ("1.6", "StartTransaction", {"connectorId": 1, "idTag": "x", "meterStart": 0, "timestamp": STAMP}),
    ("1.6", "StopTransaction", {"meterStop": 0, "timestamp": STAMP, "transactionId": 1, "idTag": "x"}),
    ("1.6", "Authorize", {"idTag": "x"}),
    (
        "2.0.1",
        "StatusNotification",
        {"timestamp": STAMP, "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1},
    ),
    ("2.0.1", "MeterValues", {"evseId": 1, "meterValue": NEW_VALUES}),
    (
        "2.0.1",
        "TransactionEvent",
        {
            "eventType": "Updated",
            "timestamp": STAMP,
            "triggerReason": "Trigger",
            "seqNo": 1,
            "offline": False,
            "transactionInfo": {"transactionId": "a", "chargingState": "Charging"},
            "evse": {"id": 1, "connectorId": 1},
            "idToken": {"idToken": "card", "type": "Central"},
            "meterValue": NEW_VALUES,
        },
    ),
]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            0,
            1,
            -1,
            2**63,
            10**400,
            1e300,
            0.1,
            "",
            "A",
            "L2",
            "1e999",
            "-5",
            "Infinity",
            "Faulted",
            "Available",
        ),
        *("Ended", "Started", "SuspendedEV", "kW", "Power.Active.Import", "0001-01-01T00:00:00Z"),
        *("9999-12-31T23:59:59-23:59", "2026-13-01T00:00:00Z", [], {}, True, None),
    ]
)


def spoiled(value: Any, pick: st.DataObject) -> Any:
    """With odd things in some places, and some left out."""
    if isinstance(value, dict):
        return {k: spoiled(v, pick) for k, v in value.items() if pick.draw(st.integers(0, 9)) > 0}
    if isinstance(value, list):
        return [spoiled(v, pick) for v in value] * pick.draw(st.sampled_from([1, 1, 1, 0, 2]))
    return pick.draw(ODD) if pick.draw(st.integers(0, 4)) == 0 else value


@given(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=4), st.data())
def test_anything_that_the_schemas_allow_is_answered_and_readings_stay_sound(
    messages: list[tuple[Version, str, dict[str, Any]]], pick: st.DataObject
) -> None:
    version = messages[0][0]
    desk = Counter(version)
    for of, action, payload in messages:
        told = spoiled(payload, pick)
        if of == version and fault_of(version, action, told) is None:
            desk.tell(action, **told)
    reading = desk.reading()
    assert all(0.0 <= current_A <= 1e6 for current_A in reading.currents_A)
    assert 0.0 <= reading.power_W < 1e9
    begin_us = desk.clock.begin_us(desk.now_s, 1_800_000_000_000_000)
    assert timestamps.parse(timestamps.format_utc(begin_us)) == begin_us
