"""The actor of an EvseManager."""

from __future__ import annotations

from actors.energy.evse import EvseCore
from actors.loop import LoopActor
from actors.tree_actor import TreeActor


class EvseManager(TreeActor, LoopActor):
    """One charge point, on one thread with all others of its controller."""

    core: EvseCore
