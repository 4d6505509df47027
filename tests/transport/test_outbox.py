from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.frames import bundle, decode_header, join, unbundle
from transport.options import BUNDLE_MAX
from transport.outbox import Item, Outbox, Put, fill_frame


def item(text: str, key: Hashable | None = None) -> Item:
    return Item(kind="k", source="", target="", body=text.encode(), key=key)


def bodies(items: list[Item]) -> list[str]:
    return [each.body.decode() for each in items]


def test_order_is_kept_and_a_newer_state_takes_the_place_of_the_older() -> None:
    outbox = Outbox(shared=False)
    for text, key in [("a", "x"), ("b", None), ("c", "y"), ("d", "x"), ("e", None)]:
        outbox.put(None, item(text, key))
    assert bodies(outbox.take(None, 10)) == ["d", "b", "c", "e"]
    assert len(outbox) == 0
    assert outbox.peers() == []


def test_what_must_stay_behind_another_does_not_overtake_it_in_the_place_of_an_older() -> None:
    outbox = Outbox(shared=False)

    def put(text: str, key: str, after: str | None = None) -> None:
        outbox.put(None, Item(kind="k", source="", target="", body=text.encode(), key=key, after=after))

    for text, key, after in (("a", "short", "full"), ("b", "full", None), ("c", "short", "full")):
        put(text, key, after)
    assert bodies(outbox.take(None, 9)) == ["b", "c"]
    for text, key, after in (("a", "short", "full"), ("b", "other", None), ("c", "short", "full")):
        put(text, key, after)
    assert bodies(outbox.take(None, 9)) == ["c", "b"]


def test_keys_of_different_peers_do_not_meet() -> None:
    outbox = Outbox(shared=True)
    assert outbox.put("p", item("a", "x")) is Put.QUEUED
    assert outbox.put("q", item("b", "x")) is Put.QUEUED
    assert outbox.put("q", item("c", "x")) is Put.REPLACED
    assert (bodies(outbox.take("p", 9)), bodies(outbox.take("q", 9))) == (["a"], ["c"])


def test_at_the_bound_new_messages_are_refused_but_states_are_still_replaced() -> None:
    outbox = Outbox(shared=False, items_max=2)
    assert outbox.put(None, item("a", "x")) is Put.QUEUED
    assert outbox.put(None, item("b")) is Put.QUEUED
    assert outbox.put(None, item("c", "y")) is Put.FULL
    assert outbox.put(None, item("d", "x")) is Put.REPLACED
    assert bodies(outbox.take(None, 9)) == ["d", "b"]


def test_bytes_are_bounded() -> None:
    outbox = Outbox(shared=False, size_max_B=10)
    assert outbox.put(None, item("12345678", "x")) is Put.QUEUED
    assert outbox.put(None, item("123")) is Put.FULL
    assert outbox.put(None, item("12345678901", "x")) is Put.FULL
    assert outbox.put(None, item("1", "x")) is Put.REPLACED
    assert outbox.put(None, item("123456789")) is Put.QUEUED


def test_one_peer_cannot_take_the_room_of_the_others() -> None:
    outbox = Outbox(shared=True, items_max=8)
    assert [outbox.put("greedy", item(str(number))) for number in range(3)][-1] is Put.FULL
    assert outbox.put("modest", item("a")) is Put.QUEUED


def test_what_is_put_back_comes_first_unless_it_was_replaced_meanwhile() -> None:
    outbox = Outbox(shared=False)
    for text, key in [("a", "x"), ("b", None), ("c", None)]:
        outbox.put(None, item(text, key))
    taken = outbox.take(None, 2)
    outbox.put(None, item("d", "x"))
    assert outbox.put_back(None, taken) == 1
    assert bodies(outbox.take(None, 9)) == ["b", "c", "d"]


def test_forgetting_counts_what_is_lost() -> None:
    outbox = Outbox(shared=True)
    for peer in ("p", "p", "q"):
        outbox.put(peer, item("a"))
    assert outbox.forget("p") == 2
    assert outbox.forget("nobody") == 0
    assert outbox.forget_all() == 1
    assert len(outbox) == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "back"]),
        st.sampled_from("pq"),
        st.integers(0, 3),
        st.text("ab", max_size=5),
    ),
    max_size=60,
)


@given(STEPS)
def test_any_sequence_of_steps_keeps_count_and_order(steps: list[tuple[str, str, int, str]]) -> None:
    outbox = Outbox(shared=True, items_max=12, size_max_B=40)
    model: dict[str, OrderedDict[Hashable, Item]] = {"p": OrderedDict(), "q": OrderedDict()}
    for step, peer, number, text in steps:
        queue = model[peer]
        new = item(text, number or None)
        if step == "put":
            if outbox.put(peer, new) is not Put.FULL:
                queue[new.key] = new
        else:
            taken = outbox.take(peer, number)
            assert taken == list(queue.values())[:number]
            for each in taken:
                del queue[each.key]
            if step == "back":
                assert outbox.put_back(peer, taken) == 0
                model[peer] = OrderedDict((each.key, each) for each in [*taken, *queue.values()])
        assert len(outbox) == len(model["p"]) + len(model["q"]) <= 12
        assert all(len(queue) <= 3 for queue in model.values())
        assert set(outbox.peers()) == {name for name in model if model[name]}


@pytest.mark.parametrize("shared", [True, False])
def test_the_default_bounds_take_a_burst_of_a_thousand_modules(shared: bool) -> None:
    outbox = Outbox(shared=shared)
    peer = "p" if shared else None
    assert all(outbox.put(peer, item(f"{number:500}")) is Put.QUEUED for number in range(1000))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=50), st.integers(0, 2000))
def test_a_frame_takes_what_fits_and_the_first_always(sizes_B: list[int], most_B: int) -> None:
    waiting = [item("x" * size_B) for size_B in sizes_B]
    parts = fill_frame(waiting, "sender", 7, most_B)
    assert [body for _, body in parts] == [each.body for each in waiting[: len(parts)]]
    headers = [decode_header(header) for header, _ in parts]
    assert [getattr(header, "sequence", None) for header in headers] == list(range(7, 7 + len(parts)))
    frames = [join(*part) for part in parts]
    assert unbundle(bundle(frames)) == frames
    assert 1 <= len(parts) <= BUNDLE_MAX
    assert len(parts) == 1 or sum(map(len, frames)) <= most_B
