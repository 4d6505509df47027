"""The authenticator: says for each connection whether its key may speak at the port that it came to.

It answers libzmq's questions (ZAP, https://rfc.zeromq.org/spec/27/) on the I/O thread of its wire, so
there is no second thread to start late, to hang or to die alone. While it does not answer nobody gets
in: libzmq ends a connection whose question is open for HANDSHAKE_IVL, and refuses at once where nobody
is bound to ask (ZAP_ENFORCE_DOMAIN).

Whoever is refused gets the status 300 and never 400, which would be the plainer word: at 400 libzmq
tells the peer, and a peer of libzmq then never tries again. A controller whose key is trusted a minute
after it was started shall get in by itself.

What it lets in is marked with its public key (`User-Id`), which every message of the connection then
bears; whom that names is looked up anew for each message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import zmq

from transport.counters import BoundedLog
from transport.curve import KEY_B
from transport.options import ZAP_BATCH, ZmqSocket

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"

Admits = Callable[[str], bool]
"""Whether a public key may speak here now."""


class _Question(NamedTuple):
    route: bytes
    request_id: bytes
    domain: str
    address: str
    key: str | None
    """The public key of a CURVE connection; None for any other."""


class Authenticator:
    """Answers for all ports of a wire. Made in any thread, then used by the I/O thread alone."""

    def __init__(self, socket: ZmqSocket, log: BoundedLog) -> None:
        """`socket` is a ROUTER of the context whose sockets ask."""
        self.socket = socket
        self._log = log
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(ENDPOINT)

    def serve(self, ports: Mapping[str, Admits]) -> None:
        """Answer what is asked, up to a batch. A port is asked by its name, which is its domain."""
        for _ in range(ZAP_BATCH):
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            question = _parse(frames)
            if question is None:
                self._log.warning("zap", "an unreadable question to the authenticator: nobody gets in by it")
            else:
                self._answer(question, self._admits(question, ports))

    def _admits(self, question: _Question, ports: Mapping[str, Admits]) -> bool:
        admits = ports.get(question.domain)
        if admits is None or question.key is None:
            return False
        try:
            return admits(question.key)
        except Exception:  # whatever fails while we judge, the answer is no
            self._log.warning("zap", "port %s: judging a key failed", question.domain, traceback=True)
            return False

    def _answer(self, question: _Question, admitted: bool) -> None:
        if not admitted:
            self._log.warning(
                f"zap/{question.domain}",
                "port %s: the key %s from %s may not speak here",
                question.domain,
                question.key,
                question.address or "this machine",
            )
        status, text, user = (b"200", b"", question.key or "") if admitted else (b"300", b"refused", "")
        reply = [question.route, b"", VERSION, question.request_id, status, text, user.encode(), b""]
        self.socket.send_multipart(reply, zmq.DONTWAIT)


def _parse(frames: list[bytes]) -> _Question | None:
    match frames:
        case [route, b"", b"1.0", request_id, domain, address, _, mechanism, *credentials]:
            key = None
            if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == KEY_B:
                key = credentials[0].hex()
            place = address.decode(errors="replace")
            return _Question(route, request_id, domain.decode(errors="replace"), place, key)
    return None
