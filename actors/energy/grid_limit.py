"""A grid operator's limit, after EEBUS "Limitation of Power Consumption" (LPC 1.0).

The operator's box says regularly that it is there (a heartbeat), sets a power limit, and lifts it. The site
must keep to a limit that is set, and to a failsafe value where it cannot know:

    state                 in force  left for
    init                  failsafe  limited, unlimited/controlled  at a heartbeat and then a limit
                                    unlimited/autonomous           120 s after its begin
    limited               limit     unlimited/controlled           when it is lifted, or its time is over
                                    failsafe                       120 s after the last heartbeat
    unlimited/controlled  nothing   limited                        at a limit
                                    failsafe                       120 s after the last heartbeat
    failsafe              failsafe  limited, unlimited/controlled  at a heartbeat and then a new limit
                                    unlimited/autonomous           120 s after a heartbeat without a limit,
                                                                   or when its minimum duration is over
    unlimited/autonomous  nothing   limited, unlimited/controlled  at a heartbeat and then a limit

To lift a limit is a new limit, too: one that is not active. Where the operator does not control the site
yet, a limit counts only within 60 s after a heartbeat: that shows that it is not a stale one. Differently
from LPC a limit that is refused changes nothing here: garbage must not end a failsafe.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from actors.energy.external_checks import SourceRefusedError
from actors.energy.types import ExternalLimits, LimitsReq, ScheduleReqEntry

GridState = Literal["init", "limited", "unlimited/controlled", "failsafe", "unlimited/autonomous"]

INIT_S = 120.0
"""How long a site waits after its begin for the operator."""
WRITE_WINDOW_S = 60.0
"""How long after a heartbeat a limit takes control."""
LIMIT_WAIT_S = 120.0
"""How long after a heartbeat in failsafe a limit is waited for."""
HOUR_S = 3600.0

DEVICE_W = 4_200.0
"""What § 14a EnWG leaves a controllable device at least."""
SIMULTANEITY = {1: 1.0, 2: 0.80, 3: 0.75, 4: 0.70, 5: 0.65, 6: 0.60, 7: 0.55, 8: 0.50, 9: 0.45}
"""By the number of devices; of more than nine as of nine (Bundesnetzagentur, BK6-22-300)."""


class GridLimitConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a site meets its grid operator."""

    failsafe_W: Annotated[float, Meta(ge=0)] = DEVICE_W
    failsafe_minimum_h: Annotated[float, Meta(ge=2, le=24)] = 2.0
    """How long the failsafe holds at least, if nobody is heard."""
    heartbeat_timeout_s: Annotated[float, Meta(gt=0, le=120)] = 120.0
    devices: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Controllable devices after § 14a EnWG: less than they are left together no limit counts."""
    simultaneity_factor: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Of these devices, in place of the one of § 14a EnWG."""

    def floor_W(self) -> float:
        """What the operator must leave the site."""
        return 0.0 if self.devices is None else minimum_power_W(self.devices, self.simultaneity_factor)


def minimum_power_W(devices: int, factor: float | None = None) -> float:
    """What § 14a EnWG leaves so many devices behind one energy management: 4.2 kW + (n - 1) x F x 4.2 kW."""
    if factor is None:
        factor = SIMULTANEITY[min(devices, max(SIMULTANEITY))]
    return DEVICE_W + (devices - 1) * factor * DEVICE_W


