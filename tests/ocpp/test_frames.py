"""Frames of OCPP-J: what can be read, what cannot, and what the schemas say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.charging_profiles.profile import Version
from actors.ocpp.frames import (
    Call,
    Error,
    Garbage,
    Result,
    fault_of,
    read,
    write_answer,
    write_call,
)
from actors.ocpp.library import FRAME_MAX_B

VERSIONS: tuple[Version, ...] = ("1.6", "2.0.1")
versions = st.sampled_from(VERSIONS)


def profile_16(limit: Any) -> dict[str, Any]:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    return {"connectorId": 1, "csChargingProfiles": profile}


@pytest.mark.parametrize(
    ("text", "call_id"),
    [
        ("", None),
        ("{", None),
        ("null", None),
        ("[]", None),
        ('{"2": "x"}', None),
        ("[2]", None),
        ('[2, "x"]', "x"),
        ('[2, "x", "Heartbeat"]', "x"),
        ('[2, "x", "Heartbeat", []]', "x"),
        ('[2, "x", ["Heartbeat"], {}]', "x"),
        ('[2, "x", "Heartbeat", {}', "x"),
        ('[2, "x", "Heartbeat", {"a": NaN}]', "x"),
        ('[2, 5, "Heartbeat", {}]', None),
        ('[2, "", "Heartbeat", {}]', None),
        ('[5, "x", "Heartbeat", {}]', None),
        (f'[2, "{"x" * 37}", "Heartbeat", {{}}]', None),
        ('[2, "x", "Heartbeat", ' + "[" * 100_000, "x"),
        ('[2, "x", "Heartbeat", {"a": "' + "y" * FRAME_MAX_B + '"}]', "x"),
        (b"\x00\xff", None),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_no_frame(text: str | bytes, call_id: str | None, version: Version) -> None:
    frame = read(text, version)
    assert isinstance(frame, Garbage)
    assert frame.id == call_id
    assert len(json.loads(write_answer(Error("x", frame.fault.code, frame.fault.why)))[3]) <= 255
    spelled = "FormationViolation" if version == "1.6" else "FormatViolation"
    assert frame.fault.code in (spelled, "ProtocolError")


def test_frames_are_read_as_they_were_written() -> None:
    call = Call("1", "Heartbeat", {})
    assert read(write_call(call), "1.6") == call
    for answer in (Result("1", {"status": "Accepted"}), Error("1", "InternalError", "why")):
        assert read(write_answer(answer), "2.0.1") == answer


@given(
    st.text() | st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps),
    versions,
)
def test_nothing_that_comes_in_raises(text: str | bytes, version: Version) -> None:
    frame = read(text, version)
    if isinstance(frame, Call):
        fault_of(version, frame.action, frame.payload)


@pytest.mark.parametrize("limit", [16, 16.0, 21.4, 0.1, 32.3])
def test_one_digit_behind_the_point_is_allowed_in_1_6(limit: float) -> None:
    assert fault_of("1.6", "SetChargingProfile", profile_16(limit)) is None


@pytest.mark.parametrize("limit", [16.05, 1e300, 10**400, float("inf"), float("nan"), "16", None, [], {}])
def test_other_numbers_are_not(limit: Any) -> None:
    assert fault_of("1.6", "SetChargingProfile", profile_16(limit)) is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_schemas_say(version: Version) -> None:
    assert fault_of(version, "Heartbeat", {}) is None
    number = "connectorId" if version == "1.6" else "evseId"
    missing = fault_of(version, "GetCompositeSchedule", {"duration": 5})
    assert missing is not None
    assert missing.code == (
        "OccurenceConstraintViolation" if version == "1.6" else "OccurrenceConstraintViolation"
    )
    assert number in missing.why
    wrong = fault_of(version, "GetCompositeSchedule", {"duration": "5", number: 1})
    assert wrong is not None
    assert wrong.code == "TypeConstraintViolation"
    assert wrong.why.startswith("duration: ")
    more = fault_of(version, "GetCompositeSchedule", {"duration": 5, number: 1, "more": 1})
    assert more is not None
    assert more.code == ("FormationViolation" if version == "1.6" else "FormatViolation")
    for unknown in ("MakeCoffee", "../../../../etc/passwd", "", "heartbeat"):
        fault = fault_of(version, unknown, {})
        assert fault is not None
        assert fault.code == "NotImplemented"
    assert fault_of(version, "GetCompositeSchedule", {"status": "Accepted"}, answer=True) is None
    assert fault_of(version, "GetCompositeSchedule", {"status": "Fine"}, answer=True) is not None
