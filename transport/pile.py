"""Small messages that leave together, as one.

What is told of a hundred EVSEs in one go is a hundred small messages, and a header, a look through its
bytes, a lock and a delivery for each cost ten times what it says. So they are put on a pile, which waits in
the outbox as one item without a body. When the port can hand it over, it makes one message of what lies
there. Until then a newer message takes the place of the older of its name: a pile never outgrows the
things that it is about, however long its peer does not read.

As the outbox, a pile is touched under the wire's lock only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from msgspec import Struct

from transport.options import PILE_MAX
from transport.outbox import Item

Together = Callable[[Mapping[str, Any]], Struct]
"""Makes one message of several, by name."""


class Pile(Item):
    """Messages by name, for one peer. Made by `Port.pile`."""

    __slots__ = ("_make", "messages", "peer")

    def __init__(self, peer: str | None, make: Callable[[dict[str, Any]], Item | None]) -> None:
        """`make`: one item of messages that lay on the pile; None where they cannot be sent together."""
        super().__init__(kind="", source="", target="", body=b"", key=None)
        self.peer = peer
        self.messages: dict[str, Any] = {}
        self._make = make

    def made(self) -> list[Item]:
        """What is to be sent instead; then it is empty."""
        left, self.messages = iter(self.messages.items()), {}
        items = []
        while some := dict(islice(left, PILE_MAX)):
            items += self._items(some)
        return items

    def _items(self, messages: dict[str, Any]) -> list[Item]:
        """Where one cannot be sent, the others are all the same."""
        if (item := self._make(messages)) is not None:
            return [item]
        alone = ({name: message} for name, message in messages.items()) if len(messages) > 1 else ()
        return [item for one in alone for item in self._items(one)]

    def lost(self) -> int:
        """Empty it; how many messages lay there."""
        count = len(self.messages)
        self.messages = {}
        return count
