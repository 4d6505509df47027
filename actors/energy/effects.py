"""What a core asks its actor to do. A step returns a list of these; the actor only carries them out."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from actors.energy.external import SavedSources
from actors.energy.messages import Actuate, Command, Grant, Outcome, Report
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig

Level = Literal["debug", "info", "warning", "error"]


class ToParent(Struct, frozen=True):
    """Send up the tree."""

    message: Report | Outcome


class ToChild(Struct, frozen=True):
    """Send down one branch."""

    child: str
    message: Grant | Command


class ToDriver(Struct, frozen=True):
    """Send to the EVSE's hardware."""

    message: Actuate


class ToGateway(Struct, frozen=True):
    """Answer who asked, in this process."""

    message: Outcome


class Say(Struct, frozen=True):
    """Write to the log."""

    level: Level
    text: str


class Save(Struct, frozen=True):
    """Keep for the next life of this module; outcomes that follow it tell when that failed."""

    sources: SavedSources


class KeepEpoch(Struct, frozen=True):
    """Write a new epoch to stable storage, and come back with EpochKept before anything else."""

    epoch: int


class RunMarket(Struct, frozen=True):
    """Run the market on this request and come back with the answer."""

    request: EnergyFlowRequest
    config: EnergyManagerConfig
    start_us: int
    trace: bool
    forecast: bool = True
    """Also for the slots to come."""


Effect = ToParent | ToChild | ToDriver | ToGateway | Say | Save | KeepEpoch | RunMarket
