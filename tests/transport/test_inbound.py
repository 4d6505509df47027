from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transport.helpers import Ping, make_registry
from transport.counters import Drop
from transport.frames import VERSION, Header, bundle, encode_header, join, split, unbundle
from transport.inbound import Message, Refused, open_message
from transport.options import BUNDLE_MAX, HEADER_MAX_B, NAME_MAX

REGISTRY = make_registry()
SIZE_MAX_B = 1000


def opened(head: bytes, body: bytes) -> Message | Drop:
    message = open_message(head, body, REGISTRY, SIZE_MAX_B)
    return message.reason if isinstance(message, Refused) else message


def header(kind: str = "ping", sender: str = "child") -> bytes:
    return encode_header(kind=kind, sender=sender, source="a", target="b", sequence=1)


BODY = msgspec.msgpack.encode(Ping(7))


def test_a_good_message_is_opened() -> None:
    assert opened(header(), BODY) == Message(Header(VERSION, "ping", "child", "a", "b", 1), Ping(7))


def test_the_longest_names_fit_into_a_header() -> None:
    name = "\U0001f50c" * NAME_MAX
    frame = encode_header(kind="ping", sender=name, source=name, target=name, sequence=2**63)
    assert len(frame) <= HEADER_MAX_B
    assert isinstance(opened(frame, BODY), Message)


def test_later_elements_of_a_header_are_ignored() -> None:
    longer = msgspec.msgpack.encode([VERSION, "ping", "child", "a", "b", 1, {"new": True}])
    assert isinstance(opened(longer, BODY), Message)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([header(), b"\x00" * (SIZE_MAX_B + 1)], Drop.TOO_BIG),
        ([b"", BODY], Drop.BAD_HEADER),
        ([b"\x91" * 2000, BODY], Drop.BAD_HEADER),
        ([msgspec.msgpack.encode([VERSION, "ping", "", "a", "b", 1]), BODY], Drop.BAD_HEADER),
        ([msgspec.msgpack.encode([VERSION, "ping", "x" * 129, "a", "b", 1]), BODY], Drop.BAD_HEADER),
        ([msgspec.msgpack.encode([VERSION, "ping", "child", "a", "b", -1]), BODY], Drop.BAD_HEADER),
        ([bytes([0x96, VERSION]) + b"\xa4ping\xa1\xff\xa0\xa0\x01", BODY], Drop.BAD_HEADER),
        ([msgspec.msgpack.encode([VERSION + 1, "ping", "child", "a", "b", 1]), BODY], Drop.VERSION),
        ([msgspec.msgpack.encode([VERSION + 1, {"quite": "different"}]), BODY], Drop.VERSION),
        ([header("nobody's"), BODY], Drop.UNKNOWN_TYPE),
        ([header(), b""], Drop.BAD_BODY),
        ([header(), b"\xc1"], Drop.BAD_BODY),
        ([header(), BODY + b"\x00"], Drop.BAD_BODY),
        ([header(), msgspec.msgpack.encode({"number": "seven"})], Drop.BAD_BODY),
        ([header(), b"\x82\xa6number\x01\xa4text\xa1\xff"], Drop.BAD_BODY),
        ([header("tree"), b"\x91" * 300 + b"\x80"], Drop.TOO_DEEP),
        ([header("measured"), b"\x81\xa5value\xcb\x7f\xf8\0\0\0\0\0\0"], Drop.NOT_FINITE),
        ([header("measured"), b"\x81\xa4more\x81\xa1x\xca\xff\x80\0\0"], Drop.NOT_FINITE),
    ],
)
def test_each_fault_has_its_reason(pieces: list[bytes], reason: Drop) -> None:
    assert opened(*pieces) is reason


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_what_was_joined_splits_again(head: bytes, body: bytes) -> None:
    assert split(join(head, body)) == ((head, body) if head else None)


@pytest.mark.parametrize(
    "frame", [b"", b"\x00", b"\x00\x00", b"\x00\x05abcd", b"\xff\xff" + b"\x00" * 70_000, b"\x00\x00body"]
)
def test_what_does_not_begin_with_the_length_of_a_header_is_no_frame(frame: bytes) -> None:
    assert split(frame) is None


@given(
    st.lists(
        st.binary(min_size=1, max_size=100).filter(lambda f: f[:2] != b"\0\0"),
        min_size=1,
        max_size=BUNDLE_MAX,
    )
)
def test_a_bundle_holds_the_messages_in_their_order(frames: list[bytes]) -> None:
    assert unbundle(bundle(frames)) == frames


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=2, max_size=5), st.data())
def test_a_bundle_that_is_not_whole_is_refused_whole(frames: list[bytes], data: st.DataObject) -> None:
    whole = bundle(frames)
    cut = whole[: data.draw(st.integers(2, len(whole) - 1))]
    got = unbundle(cut)
    assert got is None or got == frames[: len(got)]  # a cut between two messages cannot be told
    assert unbundle(whole + b"\0") is None


@given(st.binary(max_size=300))
def test_no_bundle_raises(rest: bytes) -> None:
    unbundle(b"\0\0" + rest)


def test_a_bundle_has_a_bound() -> None:
    assert unbundle(bundle([b"x"] * BUNDLE_MAX)) is not None
    assert unbundle(bundle([b"x"] * (BUNDLE_MAX + 1))) is None


@given(st.binary(max_size=60))
def test_no_header_raises(head: bytes) -> None:
    opened(head, BODY)


@given(st.sampled_from(["ping", "measured", "tree"]), st.binary(max_size=120))
def test_no_body_raises(kind: str, body: bytes) -> None:
    opened(header(kind), body)


@given(
    st.integers(0, len(header()) - 1), st.integers(0, 255), st.integers(0, len(BODY) - 1), st.integers(0, 255)
)
def test_no_flipped_byte_raises(in_head: int, head_byte: int, in_body: int, body_byte: int) -> None:
    head, body = bytearray(header()), bytearray(BODY)
    head[in_head], body[in_body] = head_byte, body_byte
    opened(bytes(head), bytes(body))
