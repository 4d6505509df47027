"""What the market is given: the steps of profiles as limits of an external source.

`RequestCompositeScheduleUnit` A: amperes per phase, watts converted; beside them watts where fewer phases are
allowed than are wired, since hardware that cannot change phases goes on with all of them. W: watts in all,
amperes converted; beside them the amperes that profiles name themselves, since a car on one phase must not
draw on it what was meant for three.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.energy.charging_profiles.composite import Held, Step, Wiring
from actors.energy.charging_profiles.profile import Unit
from actors.energy.charging_profiles.wire import stamp
from actors.energy.types import (
    ExternalLimits,
    IntegerWithSource,
    LimitsReq,
    NumberWithSource,
    ScheduleReqEntry,
)


def external_limits(steps: Sequence[Step], unit: Unit, wiring: Wiring, source: str) -> ExternalLimits | None:
    """The limits of a source, each with its name; None where there are none."""
    if not any(step.held.any() for step in steps):
        return None
    return ExternalLimits(
        schedule_import=tuple(
            ScheduleReqEntry(
                timestamp=stamp(step.start_s) or "",
                limits_to_root=_side(step.held, unit, wiring, source),
                limits_to_leaves=LimitsReq(),
            )
            for step in steps
        )
    )


def grid_limits(steps: Sequence[Step], wiring: Wiring, source: str) -> ExternalLimits | None:
    """The same for a grid operator's source, which limits power only."""
    in_watts = [Step(step.start_s, Held(None, step.held.watts(wiring))) for step in steps]
    return external_limits(in_watts, "W", wiring, source)


def _side(held: Held, unit: Unit, wiring: Wiring, source: str) -> LimitsReq:
    if unit == "A":
        fewer = held.used(wiring) < wiring.phases
        current_A, power_W = held.amperes(wiring), held.watts(wiring) if fewer else None
    else:
        current_A, power_W = held.limit_A, held.watts(wiring)
    return LimitsReq(
        ac_max_current_A=None if current_A is None else NumberWithSource(current_A, source),
        total_power_W=None if power_W is None else NumberWithSource(power_W, source),
        ac_max_phase_count=None if held.phases is None else IntegerWithSource(held.used(wiring), source),
    )
