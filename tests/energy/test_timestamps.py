from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy import timestamps

FIRST, LAST = timestamps.parse("0001-01-01T00:00:00Z"), timestamps.parse("9999-12-31T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("text", "instant_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01 00:00:01.5+00:00", 1_500_000),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T22:30:00-01:30", 0),
        ("1970-01-01T00:00:00.1234569Z", 123_456),
        ("1969-12-31T23:59:59Z", -1_000_000),
    ],
)
def test_offsets_count_and_digits_beyond_microseconds_are_cut(text: str, instant_us: int) -> None:
    assert timestamps.parse(text) == instant_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-03-01",
        "2026-03-01T10:20:30",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T10:20:30+25:00",
        "2026-03-01T10:20:30.Z",
        " 2026-03-01T10:20:30Z",
        "2026-03-01T10:20:30Z\n",
        "2026-03-01T10:20:30.\u0663Z",
    ],
)
def test_garbage_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="not an RFC 3339 timestamp"):
        timestamps.parse(text)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
def test_an_instant_that_cannot_be_written_in_utc_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an RFC 3339 timestamp"):
        timestamps.parse(text)


def test_it_writes_milliseconds_and_microseconds_only_where_there_are_any() -> None:
    assert timestamps.format_utc(1_500_000) == "1970-01-01T00:00:01.500Z"
    assert timestamps.format_utc(1_500_001) == "1970-01-01T00:00:01.500001Z"


@given(st.integers(FIRST, LAST))
def test_what_is_written_is_read_as_the_same_instant(instant_us: int) -> None:
    assert timestamps.parse(timestamps.format_utc(instant_us)) == instant_us


@given(st.text(max_size=40))
def test_any_text_is_an_instant_that_can_be_written_or_refused(text: str) -> None:
    try:
        instant_us = timestamps.parse(text)
    except ValueError:
        return
    timestamps.format_utc(instant_us)
