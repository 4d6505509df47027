"""What meters say is decoded, or refused with the reason."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.drivers.meters.links import MODELS, Job, MqttMeter, RegisterMap
from actors.drivers.meters.values import SPREAD_S, Assembly, NotAReadingError, blocks, currents

VOLT = 230.0
ONE = {"topic": "m", "values": ("a", "b", "c")}


def assembly(**link: Any) -> Assembly:
    return Assembly(Job(node="n", link=MqttMeter(**link), lag_s=0.5, voltage_V=VOLT))


def taken(payload: Any, **link: Any) -> tuple[float, ...]:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    reading = assembly(**(link or ONE)).take(0.0, "m", content)
    assert reading is not None
    return reading.currents_A


def refused(payload: Any, **link: Any) -> str:
    with pytest.raises(NotAReadingError) as caught:
        taken(payload, **link)
    return str(caught.value)


# --- messages ----------------------------------------------------------------------------------------

EVEREST = {"timestamp": "2026-11-28T20:00:00.000Z", "current_A": {"L1": 4.5, "L2": 5.5, "L3": 6.5}}
SHELLY = {"id": 0, "a_current": 4.5, "b_current": 5.5, "c_current": 6.5, "a_act_power": 990.0}
TASMOTA = {"Time": "2026-11-28T20:00:00", "ENERGY": {"Current": [4.5, 5.5, 6.5]}}


@pytest.mark.parametrize(
    ("message", "values"),
    [
        (EVEREST, ("current_A.L1", "current_A.L2", "current_A.L3")),
        (SHELLY, ("a_current", "b_current", "c_current")),
        (TASMOTA, ("ENERGY.Current.0", "ENERGY.Current.1", "ENERGY.Current.2")),
        ({"a": "4.5", "b": "5.5", "c": " 6.5 "}, ("a", "b", "c")),
    ],
)
def test_common_messages(message: Any, values: tuple[str, ...]) -> None:
    assert taken(message, topic="m", values=values) == (4.5, 5.5, 6.5)


def test_watts_are_amperes_at_the_nominal_voltage() -> None:
    assert taken({"a": 2.3, "b": -0.23, "c": 0}, **ONE, unit="kW") == pytest.approx((10.0, -1.0, 0.0))
    assert taken({"a": 2300, "b": 230, "c": 0}, **ONE, unit="W") == pytest.approx((10.0, 1.0, 0.0))
    assert taken({"a": 2300, "b": 230, "c": 0}, **ONE, unit="mA") == pytest.approx((2.3, 0.23, 0.0))


def test_the_meters_own_clock_is_told_as_number_or_time() -> None:
    for clock, t_s in ((17, 17.0), ("17.5", 17.5), ("1970-01-01T00:00:17Z", 17.0)):
        message = json.dumps({"a": 1, "b": 2, "c": 3, "t": clock}).encode()
        reading = assembly(**ONE, clock="t").take(0.0, "m", message)
        assert reading is not None
        assert reading.t_meter_s == t_s
    assert "t is 'soon', neither" in refused({"a": 1, "b": 2, "c": 3, "t": "soon"}, **ONE, clock="t")
    assert "there is no t" in refused({"a": 1, "b": 2, "c": 3}, **ONE, clock="t")


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "neither JSON nor a number"),
        (b"{", "neither JSON nor a number: '{'"),
        (b"[" * 16_000, "neither JSON nor a number"),
        (b"\xff\xfe", "neither JSON nor a number"),
        (b"4.5", "there is no a in a message"),
        ({"a": 1, "b": 2}, "there is no c in a message"),
        ({"a": 1, "b": 2, "c": None}, "c is None, no number"),
        ({"a": 1, "b": 2, "c": True}, "c is True, no number"),
        ({"a": 1, "b": 2, "c": "4 A"}, "c is '4 A', no number"),
        ({"a": 1, "b": 2, "c": "nan"}, "c is 'nan', no number"),
        ({"a": 1, "b": 2, "c": "1e999"}, "it shows inf A"),
        (b'{"a": 1, "b": 2, "c": NaN}', "neither JSON nor a number"),
        (b'{"a": 1, "b": 2, "c": 1e999}', ""),
        ({"a": 1, "b": 2, "c": [3]}, "c is [3], no number"),
    ],
)
def test_what_is_no_reading_is_refused_with_the_reason(payload: Any, why: str) -> None:
    assert why in refused(payload)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(str).map(str.encode)
)
def test_any_message_is_a_finite_reading_or_refused(payload: bytes) -> None:
    one, why = assembly(topic="m", values=("0", "1", "2")), ""
    try:
        reading = one.take(0.0, "m", payload)
    except NotAReadingError as error:
        why = str(error)
    else:
        assert reading is not None
        assert all(math.isfinite(current_A) for current_A in reading.currents_A)
    assert why.isprintable()
    assert len(why) < 200


# --- phases in messages of their own -----------------------------------------------------------------

THREE = {"topics": ("m/1", "m/2", "m/3")}


def test_three_topics_are_a_reading_when_all_have_told() -> None:
    one = assembly(**THREE)
    assert one.take(0.0, "m/1", b"1") is None
    assert one.take(0.1, "m/3", b"3") is None
    assert one.take(0.2, "m/1", b"1.5") is None
    reading = one.take(0.3, "m/2", b"2")
    assert reading is not None
    assert reading.currents_A == (1.5, 2.0, 3.0)
    assert one.take(0.4, "m/2", b"2") is None, "each phase must tell anew"


def test_a_phase_that_falls_silent_is_not_filled_up_with_what_it_said_before() -> None:
    one = assembly(**THREE)
    assert one.take(0.0, "m/2", b"2") is None
    for k in range(100):
        at_s = SPREAD_S + 0.1 + k
        assert one.take(at_s, "m/1", b"1") is None
        assert one.take(at_s, "m/3", b"3") is None


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from("123")), max_size=60))
def test_no_part_of_a_reading_is_older_than_the_spread_nor_told_twice(steps: list[tuple[float, str]]) -> None:
    one, now_s, told = assembly(**THREE), 0.0, {"1": -9.0, "2": -9.0, "3": -9.0}
    for gap_s, phase in steps:
        now_s += gap_s
        told[phase] = now_s
        reading = one.take(now_s, f"m/{phase}", str(now_s).encode())
        if reading is not None:
            assert reading.currents_A == tuple(told.values())
            assert min(told.values()) >= now_s - SPREAD_S
            told = dict.fromkeys(told, -9.0)


# --- registers ---------------------------------------------------------------------------------------

FORMATS = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}


def words(kind: str, value: float, order: str = "big") -> list[int]:
    packed = struct.pack(FORMATS[kind], value if kind == "float32" else int(value))
    found = [int.from_bytes(packed[n : n + 2], "big") for n in range(0, len(packed), 2)]
    return found if order == "big" else found[::-1]


@given(
    kind=st.sampled_from(sorted(FORMATS)),
    order=st.sampled_from(["big", "little"]),
    values=st.tuples(*[st.integers(0, 30_000)] * 3),
    scale=st.sampled_from([1.0, 0.01, -0.001]),
    start=st.integers(0, 60_000),
    gap=st.integers(0, 5),
)
def test_registers_are_read_as_they_were_written(
    kind: Any, order: Any, values: tuple[int, ...], scale: float, start: int, gap: int
) -> None:
    width = 1 if kind.endswith("16") else 2
    addresses = tuple(start + n * (width + gap) for n in range(3))
    registers = RegisterMap(addresses=addresses, type=kind, word_order=order, scale=scale)
    device = {
        a + n: w for a, v in zip(addresses, values, strict=True) for n, w in enumerate(words(kind, v, order))
    }
    asked = blocks(registers)
    read = {address: device[address] for first, count in asked for address in range(first, first + count)}
    assert len(asked) == (1 if gap == 0 else 3)
    assert currents(registers, read, VOLT).currents_A == pytest.approx([v * scale for v in values])


@given(kind=st.sampled_from(sorted(FORMATS)), read=st.lists(st.integers(0, 0xFFFF), min_size=6, max_size=6))
def test_any_registers_are_finite_currents_or_refused(kind: Any, read: list[int]) -> None:
    registers = RegisterMap(addresses=(0, 2, 4), type=kind)
    try:
        reading = currents(registers, dict(enumerate(read)), VOLT)
    except NotAReadingError:
        return
    assert all(math.isfinite(current_A) for current_A in reading.currents_A)


@pytest.mark.parametrize(
    ("kind", "read", "why"),
    [
        ("float32", [0x7FC0, 0], "it shows nan A"),
        ("float32", [0xFF80, 0], "it shows -inf A"),
        ("uint16", [0xFFFF], "register 5 says that it does not know"),
        ("int16", [0x8000], "register 5 says that it does not know"),
        ("uint32", [0xFFFF, 0xFFFF], "register 5 says that it does not know"),
        ("int32", [0x7FFF, 0xFFFF], "register 5 says that it does not know"),
    ],
)
def test_what_registers_say_when_they_do_not_know_is_refused(kind: Any, read: list[int], why: str) -> None:
    with pytest.raises(NotAReadingError, match=why):
        currents(RegisterMap(addresses=(5,), type=kind), dict(enumerate(read, 5)), VOLT)


def test_ready_made_meters() -> None:
    sdm = dict(enumerate([*words("float32", 1.5), *words("float32", 2.5), *words("float32", 3.5)], 6))
    assert currents(MODELS["sdm630"], sdm, VOLT).currents_A == (1.5, 2.5, 3.5)
    assert blocks(MODELS["sdm630"]) == [(6, 6)]
    abb = dict(enumerate([*words("uint32", 150), *words("uint32", 250), *words("uint32", 70_000)], 0x5B0C))
    assert currents(MODELS["abb_b23"], abb, VOLT).currents_A == pytest.approx((1.5, 2.5, 700.0))
