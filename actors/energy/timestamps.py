"""RFC 3339 timestamps as integer microseconds since the epoch, and back.

Schedules carry text; the core computes with integers, so that slots of equal instants are equal.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.(?P<fraction>\d{1,12}))?(?P<offset>[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
MICROSECONDS = 1_000_000
EARLIEST_US, LATEST_US = (
    (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    for moment in (datetime.min, datetime.max)
)
"""What a text can say."""


@lru_cache(maxsize=1024)
def parse(text: str) -> int:
    """Microseconds since the epoch of an RFC 3339 text; offsets count, further digits are cut.

    Raises ValueError when the text is not one.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 timestamp: {text!r}")
    offset = "+00:00" if match["offset"] in "Zz" else match["offset"]
    try:
        moment = datetime.fromisoformat(text[:10] + "T" + text[11:19] + offset).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"not an RFC 3339 timestamp: {text!r}") from error
    microseconds = int((match["fraction"] or "0").ljust(6, "0")[:6])
    return (moment - _EPOCH) // timedelta(microseconds=1) + microseconds


@lru_cache(maxsize=128)
def format_utc(instant_us: int) -> str:
    """RFC 3339 in UTC with milliseconds, as EVerest writes it; microseconds only where there are any."""
    moment = _EPOCH + timedelta(microseconds=instant_us)
    timespec = "microseconds" if instant_us % 1000 else "milliseconds"
    return moment.isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def from_seconds(seconds: float) -> int:
    """Microseconds of wall-clock seconds since the epoch."""
    return round(seconds * MICROSECONDS)
