"""Sites of files go through what drawn ones do."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.config import load_site, parse_site
from actors.simulation.faults import draw_plan
from actors.simulation.liveness import LIVE_WITHIN_S
from actors.simulation.mutants import mutated
from actors.simulation.plan import Knobs, Load
from actors.simulation.run import run
from actors.simulation.sites import configured
from actors.site import Site
from tests.simulation.mutants.breaks import BY_NAME

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
BUILDING = """
active_modules:
  root: {module: EnergyManager, connections: {energy_trunk: [hall]}}
  hall:
    module: EnergyNode
    config: {fuse_limit_A: 63, fixed_load_A: 40}
    meter: {driver: modbus, host: 10.0.0.40, model: sdm630}
    connections: {energy_trunk: [e1, e2]}
  e1: {module: EvseManager, config: {connector_id: 1}}
  e2: {module: EvseManager, config: {connector_id: 2}}
"""


def garage() -> Site:
    return load_site(Path(__file__).parents[2] / "configs" / "hierarchical.yaml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_site_that_comes_with_it_holds(path: Path) -> None:
    result = run(3, Knobs(site=configured(load_site(path)), hurt_s=100.0))
    assert [(v.kind, v.text) for v in result.violations] == []
    assert result.events > 100


def test_a_broken_rule_is_seen_at_a_site_of_a_file() -> None:
    site = configured(garage())
    with BY_NAME["raise without room, unchecked"].broken():
        assert any(run(seed, Knobs(site=site, hurt_s=200.0)).violations for seed in range(5))


def test_of_a_fuse_counts_what_the_fixed_load_leaves() -> None:
    site = configured(parse_site(BUILDING, "building"))
    knobs = Knobs(site=site, hurt_s=200.0, meters=0.0)
    held = [run(seed, knobs) for seed in range(4)]
    assert [v for result in held for v in result.violations] == []
    assert 0.9 < max(result.highest_share for result in held) <= 1.0 + 1e-6
    with mutated({"actors.energy.trunk.Trunk._fuse_for_evses": lambda self: self.settings.limits}):
        sold = [run(seed, knobs) for seed in range(4)]
    assert any("through hall, 23 A may" in v.text for result in sold for v in result.violations)


def test_the_meter_of_a_file_is_played_whatever_reads_it() -> None:
    site = configured(parse_site(BUILDING, "building"))
    plan = draw_plan(1, Knobs(site=site, hurt_s=200.0))
    assert max(h.current_A for h in plan.happenings if isinstance(h, Load)) <= 40.0
    assert [run(seed, Knobs(site=site, hurt_s=200.0)).violations for seed in range(4)] == [()] * 4
    with BY_NAME["a silent meter goes on being believed"].broken():
        assert any(run(seed, Knobs(site=site, hurt_s=600.0)).overloads for seed in range(20))


def test_a_site_of_long_intervals_has_longer_to_come_back() -> None:
    text = BUILDING.replace("module: EnergyManager,", "module: EnergyManager, config: {update_interval: 40},")
    slow, fast = (
        run(2, Knobs(site=configured(parse_site(each, "building")), hurt_s=400.0, lost_state=False))
        for each in (text, BUILDING)
    )
    assert fast.liveness.allowed_s == LIVE_WITHIN_S
    assert slow.liveness.allowed_s > 4 * 40.0
    assert slow.violations == ()
