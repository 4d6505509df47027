"""Drawn sites are what the configuration would accept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from actors.config import parse_site
from actors.simulation.plan import Knobs
from actors.simulation.sites import draw_site
from actors.site import EvseManagerConfig, Site


def as_yaml(site: Site) -> str:
    """The file that would describe it."""
    modules: dict[str, Any] = {}
    for module in site.modules.values():
        modules[module.id] = {
            "module": module.kind,
            "config": {k: v for k, v in msgspec.to_builtins(module.config).items() if v is not None},
        }
        if module.meter is not None:
            modules[module.id]["meter"] = msgspec.to_builtins(module.meter)
        if module.children:
            modules[module.id]["connections"] = {"energy_trunk": list(module.children)}
    controllers = {c.name: {"modules": list(c.modules)} for c in site.controllers.values()}
    return yaml.safe_dump({"active_modules": modules, "controllers": controllers})


@pytest.mark.parametrize("seed", range(60))
def test_a_drawn_site_is_a_sound_configuration(seed: int) -> None:
    site = draw_site(seed, Knobs(deep=True if seed % 10 == 0 else None, meters=float(seed % 2)))
    read = parse_site(as_yaml(site), "drawn")
    assert read.digest == site.digest
    assert list(read.modules) == list(site.modules)


def test_sizes_and_depths_are_as_asked() -> None:
    for count in (1, 20, 300, 1000):
        site = draw_site(3, Knobs(evses=count))
        assert sum(isinstance(m.config, EvseManagerConfig) for m in site.modules.values()) == count
    for most in (1, 4):
        drawn = [draw_site(seed, Knobs(evses=20, panels=most)) for seed in range(20)]
        assert max(sum(m.kind == "EnergyNode" for m in site.modules.values()) for site in drawn) == most
    depths = [
        max(len(site.path_to_root(m)) for m in site.modules)
        for site in (draw_site(s, Knobs(deep=True)) for s in range(20))
    ]
    assert max(depths) >= 9
