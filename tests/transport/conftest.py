from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.transport.helpers import RawDealer, keys, make_registry, raw_dealers
from transport import Wire

MakeWire = Callable[..., Wire]


@pytest.fixture
def make_wire() -> Iterator[MakeWire]:
    """Makes wires by name, started unless `start=False`, all of them stopped in the end."""
    wires: list[Wire] = []

    def make(name: str, *, start: bool = True) -> Wire:
        wire = Wire(name=name, registry=make_registry(), keys=keys(name))
        wires.append(wire)
        if start:
            wire.start()
        return wire

    yield make
    stopped = [wire.stop() for wire in wires]
    assert all(stopped)


@pytest.fixture
def raw_dealer() -> Iterator[RawDealer]:
    """Makes raw sockets to throw garbage with."""
    with raw_dealers() as make:
        yield make
