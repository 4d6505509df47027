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
SLOW = 0.9
"""Of the settle time."""
QUICK_S = 0.2
AT_ONCE_A_PER_s = 1000.0
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
            plant["cars"] = [_steady(n, evse, site) for n, evse in enumerate(_evses(site))]
        case "changing":
            end_s = BEGIN_S + story.for_s - LAST_COMES_S
            visits = [_visits(story.seed, n, evse, site, end_s) for n, evse in enumerate(_evses(site))]
            plant["cars"] = [visit for of_one in visits for visit in of_one]
        case "site":
            return plant
    plant.pop("arrivals", None)
    plant.pop("end_s", None)
    return plant


def _evses(site: Site) -> list[str]:
    return [m.id for m in site.modules.values() if isinstance(m.config, EvseManagerConfig)]


def _steady(number: int, evse: str, site: Site) -> dict[str, Any]:
    return {"evse": evse, "kind": "large", **NEVER_FULL, **_temper(site, evse, slow=bool(number % 2))}


def _visits(seed: int, number: int, evse: str, site: Site, end_s: float) -> list[dict[str, Any]]:
    """Cars of all kinds, one after the other; the last comes soon after `end_s` and stays."""
    random = Random(f"{seed}/{evse}")
    visits: list[dict[str, Any]] = []
    at_s = random.uniform(0.0, FIRST_WITHIN_S)
    while at_s < end_s:
        stay_s = min(random.uniform(*STAY_S), max(GAP_S[0], end_s - at_s))
        kind = random.choice([car.kind for car in CATALOGUE.values() if car.max_power_W is not None])
        visits.append({"evse": evse, "at_s": round(at_s, 1), "stay_s": round(stay_s, 1), "kind": kind})
        visits[-1].update({**NEVER_FULL, **_temper(site, evse, slow=random.random() < 0.5)})
        at_s += stay_s + random.uniform(*GAP_S)
    return [*visits, {**_steady(number, evse, site), "at_s": round(at_s, 1)}]


def _temper(site: Site, evse: str, *, slow: bool) -> dict[str, Any]:
    """How a car reacts: nearly as late as it may, or at once. Where the one has not come down yet and the
    other takes all that it is offered, it shows whether somebody was given too much too early."""
    config = site.modules[evse].config
    assert isinstance(config, EvseManagerConfig)
    return {
        "reaction_time_s": SLOW * config.settle_time_s if slow else QUICK_S,
        "ramp_A_per_s": AT_ONCE_A_PER_s,
    }


def _free_ports(count: int) -> list[int]:
    """TCP ports that nobody holds now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
