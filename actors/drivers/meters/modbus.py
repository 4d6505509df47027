"""Meters that are read over Modbus, by pymodbus on an event loop: one connection for all behind one address.

    connect ──► read each meter when it is due ──► an answer is late or spoiled: connect anew

A request that was not answered in time may be answered later, and RTU frames do not tell to what request they
are an answer; so after any doubt the connection is made anew. A reading has all its phases or is none.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from actors import clock
from actors.drivers.meters.links import Job, ModbusMeter
from actors.drivers.meters.telling import Teller
from actors.drivers.meters.values import NotAReadingError, blocks, currents
from actors.event_loop import EventLoop

LOG = logging.getLogger("amptree.meters")

REMEDY = "pip install 'amptree[modbus]'"
ANSWER_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 3.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 1.0, 10.0
ASK_AGAIN_S = 3.0
"""A meter that did not answer is asked again after this, so that it does not hold up others behind the same
address for good."""
GAP_S = 0.02
"""Between two requests on a line; some meters want it."""
WORDS = {
    1: "it does not know this function",
    2: "it has no such registers",
    3: "it does not take this request",
    4: "it has failed",
    6: "it is busy",
    10: "the gateway has no way to it",
    11: "it does not answer the gateway",
}
"""Of the protocol's exceptions."""


class _NotConnectedError(Exception):
    """There is no connection, or none that could be gone on with; the text says why."""


class ModbusMeters:
    """Reads meters over Modbus."""

    def __init__(self, jobs: Iterable[Job], teller: Teller) -> None:
        self._teller = teller
        self._lines: dict[tuple[str, int, str], list[Job]] = {}
        for job in jobs:
            link = job.link
            assert isinstance(link, ModbusMeter)
            self._lines.setdefault((link.host, link.port, link.framer), []).append(job)
        self._loop: EventLoop | None = None
        self._tasks: list[Future[None]] = []

    def tick(self) -> None:
        """Begin to read, if that is not so yet, or has ended."""
        if self._loop is not None and self._loop.running() and not any(task.done() for task in self._tasks):
            return
        self.stop()
        try:
            make = _import_pymodbus()
        except ImportError:
            self._all_trouble(f"Modbus needs pymodbus 3.8 or later: {REMEDY}")
            return
        self._loop = EventLoop("modbus meters")
        self._loop.start()
        self._tasks = [
            self._loop.task(_Line(make, jobs, self._teller).run()) for jobs in self._lines.values()
        ]

    def stop(self) -> None:
        """End; idempotent."""
        if self._loop is not None:
            self._loop.stop()
            self._loop = None

    def _all_trouble(self, why: str) -> None:
        for jobs in self._lines.values():
            for job in jobs:
                self._teller.trouble(job.node, why)


