"""The authenticator, asked as libzmq asks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from tests.transport.helpers import WAIT_S
from transport.counters import BoundedLog
from transport.zap import ENDPOINT, Authenticator

KEY = bytes(range(32))


class Asker:
    """An authenticator for one port, "links", that admits KEY alone, and who asks it."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.authenticator = Authenticator(context.socket(zmq.ROUTER), BoundedLog())
        self._socket = context.socket(zmq.DEALER)
        self._socket.connect(ENDPOINT)

    def ask(self, *frames: bytes) -> list[bytes] | None:
        """The answer; None if there is none."""
        self._socket.send_multipart(frames)
        assert self.authenticator.socket.poll(int(WAIT_S * 1000))
        self.authenticator.serve({"links": lambda key: key == KEY.hex()})
        return self._socket.recv_multipart() if self._socket.poll(0) else None

    def close(self) -> None:
        self._socket.close(linger=0)
        self.authenticator.socket.close(linger=0)


@pytest.fixture
def asker() -> Iterator[Asker]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = Asker(context)
    yield made
    made.close()
    context.term()


def test_an_admitted_key_gets_in_and_is_marked_with_itself(asker: Asker) -> None:
    answer = asker.ask(b"", b"1.0", b"7", b"links", b"10.0.0.9", b"", b"CURVE", KEY)
    assert answer == [b"", b"1.0", b"7", b"200", b"", KEY.hex().encode(), b""]


@pytest.mark.parametrize(
    ("domain", "mechanism", "credentials"),
    [
        (b"links", b"CURVE", [bytes(32)]),
        (b"links", b"CURVE", [KEY[:31]]),
        (b"links", b"CURVE", []),
        (b"links", b"CURVE", [KEY, KEY]),
        (b"links", b"NULL", []),
        (b"links", b"NULL", [KEY]),
        (b"links", b"PLAIN", [KEY]),
        (b"links", b"PLAIN", [b"admin", b"admin"]),
        (b"control", b"CURVE", [KEY]),
        (b"", b"CURVE", [KEY]),
        (b"\xff\xfe", b"CURVE", [KEY]),
    ],
)
def test_whatever_else_is_asked_the_answer_is_no_and_the_peer_may_try_again(
    asker: Asker, domain: bytes, mechanism: bytes, credentials: list[bytes]
) -> None:
    answer = asker.ask(b"", b"1.0", b"7", domain, b"10.0.0.9", b"", mechanism, *credentials)
    assert answer == [b"", b"1.0", b"7", b"300", b"refused", b"", b""]


@pytest.mark.parametrize(
    "frames",
    [[b""], [b"x"], [b"", b"2.0", b"7", b"links", b"", b"", b"CURVE", KEY], [b"", b"1.0", b"7", b"links"]],
)
def test_what_is_no_question_gets_no_answer(asker: Asker, frames: list[bytes]) -> None:
    assert asker.ask(*frames) is None
