"""The connection to the CSMS: called again and again until it stands, and watched by pings.

On a thread with a loop of asyncio. What happens is told to the actor; what the actor says is taken by any
thread."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import random
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from actors.event_loop import EventLoop
from actors.gateways.ocpp.layout import Layout
from actors.gateways.ocpp.transactions import Outgoing
from actors.ocpp.frames import Call
from actors.ocpp.library import (
    SOCKET,
    SUBPROTOCOLS,
    OcppError,
    client_tls,
    library,
    require,
)
from actors.ocpp.session import Answer, CallFailedError, Session

LOG = logging.getLogger("amptree.ocpp")

OPEN_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 1.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 1.0, 60.0
"""Between two trials; twice as long after each that failed, and up to a half more at random."""
STEADY_S = 30.0
"""A connection that lasted so long was a good one: the next trial comes soon."""
PASSWORD_MAX_B = 4_096


class Up(Struct, frozen=True):
    """The connection stands."""


class Down(Struct, frozen=True):
    """The connection is lost, or was not had."""

    why: str


class Heard(Struct, frozen=True):
    """A sign of life."""


class Asked(Struct, frozen=True):
    """The CSMS wants something."""

    call: Call
    answer: Any
    """Takes the answer, on the loop."""


class Answered(Struct, frozen=True):
    """The CSMS answered, or with `code` did not."""

    said: Outgoing
    payload: dict[str, Any] | None
    code: str = ""
    why: str = ""


Event = Up | Down | Heard | Asked | Answered


class Link:
    """One, for one life of a gateway."""

    def __init__(self, layout: Layout, folder: Path, tell: Callable[[Event], None]) -> None:
        """Files are sought from `folder` on. Raises OcppError."""
        require()
        config = layout.config
        assert config.url is not None
        self._layout = layout
        self._tell = tell
        self.url = f"{config.url.rstrip('/')}/{quote(layout.identity, safe='')}"
        self._headers: dict[str, str] = {}
        if config.password_file is not None:
            login = f"{layout.identity}:{_password(folder / config.password_file)}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(login).decode()
        self._tls: ssl.SSLContext | None = None
        if config.url.startswith("wss"):
            files = (config.ca_file, config.cert_file, config.key_file)
            self._tls = client_tls(*(None if name is None else folder / name for name in files))
        self._session: Session | None = None
        self._counts = [0, 0]
        self._events = EventLoop(layout.id)

    def start(self) -> None:
        """Begin to call; an absent CSMS is no error."""
        self._events.start()
        self._events.task(self._run())

    def running(self) -> bool:
        """Whether it still tries."""
        return self._events.running()

    def stop(self) -> None:
        """Close and end; idempotent."""
        self._events.stop()

    def say(self, message: Outgoing) -> None:
        """Ask the CSMS; the answer comes as Answered."""
        with contextlib.suppress(RuntimeError):
            self._events.task(self._say(message))

    def answer(self, asked: Asked, answer: Answer) -> None:
        """What the CSMS asked for."""
        self._events.soon(_settle, asked.answer, answer)

    def counts(self) -> tuple[int, int]:
        """Messages that came in, and those of them that were refused."""
        session = self._session
        received, refused = self._counts
        if session is None:
            return received, refused
        return received + session.counts.received, refused + session.counts.refused

    # --- on the loop ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        wait_s = RECONNECT_MIN_S
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                why = await self._connection()
            except Exception as error:  # whatever it is, it is tried again
                why = _words(error, certificates=self._tls is not None)
            if loop.time() - began_s >= STEADY_S:
                wait_s = RECONNECT_MIN_S
            self._tell(Down(why))
            await asyncio.sleep(wait_s * random.uniform(1.0, 1.5))
            wait_s = min(RECONNECT_MAX_S, 2 * wait_s)

    async def _connection(self) -> str:
        """From the call to the end; returns why it ended."""
        wanted = SUBPROTOCOLS[self._layout.version]
        tls = {} if self._tls is None else {"ssl": self._tls}
        socket = await library("websockets.asyncio.client").connect(
            self.url,
            subprotocols=[wanted],
            additional_headers=self._headers,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            **SOCKET,
            **tls,
        )
        try:
            if socket.subprotocol != wanted:
                return f"it does not speak {wanted}"
            session = Session(socket, self._layout.version, self._asked, lambda: self._tell(Heard()))
            self._session = session
            self._tell(Up())
            return await self._converse(session, socket)
        finally:
            if self._session is not None:
                self._counts[0] += self._session.counts.received
                self._counts[1] += self._session.counts.refused
                self._session = None
            await socket.close()

    async def _converse(self, session: Session, socket: Any) -> str:
        reads = asyncio.create_task(session.run())
        pings = asyncio.create_task(self._ping(session))
        try:
            await asyncio.wait((reads, pings), return_when=asyncio.FIRST_COMPLETED)
            if pings.done() and not reads.done():
                return f"no answer to a ping within {self._layout.config.ping_interval_s:g} s"
            reads.result()
            code, reason = socket.protocol.close_code, socket.protocol.close_reason
            return f"it closed the connection ({code}{f': {reason}' if reason else ''})"
        finally:
            for task in (reads, pings):
                task.cancel()
            await asyncio.gather(reads, pings, return_exceptions=True)

    async def _ping(self, session: Session) -> None:
        """Until one is not answered."""
        interval_s = self._layout.config.ping_interval_s
        with contextlib.suppress(TimeoutError, library("websockets.exceptions").ConnectionClosed):
            while True:
                await session.ping(interval_s)
                await asyncio.sleep(interval_s)

    def _asked(self, call: Call) -> asyncio.Future[Answer]:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._tell(Asked(call, answer))
        return answer

    async def _say(self, message: Outgoing) -> None:
        session = self._session
        if session is None:
            self._tell(Answered(message, None, "ConnectionLost"))
            return
        try:
            self._tell(Answered(message, await session.call(message.action, message.payload)))
        except CallFailedError as error:
            self._tell(Answered(message, None, error.code, str(error)))
        except Exception as error:  # nobody else would end the wait for an answer
            LOG.exception("%s could not be said", message.action)
            self._tell(Answered(message, None, "InternalError", str(error)))


def _settle(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


def _password(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            first = stream.read(PASSWORD_MAX_B).splitlines()[:1]
        return first[0].decode() if first else ""
    except (OSError, UnicodeDecodeError) as error:
        raise OcppError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _words(error: Exception, *, certificates: bool) -> str:
    """Why there is no connection, in one line."""
    response = getattr(error, "response", None)
    if (status := getattr(response, "status_code", None)) is not None:
        told = {
            401: "it refuses the login",
            403: "it refuses the login",
            404: "it does not know this charge point",
        }
        return f"{told.get(status, 'it refuses the connection')} (HTTP {status})"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error.__cause__, EOFError):  # of a certificate that is refused no more is heard than that
        wanted = "; does it want a certificate (cert_file, key_file), or another?" if certificates else ""
        return f"it closed the connection before it answered{wanted}"
    text = str(error)
    if isinstance(error, ConnectionError) and error.errno is not None:
        text = os.strerror(error.errno)  # and not at which address
    return "".join(c if c.isprintable() else "?" for c in text)[:200] or type(error).__name__
