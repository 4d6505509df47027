"""Sites to measure: a root, a node a controller, and cars that charge without end at every EVSE.

energy_root ─┬─ floor_1 ─┬─ evse_1        each floor a process of its own,
             │           └─ …             or all in one where there is one controller only
             └─ floor_2 …                 (then of up to FLOOR_EVSES each)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

FLOOR_EVSES = 100
ROOT = "energy_root"
SOURCE = "grid"
HIGH_A, LOW_A = 12.0, 8.0
"""For each EVSE, as the site's limit allows; both are more than a car's minimum, and less than its most."""
NEVER_FULL = {"battery_kWh": 5000.0, "soc_percent": 1.0, "target_percent": 100.0}


class Size(Struct, frozen=True, kw_only=True):
    """How large a site is."""

    evses: int
    controllers: int
    """Those that host EVSEs; where there is more than one, the root has another of its own."""

    @property
    def name(self) -> str:
        """Short."""
        return f"{self.evses} on {self.controllers}"

    @property
    def what(self) -> str:
        """In words."""
        plural = "" if self.controllers == 1 else "s"
        return f"{self.evses:,} EVSEs on {self.controllers} controller{plural}"


def evse_names(size: Size) -> list[str]:
    """All EVSEs, in the order of the tree."""
    return [f"evse_{n + 1}" for n in range(size.evses)]


def site_data(size: Size, name: str) -> dict[str, Any]:
    """The site's file. No fuse binds but the site's limit, so that all EVSEs have the same share of it."""
    evses = evse_names(size)
    count = size.controllers if size.controllers > 1 else -(-size.evses // FLOOR_EVSES)
    floors = [f"floor_{n + 1}" for n in range(count)]
    below = {floor: evses[n::count] for n, floor in enumerate(floors)}
    modules: dict[str, Any] = {
        ROOT: {
            "module": "EnergyManager",
            "connections": {"energy_trunk": floors},
            "external_limits": {SOURCE: {"limit": {"ac_max_current_A": HIGH_A * size.evses}}},
        }
    }
    for floor, its in below.items():
        modules[floor] = {
            "module": "EnergyNode",
            "config": {"fuse_limit_A": 40.0 * len(its)},
            "connections": {"energy_trunk": its},
        }
    for n, evse in enumerate(evses):
        modules[evse] = {"module": "EvseManager", "config": {"connector_id": n + 1}}
    data: dict[str, Any] = {"site": name, "active_modules": modules}
    if size.controllers == 1:
        data["controllers"] = {"all": {"modules": [ROOT, *floors]}}
    cars = [{"evse": evse, "kind": "large", **NEVER_FULL} for evse in evses]
    data["plant"] = {"seed": 1, "breakers": "record", "cars": cars}
    return data


def write_site(size: Size, name: str, folder: Path) -> Path:
    """Write the site's file into a folder."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.dump(site_data(size, name), Dumper=_DUMPER, sort_keys=False), encoding="utf-8")
    return path


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
