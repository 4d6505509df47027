"""Who is who: pairs of keys, and what makes a socket take part in CURVE and in nothing else.

A process has one pair of keys. A listening socket takes CURVE only, and asks the authenticator
(transport/zap.py) about every connection: the domain is the name of its port, and ENFORCE_DOMAIN lets
libzmq refuse where no authenticator is bound (else it would encrypt, and let everybody in). A
connecting socket is sure of its peer by itself: only the owner of the secret half of `server_key` can
answer it.
"""

from __future__ import annotations

from typing import Protocol, Self

import zmq
from msgspec import Struct
from zmq.utils import z85

from transport.options import Role, ZmqSocket

KEY_B = 32
"""Bytes of a key, public or secret."""


class KeyPair(Struct, frozen=True, kw_only=True):
    """The two halves of a key. It never shows its secret."""

    public: str
    """In hexadecimal: how keys are written wherever people or files meet them."""
    secret: bytes

    @classmethod
    def new(cls) -> Self:
        """A pair that nobody has yet."""
        public, secret = zmq.curve_keypair()
        return cls(public=z85.decode(public).hex(), secret=z85.decode(secret))

    @classmethod
    def of(cls, secret: bytes) -> Self:
        """The pair of a secret half. Raises ValueError if it is none."""
        if len(secret) != KEY_B:
            raise ValueError(f"a key has {KEY_B} bytes")
        return cls(public=z85.decode(zmq.curve_public(z85.encode(secret))).hex(), secret=secret)

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


class Keys(Protocol):
    """The key of a process, and whom it knows. It is asked about every message, on the I/O thread: so it
    answers quickly, and as things are now."""

    @property
    def own(self) -> KeyPair:
        """Ours."""

    def name_of(self, public_key: str) -> str | None:
        """Whose key that is; None: nobody's with whom we talk."""

    def key_of(self, name: str) -> str | None:
        """The public key of `name`; None: we do not talk with it."""


class _Nobody:
    def __init__(self) -> None:
        self.own = KeyPair.new()

    def name_of(self, public_key: str) -> str | None:
        return None

    def key_of(self, name: str) -> str | None:
        return None


def nobody() -> Keys:
    """Keys of a process that talks with nobody."""
    return _Nobody()


def protect(socket: ZmqSocket, role: Role, own: KeyPair, domain: str) -> None:
    """Set the options of a socket that has neither been bound nor connected."""
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(own.public))
    match role:
        case "listen":
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)
            socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        case "connect":
            # Until the peer's key is known nobody but ourselves could answer. Without any key here
            # the socket would speak in the clear.
            expect(socket, own.public)


def expect(socket: ZmqSocket, server_key: str) -> None:
    """Whoever answers the next connection of `socket` must have the secret half of `server_key`."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, bytes.fromhex(server_key))
