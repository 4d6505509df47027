"""A failing run made small: what can be left out, while it still fails in the same way, is.

First the end is cut off, then happenings are taken out in ever smaller parts (delta debugging), then
links are made good and meters are taken away one by one. All random streams stay as they are, so what is
left still happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from actors.build import build_core
from actors.simulation.checker import Violation
from actors.simulation.liveness import watch
from actors.simulation.plan import Plan
from actors.simulation.processes import Build
from actors.simulation.run import Result, run_plan
from actors.simulation.sites import without_meters
from actors.simulation.world import World

MOST_RUNS = 600
LONGEST_S = 240.0
"""CPU seconds spent on one failing run."""
STEP_S = 10.0
WHILE_HURT = frozenset(("overload", "promise", "power", "limit", "invariant", "exception"))
"""Violations that do not have to wait for the run's end."""
Item = TypeVar("Item")
Fails = Callable[[Plan], bool]


class Shrunk(Struct, kw_only=True):
    """What is left of a failing run."""

    plan: Plan
    result: Result
    runs: int
    before: int
    """Happenings that the run had."""


def shrink(plan: Plan, build: Build = build_core, kind: str | None = None) -> Shrunk | None:
    """Make a failing run small; None when it does not fail. `kind` of violation, by default its first."""
    found = first_violation(plan, build, kind)
    if found is None:
        return None
    wanted = found.kind
    begun_s, runs = time.process_time(), 0

    def fails(smaller: Plan) -> bool:
        nonlocal runs
        if runs >= MOST_RUNS or time.process_time() - begun_s > LONGEST_S:
            return False
        runs += 1
        return first_violation(smaller, build, wanted) is not None

    small = reduce_plan(plan, fails, found)
    result = run_plan(small, build, record=True)
    return Shrunk(plan=small, result=result, runs=runs, before=len(plan.happenings))


def reduce_plan(plan: Plan, fails: Fails, found: Violation) -> Plan:
    """The smallest plan found that still fails; `found` is how it did."""
    if found.kind in WHILE_HURT:
        end_s = min(plan.hurt_s, found.at_s + 1.0)
        left = tuple(h for h in plan.happenings if h.at_s < end_s)
        plan = _if_fails(fails, plan, replace(plan, hurt_s=end_s, happenings=left))
    plan = _if_fails(fails, plan, replace(plan, qualities={}))
    happenings = minimal(plan.happenings, lambda some: fails(replace(plan, happenings=tuple(some))))
    plan = replace(plan, happenings=tuple(happenings))
    for link in list(plan.qualities):
        others = {name: quality for name, quality in plan.qualities.items() if name != link}
        plan = _if_fails(fails, plan, replace(plan, qualities=others))
    for module in plan.site.modules.values():
        if module.meter is not None:
            plan = _if_fails(fails, plan, replace(plan, site=without_meters(plan.site, module.id)))
    return plan


def minimal(items: Sequence[Item], fails: Callable[[Sequence[Item]], bool]) -> Sequence[Item]:
    """Some of the items, in order, that still fail, though none without any further part of them."""
    parts = 2
    while len(items) >= 1:
        size = max(1, len(items) // parts)
        for begin in range(0, len(items), size):
            fewer = [*items[:begin], *items[begin + size :]]
            if fails(fewer):
                items, parts = fewer, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(items), parts * 2)
    return items


def first_violation(plan: Plan, build: Build, kind: str | None = None) -> Violation | None:
    """How a run fails first, in this way or in any; what comes later is not run."""
    world = World(plan, build)
    world.begin()
    while world.now_s < plan.hurt_s:
        world.run_until(min(world.now_s + STEP_S, plan.hurt_s))
        if (found := _of_kind(world, kind)) is not None:
            return found
    if kind is None or kind not in WHILE_HURT:
        watch(world)
    else:
        world.run_until(plan.hurt_s + plan.mended_s)
    return _of_kind(world, kind)


def _of_kind(world: World, kind: str | None) -> Violation | None:
    return next((v for v in world.checker.violations if kind is None or v.kind == kind), None)


def _if_fails(fails: Fails, plan: Plan, smaller: Plan) -> Plan:
    return smaller if fails(smaller) else plan
