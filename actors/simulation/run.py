"""One run from its seed to its result."""

from __future__ import annotations

import time

from msgspec import Struct

from actors.build import build_core
from actors.simulation.checker import Violation
from actors.simulation.faults import draw_plan
from actors.simulation.liveness import Liveness, watch
from actors.simulation.plan import Knobs, Plan
from actors.simulation.processes import Build
from actors.simulation.recorder import Recorder
from actors.simulation.world import World

HOUR_S = 3600.0


class Result(Struct, kw_only=True):
    """What a run showed."""

    seed: int
    events: int
    """Steps of cores."""
    sim_s: float
    cpu_s: float
    hash: str
    """Of all events: equal for equal seeds, code and knobs, in any process."""
    evses: int
    interval_s: float
    violations: tuple[Violation, ...]
    """The first of them."""
    violation_count: int
    highest_share: float
    """Of any fuse."""
    liveness: Liveness
    story: tuple[str, ...] = ()

    @property
    def overloads(self) -> int:
        """Of fuses, among the violations that are told."""
        return sum(v.kind == "overload" for v in self.violations)


def run(seed: int, knobs: Knobs | None = None, build: Build = build_core) -> Result:
    """The run of a seed."""
    return run_plan(draw_plan(seed, knobs or Knobs()), build)


def run_plan(plan: Plan, build: Build = build_core, *, record: bool = False) -> Result:
    """A run as planned; recorded, it has a story of its first violation."""
    begin_s = time.process_time()
    recorder = Recorder() if record else None
    world = World(plan, build, recorder)
    world.begin()
    world.run_until(plan.hurt_s)
    liveness = watch(world)
    checker = world.checker
    story: tuple[str, ...] = ()
    if recorder is not None and checker.violations:
        first = checker.violations[0]
        story = (
            *recorder.story(plan.site, first.where, first.at_s),
            f"{first.at_s:10.3f}  {first.kind}: {first.text}",
        )
    return Result(
        seed=plan.seed,
        events=world.events,
        sim_s=world.now_s,
        cpu_s=time.process_time() - begin_s,
        hash=world.digest.text(),
        evses=len(world.evses),
        interval_s=float(plan.site.manager_config().update_interval),
        violations=tuple(checker.violations),
        violation_count=checker.count,
        highest_share=checker.highest_share,
        liveness=liveness,
        story=story,
    )
