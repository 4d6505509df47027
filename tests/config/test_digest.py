"""The digest changes with what must be the same on every controller, and with nothing else."""

from __future__ import annotations

import pytest

from actors.config import parse_site

SITE = """
active_modules:
  root: {module: EnergyManager, connections: {energy_trunk: [node, evse_2]}}
  node:
    module: EnergyNode
    config: {fuse_limit_A: 32, phase_count: 3}
    connections: {energy_trunk: [evse_1]}
  evse_1: {module: EvseManager, config: {priority: 1}}
  evse_2: {module: EvseManager}
controllers:
  main: {listen: "tcp://h:1", modules: [root]}
  floor: {listen: "tcp://h:2", modules: [node]}
"""


def digest(text: str) -> str:
    return parse_site(text, "test").digest


def test_it_is_short_hexadecimal() -> None:
    assert len(digest(SITE)) == 16
    int(digest(SITE), 16)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "config: {fuse_limit_A: 32, phase_count: 3}",
            "config: {phase_count: 3, fuse_limit_A: 32.0}  # changed",
        ),
        ("fuse_limit_A: 32, phase_count: 3", "fuse_limit_A: 32"),
        ("config:", "config_module:"),
        ("root: {module: EnergyManager,", "root: {module: EnergyManager, config: {update_interval: 1},"),
        (
            "root: {module: EnergyManager,",
            "root: {module: EnergyManager, config: {switch_3ph1ph_power_hysteresis_W: 200.0},",
        ),
        ("evse_2: {module: EvseManager}", "evse_2: {module: EvseManager, connections: {energy_grid: root}}"),
        (
            "root: {module: EnergyManager,",
            "root: {module: EnergyManager, external_limits: {grid: {limit: {total_power_W: 5}}},",
        ),
        ("active_modules:", "site: other\nplant: {cars: []}\nactive_modules:"),
        (
            '  main: {listen: "tcp://h:1", modules: [root]}\n  floor: {listen: "tcp://h:2", modules: [node]}',
            '  floor: {listen: "tcp://h:2", modules: [node]}\n  main: {listen: "tcp://h:1", modules: [root]}',
        ),
    ],
)
def test_it_stays_the_same(old: str, new: str) -> None:
    assert old in SITE
    assert digest(SITE.replace(old, new)) == digest(SITE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fuse_limit_A: 32", "fuse_limit_A: 33"),
        ("priority: 1", "priority: 2"),
        ("[node, evse_2]", "[evse_2, node]"),
        ("priority: 1", "priority: 1, fallback_limit_A: 6"),
        ("tcp://h:2", "tcp://h:3"),
        ("modules: [node]", "modules: [node, evse_2]"),
        ("evse_1", "evse_one"),
    ],
)
def test_it_changes(old: str, new: str) -> None:
    assert old in SITE
    assert digest(SITE.replace(old, new)) != digest(SITE)


def test_it_tells_trees_apart_whose_modules_stand_in_the_same_order() -> None:
    flat = """
active_modules:
  root: {module: EnergyManager, connections: {energy_trunk: [a, b]}}
  a: {module: EnergyNode}
  b: {module: EnergyNode}
controllers: {main: {modules: [root]}}
"""
    nested = flat.replace("[a, b]", "[a]").replace(
        "a: {module: EnergyNode}", "a: {module: EnergyNode, connections: {energy_trunk: [b]}}"
    )
    assert list(parse_site(flat, "flat").modules) == list(parse_site(nested, "nested").modules)
    assert digest(flat) != digest(nested)
