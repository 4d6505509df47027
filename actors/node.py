"""The actor of an EnergyNode."""

from __future__ import annotations

from actors.energy.node import NodeCore
from actors.tree_actor import TreeActor


class EnergyNode(TreeActor):
    """One sub-panel."""

    core: NodeCore
