"""Who is at the other ends of a listening port.

libzmq names a connection by a routing id that it makes up and that ends with the connection. Whose
key speaks over it, the authenticator has said (transport/zap.py), and who that is, the gate of the port.
How one is found again after a reconnect is decided here and only here.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto

from transport.options import PEERS_MAX, SHARE_MAX


class Heard(Enum):
    """What a message tells about the connection of its peer."""

    SAME = auto()
    NEW = auto()
    MOVED = auto()
    """Over another connection than before: a reconnect, or a double that now speaks first."""
    DOUBLED = auto()
    """Over a connection that another had replaced: two live peers claim one identity. Whoever spoke
    last is answered."""


class Link:
    """One connection, as it is now, and the numbers of the messages over it in both directions."""

    __slots__ = ("identity", "key", "received", "replaced_id", "routing_id", "sent")

    def __init__(self, routing_id: bytes, key: str, identity: str) -> None:
        self.routing_id = routing_id
        self.key = key
        """The public key that speaks over it."""
        self.identity = identity
        """Whose key that was when it was heard last."""
        self.replaced_id: bytes | None = None
        self.sent = 0
        """Number of the last message that was sent."""
        self.received: int | None = None
        """Number of the last message that came; None before the first."""

    def gap(self, sequence: int) -> int:
        """Note the number of a message that came. Positive: so many were lost before it; -1: it came
        again or late, or the process is a new one whose first message was lost; 0: it is the next,
        or the first that a new process sends."""
        last, self.received = self.received, sequence
        if last is None or sequence == 1:
            return 0
        return sequence - last - 1 if sequence > last else -1


class Peers:
    """The peers of one port, the one heard last at the end. Changed by the I/O thread alone; other
    threads only ask whether one is known."""

    def __init__(self, peers_max: int = PEERS_MAX) -> None:
        self._peers_max = peers_max
        self._links: OrderedDict[str, Link] = OrderedDict()

    def __len__(self) -> int:
        return len(self._links)

    def __contains__(self, peer: str) -> bool:
        return peer in self._links

    def link(self, peer: str) -> Link | None:
        """The connection of `peer`; None if it is not known."""
        return self._links.get(peer)

    def heard(self, peer: str, routing_id: bytes, key: str, identity: str) -> tuple[Link, Heard]:
        """Note that `peer` spoke over the connection `routing_id`, which is from now on its own."""
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = Link(routing_id, key, identity)
            return link, Heard.NEW
        self._links.move_to_end(peer)
        link.key, link.identity = key, identity
        if link.routing_id == routing_id:
            return link, Heard.SAME
        doubled = link.replaced_id == routing_id
        link.replaced_id, link.routing_id = link.routing_id, routing_id
        return link, Heard.DOUBLED if doubled else Heard.MOVED

    def one_too_many(self, identity: str) -> str | None:
        """The peer to forget, if there are more than may be remembered, in all or of this identity: one
        key must not drive out the others by calling itself by many names."""
        own = [peer for peer, link in self._links.items() if link.identity == identity]
        if len(own) > SHARE_MAX:
            return own[0]
        return next(iter(self._links)) if len(self._links) > self._peers_max else None

    def forget(self, peer: str) -> None:
        """Forget `peer` until it is heard again."""
        self._links.pop(peer, None)
