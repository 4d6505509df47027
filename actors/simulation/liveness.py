"""Once all is mended, the site must soon be at work again: what the market gives is in force.

A run is *alive* while what is in force at the hardware is at least LIVE_SHARE of what the market gives
in all, no EVSE counting for more than its own part, and every car that is there is in the market. An
external limit may still move by its own schedule; then the time is counted from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from msgspec import Struct

from actors.energy.amount import Amount
from actors.energy.trunk import Trunk
from actors.energy.types import EnergyFlowRequest, EnforcedLimits
from actors.simulation.checker import Violation
from actors.simulation.world import World
from actors.site import EvseManagerConfig, Site

LIVE_SHARE = 0.95
LIVE_WITHIN_S = 30.0
"""Where an interval is no longer than INTERVAL_S, and no car or contactor slower than SLOW_S."""
INTERVAL_S, SLOW_S = 10.0, 15.0
EXACT_AFTER_S = 60.0
"""Later than what LIVE_WITHIN_S is counted from."""
LONGEST_WATCH_S = 390.0
"""However often limits move."""
SAMPLE_S = 1.0
SAME_A = 1e-3


class Liveness(Struct, kw_only=True):
    """How a run came back to work; seconds after all was mended."""

    live_after_s: float = 0.0
    """When it was alive for good, since a limit moved last; beyond the end of the run where it never was."""
    allowed_s: float = LIVE_WITHIN_S
    """LIVE_WITHIN_S, or more where state was lost, or where the site is slower than most."""
    share: float = 1.0
    """At the end."""
    why: str = ""
    """What was missing when it was last not alive."""


def watch(world: World) -> Liveness:
    """Run a world on from when it is mended to its end, and judge it."""
    mended_s = world.plan.hurt_s
    result = Liveness()
    more_s = max(0.0, world.lost_state_until_s - mended_s) + _more_than_most_s(world.site)
    result.allowed_s, exact_s = more_s + LIVE_WITHIN_S, more_s + EXACT_AFTER_S
    after_s = moved_s = 0.0
    limits = _limits(world)
    missing = ""
    while after_s < min(moved_s + exact_s, max(exact_s, LONGEST_WATCH_S)):
        after_s += SAMPLE_S
        world.run_until(mended_s + after_s)
        if (now := _limits(world)) != limits:
            limits, moved_s, result.live_after_s = now, after_s, 0.0
        missing = "; ".join(_missing(world))
        if missing:
            result.live_after_s, result.why = after_s - moved_s + SAMPLE_S, missing
    result.share = share_in_force(world)
    root = world.site.root
    if result.live_after_s > result.allowed_s:
        kind = "stuck" if missing else "slow"
        text = f"{result.live_after_s:g} s after all was mended, of {result.allowed_s:.0f} s: {result.why}"
        world.checker.note(Violation(kind=kind, at_s=world.now_s, where=root, text=text))
    for evse, text in _differences(world):
        world.checker.note(Violation(kind="wrong", at_s=world.now_s, where=evse, text=text))
    return result


def _more_than_most_s(site: Site) -> float:
    """How much longer this site may take than those that are drawn: messages, cars and contactors do."""
    evses = [m.config for m in site.modules.values() if isinstance(m.config, EvseManagerConfig)]
    settle_s = max(evse.settle_time_s for evse in evses)
    switch_s = max(evse.switch_3ph1ph_delay_s for evse in evses)
    interval_s = site.manager_config().update_interval
    return (
        max(0.0, 5.0 * (interval_s - INTERVAL_S)) + max(0.0, settle_s - SLOW_S) + max(0.0, switch_s - SLOW_S)
    )


def _limits(world: World) -> list[Amount]:
    """What fuse and external limits of every node allow now."""
    slots = [slot for slot in world.slots.values() if isinstance(slot.core, Trunk)]
    return [cast(Trunk, s.core).own_capacity(s.process.clocks.now(world.now_s))[0] for s in slots]


def share_in_force(world: World) -> float:
    """Of what the market gives in all: what is in force of it."""
    pairs = list(_pairs(world))
    given_A = sum(given for _, given, _ in pairs)
    return 1.0 if given_A <= 0.0 else sum(min(given, held) for _, given, held in pairs) / given_A


def _missing(world: World) -> Iterator[str]:
    """Why the site is not alive."""
    run = world.slots[world.site.root].last_run
    if run is None:
        yield "the market never ran"
        return
    requests = list(_all_below(run.request))
    for request in requests:
        if request.uuid.endswith("/not heard"):
            yield request.uuid
    known = {request.uuid for request in requests}
    for name, evse in world.evses.items():
        if evse.hardware.asks and name not in known:
            yield f"{name} is not in the market"
    share = share_in_force(world)
    if share < LIVE_SHARE:
        short = [
            f"{e} {held:.4g} of {given:.4g} A" for e, given, held in _pairs(world) if held < given - SAME_A
        ]
        yield f"{share:.0%} in force: {', '.join(short[:4])}"


def _differences(world: World) -> Iterator[tuple[str, str]]:
    for evse, given_A, held_A in _pairs(world):
        if abs(given_A - held_A) > SAME_A * max(1.0, given_A):
            yield evse, f"{held_A:.6g} A are in force at {evse}, the market gives it {given_A:.6g} A"


def _pairs(world: World) -> Iterator[tuple[str, float, float]]:
    """(EVSE, ampere that the market gives it, ampere in force) of all with a car that asks."""
    given = {entry.uuid: entry for entry in world.slots[world.site.root].last_answer}
    for name, evse in world.evses.items():
        if evse.hardware.asks and name in given:
            evse.hardware.advance(world.now_s)
            yield name, _given_A(given[name], evse.hardware), evse.hardware.permitted_A


def _given_A(entry: EnforcedLimits, hardware: Any) -> float:
    """Per phase, by the same rules as the hardware's."""
    limits = entry.limits_root_side
    current_A: float = hardware.rated_A()
    if limits.ac_max_current_A is not None:
        current_A = min(current_A, limits.ac_max_current_A.value)
    if limits.total_power_W is not None:
        current_A = min(current_A, limits.total_power_W.value / hardware.watt_per_ampere())
    return current_A if current_A >= hardware.floor_A - 1e-6 else 0.0


def _all_below(request: EnergyFlowRequest) -> Iterator[EnergyFlowRequest]:
    yield request
    for child in request.children:
        yield from _all_below(child)
