"""Drivers: what connects an EVSE's actor with its hardware."""

from __future__ import annotations

from typing import Protocol

from actors.energy.messages import Actuate


class DriverError(Exception):
    """A driver cannot be as configured; the message says why, and what to do, in one line."""


class Driver(Protocol):
    """Reaches the hardware of some EVSEs; readings go to the callback that it was made with."""

    def actuate(self, evse_id: str, command: Actuate) -> bool:
        """Command an EVSE's hardware; False: it surely did not go out. Never blocks."""

    def tick(self) -> None:
        """Called each second by its owner, for what must be said regularly."""

    def stop(self) -> None:
        """End; called once, whether it was ever ticked or not. What the hardware was told runs out."""