class GridLimit:
    """The states and what leads from one to another. Times are monotonic seconds, never less than before."""

    def __init__(self, config: GridLimitConfig, now_s: float) -> None:
        self.config = config
        self.state: GridState = "init"
        self.heard_s: float | None = None
        """When the last heartbeat came."""
        self.limit_ends_s: float | None = None
        self._entered_s = now_s
        self._waits_since_s: float | None = None
        """In failsafe: since when a limit is waited for."""

    def holds(self) -> Literal["failsafe", "limit", "nothing"]:
        """What is in force."""
        match self.state:
            case "init" | "failsafe":
                return "failsafe"
            case "limited":
                return "limit"
            case "unlimited/controlled" | "unlimited/autonomous":
                return "nothing"

    def heartbeat(self, now_s: float) -> None:
        """The operator is there. `tick` before."""
        self.heard_s = now_s
        if self.state == "failsafe" and self._waits_since_s is None:
            self._waits_since_s = now_s

    def limit(self, now_s: float, *, active: bool, for_s: float | None = None) -> None:
        """A limit, or its end. `tick` before. Raises SourceRefusedError, then all is as it was."""
        controlled = self.state in ("limited", "unlimited/controlled")
        if not controlled and not self._heard_lately(now_s):
            raise SourceRefusedError(
                f"no heartbeat within the last {WRITE_WINDOW_S:g} s: in state {self.state} a limit counts "
                "only after one"
            )
        self._enter("limited" if active else "unlimited/controlled", now_s)
        self.limit_ends_s = now_s + for_s if active and for_s is not None else None

    def tick(self, now_s: float) -> list[str]:
        """Go on to where time has led; returns lines for the log."""
        told: list[str] = []
        while (due := self._due()) is not None and now_s >= due[0]:
            at_s, state, why = due
            self._enter(state, at_s)
            told.append(f"{why}: {state}")
        return told

    def due_s(self) -> float | None:
        """When time leads on next; None: never."""
        due = self._due()
        return None if due is None else due[0]

    def ends_s(self) -> float | None:
        """When what is in force ends by itself, if nobody is heard; None: never."""
        if self.state == "limited":
            return self.limit_ends_s
        return self.due_s() if self.holds() == "failsafe" else None

    def _heard_lately(self, now_s: float) -> bool:
        """Whether a limit may take control; in failsafe only what was heard since counts."""
        if self.heard_s is None or (self.state == "failsafe" and self._waits_since_s is None):
            return False
        return now_s - self.heard_s <= WRITE_WINDOW_S

    def _due(self) -> tuple[float, GridState, str] | None:
        match self.state:
            case "init":
                return self._entered_s + INIT_S, "unlimited/autonomous", "no limit since the begin"
            case "limited" | "unlimited/controlled":
                heard_s = self._entered_s if self.heard_s is None else self.heard_s
                silent_s = heard_s + self.config.heartbeat_timeout_s
                ends_s = math.inf if self.limit_ends_s is None else self.limit_ends_s
                if ends_s < silent_s:
                    return ends_s, "unlimited/controlled", "the time of the limit is over"
                return silent_s, "failsafe", f"silent for {self.config.heartbeat_timeout_s:g} s"
            case "failsafe":
                minimum_s = self._entered_s + self.config.failsafe_minimum_h * HOUR_S
                if self._waits_since_s is not None and self._waits_since_s + LIMIT_WAIT_S < minimum_s:
                    return self._waits_since_s + LIMIT_WAIT_S, "unlimited/autonomous", "heard, but no limit"
                return minimum_s, "unlimited/autonomous", "the failsafe's minimum duration is over"
            case "unlimited/autonomous":
                return None

    def _enter(self, state: GridState, now_s: float) -> None:
        self.state, self._entered_s = state, now_s
        self.limit_ends_s = self._waits_since_s = None


def grid_limits(limits: ExternalLimits, floor_W: float) -> ExternalLimits | None:
    """An operator's limits, none below `floor_W`; None: it lifts them. Raises SourceRefusedError where they
    limit something else than imported power."""
    if limits.schedule_export or limits.schedule_setpoints:
        raise SourceRefusedError("a grid operator's limit is one of imports only")
    if not limits.schedule_import:
        return None
    return replace(limits, schedule_import=tuple(_raised(e, floor_W) for e in limits.schedule_import))


def _raised(entry: ScheduleReqEntry, floor_W: float) -> ScheduleReqEntry:
    power = entry.limits_to_root.total_power_W
    if entry.limits_to_leaves != LimitsReq() or entry.limits_to_root != LimitsReq(total_power_W=power):
        raise SourceRefusedError("a grid operator's limit is a power (total_power_W towards the root) only")
    if power is None or power.value >= floor_W:
        return entry
    return replace(entry, limits_to_root=LimitsReq(total_power_W=replace(power, value=floor_W)))
