"""Driver of EVSEs and meters that a plant plays: one connection for all of a process.

It watches them from the first tick on, each second, so that a restarted plant or driver finds the
other again. Its life has a name of its own: the plant serves the driver that began to watch last.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from actors import identities
from actors.energy.fixed_load import MeterReading
from actors.energy.messages import Actuate, Reading
from actors.plant.messages import Commands, Readings, Watch
from transport import Delivery, Wire

WATCH_MAX = 2_000
"""EVSEs named in one message, which has a bound."""


class PlantDriver:
    """Serves the EVSEs `ids` and reads the meters of nodes. What is called is called on the wire's thread."""

    def __init__(
        self,
        wire: Wire,
        address: str,
        ids: Iterable[str],
        on_reading: Callable[[str, Reading], None],
        meters: Iterable[str] = (),
        on_meter: Callable[[str, MeterReading], None] = lambda node, reading: None,
    ) -> None:
        """Raises AddressError if the address is malformed; an absent plant is no error."""
        self._life = secrets.token_hex(8)
        self._ids = tuple(ids)
        self._served = frozenset(self._ids)
        self._on_reading = on_reading
        self._meters = tuple(meters)
        self._on_meter = on_meter
        self._port = wire.connect(address, self._on_message, name="plant", peer=identities.PLANT)
        self._commands = self._port.pile(Commands)

    def actuate(self, evse_id: str, command: Actuate) -> bool:
        """Command an EVSE; a newer command takes the place of one that still waits."""
        return self._port.put(self._commands, evse_id, command)

    def tick(self) -> None:
        """Watch all EVSEs and meters."""
        for start in range(0, len(self._ids), WATCH_MAX):
            some = self._ids[start : start + WATCH_MAX]
            self._port.send(Watch(driver=self._life, evses=some), key=("watch", start))
        if self._meters:
            self._port.send(Watch(driver=self._life, evses=(), meters=self._meters), key="watch meters")

    def stop(self) -> None:
        """The wire ends its connection."""

    def _on_message(self, delivery: Delivery) -> None:
        message = delivery.message
        if isinstance(message, Readings):
            for evse_id, reading in message.evses.items():
                if evse_id in self._served:
                    self._on_reading(evse_id, reading)
        elif isinstance(message, MeterReading) and delivery.source in self._meters:
            self._on_meter(delivery.source, message)
