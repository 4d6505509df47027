"""A message that came from a broker."""

from __future__ import annotations

from msgspec import Struct

PAYLOAD_MAX_B = 256 * 1024
"""Of a message; the longest schedules that a node takes are smaller."""
SHOWN = 200
"""Bytes of a message that is too large, for the answer."""


class Arrived(Struct, frozen=True, kw_only=True):
    """A message from the broker."""

    topic: str
    payload: bytes
    size: int
    """Of the payload as it was; of one that is too large only the begin is kept."""
    retained: bool = False
    """It was not sent now, but kept by the broker from before."""
    reply_to: str | None = None
    correlation: bytes | None = None

    def too_large(self) -> bool:
        """Whether it was."""
        return self.size > PAYLOAD_MAX_B


def arrived(
    topic: str,
    payload: bytes,
    *,
    retained: bool = False,
    reply_to: str | None = None,
    correlation: bytes | None = None,
) -> Arrived:
    """A message, of a payload that is too large only the begin."""
    size = len(payload)
    kept = payload if size <= PAYLOAD_MAX_B else payload[:SHOWN]
    return Arrived(
        topic=topic,
        payload=kept,
        size=size,
        retained=retained,
        reply_to=reply_to,
        correlation=None if correlation is None else correlation[:PAYLOAD_MAX_B],
    )
