"""What an EvseManager asks for: the request of its car, within all that limits the EVSE itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.amount import Amount
from actors.energy.external import ExternalSources, SourceConfig
from actors.energy.memo import Memo
from actors.energy.messages import Instant
from actors.energy.modules import EvseManagerConfig
from actors.energy.packing import all_packed, entries_of
from actors.energy.schedules import OwnLimits, grid_stamp, import_limits, steady_until_us, with_schedules
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EvseState,
    IntegerWithSource,
    LimitsReq,
    NodeType,
    NumberWithSource,
)

Appetite = Literal["nothing", "minimum", "all", "as told"]


class EvseSettings(Struct, frozen=True, kw_only=True):
    """All that does not change in the life of an EvseManager."""

    id: str
    controller: str
    config: EvseManagerConfig
    site: EnergyManagerConfig
    phases: int
    """Wired to it."""
    fallback: Amount = Amount()
    """What it may draw when it hears nothing."""
    sources: tuple[SourceConfig, ...] = ()
    config_digest: str = ""

    @property
    def voltage_V(self) -> float:
        """Between a phase and neutral."""
        return self.site.nominal_ac_voltage


class Situation(Struct, frozen=True):
    """What the wishes depend on, sources apart."""

    state: EvseState
    active_phases: int
    may_change_phases: bool
    cable_limit_A: float | None
    car_limit_A: float | None
    told_A: float
    """What the hardware was told last."""


class Asked(Struct, frozen=True):
    """A request, and what of it holds now."""

    request: EnergyFlowRequest
    limits: LimitsReq


class Wishes:
    """Requests and limits of an EVSE; the same object as long as nothing changed."""

    def __init__(self, settings: EvseSettings, sources: ExternalSources) -> None:
        self._settings = settings
        self._sources = sources
        self._asked: Memo[Asked] = Memo()
        self._local: Memo[LimitsReq] = Memo()
        self._alone: tuple[Situation, LimitsReq] | None = None
        """What limits it where no source does, whatever the time."""

    def asked(self, now: Instant, of: Situation, appetite: Appetite) -> Asked:
        """What goes up the tree."""
        return self._asked.get(
            (of, appetite, self._stamp_us(now), self._sources.version),
            now.wall_us,
            lambda: self._ask(now, of, appetite),
            lambda: steady_until_us(self._sources.in_force(), now.wall_us),
        )

    def local_limits(self, now: Instant, of: Situation) -> LimitsReq:
        """What the EVSE itself, its cable, its car and its own external sources allow now."""
        if not self._sources.in_force():
            if self._alone is None or self._alone[0] != of:
                self._alone = of, self._own_limits(of, "all").limits_import
            return self._alone[1]
        return self._local.get(
            (of, self._stamp_us(now), self._sources.version),
            now.wall_us,
            lambda: import_limits(entries_of(self._make(now, of, "all").schedule_import)[0]),
            lambda: steady_until_us(self._sources.in_force(), now.wall_us),
        )

    def _ask(self, now: Instant, of: Situation, appetite: Appetite) -> Asked:
        request = self._make(now, of, appetite)
        return Asked(all_packed(request), import_limits(entries_of(request.schedule_import)[0]))

    def _stamp_us(self, now: Instant) -> int:
        return grid_stamp(now.wall_us, self._settings.site.schedule_interval_duration)

    def _make(self, now: Instant, of: Situation, appetite: Appetite) -> EnergyFlowRequest:
        settings = self._settings
        bare = EnergyFlowRequest(
            uuid=settings.id,
            node_type=NodeType.Evse,
            evse_state=of.state,
            fallback_A=settings.fallback.import_A or None,
            fallback_W=settings.fallback.import_W or None,
            priority=settings.config.priority,
        )
        own = self._own_limits(of, appetite)
        return with_schedules(bare, own, self._sources.in_force(), self._stamp_us(now), now.wall_us)

    def _own_limits(self, of: Situation, appetite: Appetite) -> OwnLimits:
        settings, name = self._settings, self._settings.id
        common = LimitsReq(
            ac_max_phase_count=IntegerWithSource(settings.phases, f"{name}/phases"),
            ac_number_of_active_phases=of.active_phases,
            ac_supports_changing_phases_during_charging=of.may_change_phases,
        )
        nothing = NumberWithSource(0.0, f"{name}/no export")
        current = min(self._currents(of, appetite), key=lambda c: c.value)
        if settings.config.charge_mode == "DC":
            rated = NumberWithSource(settings.config.max_power_W or 0.0, f"{name}/hardware")
            feeder_W = current.value * settings.phases * settings.voltage_V
            asked = NumberWithSource(feeder_W, current.source)
            return OwnLimits(
                limits_import=replace(common, total_power_W=min(rated, asked, key=lambda p: p.value)),
                limits_export=replace(common, total_power_W=nothing),
            )
        common = replace(
            common,
            ac_min_current_A=NumberWithSource(settings.config.min_current_A, f"{name}/minimum"),
            ac_min_phase_count=IntegerWithSource(1, f"{name}/phases"),
        )
        return OwnLimits(
            limits_import=replace(common, ac_max_current_A=current),
            limits_export=replace(common, ac_max_current_A=nothing),
        )

    def _currents(self, of: Situation, appetite: Appetite) -> Iterator[NumberWithSource]:
        """What limits the current per phase on the grid side, apart from external sources."""
        config, name = self._settings.config, self._settings.id
        rated_A = config.max_current_A if config.charge_mode == "AC" else math.inf
        yield NumberWithSource(rated_A, f"{name}/hardware")
        if of.cable_limit_A is not None:
            yield NumberWithSource(of.cable_limit_A, f"{name}/cable")
        if of.car_limit_A is not None:
            yield NumberWithSource(of.car_limit_A, f"{name}/car")
        if appetite == "nothing":
            why = "idle" if of.state is not EvseState.Disabled else "disabled"
            yield NumberWithSource(0.0, f"{name}/{why}")
        elif appetite == "as told":
            yield NumberWithSource(of.told_A, f"{name}/silent hardware")
        elif appetite == "minimum":
            yield NumberWithSource(config.min_current_A, f"{name}/paused by car")
