from __future__ import annotations

import math
import struct
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transport.bodies import _is_shallow, _scan, body_fault
from transport.counters import Drop
from transport.options import NESTING_MAX

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=60,
)


@given(PLAIN)
def test_whole_finite_bodies_pass(value: Any) -> None:
    body = msgspec.msgpack.encode(value)
    assert body_fault(body) is None
    assert _scan(body) is None


@given(PLAIN, st.sampled_from([math.nan, math.inf, -math.inf]), st.booleans())
def test_one_number_that_is_not_finite_is_found_anywhere(value: Any, bad: float, single: bool) -> None:
    encoded = struct.pack(">Bf", 0xCA, bad) if single else struct.pack(">Bd", 0xCB, bad)
    body = b"\x93" + msgspec.msgpack.encode(value) + encoded + b"\x01"
    assert body_fault(body) is Drop.NOT_FINITE
    assert _scan(body) is Drop.NOT_FINITE


@given(st.binary(max_size=200))
@example(b"\xc1")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xcb\x7f")
def test_arbitrary_bytes_get_the_same_verdict_from_both_checks_and_msgspec(body: bytes) -> None:
    fault, exact = body_fault(body), _scan(body)
    if exact in (None, Drop.BAD_BODY):
        assert fault is exact
        try:
            msgspec.msgpack.decode(body, type=msgspec.Raw)
        except msgspec.DecodeError:
            assert exact is Drop.BAD_BODY
        else:
            assert exact is None


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa1a", b"\x81\xa1a\x91"])
def test_nesting_is_refused_wherever_the_decoder_itself_gives_up(head: bytes) -> None:
    for levels in range(NESTING_MAX + 1, sys.getrecursionlimit() + 50):
        assert body_fault(head * levels + b"\xc0") is Drop.TOO_DEEP


@pytest.mark.parametrize(
    "head", [b"\x91", b"\x81\x01", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01", b"\xde\x00\x01\x01"]
)
def test_nesting_is_allowed_up_to_its_bound_and_no_further(head: bytes) -> None:
    assert body_fault(head * NESTING_MAX + b"\xc0") is None
    assert body_fault(head * (NESTING_MAX + 1) + b"\xc0") is Drop.TOO_DEEP
    assert body_fault(head * 100_000 + b"\xc0") is Drop.TOO_DEEP


@given(st.lists(PLAIN, min_size=1, max_size=4), st.integers(NESTING_MAX - 20, NESTING_MAX + 20), st.data())
def test_what_is_taken_apart_gets_the_verdict_of_the_exact_check(
    values: list[Any], levels: int, data: st.DataObject
) -> None:
    """A chain of lists, with something wide at one of its levels."""
    wide = [[number] for number in range(300)]
    at = data.draw(st.integers(0, levels))
    value: Any = values
    for level in range(levels):
        value = [value, wide] if level == at else [value]
    body = msgspec.msgpack.encode(value)
    assert body_fault(body) is _scan(body)
    assert not (_is_shallow(body) and _scan(body) is Drop.TOO_DEEP)


def test_a_wide_body_is_not_deep() -> None:
    assert body_fault(msgspec.msgpack.encode([[[number]] for number in range(10_000)])) is None


def test_claims_beyond_the_data_are_refused_at_every_level() -> None:
    body = b"\xdd\x00\x0f\xff\xff" * 60 + b"\x00" * 1_000_000
    assert body_fault(body) is Drop.BAD_BODY


def test_bytes_that_only_look_like_a_nan_pass() -> None:
    assert body_fault(msgspec.msgpack.encode(b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00")) is None


@pytest.mark.parametrize("body", [b"", b"\x01\x02", b"\x92\x01", b"\xa5abc", b"\xc1", b"\xcb\x7f\xf8"])
def test_torn_and_trailing_bytes_are_refused(body: bytes) -> None:
    assert body_fault(body) is Drop.BAD_BODY
