"""Links: what is lost, repeated, late, cut and clogged."""

from __future__ import annotations

from actors.simulation.network import GOOD, LEFTOVER_S, Link, Quality, draw_quality
from actors.simulation.streams import stream

BAD = Quality(loss=0.3, repeat=0.5, longest_s=5.0, stray=0.1, stray_s=100.0)


def link(quality: Quality = BAD, *, in_order: bool = False, mended_s: float = 1e9) -> Link:
    return Link(stream(1, "link"), quality, in_order=in_order, mended_s=mended_s)


def test_messages_are_lost_repeated_and_reordered() -> None:
    some = link()
    arrivals = [some.arrivals(float(i)) for i in range(2000)]
    counts = [sum(len(a) == n for a in arrivals) for n in (0, 1, 2)]
    assert 500 < counts[0] < 700
    assert 600 < counts[2] < 800
    firsts = [a[0] for a in arrivals if a]
    assert firsts != sorted(firsts)
    assert max(a[0] - i for i, a in enumerate(arrivals) if a) > 50.0
    assert all(t >= i for i, a in enumerate(arrivals) for t in a)


def test_a_driver_s_link_keeps_the_order_and_repeats_nothing() -> None:
    some = link(in_order=True)
    arrivals = [t for i in range(2000) for t in some.arrivals(float(i))]
    assert arrivals == sorted(arrivals)
    assert len(arrivals) < 1500


def test_what_is_cut_never_arrives_and_what_is_clogged_all_at_once() -> None:
    some = link(GOOD)
    some.cut(10.0)
    assert [some.arrivals(t) for t in (0.0, 9.99)] == [(), ()]
    assert len(some.arrivals(10.0)) == 1
    some.clog(50.0)
    assert all(50.0 <= t < 50.1 for at_s in (20.0, 30.0, 49.0) for t in some.arrivals(at_s))
    assert some.arrivals(51.0)[0] < 51.1


def test_a_cut_may_wait_for_the_message_that_matters() -> None:
    some = link(GOOD)
    some.cut(10.0, after=2)
    assert [len(some.arrivals(t)) for t in (1.0, 2.0, 3.0, 9.0, 10.0)] == [1, 1, 0, 0, 1]
    some.clog(30.0, after=1)
    assert [some.arrivals(t)[0] >= 30.0 for t in (20.0, 21.0)] == [False, True]


def test_on_a_detour_messages_come_late_and_those_after_it_do_not() -> None:
    some = link(GOOD)
    some.detour(2.0, late_s=5.0)
    assert [round(some.arrivals(t)[0]) for t in (1.0, 2.0, 3.0)] == [6, 2, 3]


def test_once_mended_a_link_is_good_and_nothing_old_comes_later() -> None:
    some = link(mended_s=100.0)
    some.cut(1e6)
    some.weather(BAD, 1e6)
    some.detour(1e6, late_s=500.0)
    early = [t for i in range(1000) for t in link(mended_s=100.0).arrivals(i / 10)]
    assert max(early) <= 100.0 + LEFTOVER_S
    assert all(len(some.arrivals(100.0 + i)) == 1 for i in range(100))


def test_faults_do_not_change_what_is_drawn_for_later_messages() -> None:
    calm, cut = link(), link()
    cut.cut(500.0)
    before = [calm.arrivals(float(i)) for i in range(1000)]
    after = [cut.arrivals(float(i)) for i in range(1000)]
    assert after[500:] == before[500:]


def test_drawn_qualities_are_within_what_is_assumed() -> None:
    drawn = [draw_quality(stream(i, "q"), between_processes=i % 2 == 0) for i in range(300)]
    assert all(0 <= q.loss <= 0.3 and 0 <= q.repeat <= 0.5 and q.longest_s < 10 for q in drawn)
    assert GOOD in drawn
    assert any(q.stray_s >= 60 and q.stray > 0 for q in drawn)
