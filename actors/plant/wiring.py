"""Which phases each module of a site is wired to.

A module with as many phases as its parent is wired straight through. One with fewer takes some of
its parent's, rotated by its position among its siblings, as installers spread single-phase loads:

    panel L1 L2 L3 ──┬── evse_1 (3)  L1 L2 L3
                     ├── evse_2 (1)     L2
                     └── evse_3 (1)        L3

Phases are numbered 0, 1, 2. The order matters: a single-phase car draws on its EVSE's first.
"""

from __future__ import annotations

from actors.energy.modules import EvseManagerConfig
from actors.site import Site

PhaseSet = tuple[int, ...]


def wire(site: Site) -> dict[str, PhaseSet]:
    """The phases of each module."""
    wired: dict[str, PhaseSet] = {site.root: (0, 1, 2)}
    for module in site.modules.values():  # parents before children
        available = wired[module.id]
        for position, child in enumerate(module.children):
            count = min(site.phase_count(child), len(available))
            first = 0 if count == len(available) else position
            wired[child] = tuple(available[(first + k) % len(available)] for k in range(count))
    return wired


def evse_configs(site: Site) -> dict[str, EvseManagerConfig]:
    """The configuration of each EVSE that it plays, in the tree's order."""
    return {
        m.id: m.config
        for m in site.modules.values()
        if isinstance(m.config, EvseManagerConfig) and m.config.driver == "plant"
    }
