"""What the plant's tests share: small sites, and time that goes on in steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from actors.config import parse_site
from actors.energy.messages import Actuate
from actors.plant.installation import Installation
from actors.plant.story import parse_story
from actors.site import Site

STEP_s = 0.05
WAIT_S = 10.0
"""Limit of every wait on real processes and sockets."""


def make_site(plant: dict[str, Any] | None = None, **evses: dict[str, Any]) -> Site:
    """root ── panel (63 A) ── EVSEs; by default one named evse_1."""
    modules: dict[str, Any] = {
        "root": {"module": "EnergyManager", "connections": {"energy_trunk": ["panel"]}},
        "panel": {"module": "EnergyNode", "config": {"fuse_limit_A": 63}},
    }
    for name, config in (evses or {"evse_1": {}}).items():
        modules[name] = {
            "module": "EvseManager",
            "config": config,
            "connections": {"energy_grid": "panel"},
        }
    data: dict[str, Any] = {"site": "test", "active_modules": modules}
    if plant is not None:
        data["plant"] = plant
    return parse_site(yaml.safe_dump(data, sort_keys=False), "test")


def make_installation(plant: dict[str, Any], **evses: dict[str, Any]) -> Installation:
    """That site's installation; its time begins at 0."""
    site = make_site(plant, **evses)
    return Installation(site, parse_story(site.plant.story, site), 0.0)


def steps(installation: Installation, until_s: float, step_s: float = STEP_s) -> Iterator[float]:
    """Go on to `until_s`, stopping at each step."""
    first = round(installation.now_s / step_s) + 1
    for k in range(first, round(until_s / step_s) + 1):
        installation.step(k * step_s)
        yield installation.now_s


def go(installation: Installation, until_s: float) -> None:
    """Go on to `until_s`."""
    for _ in steps(installation, until_s):
        pass


def command(installation: Installation, evse: str = "evse_1", **changes: Any) -> None:
    """Actuate an EVSE now; refused is a failure."""
    values: dict[str, Any] = {
        "t_echo_s": installation.now_s,
        "duration_s": 3600.0,
        "limit_A": 32.0,
        "phase_count": 3,
        **changes,
    }
    assert installation.actuate(installation.now_s, evse, Actuate(**values)) is None


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another thread or process brings about."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain: {what}"
        time.sleep(0.005)
