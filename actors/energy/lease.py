"""The child's end of a grant: which one is in force, and until when.

A child takes a grant only when it is for its own present life (`boot`), newer than all that it has
taken (`order`), and not yet over. Its end is counted from the *sending* of the report that it
echoes, on the child's own clock, so that a grant that was under way for long arrives short or
dead, and nobody's clock is compared with anybody else's.
"""

from __future__ import annotations

from actors.energy.messages import Grant, Order
from actors.energy.types import EnergyManagerConfig, valid_for_s

SILENT_INTERVALS = 3
"""A child that missed so many reports counts as silent, and is granted nothing."""


def longest_grant_s(site: EnergyManagerConfig) -> float:
    """The longest grant that is believed: a full one, in answer to the oldest report that gets any."""
    return valid_for_s(site) + (SILENT_INTERVALS + 1.0) * site.update_interval


class Lease:
    """The newest grant taken; times are the child's own monotonic seconds."""

    def __init__(self, boot: str, longest_s: float) -> None:
        self.boot = boot
        self._longest_s = longest_s
        self.acked: Order | None = None
        self._grant: Grant | None = None
        self._expires_s = 0.0

    def offer(self, now_s: float, grant: Grant) -> str | None:
        """Take a grant; returns None, or why it was not taken."""
        if grant.boot != self.boot:
            return "it answers an earlier life"
        if self.acked is not None and not self.acked < grant.order:
            return f"{grant.order} is not newer than {self.acked}"
        if not (0 < grant.duration_s <= self._longest_s and grant.t_echo_s <= now_s):
            return f"it lasts {grant.duration_s:g} s from {grant.t_echo_s - now_s:+g} s"
        expires_s = grant.t_echo_s + grant.duration_s
        if expires_s <= now_s:
            return f"it was over {now_s - expires_s:.1f} s ago"
        self.acked, self._grant, self._expires_s = grant.order, grant, expires_s
        return None

    def in_force(self, now_s: float) -> Grant | None:
        """The grant that holds now; None after its end."""
        return self._grant if now_s < self._expires_s else None

    def expires_s(self) -> float | None:
        """When the newest grant ends, or ended; None when there never was one."""
        return None if self._grant is None else self._expires_s
