"""The checker sees what must not be, and only that."""

from __future__ import annotations

from typing import Any

import pytest

from actors.config import parse_site
from actors.energy.external import SavedSource, SavedSources, ShortLimits, short_form
from actors.simulation.checker import Checker
from actors.site import Site

SITE = """
root: {module: EnergyManager, config: {update_interval: 1}, connections: {energy_trunk: [house]}}
house:
  module: EnergyNode
  config: {fuse_limit_A: 40}
  connections: {energy_trunk: [floor, c]}
floor:
  module: EnergyNode
  config: {fuse_limit_A: 32, fallback_limit_A: 10}
  connections: {energy_trunk: [a, b]}
a: {module: EvseManager, config: {settle_time_s: 10}}
b: {module: EvseManager}
c: {module: EvseManager}
"""


@pytest.fixture
def site() -> Site:
    return parse_site(SITE, "test")


def flows(checker: Checker, now_s: float, **currents_A: float) -> None:
    for evse, current_A in currents_A.items():
        checker.flow(now_s, evse, current_A, current_A * 690.0)


def kinds(checker: Checker) -> list[tuple[str, str, float]]:
    return [(v.kind, v.where, v.at_s) for v in checker.violations]


def saved(**limits: Any) -> SavedSources:
    entry = SavedSource(name="grid", limits=short_form(ShortLimits(**limits), "grid"))
    return SavedSources(saved_at_us=0, sources=(entry,))


def test_a_planted_overload_is_seen_once_until_it_ends(site: Site) -> None:
    checker = Checker(site)
    flows(checker, 1.0, a=16.0, b=16.0, c=8.0)
    assert kinds(checker) == []
    flows(checker, 2.0, b=16.1)
    flows(checker, 3.0, a=16.2)
    assert kinds(checker) == [("overload", "floor", 2.0), ("overload", "house", 2.0)]
    assert "a 16 + b 16.1" in checker.violations[0].text
    flows(checker, 4.0, a=0.0)
    flows(checker, 5.0, a=20.0)
    assert len(checker.violations) == 4
    assert checker.highest_share == pytest.approx(44.1 / 40, abs=0.03)


def test_crumbs_are_no_overload(site: Site) -> None:
    checker = Checker(site)
    flows(checker, 1.0, a=16.0 + 1e-6, b=16.0)
    assert kinds(checker) == []


def test_a_lowered_limit_must_be_kept_once_all_before_has_run_out(site: Site) -> None:
    checker = Checker(site)
    flows(checker, 1.0, a=16.0, b=16.0)
    again_s = checker.limits(5.0, "house", saved(ac_max_current_A=20.0))
    assert again_s is not None
    assert again_s == pytest.approx(5.0 + checker.reach_s)
    assert checker.reach_s == pytest.approx(10 * 1.1 / 0.9 + 4 + 11 * 1.1)
    checker.look(again_s - 0.1, "house")
    assert kinds(checker) == []
    checker.look(again_s, "house")
    assert kinds(checker) == [("limit", "house", again_s)]


def test_a_limit_that_was_raised_in_time_or_is_below_the_fallbacks_is_not_missed(site: Site) -> None:
    checker = Checker(site)
    flows(checker, 1.0, a=5.0, b=5.0, c=16.0)
    checker.limits(5.0, "house", saved(ac_max_current_A=20.0))
    checker.limits(6.0, "house", None)
    checker.limits(7.0, "floor", saved(ac_max_current_A=0.0))
    checker.look(5.0 + checker.reach_s, "house")
    checker.look(7.0 + checker.reach_s, "floor")
    assert kinds(checker) == []


def test_watt_limits_count_too(site: Site) -> None:
    checker = Checker(site)
    flows(checker, 1.0, a=16.0)
    until_s = checker.limits(1.0, "floor", saved(total_power_W=9000.0))
    assert until_s is not None
    checker.look(until_s, "floor")
    assert kinds(checker) == [("limit", "floor", until_s)]
