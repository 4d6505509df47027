"""The child's end of a grant: which one is in force, and until when.

A child takes a grant only when it is for its own present life (`boot`), newer than all that it has
taken (`order`), and not yet over. Its end is counted from the *sending* of the report that it
echoes, on the child's own clock, so that a grant that was under way for long arrives short or
dead, and nobody's clock is compared with anybody else's. A fence counts as taken, and changes nothing.

**Nesting.** What the child grants in turn must be over when its own grant is. With reports sent at
s (its own) and heard at h (of the grandchild, sent earlier still), and clocks that differ by RHO at
most from true time, its parent counts on an end D / (1 - RHO) of true time after s. A grandchild's
grant of d seconds is over at most d / (1 - RHO) after h, and h comes (h - s) / (1 - RHO) after s at
most where it is later, |h - s| / (1 + RHO) before s at least where it is earlier. So

    d = D - (h - s)  where h is later,    d = D + (s - h) (1 - RHO) / (1 + RHO)  where it is earlier

is safe, and costs a deep tree next to nothing: a level does not stretch what the level above has
stretched already.
"""

from __future__ import annotations

import math
import sys

from actors.energy.ledger import STRETCH
from actors.energy.messages import Grant, Order
from actors.energy.types import EnergyManagerConfig, valid_for_s

SILENT_INTERVALS = 3
"""A child that missed so many reports counts as silent, and is granted nothing."""
MOST = sys.float_info.max
"""Ampere or watt: beyond it is only infinity."""
SAME_INSTANT_S = 1e-6
"""Stamps of one instant differ by less: each report has a stamp of its own."""


def longest_grant_s(site: EnergyManagerConfig) -> float:
    """The longest grant that is believed: a full one, in answer to the oldest report that gets any."""
    return valid_for_s(site) + (SILENT_INTERVALS + 1.0) * site.update_interval


class Lease:
    """The newest grant taken; times are the child's own monotonic seconds."""

    def __init__(self, boot: str, longest_s: float) -> None:
        self.boot = boot
        self._longest_s = longest_s
        self._stamped_s = -math.inf
        self.acked: Order | None = None
        self.grant: Grant | None = None
        """The newest that was no fence; it may be over."""
        self._expires_s = -math.inf

    def stamp(self, now_s: float) -> float:
        """For a report that is sent now: later than all before."""
        self._stamped_s = max(now_s, math.nextafter(self._stamped_s, math.inf))
        return self._stamped_s

    def offer(self, now_s: float, grant: Grant) -> str | None:
        """Take a grant; returns None, or why it was not taken."""
        if grant.boot != self.boot:
            return "it answers an earlier life"
        if self.acked is not None and not self.acked < grant.order:
            return f"{grant.order} is not newer than {self.acked}"
        if not (0 < grant.duration_s <= self._longest_s and grant.t_echo_s <= now_s + SAME_INSTANT_S):
            return f"it lasts {grant.duration_s:g} s from {grant.t_echo_s - now_s:+g} s"
        if not grant.amount.is_within(MOST):
            return f"it allows {grant.amount}"
        expires_s = grant.t_echo_s + grant.duration_s
        if expires_s <= now_s:
            return f"it was over {now_s - expires_s:.1f} s ago"
        self.acked = grant.order
        if not grant.fence:
            self.grant, self._expires_s = grant, expires_s
        return None

    def in_force(self, now_s: float) -> Grant | None:
        """The grant that holds now; None after its end."""
        return self.grant if now_s < self._expires_s else None

    def expires_s(self) -> float | None:
        """When the newest grant ends, or ended; None when there never was one."""
        return None if self.grant is None else self._expires_s

    def nested_s(self, heard_s: float) -> float:
        """How long what answers a report heard at `heard_s` may last, to be over with this grant."""
        assert self.grant is not None, "nothing is in force that anything could nest in"
        before_s = self.grant.t_echo_s - heard_s
        return self.grant.duration_s + (before_s / STRETCH if before_s > 0 else before_s)
