"""With nothing broken: how soon a change is in force at any depth, and that it is the market's answer.

root ── shared (32 A) ─┬─ left_1 ── … ── left_n ── a
                       └─ right_1 ── … ── right_n ── b         each node in a process of its own
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import yaml

import actors.simulation.bench
from actors.config import parse_site
from actors.simulation.clocks import Clock, draw_clock
from actors.simulation.liveness import share_in_force
from actors.simulation.plan import Car, Cut, Plan, Plug, Unplug
from actors.simulation.world import World
from actors.site import Site

FUSE_A = 32.0
SETTLE_S = 11.0
CALM_S = 120.0
"""Long enough for everything to be settled with the first car."""
CAR = Car(max_current_A=32.0, reaction_s=SETTLE_S)


def site(depth: int, interval_s: int, fallback_A: float) -> Site:
    """`depth` levels of nodes below the root."""
    modules: dict[str, Any] = {
        "root": {
            "module": "EnergyManager",
            "config": {"update_interval": interval_s},
            "connections": {"energy_trunk": ["shared"]},
        },
        "shared": {"module": "EnergyNode", "config": {"fuse_limit_A": FUSE_A}},
    }
    controllers: dict[str, Any] = {"root": {"modules": ["root"], "listen": "tcp://127.0.0.1:1"}}
    controllers["shared"] = {"modules": ["shared"], "listen": "tcp://127.0.0.1:2"}
    for side, evse in (("left", "a"), ("right", "b")):
        parent = "shared"
        for level in range(1, depth):
            node = f"{side}_{level}"
            modules[node] = {"module": "EnergyNode", "connections": {"energy_grid": parent}}
            controllers[node] = {"modules": [node], "listen": f"tcp://127.0.0.1:{len(controllers) + 1}"}
            parent = node
        modules[evse] = {
            "module": "EvseManager",
            "config": {"fallback_limit_A": fallback_A, "settle_time_s": SETTLE_S},
            "connections": {"energy_grid": parent},
        }
    return parse_site(yaml.safe_dump({"active_modules": modules, "controllers": controllers}), "test")


def world(of: Site, *happenings: Any) -> World:
    """A world in which nothing ever breaks."""
    plan = Plan(seed=1, site=of, hurt_s=10_000.0, mended_s=0.0, happenings=tuple(happenings), qualities={})
    made = World(plan)
    made.begin()
    return made


def in_force(of: World) -> tuple[float, float]:
    """At the hardware of both EVSEs."""
    for evse in of.evses.values():
        evse.hardware.advance(of.now_s)
    return of.evses["a"].hardware.permitted_A, of.evses["b"].hardware.permitted_A


def seconds_until(of: World, wanted: tuple[float, float], most_s: float) -> float:
    """True seconds until that is in force."""
    begin_s = of.now_s
    while in_force(of) != pytest.approx(wanted):
        assert of.now_s - begin_s < most_s, f"{in_force(of)} are in force after {most_s:g} s"
        of.run_until(of.now_s + 0.1)
    return of.now_s - begin_s


@pytest.fixture
def exact_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """All clocks go at the rate of true time."""

    def draw(random: Random, until_s: float, lean: float = 0.0) -> Clock:
        drawn = draw_clock(random, until_s, lean)
        return Clock([(0.0, 1.0)], begin_s=drawn.own_s(0.0))

    monkeypatch.setattr(actors.simulation.bench, "draw_clock", draw)


@pytest.mark.usefixtures("exact_clocks")
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("interval_s", [1, 3, 10])
@pytest.mark.parametrize("fallback_A", [0.0, 6.0])
def test_a_change_is_in_force_within_two_intervals_and_the_settle_time(
    depth: int, interval_s: int, fallback_A: float
) -> None:
    made = world(
        site(depth, interval_s, fallback_A),
        Plug(at_s=20.0, evse="a", car=CAR),
        Plug(at_s=CALM_S, evse="b", car=CAR),
    )
    made.run_until(CALM_S - 0.1)
    assert in_force(made)[0] == pytest.approx(FUSE_A - fallback_A)
    made.run_until(CALM_S)
    most_s = 2 * interval_s + SETTLE_S
    took_s = seconds_until(made, (16.0, 16.0), most_s)
    assert took_s > SETTLE_S, "nobody is raised before the other has surely come down"
    made.run_until(CALM_S + 60.0)
    assert in_force(made) == pytest.approx((16.0, 16.0))
    assert share_in_force(made) == pytest.approx(1.0)
    assert made.checker.violations == []


@pytest.mark.usefixtures("exact_clocks")
@pytest.mark.parametrize("depth", [1, 8])
def test_what_an_open_contactor_frees_need_not_wait_for_the_settle_time(depth: int) -> None:
    made = world(
        site(depth, 1, 0.0),
        Plug(at_s=20.0, evse="a", car=CAR),
        Plug(at_s=21.0, evse="b", car=CAR),
        Unplug(at_s=CALM_S, evse="a"),
    )
    made.run_until(CALM_S)
    assert in_force(made) == pytest.approx((16.0, 16.0))
    made.run_until(CALM_S + 0.1)
    assert seconds_until(made, (0.0, FUSE_A), 2.0) < SETTLE_S / 2


@pytest.mark.usefixtures("exact_clocks")
@pytest.mark.parametrize("depth", [2, 8])
def test_an_urgent_report_that_is_lost_costs_one_interval_and_not_one_a_level(depth: int) -> None:
    interval_s = 10
    made = world(
        site(depth, interval_s, 0.0),
        Plug(at_s=20.0, evse="a", car=CAR),
        Cut(at_s=CALM_S - 0.1, link=f"right_{depth - 1}", direction="up", for_s=1.0),
        Plug(at_s=CALM_S, evse="b", car=CAR),
    )
    made.run_until(CALM_S)
    assert in_force(made) == pytest.approx((FUSE_A, 0.0))
    seconds_until(made, (16.0, 16.0), 3 * interval_s + SETTLE_S)
