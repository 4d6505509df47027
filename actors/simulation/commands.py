"""External limits of a plan as the commands that operators send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.energy import timestamps
from actors.energy.external import ALWAYS, ClearLimits, SetLimits
from actors.energy.messages import Command
from actors.energy.types import ExternalLimits, LimitsReq, NumberWithSource, ScheduleReqEntry
from actors.simulation.plan import ClearLimit, SetLimit

if TYPE_CHECKING:
    from actors.simulation.world import World


def send_command(world: World, what: SetLimit | ClearLimit) -> None:
    """Somebody sets or clears a limit; nothing comes of it where it enters at a process that is not up."""
    via = world.slots[what.via]
    if via.process.state != "up":
        return
    event: SetLimits | ClearLimits = ClearLimits(source=what.source)
    if isinstance(what, SetLimit):
        wall_us = via.process.clocks.now(world.now_s).wall_us
        event = SetLimits(source=what.source, limits=_limits(what, wall_us), for_s=what.for_s)
    command = Command(id=f"{what.at_s:.6f}", origin=what.via, target=what.node, event=event)
    world.deliver(via, command)


def _limits(what: SetLimit, wall_us: int) -> ExternalLimits:
    def entry(stamp: str, current_A: float | None, power_W: float | None) -> ScheduleReqEntry:
        limits = LimitsReq(
            ac_max_current_A=None if current_A is None else NumberWithSource(current_A, what.source),
            total_power_W=None if power_W is None else NumberWithSource(power_W, what.source),
        )
        return ScheduleReqEntry(timestamp=stamp, limits_to_root=limits, limits_to_leaves=LimitsReq())

    later = [
        entry(timestamps.format_utc(wall_us + round(after_s * 1e6)), current_A, None)
        for after_s, current_A in what.later
    ]
    return ExternalLimits(schedule_import=(entry(ALWAYS, what.current_A, what.power_W), *later))
