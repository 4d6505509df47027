"""The actor of an EvseManager."""

from __future__ import annotations

from actors.energy.evse import EvseCore
from actors.tree_actor import TreeActor


class EvseManager(TreeActor):
    """One charge point."""

    core: EvseCore
