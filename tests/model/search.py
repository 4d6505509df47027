"""Breadth-first over all states of a small site; and random walks, for stories that are longer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.model.world import Site, State, Step, ViolationError, World

STEADY_ROUNDS = 8
"""Without faults until nothing changes any more."""
FAIR_ROUNDS = 16
"""Without faults after which every wish must be fulfilled."""
SAMPLE = 400
"""From one of so many states it is tried whether the wish is reached."""


@dataclass(kw_only=True)
class Result:
    """What a search found."""

    site: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    """Up to here everything was looked at."""
    tried: int = 0
    """States from which running without faults was tried."""
    seconds: float = 0.0
    complete: bool = False
    """Nothing is left to look at."""
    violation: str = ""
    story: list[Step] = field(default_factory=list)

    def text(self) -> str:
        """A line of the table, and the story."""
        end = "all" if self.complete else f"{self.depth}"
        line = f"{self.site:<34} {self.states:>9,} {self.transitions:>11,} {end:>5} {self.tried:>6} {self.seconds:>7.1f}"
        if not self.violation:
            return f"{line}  ok"
        return "\n".join([f"{line}  VIOLATION", f"    {self.violation}", *tell(self.story)])


HEADER = f"{'site':<34} {'states':>9} {'transitions':>11} {'depth':>5} {'tried':>6} {'s':>7}"


def tell(story: Iterable[Step]) -> list[str]:
    """A story, line by line."""
    return [f"    {i:>3}. {' '.join(step)}" for i, step in enumerate(story, 1)]


def steady(world: World) -> State:
    """Begun, and run without faults until the first wish is fulfilled and all was heard just now."""
    return follow(world, world.begin(), ["fair"] * STEADY_ROUNDS + ["heard"])


def follow(world: World, state: State, story: Iterable[str]) -> State:
    """After a story, in words; `fair` is a round without faults, `heard` a report of everybody."""
    for words in story:
        if words == "fair":
            state = world.run_fairly(state, 1)
        elif words == "heard":
            for name in (*world.evse_names, *world.trunk_names[:0:-1]):
                state = world.after(state, ("report", name, "prompt"))
        else:
            state = world.after(state, tuple(words.split()))
    return state


def explore(
    site: Site,
    *,
    depth: int,
    seconds: float = float("inf"),
    transitions: int = 10**12,
    cold: bool = False,
    prologue: Iterable[str] = (),
    sample: int = SAMPLE,
) -> Result:
    """All that can happen in `depth` steps, after the first wish is fulfilled, or (`cold`) from the
    very beginning; or after a prologue. Stops at the first violation, so that its story is a shortest one."""
    world, result, begin = (
        World(site),
        Result(site=site.name + (", cold" if cold else "")),
        time.process_time(),
    )
    try:
        first = follow(world, world.begin() if cold else steady(world), prologue)
    except ViolationError as violation:
        result.violation = f"while all works: {violation}"
        return result
    parents: list[tuple[int, Step]] = [(-1, ())]
    seen = {world.key(first)}
    level = [(0, first)]

    def finish(violation: str = "", at: int = 0, last: Step | None = None) -> Result:
        result.states, result.seconds = len(seen), time.process_time() - begin
        result.violation, story = violation, [] if last is None else [last]
        while violation and at > 0:
            at, step = parents[at]
            story.append(step)
        result.story = story[::-1]
        return result

    while level and result.depth < depth:
        following = []
        for at, state in level:
            if at % sample == 0:
                result.tried += 1
                try:
                    end = world.run_fairly(state, FAIR_ROUNDS)
                except ViolationError as violation:
                    return finish(f"running without faults: {violation}", at)
                if not world.is_granted(end):
                    return finish("stuck: without faults the wish is not reached", at)
            if time.process_time() - begin > seconds or result.transitions > transitions:
                return finish()
            for step in world.steps(state):
                result.transitions += 1
                try:
                    new = world.after(state, step)
                except ViolationError as violation:
                    return finish(str(violation), at, step)
                key = world.key(new)
                if key not in seen:
                    seen.add(key)
                    following.append((len(parents), new))
                    parents.append((at, step))
        result.depth += 1
        level = following
    result.complete = not level
    return finish()


def walk(site: Site, *, seconds: float, length: int = 200, seed: int = 0) -> Result:
    """Random stories, each of `length` steps; the first that violates anything is shortened."""
    world, result, begin = World(site), Result(site=f"{site.name}, walks"), time.process_time()
    dice = random.Random(seed)
    first = steady(world)
    cold = world.begin()
    while time.process_time() - begin < seconds and not result.violation:
        origin = cold if dice.random() < 0.1 else first
        state, story = origin, []
        result.states += 1
        try:
            for _ in range(length):
                step = dice.choice(list(world.steps(state)))
                story.append(step)
                result.transitions += 1
                state = world.after(state, step)
            result.tried += 1
            if not world.is_granted(world.run_fairly(state, FAIR_ROUNDS)):
                result.violation = "stuck: without faults the wish is not reached"
        except ViolationError as violation:
            result.violation = str(violation)
        if result.violation:
            result.story = shortened(story, lambda steps, origin=origin: violates(world, origin, steps))  # type: ignore[misc]
            result.violation = violates(world, origin, result.story) or result.violation
    result.depth, result.seconds = length, time.process_time() - begin
    return result


def violates(world: World, origin: State, story: list[Step]) -> str:
    """What a story violates; steps that are impossible are left out."""
    state = origin
    try:
        for step in story:
            if step in set(world.steps(state)):
                state = world.after(state, step)
        return "" if world.is_granted(world.run_fairly(state, FAIR_ROUNDS)) else "stuck"
    except ViolationError as violation:
        return str(violation)


def shortened(story: list[Step], fails: Callable[[list[Step]], str]) -> list[Step]:
    """A story that fails as well, of which no step can be left out."""
    size = max(1, len(story) // 2)
    while size:
        i = 0
        while i < len(story):
            shorter = story[:i] + story[i + size :]
            if fails(shorter):
                story = shorter
            else:
                i += size
        size //= 2
    return story
