"""A Modbus meter of a test's own, on a free port: pymodbus's server, or one that answers nonsense."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from actors.event_loop import EventLoop
from tests.integration.conftest import free_ports

FIRST = 6
"""Where the currents stand, as float32: an SDM630."""


class ModbusMeter:
    """One unit, or more, behind one port. It can be stopped and started again there."""

    def __init__(self, *units: int, framer: FramerType = FramerType.SOCKET) -> None:
        (self.port,) = free_ports(1)
        self.currents_A: dict[int, tuple[float, float, float]] = dict.fromkeys(units or (1,), (1.0, 2.0, 3.0))
        self.refuses = False
        self.pause_s = dict.fromkeys(self.currents_A, 0.0)
        self.asked = 0
        self._framer = framer
        self._loop = EventLoop("modbus server")
        self._loop.start()
        self._server: Any = None

    def start(self) -> None:
        """Listen."""
        self._loop.task(self._start()).result(10.0)

    def stop(self) -> None:
        """Drop all connections, and listen no more."""
        self._loop.task(self._stop()).result(10.0)

    def end(self) -> None:
        """For good."""
        self.stop()
        self._loop.stop()

    async def _start(self) -> None:
        devices = [
            SimDevice(unit, [SimData(FIRST, count=6, datatype=DataType.REGISTERS)], action=self._action(unit))
            for unit in self.currents_A
        ]
        address = ("127.0.0.1", self.port)
        self._server = ModbusTcpServer(devices, framer=self._framer, address=address)
        await self._server.serve_forever(background=True)

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()
            self._server = None

    def _action(self, unit: int) -> Any:
        async def action(*asked: Any) -> ExcCodes | None:
            self.asked += 1
            await asyncio.sleep(self.pause_s[unit])
            if self.refuses:
                return ExcCodes.DEVICE_FAILURE
            _, start, address, count, registers = asked[:5]
            packed = struct.pack(">3f", *self.currents_A[unit])
            words = [int.from_bytes(packed[n : n + 2], "big") for n in range(0, 12, 2)]
            for n in range(address, address + count):
                registers[n - start] = words[n - FIRST]
            return None

        return action


@contextmanager
def modbus_meter(*units: int, framer: FramerType = FramerType.SOCKET) -> Iterator[ModbusMeter]:
    """One that runs."""
    meter = ModbusMeter(*units, framer=framer)
    meter.start()
    try:
        yield meter
    finally:
        meter.end()


Answer = Callable[[bytes, asyncio.StreamWriter], None]


@contextmanager
def nonsense(answer: Answer) -> Iterator[int]:
    """The port of one that answers whatever comes as it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await reader.read(1024):
                answer(asked, writer)
        except OSError:
            pass
        finally:
            writer.close()

    loop = EventLoop("nonsense")
    loop.start()
    server = loop.task(asyncio.start_server(serve, "127.0.0.1", 0)).result(10.0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.soon(server.close)
        loop.stop()
