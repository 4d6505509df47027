"""The site's file as a chaos run needs it: all on this machine, and cars that make the tree busy."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import yaml

from actors.plant.catalogue import CATALOGUE
from actors.site import EvseManagerConfig, Site
from tools.chaos.story import Story

STAY_S = (15.0, 90.0)
GAP_S = (3.0, 20.0)
LAST_COMES_S = 30.0
"""Before the end of the faults: those cars stay, so that it can be told whether the site is at work."""
FIRST_WITHIN_S = 10.0
BEGIN_S = 20.0
"""A story begins about so long after its plant."""
NEVER_FULL = {"battery_kWh": 5000.0, "soc_percent": 1.0, "target_percent": 100.0}


def write_site_file(site: Site, story: Story, path: Path) -> None:
    """Write the file of `site` anew: controllers on free ports of this machine, the story's cars, and
    breakers that tell and do not cut, so that an overload cannot hide the next one."""
    data: dict[str, Any] = yaml.safe_load(Path(site.path).read_text(encoding="utf-8-sig"))
    data["site"] = site.name
    listening = [c for c in (data.get("controllers") or {}).values() if "listen" in c]
    for controller, port in zip(listening, _free_ports(len(listening)), strict=True):
        controller["listen"] = f"tcp://127.0.0.1:{port}"
    data["plant"] = plant_section(site, story)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def plant_section(site: Site, story: Story) -> dict[str, Any]:
    """The `plant:` section for a story, without an address."""
    plant = {**site.plant.story, "breakers": "record"}
    match story.cars:
        case "steady":
            plant["cars"] = [_steady(evse) for evse in _evses(site)]
        case "changing":
            end_s = BEGIN_S + story.for_s - LAST_COMES_S
            plant["cars"] = [visit for evse in _evses(site) for visit in _visits(story.seed, evse, end_s)]
        case "site":
            return plant
    plant.pop("arrivals", None)
    plant.pop("end_s", None)
    return plant


def _evses(site: Site) -> list[str]:
    return [m.id for m in site.modules.values() if isinstance(m.config, EvseManagerConfig)]


def _steady(evse: str) -> dict[str, Any]:
    return {"evse": evse, "kind": "large", **NEVER_FULL}


def _visits(seed: int, evse: str, end_s: float) -> list[dict[str, Any]]:
    """Cars of all kinds, one after the other; the last comes soon after `end_s` and stays."""
    random = Random(f"{seed}/{evse}")
    visits: list[dict[str, Any]] = []
    at_s = random.uniform(0.0, FIRST_WITHIN_S)
    while at_s < end_s:
        stay_s = random.uniform(*STAY_S)
        kind = random.choice([car.kind for car in CATALOGUE.values() if car.max_power_W is not None])
        visits.append({"evse": evse, "at_s": round(at_s, 1), "stay_s": round(stay_s, 1), "kind": kind})
        visits[-1].update(NEVER_FULL)
        at_s += stay_s + random.uniform(*GAP_S)
    return [*visits, {**_steady(evse), "at_s": round(at_s, 1)}]


def _free_ports(count: int) -> list[int]:
    """TCP ports that nobody holds now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
