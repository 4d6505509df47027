"""Looks for a broken rule in simulated runs: how many, how long, until something that must not be is seen.

The promise of each ledger is held against what truly flows: margins that cover each other up cannot
hide that one of them is gone.
"""

from __future__ import annotations

import time

from msgspec import Struct

from actors.simulation.checker import Violation
from actors.simulation.faults import draw_plan
from actors.simulation.plan import Knobs, Plan
from actors.simulation.world import World
from tests.simulation.mutants.breaks import BY_NAME

UNSAFE = frozenset(("overload", "power", "limit", "invariant", "promise"))
"""Kinds of violations that tell of a broken protocol; others are of what is slow or raises."""
LIFE_S = 30.0
"""Simulated beyond the time when all is mended."""


class FoundError(AssertionError):
    """Something that must not be was seen."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(f"{violation.kind} at {violation.at_s:.1f} s: {violation.text}")
        self.violation = violation


class WatchedWorld(World):
    """Ends at the first violation."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._note = self.checker.note
        self.checker.note = self._found  # type: ignore[method-assign]

    def _found(self, violation: Violation) -> None:
        if violation.kind in UNSAFE:
            raise FoundError(violation)
        self._note(violation)


class Hunt(Struct, frozen=True, kw_only=True):
    """What it took from one seed on."""

    seeds: int
    hours: float
    cpu_s: float
    found: str
    """The kind of what was seen; empty: nothing."""
    text: str = ""


def knobs_of(seed: int, spots: tuple[str, ...] = (), *, metered: bool = False) -> Knobs:
    """Small sites: what can be seen at all is seen at few EVSEs, and soon. Every other run is of tight spots;
    all are where `spots` names their kinds. Where it is about meters, all sites have some."""
    evses = 2 + seed % 5
    if metered:
        return Knobs(evses=evses, meters=1.0)
    return Knobs(evses=evses, tight=bool(spots) or seed % 2 == 1, spots=spots, meters=0.0)


def hunt(
    first_seed: int,
    seeds: int,
    cpu_s: float = float("inf"),
    spots: tuple[str, ...] = (),
    *,
    metered: bool = False,
) -> Hunt:
    """Run seeds until something is found; whoever calls has broken something."""
    begin_s, simulated_s = time.process_time(), 0.0
    ran = 0
    found: FoundError | None = None
    while found is None and ran < seeds and time.process_time() - begin_s < cpu_s:
        seed = first_seed + ran
        world = WatchedWorld(draw_plan(seed, knobs_of(seed, spots, metered=metered)))
        world.begin()
        try:
            world.run_until(world.plan.hurt_s + LIFE_S)
        except FoundError as error:
            found = error
        simulated_s += world.now_s
        ran += 1
    return Hunt(
        seeds=ran,
        hours=simulated_s / 3600.0,
        cpu_s=time.process_time() - begin_s,
        found="" if found is None else found.violation.kind,
        text="" if found is None else str(found),
    )


def hunt_broken(name: str, first_seed: int, seeds: int, cpu_s: float) -> Hunt:
    """The same for a rule by its name."""
    with BY_NAME[name].broken():
        return hunt(first_seed, seeds, cpu_s, metered=BY_NAME[name].metered)
