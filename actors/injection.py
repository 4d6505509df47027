"""Faults that a process brings upon itself, as a file says: for tests and acceptance, never in service.

    amptree run … --faults FILE        {"wall_offset_s": 3600, "links": [{"sender": "main", "loss": 1}]}

Whoever hurts replaces the file as a whole; the process looks for a newer one some ten times a second.
No file is no fault. Steady clocks are left alone: a wall clock may jump, they do not.
"""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from actors import clock
from transport import Disturbance, LinkFaults

LOG = logging.getLogger("amptree.faults")

SIZE_MAX_B = 1 << 20
YEAR_S = 366 * 86_400.0


class Orders(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the file says."""

    wall_offset_s: Annotated[float, Meta(ge=-YEAR_S, le=YEAR_S)] = 0.0
    """So much the wall clock is ahead of what it should be."""
    links: tuple[Disturbance, ...] = ()
    """Of what comes in, by its sender."""


class Injection:
    """Does what the file says. `look` is for one thread."""

    def __init__(self, path: Path) -> None:
        self.links = LinkFaults(Random(f"{path}"))
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._orders = Orders()

    def look(self) -> None:
        """Read the file if it is another one than before; one that cannot be read is told and ignored."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen == self._seen:
                return
            self._seen = seen
            with open(self._path, "rb") as file:
                orders = msgspec.json.decode(file.read(SIZE_MAX_B), type=Orders)
        except FileNotFoundError:
            self._seen, orders = None, Orders()
        except (OSError, msgspec.MsgspecError) as error:
            LOG.error("%s: not read, what it said before goes on: %s", self._path, error)
            return
        if orders != self._orders:
            self._orders = orders
            self.links.disturb(orders.links)
            clock.set_wall_ahead(orders.wall_offset_s)
            LOG.warning("faults on purpose: %s", msgspec.json.encode(orders).decode())
