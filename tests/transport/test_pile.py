"""Small messages that leave together."""

from __future__ import annotations

import math

import pytest

import transport.pile
import transport.wire
from tests.transport.conftest import MakeWire
from tests.transport.helpers import Inbox, Measured, Ping, Stranger, wait_until
from transport import Drop, Port, Wire
from transport.outbox import Item, Outbox
from transport.pile import Pile


def together(messages: object) -> Measured:
    return Measured(more=messages)


def connected(make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch) -> tuple[Wire, Port, Inbox]:
    """A child that holds back what it sends, its port, and what its parent hears."""
    monkeypatch.setattr(transport.wire, "TEND_S", 3600.0)
    inbox = Inbox()
    links = make_wire("root").listen("tcp://127.0.0.1:*", inbox, name="links")
    child = make_wire("level_1")
    up = child.connect(links.address, Inbox(), name="parent", peer="root")
    up.send(Ping(0))
    assert inbox.number() == 0
    wait_until(lambda: child._asleep)
    child.hold()
    return child, up, inbox


def heard(inbox: Inbox) -> object:
    message = inbox.get().message
    assert isinstance(message, Measured)
    return message.more


def test_what_lies_on_a_pile_arrives_as_one_message_with_the_newest_of_each_name(
    make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, up, inbox = connected(make_wire, monkeypatch)
    pile = up.pile(together)
    for name, number in (("a", 1), ("b", 2), ("a", 3)):
        assert up.put(pile, name, Ping(number))
    assert child.counters()["parent"].waiting == 1
    child.let_go()
    assert heard(inbox) == {"a": {"number": 3, "text": ""}, "b": {"number": 2, "text": ""}}
    wait_until(lambda: child.counters()["parent"].sent == 2)  # counted just after it has left
    assert child.counters()["parent"].replaced == 1
    assert up.put(pile, "c", Ping(4))
    child.let_go()
    assert heard(inbox) == {"c": {"number": 4, "text": ""}}


def test_a_large_pile_is_several_messages(make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport.pile, "PILE_MAX", 2)
    child, up, inbox = connected(make_wire, monkeypatch)
    pile = up.pile(together)
    for name in "abcde":
        up.put(pile, name, Ping(1))
    child.let_go()
    assert [list(heard(inbox)) for _ in range(3)] == [["a", "b"], ["c", "d"], ["e"]]  # type: ignore[call-overload]


def test_what_cannot_be_sent_is_dropped_and_counted_and_the_rest_of_its_pile_arrives(
    make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, up, inbox = connected(make_wire, monkeypatch)
    pile = up.pile(together)
    up.put(pile, "a", Measured(1.0))
    up.put(pile, "b", Measured(math.nan))
    up.put(pile, "c", Measured(2.0))
    child.let_go()
    assert [heard(inbox) for _ in range(2)] == [
        {"a": {"value": 1.0, "more": None}},
        {"c": {"value": 2.0, "more": None}},
    ]
    assert child.counters()["parent"].dropped[Drop.NOT_FINITE] == 1


def test_a_pile_for_nobody_is_refused_and_keeps_nothing(make_wire: MakeWire) -> None:
    links = make_wire("root").listen("tcp://127.0.0.1:*", Inbox(), name="links")
    pile = links.pile(together, peer="level_1")
    assert not links.put(pile, "a", Ping(1))
    assert not pile.messages
    with pytest.raises(ValueError, match="needs a peer"):
        links.pile(together)
    with pytest.raises(TypeError, match="not registered"):
        links.pile(lambda _: Stranger(), peer="level_1")


def test_what_could_not_be_sent_is_not_replaced_by_what_was_put_on_its_pile_meanwhile() -> None:
    outbox = Outbox(shared=False)
    pile = Pile(
        None, lambda messages: Item(kind="k", source="", target="", body=repr(messages).encode(), key=None)
    )
    pile.messages["a"] = 1
    outbox.put(None, pile)
    taken = outbox.take(None, 9)
    pile.messages["b"] = 2
    outbox.put(None, pile)
    outbox.put_back(None, taken)
    assert [item.body for item in outbox.take(None, 9)] == [b"{'a': 1}", b"{'b': 2}"]
    assert len(outbox) == 0
    assert outbox.peers() == []


def test_what_is_forgotten_with_its_peer_does_not_come_back_with_the_next_message() -> None:
    outbox = Outbox(shared=True)
    pile = Pile("p", lambda messages: Item(kind="k", source="", target="", body=b"", key=None))
    pile.messages |= {"a": 1, "b": 2}
    outbox.put("p", pile)
    assert outbox.forget("p") == 2
    assert not pile.messages
    assert outbox.peers() == []
