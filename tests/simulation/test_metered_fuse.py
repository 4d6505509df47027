"""What of a fuse must be free for a measured load, and from when on."""

from __future__ import annotations

import pytest

from actors.energy.fixed_load import UNSTEADY_S, MeterConfig
from actors.simulation.clocks import RHO
from actors.simulation.faults import draw_plan
from actors.simulation.loads import own_load_A
from actors.simulation.metered_fuse import MeteredFuse
from actors.simulation.plan import Knobs, Load, MeterFails
from actors.simulation.sites import draw_site

METER = MeterConfig(timeout_s=10.0, frozen_s=60.0, lag_s=0.5, margin_A=1.0)
REACH_S = 30.0


@pytest.fixture
def fuse() -> MeteredFuse:
    return MeteredFuse(32.0, 20.0, METER, REACH_S)


def test_cars_never_have_the_margin(fuse: MeteredFuse) -> None:
    assert fuse.may_A(0.0) == 31.0
    assert MeteredFuse(32.0, 0.5, METER, REACH_S).may_A(0.0) == 31.5, "no more than what is declared is kept"


def test_a_load_that_rose_is_free_in_the_end_whatever_is_known(fuse: MeteredFuse) -> None:
    latest_s = METER.lag_s + (METER.frozen_s + UNSTEADY_S) / (1 - RHO) + REACH_S
    assert fuse.becomes(5.0, 12.0) == pytest.approx(5.0 + latest_s)
    assert fuse.may_A(4.9 + latest_s) == 31.0
    assert fuse.may_A(5.1 + latest_s) == 20.0


def test_what_is_known_is_free_sooner_as_far_as_it_is_so(fuse: MeteredFuse) -> None:
    fuse.becomes(0.0, 12.0)
    assert fuse.knows(1.0, 8.0) == 1.0 + REACH_S
    assert fuse.knows(2.0, 7.0) is None, "that is nothing new"
    assert fuse.knows(3.0, 20.0) == 3.0 + REACH_S
    assert [fuse.may_A(s + REACH_S) for s in (0.9, 1.0, 2.9, 3.0)] == [31.0, 24.0, 24.0, 20.0]


def test_a_load_that_falls_is_forgotten_also_before_it_had_to_be_free(fuse: MeteredFuse) -> None:
    fuse.becomes(0.0, 12.0)
    fuse.knows(0.0, 12.0)
    fuse.becomes(10.0, 5.0)
    fuse.becomes(11.0, 15.0)
    assert fuse.may_A(REACH_S) == 27.0
    assert fuse.may_A(1000.0) == 17.0


def test_drawn_loads_stay_within_what_is_declared_and_nothing_else_is_moved_by_them() -> None:
    metered = 0
    for seed in range(40):
        knobs, bare = Knobs(evses=4, meters=1.0), Knobs(evses=4, meters=0.0)
        plan, without = draw_plan(seed, knobs), draw_plan(seed, bare)
        loads = [h for h in plan.happenings if isinstance(h, Load)]
        assert all(load.current_A <= own_load_A(plan.site, load.node) + 1e-9 for load in loads)
        assert not any(isinstance(h, Load | MeterFails) for h in without.happenings)
        assert list(plan.site.modules) == list(without.site.modules)
        assert draw_site(seed, bare) == draw_site(seed, Knobs(evses=4, tight=True))
        metered += any(m.meter is not None for m in plan.site.modules.values())
    assert metered > 20
