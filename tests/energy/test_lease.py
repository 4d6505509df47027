from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.lease import Lease, longest_grant_s
from actors.energy.messages import Grant
from actors.energy.types import EnergyManagerConfig
from tests.energy.builders import assert_caught, grant


def lease() -> Lease:
    """With the longest grant of a site that updates each second."""
    return Lease("boot", longest_grant_s(EnergyManagerConfig()))


def test_before_any_grant_none_is_in_force() -> None:
    assert lease().in_force(0.0) is None
    assert lease().expires_s() is None


def test_a_grant_ends_its_duration_after_the_report_that_it_answers_was_sent() -> None:
    taken = lease()
    assert taken.offer(8.0, grant(5.0, 1, duration_s=10.0)) is None
    assert taken.expires_s() == 15.0
    assert taken.in_force(14.999) is not None
    assert taken.in_force(15.0) is None


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (grant(5.0, 9, boot="former life"), "earlier life"),
        (grant(5.0, 2), "not newer"),
        (grant(5.0, 1), "not newer"),
        (grant(5.0, 99, epoch=0), "not newer"),
        (grant(1.0, 9, duration_s=5.0), "over 0.0 s ago"),
        (grant(6.1, 9), r"from \+0.1 s"),
        (grant(5.0, 9, duration_s=0.0), "lasts 0 s"),
        (grant(5.0, 9, duration_s=-1.0), "lasts -1 s"),
        (grant(5.0, 9, duration_s=14.1), "lasts 14.1 s"),
        (grant(5.0, 9, duration_s=math.nan), "lasts nan s"),
        (grant(math.nan, 9), "nan s"),
    ],
)
def test_a_grant_that_cannot_hold_is_refused_with_the_reason(refused: Grant, reason: str) -> None:
    taken = lease()
    first = grant(5.0, 2)
    taken.offer(5.0, first)
    told = taken.offer(6.0, refused)
    assert told is not None
    assert re.search(reason, told), told
    assert taken.in_force(6.0) is first
    assert taken.acked == first.order


def test_a_refused_grant_does_not_count_as_taken() -> None:
    taken = lease()
    taken.offer(20.0, grant(1.0, 7, duration_s=5.0))
    assert taken.acked is None
    assert taken.offer(20.0, grant(20.0, 1)) is None


def test_a_newer_grant_that_ends_sooner_replaces_a_longer_one() -> None:
    taken = lease()
    taken.offer(0.0, grant(0.0, 1, duration_s=10.0))
    taken.offer(1.0, grant(1.0, 2, duration_s=2.0))
    assert taken.in_force(3.0) is None


def test_a_parent_that_restarted_is_believed_by_its_epoch() -> None:
    taken = lease()
    taken.offer(0.0, grant(0.0, 500, epoch=1))
    assert taken.offer(0.0, grant(0.0, 1, epoch=2)) is None


@pytest.mark.parametrize("interval_s", [1, 60, 900])
def test_the_longest_grant_follows_the_update_interval(interval_s: int) -> None:
    site = EnergyManagerConfig(update_interval=interval_s)
    taken = Lease("boot", longest_grant_s(site))
    assert taken.offer(0.0, grant(0.0, 1, duration_s=13.0 * interval_s)) is None


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from(["boot", "boot", "boot", "other"]),
        st.integers(0, 2),
        st.integers(1, 8),
        st.sampled_from([0.0, 1.0, 6.0]),
        st.sampled_from([0.5, 5.0, 10.0]),
        st.sampled_from([0.0, 0.4, 3.0]),
    ),
    max_size=30,
)
"""Of each: boot, epoch, seq, how long it was under way, how long it lasts, time until the next."""


def newest_valid_is_in_force(arrivals: list[tuple[str, int, int, float, float, float]]) -> None:
    taken, now_s = lease(), 0.0
    good: list[Grant] = []
    for boot, epoch, seq, late_s, duration_s, pause_s in arrivals:
        message = grant(now_s - late_s, seq, epoch=epoch, duration_s=duration_s, boot=boot)
        newer = all(message.order > g.order for g in good)
        if boot == "boot" and newer and now_s < message.t_echo_s + duration_s:
            good.append(message)
        taken.offer(now_s, message)
        now_s += pause_s
        newest = good[-1] if good and now_s < good[-1].t_echo_s + good[-1].duration_s else None
        assert taken.in_force(now_s) is newest


@given(ARRIVALS)
def test_any_order_of_arrival_leaves_the_newest_valid_grant_in_force(
    arrivals: list[tuple[str, int, int, float, float, float]],
) -> None:
    newest_valid_is_in_force(arrivals)


def _takes_older(self: Lease, now_s: float, message: Grant) -> str | None:
    self.acked = None
    return _offer(self, now_s, message)


def _takes_any_boot(self: Lease, now_s: float, message: Grant) -> str | None:
    self.boot = message.boot
    return _offer(self, now_s, message)


def _never_ends(self: Lease, now_s: float) -> Grant | None:
    return self._grant


_offer = Lease.offer


@pytest.mark.parametrize(
    ("name", "mutant"),
    [("offer", _takes_older), ("offer", _takes_any_boot), ("in_force", _never_ends)],
)
def test_each_broken_rule_is_caught_by_the_property(
    name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lease, name, mutant)
    assert_caught(newest_valid_is_in_force, ARRIVALS)
