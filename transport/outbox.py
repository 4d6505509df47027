"""What waits to be sent from one port: a queue for each peer, bounded together.

Queues are per peer, so that one that does not read delays no other. In a queue, a message with a key
takes the place of the older one with that key: state replaces state, and a burst of it cannot grow.

No lock here: the wire holds its own around every call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from enum import Enum, auto

from transport.frames import encode_header
from transport.options import BUNDLE_MAX, BUNDLED_B, LENGTH_B, OUTBOX_MAX, OUTBOX_MAX_B, PEER_SHARE


class Item:
    """One message that waits. Identity is its key when it was given none."""

    __slots__ = ("after", "body", "key", "kind", "source", "target")

    def __init__(
        self,
        *,
        kind: str,
        source: str,
        target: str,
        body: bytes,
        key: Hashable | None,
        after: Hashable | None = None,
    ) -> None:
        self.kind = kind
        self.source = source
        self.target = target
        self.body = body
        self.key: Hashable = self if key is None else ("key", key)
        self.after: Hashable = ("key", after)
        """It stays behind the one with this key."""

    def made(self) -> list[Item]:
        """What is handed over, now that it is this one's turn."""
        return [self]

    def lost(self) -> int:
        """It is dropped; how many messages are."""
        return 1


def fill_frame(items: Iterable[Item], sender: str, sequence: int, most_B: int) -> list[tuple[bytes, bytes]]:
    """Header and body of the first of these messages, and of those after it that fit in one frame of
    `most_B` bytes with it; `sequence` is the number of the first."""
    parts: list[tuple[bytes, bytes]] = []
    size_B = 0
    for item in items:
        header = encode_header(
            kind=item.kind,
            sender=sender,
            source=item.source,
            target=item.target,
            sequence=sequence + len(parts),
        )
        size_B += BUNDLED_B + LENGTH_B + len(header) + len(item.body)
        if parts and (size_B > most_B or len(parts) == BUNDLE_MAX):
            break
        parts.append((header, item.body))
    return parts


class Put(Enum):
    """What became of a message that was put in."""

    QUEUED = auto()
    REPLACED = auto()
    FULL = auto()


class Outbox:
    """Bounded queues of `Item`, one per peer (None is the one peer of a connecting port)."""

    def __init__(self, *, shared: bool, items_max: int = OUTBOX_MAX, size_max_B: int = OUTBOX_MAX_B) -> None:
        """`shared`: several peers share it, and none may take more than its part."""
        share = PEER_SHARE if shared else 1
        self._items_max, self._size_max_B = items_max, size_max_B
        self._peer_items_max, self._peer_size_max_B = max(1, items_max // share), max(1, size_max_B // share)
        self._queues: dict[str | None, OrderedDict[Hashable, Item]] = {}
        self._peer_sizes_B: dict[str | None, int] = {}
        self._items = 0
        self._size_B = 0
        self.most = 0
        """The most items that there ever were."""

    def __len__(self) -> int:
        return self._items

    def put(self, peer: str | None, item: Item) -> Put:
        """Append `item` for `peer`, or put it in the place of the older one with its key; behind all
        where one waits that it must not overtake."""
        queue = self._queues.get(peer)
        elder = None if queue is None else queue.get(item.key)
        growth_B = len(item.body) - (0 if elder is None else len(elder.body))
        peer_size_B = self._peer_sizes_B.get(peer, 0)
        # A replacement that is not larger always fits: the bound never keeps an old state in place.
        if growth_B > 0 and (
            self._size_B + growth_B > self._size_max_B or peer_size_B + growth_B > self._peer_size_max_B
        ):
            return Put.FULL
        if elder is None and (
            self._items >= self._items_max or (0 if queue is None else len(queue)) >= self._peer_items_max
        ):
            return Put.FULL
        if queue is None:
            queue = self._queues[peer] = OrderedDict()
        queue[item.key] = item
        if elder is not None and item.after in queue:
            queue.move_to_end(item.key)
        self._items += elder is None
        self.most = max(self.most, self._items)
        self._size_B += growth_B
        self._peer_sizes_B[peer] = peer_size_B + growth_B
        return Put.QUEUED if elder is None else Put.REPLACED

    def peers(self) -> list[str | None]:
        """Those for whom something waits."""
        return list(self._queues)

    def take(self, peer: str | None, count_max: int) -> list[Item]:
        """Remove and return the oldest `count_max` messages for `peer`; of a pile what it is made to."""
        queue = self._queues.get(peer)
        if queue is None:
            return []
        taken = [queue.popitem(last=False)[1] for _ in range(min(count_max, len(queue)))]
        self._account(peer, queue, -len(taken), -sum(len(item.body) for item in taken))
        return [made for item in taken for made in item.made()]

    def put_back(self, peer: str | None, items: list[Item]) -> int:
        """Return to the front what could not be sent. One that a newer has replaced meanwhile is
        left out; the number of those is returned. The bounds may be exceeded by `items`."""
        queue = self._queues.setdefault(peer, OrderedDict())
        back = [item for item in items if item.key not in queue]
        for item in reversed(back):
            queue[item.key] = item
            queue.move_to_end(item.key, last=False)
        self._account(peer, queue, len(back), sum(len(item.body) for item in back))
        return len(items) - len(back)

    def forget(self, peer: str | None) -> int:
        """Drop all that waits for `peer`; how many that were."""
        queue = self._queues.get(peer)
        if queue is None:
            return 0
        dropped = list(queue.values())
        queue.clear()
        self._account(peer, queue, -len(dropped), -sum(len(item.body) for item in dropped))
        return sum(item.lost() for item in dropped)

    def forget_all(self) -> int:
        """Drop all; how many that were."""
        return sum(self.forget(peer) for peer in self.peers())

    def _account(self, peer: str | None, queue: OrderedDict[Hashable, Item], items: int, size_B: int) -> None:
        self._items += items
        self._size_B += size_B
        self._peer_sizes_B[peer] = self._peer_sizes_B.get(peer, 0) + size_B
        if not queue:
            del self._queues[peer], self._peer_sizes_B[peer]