class _Line:
    """All meters behind one address. On the event loop."""

    def __init__(self, make: Any, jobs: list[Job], teller: Teller) -> None:
        self._make = make
        self._jobs = jobs
        self._teller = teller
        link = jobs[0].link
        assert isinstance(link, ModbusMeter)
        self._where = link
        self._due_s = dict.fromkeys((job.node for job in jobs), 0.0)
        self._answered = False

    async def run(self) -> None:
        """For good."""
        wait_s = RECONNECT_MIN_S
        while True:
            self._answered = False
            try:
                await self._connected()
            except _NotConnectedError as error:
                for job in self._jobs:
                    self._teller.trouble(job.node, str(error))
            except Exception as error:  # whatever it is: the line is begun anew
                LOG.exception("reading %s failed", self._where.address())
                for job in self._jobs:
                    self._teller.trouble(job.node, f"reading it failed: {error}")
            wait_s = RECONNECT_MIN_S if self._answered else min(2 * wait_s, RECONNECT_MAX_S)
            await asyncio.sleep(wait_s)

    async def _connected(self) -> None:
        """Read until there is doubt. Raises _NotConnectedError if there is no connection."""
        address = self._where.address()
        client = self._make(self._where)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if not await client.connect():
                    raise _NotConnectedError(f"not connected with {address}: {await self._why()}")
        except TimeoutError:
            raise _NotConnectedError(f"not connected with {address}: it does not answer") from None
        else:
            while await self._turn(client):
                pass
        finally:
            client.close()

    async def _why(self) -> str:
        """Why there is no connection, which pymodbus does not tell."""
        try:
            _, writer = await asyncio.open_connection(self._where.host, self._where.port)
        except OSError as error:
            number = error.errno or 0
            return os.strerror(number) if number > 0 else error.strerror or str(error)
        writer.close()
        return "it closes the connection"

    async def _turn(self, client: Any) -> bool:
        """Read the meter that is due next; False: there is doubt about the connection."""
        job = min(self._jobs, key=lambda each: self._due_s[each.node])
        link = job.link
        assert isinstance(link, ModbusMeter)
        await asyncio.sleep(max(GAP_S, self._due_s[job.node] - clock.steady_s()))
        begin_s = clock.steady_s()
        self._due_s[job.node] = begin_s + link.interval_s
        try:
            reading = await _read(client, job, link)
            self._answered = True
            took_s = clock.steady_s() - begin_s
            if took_s > job.lag_s:
                raise NotAReadingError(f"reading it takes {took_s:.1f} s, more than lag_s")
        except NotAReadingError as error:
            self._answered = True
            self._teller.trouble(job.node, str(error))
        except _SilentError as error:
            if len(self._jobs) > 1:
                self._due_s[job.node] = clock.steady_s() + ASK_AGAIN_S
            self._teller.trouble(job.node, f"unit {link.unit_id} at {link.address()}: {error}")
            return False
        else:
            self._teller.reading(job.node, reading)
        return True


class _SilentError(Exception):
    """No answer, or none that can be."""


async def _read(client: Any, job: Job, link: ModbusMeter) -> Any:
    """A whole reading. Raises NotAReadingError and _SilentError."""
    from pymodbus.exceptions import ModbusException

    registers = link.registers
    ask = client.read_holding_registers if registers.function == "holding" else client.read_input_registers
    code = 3 if registers.function == "holding" else 4
    unit = {unit_keyword(ask): link.unit_id}
    read: dict[int, int] = {}
    for start, count in blocks(registers):
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await ask(start, count=count, **unit)
        except TimeoutError:
            raise _SilentError(f"no answer within {ANSWER_TIMEOUT_S:g} s") from None
        except ModbusException as error:
            raise _SilentError(str(error)) from None
        if answer.isError():
            number = getattr(answer, "exception_code", None)
            if number is None:
                raise _SilentError(str(answer))
            what = WORDS.get(number, f"exception {number}")
            raise NotAReadingError(f"unit {link.unit_id} at {link.address()} refuses: {what}")
        words = getattr(answer, "registers", [])
        if answer.function_code != code or len(words) != count:
            raise _SilentError("an answer to something else")
        read.update(enumerate(words, start))
    return currents(registers, read, job.voltage_V)


def unit_keyword(ask: Any) -> str:
    """How pymodbus calls the unit: device_id from 3.10 on, slave before."""
    return "device_id" if "device_id" in inspect.signature(ask).parameters else "slave"


def _import_pymodbus() -> Any:
    """What makes a client. Raises ImportError."""
    from pymodbus import FramerType
    from pymodbus.client import AsyncModbusTcpClient

    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # what it says we say, within bounds

    def make(link: ModbusMeter) -> Any:
        return AsyncModbusTcpClient(
            link.host,
            port=link.port,
            framer=FramerType.RTU if link.framer == "rtu" else FramerType.SOCKET,
            timeout=2 * ANSWER_TIMEOUT_S,  # ours is the one that counts
            retries=0,
            reconnect_delay=0,  # connecting anew is ours, too: it must be known when that was
        )

    return make
