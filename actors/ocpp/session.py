"""One conversation: calls out, one at a time and each with its answer; calls in, each with its answer.

For a loop of asyncio. Frames are read in turn: while a call waits for its answer here, the other side waits,
too."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from actors.energy.charging_profiles.profile import Version
from actors.ocpp.frames import (
    Call,
    Error,
    Fault,
    Garbage,
    Result,
    fault_of,
    one_line,
    read,
    write_answer,
    write_call,
)
from actors.ocpp.library import library

LOG = logging.getLogger("amptree.ocpp")

CALL_TIMEOUT_S = 30.0
"""For the other side to answer."""
ANSWER_TIMEOUT_S = 10.0
"""For us to answer; then it is a CALLERROR."""
CALLS_EACH_S = 100.0
"""Frames that are read, on average; a flood has to wait, and whoever else works here has time to."""
BURST = 200.0
LATE_MAX = 16
"""Calls that were given up and whose late answers are waited for."""

Answer = dict[str, Any] | Fault
Asked = Callable[[Call], Awaitable[Answer]]


class CallFailedError(Exception):
    """The other side answered with a CALLERROR, not at all, or with what is no answer."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}" if why else code)
        self.code = code


class Counts(Struct):
    """Of a conversation."""

    received: int = 0
    refused: int = 0
    """Of these, answered with a CALLERROR or not to be read."""


class Session:
    """Over one websocket, which is its caller's to close."""

    def __init__(
        self,
        socket: Any,
        version: Version,
        asked: Asked,
        heard: Callable[[], None],
        *,
        call_timeout_s: float = CALL_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """`asked` gives the answer to a call that its schema allows; `heard` is told of every sign of
        life."""
        self.version = version
        self.counts = Counts()
        self._socket = socket
        self._asked, self._heard = asked, heard
        self._call_timeout_s, self._answer_timeout_s = call_timeout_s, answer_timeout_s
        self._lock = asyncio.Lock()
        self._waiting: tuple[str, asyncio.Future[Result | Error]] | None = None
        self._late: dict[str, Callable[[dict[str, Any] | None], None]] = {}
        self._life = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._tokens, self._tokens_s = BURST, 0.0

    async def run(self) -> None:
        """Read until the connection ends."""
        closed = library("websockets.exceptions").ConnectionClosed
        try:
            while True:
                await self._pace()
                text = await self._socket.recv()
                self._heard()
                self.counts.received += 1
                await self._deal(text)
        except closed:
            return
        finally:
            self._fail("the connection has ended")

    async def call(
        self,
        action: str,
        payload: dict[str, Any],
        late: Callable[[dict[str, Any] | None], None] | None = None,
    ) -> dict[str, Any]:
        """Ask the other side. Raises CallFailedError. `late` is told what comes after all: an answer, or None
        for a CALLERROR."""
        if (fault := fault_of(self.version, action, payload)) is not None:
            raise CallFailedError(fault.code, f"{action} of our own: {fault.why}")
        async with self._lock:
            call = Call(f"{self._life}{next(self._numbers)}", action, payload)
            answer: asyncio.Future[Result | Error] = asyncio.get_running_loop().create_future()
            self._waiting = call.id, answer
            try:
                await self._send(write_call(call))
                async with asyncio.timeout(self._call_timeout_s):
                    got = await answer
            except TimeoutError:
                if late is not None:
                    self._late[call.id] = late
                    for oldest in list(self._late)[:-LATE_MAX]:
                        del self._late[oldest]
                why = f"no answer to {action} within {self._call_timeout_s:g} s"
                raise CallFailedError("Timeout", why) from None
            finally:
                self._waiting = None
        if isinstance(got, Error):
            raise CallFailedError(got.code, got.why)
        if (fault := fault_of(self.version, action, got.payload, answer=True)) is not None:
            self.counts.refused += 1
            raise CallFailedError(fault.code, f"the answer to {action}: {fault.why}")
        return got.payload

    async def ping(self, timeout_s: float) -> None:
        """Raises TimeoutError where no pong comes, ConnectionClosed where there is nobody."""
        async with asyncio.timeout(timeout_s):  # wait_for may swallow that its task is cancelled
            await (await self._socket.ping())
        self._heard()

    # --- in ------------------------------------------------------------------------------------------

    async def _deal(self, text: str | bytes) -> None:
        frame = read(text, self.version)
        match frame:
            case Call():
                await self._answer(frame)
            case Result() | Error():
                if self._waiting is not None and self._waiting[0] == frame.id:
                    if not self._waiting[1].done():
                        self._waiting[1].set_result(frame)
                elif (late := self._late.pop(frame.id, None)) is not None:
                    late(frame.payload if isinstance(frame, Result) else None)
                else:  # late, or to nothing that was asked
                    self.counts.refused += 1
            case Garbage(call_id, fault):
                self.counts.refused += 1
                LOG.debug("a message that is none: %s", fault.why)
                # Nobody can be told what was wrong with a message that has no id: 2.0.1 says so of "-1".
                if call_id is not None:
                    await self._send(write_answer(Error(call_id, fault.code, fault.why)))

    async def _answer(self, call: Call) -> None:
        answer: Answer
        fault = fault_of(self.version, call.action, call.payload)
        if fault is not None:
            answer = fault
        else:
            try:
                async with asyncio.timeout(self._answer_timeout_s):
                    answer = await self._asked(call)
            except TimeoutError:
                answer = Fault("InternalError", f"no answer within {self._answer_timeout_s:g} s")
        if isinstance(answer, dict):
            wrong = fault_of(self.version, call.action, answer, answer=True)
            if wrong is not None:
                LOG.error("our answer to %s is none: %s", call.action, wrong.why)
                answer = Fault("InternalError", "the answer would have been none")
        if isinstance(answer, dict):
            await self._send(write_answer(Result(call.id, answer)))
        else:
            self.counts.refused += 1
            await self._send(write_answer(Error(call.id, answer.code, one_line(answer.why))))

    async def _pace(self) -> None:
        """Wait where too much comes in."""
        now_s = asyncio.get_running_loop().time()
        self._tokens = min(BURST, self._tokens + (now_s - self._tokens_s) * CALLS_EACH_S)
        self._tokens_s = now_s
        if self._tokens < 1.0:
            await asyncio.sleep((1.0 - self._tokens) / CALLS_EACH_S)
        self._tokens -= 1.0

    async def _send(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except library("websockets.exceptions").ConnectionClosed:
            self._fail("the connection has ended")

    def _fail(self, why: str) -> None:
        if self._waiting is not None and not self._waiting[1].done():
            self._waiting[1].set_result(Error(self._waiting[0], "ConnectionLost", why))
