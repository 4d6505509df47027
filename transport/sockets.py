"""Makes a socket that is bound or connected, or says in one line why it cannot be.

This is done in the thread that asks, so that the error is raised there. The socket is then handed to
the I/O thread, which libzmq permits with a full memory barrier between.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import zmq

from transport.addresses import (
    PathLock,
    check_connect,
    check_listen,
    explain,
    ipc_path,
    is_ipv6,
    is_numeric,
)
from transport.curve import KeyPair, expect, protect
from transport.options import Role, ZmqSocket, configure

LOG = logging.getLogger("amptree.transport")

ZmqContext = zmq.Context[ZmqSocket]


class Opened(NamedTuple):
    """A socket in use, its address as bound, and what holds its path."""

    socket: ZmqSocket
    address: str
    path_lock: PathLock | None


def open_socket(
    context: ZmqContext,
    role: Role,
    address: str,
    *,
    message_max_B: int,
    own: KeyPair,
    domain: str,
    server_key: str | None,
) -> Opened:
    """A ROUTER that listens on `address`, or a DEALER that connects to it, which it does not yet where
    no `server_key` is known. Raises `AddressError`."""
    path_lock = None
    if role == "connect":
        check_connect(address)
        if not is_numeric(address):
            # libzmq resolves names in the thread that moves the bytes of all sockets (libzmq #2961).
            LOG.warning("%s: while this name cannot be resolved, nothing is sent or received", address)
    else:
        check_listen(address)
        if (path := ipc_path(address)) is not None:
            path_lock = PathLock(address, path)
    socket = context.socket(zmq.ROUTER if role == "listen" else zmq.DEALER)
    try:
        configure(socket, role, message_max_B=message_max_B, ipv6=is_ipv6(address))
        protect(socket, role, own, domain)
        if role == "connect":
            if server_key is not None:
                expect(socket, server_key)
                socket.connect(address)
        else:
            socket.bind(address)
            address = socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
    except BaseException as error:
        socket.close(linger=0)
        if path_lock is not None:
            path_lock.release()
        if isinstance(error, zmq.ZMQError):
            raise explain(address, OSError(error.errno, str(error.strerror))) from error
        raise
    return Opened(socket, address, path_lock)
