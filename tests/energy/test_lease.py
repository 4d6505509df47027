from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.energy.lease import Lease, longest_grant_s
from actors.energy.ledger import STRETCH
from actors.energy.messages import Grant, Order
from actors.energy.types import EnergyManagerConfig
from tests.energy.builders import assert_caught, grant, mutated


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


def test_a_fence_counts_as_taken_and_leaves_what_holds() -> None:
    taken = lease()
    first = grant(0.0, 1, duration_s=10.0)
    taken.offer(0.0, first)
    assert taken.offer(1.0, replace(grant(1.0, 5, duration_s=10.0), fence=True)) is None
    assert taken.acked == Order(1, 5)
    assert (taken.in_force(9.9), taken.expires_s()) == (first, 10.0)
    assert taken.offer(1.0, grant(1.0, 4)) is not None, "sent before the fence"


def test_every_report_has_a_stamp_of_its_own() -> None:
    taken = lease()
    stamps = [taken.stamp(now_s) for now_s in (5.0, 5.0, 5.0, 4.0, 6.0)]
    assert stamps == sorted(set(stamps))


# --- nesting ---------------------------------------------------------------------------------------

LEVELS = st.lists(
    st.tuples(
        st.sampled_from([0.9, 1.0, 1.1]), st.floats(0.0, 3.0), st.floats(0.0, 0.5), st.floats(0.0, 3.0)
    ),
    min_size=1,
    max_size=8,
)
"""Of each level: its clock's rate, when it reports, how long that takes, how late the grant is handed on."""


def over_with_its_parents(levels: list[tuple[float, float, float, float]]) -> None:
    """What each level counts on to be over at a time, by its own clock, is over then in true time."""
    root_rate = 1.1  # the hardest
    now_s = 4.0
    duration_s, counted_s = 10.0, math.inf
    above: tuple[float, Lease] | None = None
    for rate, sent_s, late_s, pause_s in levels:
        heard_s = sent_s + late_s
        if above is None:
            duration_s = 10.0 + (now_s - heard_s) * root_rate
            counted_s = heard_s + duration_s * STRETCH / root_rate
        else:
            above_rate, above_lease = above
            duration_s = above_lease.nested_s(heard_s * above_rate)
        now_s = max(now_s + pause_s, heard_s)
        own = Lease("boot", 100.0)
        if duration_s <= 0 or own.offer(now_s * rate, grant(sent_s * rate, 1, duration_s=duration_s)):
            return
        expires_s = own.expires_s()
        assert expires_s is not None
        assert expires_s / rate <= counted_s + 1e-9
        above = rate, own


@given(LEVELS)
def test_what_is_handed_on_is_over_when_the_first_parent_counts_on_it_whatever_the_clocks(
    levels: list[tuple[float, float, float, float]],
) -> None:
    over_with_its_parents(levels)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "before_s / STRETCH if before_s > 0 else before_s",
            "before_s if before_s > 0 else before_s / STRETCH",
        ),
        ("before_s / STRETCH if before_s > 0 else before_s", "0.0"),
        ("self.grant.t_echo_s - heard_s", "abs(self.grant.t_echo_s - heard_s)"),
    ],
)
def test_each_other_nesting_is_caught(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "nested_s", mutated(Lease.nested_s, before, after))
    assert_caught(over_with_its_parents, LEVELS)


@pytest.mark.parametrize("ages_s", [(0.0,) * 8, (0.9, 0.1) * 4, (0.1, 0.9) * 4, (0.99,) * 8])
def test_eight_levels_down_nearly_the_whole_duration_is_left(ages_s: tuple[float, ...]) -> None:
    now_s, lag_s = 100.0, 0.02
    above: Lease | None = None
    for age_s in ages_s:
        sent_s, heard_s = now_s - age_s - lag_s, now_s - age_s
        duration_s = now_s + 10.0 - heard_s if above is None else above.nested_s(heard_s)
        above = lease()
        now_s += lag_s
        assert above.offer(now_s, grant(sent_s, 1, duration_s=duration_s)) is None
    assert above is not None
    expires_s = above.expires_s()
    assert expires_s is not None
    assert expires_s - now_s > 8.9


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
    return self.grant


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
