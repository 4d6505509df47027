"""Every option that a socket gets and every bound of the transport, each with its why.

They are set before bind or connect: libzmq takes most of them only for connections made later.
"""

from __future__ import annotations

from typing import Literal

import zmq

ZmqSocket = zmq.Socket[bytes]

Role = Literal["listen", "connect"]

# --- bounds of messages -------------------------------------------------------------------------

MESSAGE_DEFAULT_B = 1 << 20
"""Bytes of the largest message of a port, unless it is opened with another bound."""

MESSAGE_HARD_B = 64 << 20
"""Bytes that no port may be opened for."""

NAME_MAX = 128
"""Characters of a sender, source, target or kind."""

LENGTH_B = 2
"""Bytes in front of a header that tell its length."""

HEADER_MAX_B = 4 * 4 * NAME_MAX + 64
"""Bytes of a header: four names of characters of up to four bytes, and the numbers."""

NESTING_MAX = 256
"""Levels of arrays and maps in a body. A node of a tree of requests takes two, and what hangs on it
a few more: trees of about 120 levels, more than a configuration may have."""

BUNDLE_MAX = 32
BUNDLE_MAX_B = 32 << 10
"""Messages, and bytes of them, that go in one frame where several wait for one peer. A larger message goes
alone. Not more, since what libzmq holds can not be taken back."""

PILE_MAX = 256
"""Small messages that are made one (transport/pile.py): so that nobody need allow for larger messages."""

BUNDLED_B = 4
"""Bytes in front of each message of a bundle that tell its length."""

# --- bounds of queues ---------------------------------------------------------------------------

HIGH_WATER_MARK = 64
"""Messages that libzmq holds per connection and direction. Small, because what waits there can
neither be replaced by a newer state nor be taken back.

It does not bound a burst. A controller whose 1,000 modules send in one tick puts 1,000 messages in
its outbox; the I/O thread hands them over until libzmq says EAGAIN, and goes on as soon as there is
room again (libzmq reports room after each 32 read). The outbox below is what bounds the burst."""

OUTBOX_MAX = 16_384
"""Messages that wait in one port. When it is full, a new message is refused: `send` returns False and
`full` is counted. Not the oldest is dropped: messages with a key replace their elder at any time, so
what waits is either the newest state, or was promised with True."""

OUTBOX_MAX_B = 64 << 20
"""Bytes of bodies that wait in one port; the same happens at this bound."""

PEER_SHARE = 4
"""One peer may take up to a PEER_SHARE-th of a listening port's outbox, so that a peer that does not
read cannot keep the others from being sent to."""

PEERS_MAX = 4_096
"""Peers that a listening port remembers. At the bound the one that was silent longest is forgotten:
it is unroutable until it is heard again, which happens with its next report."""

SHARE_MAX = 64
"""Peers that are remembered of one key that several processes share."""

SEND_BATCH = 64
"""Messages handed over for one peer before the next peer's turn."""

RECEIVE_BATCH = 256
RECEIVE_SLICE_S = 0.02
"""Messages taken from one port, and seconds spent on it, before the other ports and the outboxes have
their turn. Seconds, too, as each call into libzmq gives up the GIL, and gets it back up to 5 ms later
for each other thread that computes."""

RETRY_FIRST_S = 0.001
RETRY_LAST_S = 0.032
"""Seconds until a ROUTER's full peer is tried again, doubled at each failure. Not by POLLOUT: that is
ready as long as *any* peer has room, and polling for it would spin."""

PORTS_MAX = 64
"""Ports of one wire."""

ZAP_BATCH = 256
"""Connections that are judged before the ports have their turn."""

TEND_S = 1.0
"""Seconds, at most, between two looks at whether a port still is connected to whom it should be."""

STUCK_S = 10.0
"""Seconds for which a connecting port may have something to say and not get rid of it before it is
connected anew. libzmq tries again by itself, but not where something at the address did not speak
CURVE, or said that it refuses: then it gives up for ever. Longer than all its timeouts together."""

# --- options of sockets -------------------------------------------------------------------------


def configure(socket: ZmqSocket, role: Role, *, message_max_B: int, ipv6: bool) -> None:
    """Set all options of a socket that has neither been bound nor connected."""
    # Closing forgets what was not sent: an old limit must not arrive late, and term() must not hang.
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    # libzmq ends the connection of a peer that announces a longer frame, before it reads the frame.
    # Nothing in libzmq bounds the number of frames of a message; we send one, and keep no more.
    socket.setsockopt(zmq.MAXMSGSIZE, LENGTH_B + HEADER_MAX_B + message_max_B)
    # Whoever connects and says nothing is dropped.
    socket.setsockopt(zmq.HANDSHAKE_IVL, 1000)
    # No ZMTP heartbeats, though they would notice dead machines sooner. When we are at RCVHWM libzmq
    # stops reading, and then a heartbeat that falls due aborts the process: "Assertion failed:
    # !_io_error (src/stream_engine_base.cpp)" if the peer has gone meanwhile, which any peer could
    # bring about with a burst; else it ends a good connection, as answers are not read either
    # (libzmq #3937, #4364, #4767, #4830, open in 4.3.5). The kernel does it without our help: it
    # probes after one idle second, then every second, and gives up 2500 ms after the last answer.
    socket.setsockopt(zmq.HEARTBEAT_IVL, 0)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 2)
    # The same for what was sent and is not acknowledged, or meets a window that stays shut, as that
    # of a frozen process does (TCP_USER_TIMEOUT). Only grants prove that a program lives.
    socket.setsockopt(zmq.TCP_MAXRT, 2500)
    if ipv6:
        socket.setsockopt(zmq.IPV6, 1)
    match role:
        case "connect":
            # Nothing is queued for a connection that is not up: it waits in the outbox, where a
            # newer state replaces it, and POLLOUT tells when the connection is there. It also ends
            # the queue with its connection: one that outlives it can make libzmq restart an input
            # that never stopped, which aborts (libzmq #4830).
            socket.setsockopt(zmq.IMMEDIATE, 1)
            socket.setsockopt(zmq.RECONNECT_IVL, 100)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
            # Else the kernel repeats an unanswered SYN at growing intervals, and a parent that was
            # switched off is found again up to a minute late.
            socket.setsockopt(zmq.CONNECT_TIMEOUT, 2000)
        case "listen":
            # Sending to an unknown peer is an error (EHOSTUNREACH), to a full one EAGAIN. Without it
            # both are silently dropped.
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            # All children of a large site come at once when their parent restarts.
            socket.setsockopt(zmq.BACKLOG, 1024)
