"""EvseManager: one charge point.

Upwards it reports what its car can use; downwards it holds the hardware to the most restrictive of
grant, local limits, hardware, cable and car. What it tells the hardware never outlives its grant;
without one it is at its fallback. Times are monotonic seconds unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.draw import Draw, ac_draw, dc_draw, no_draw
from actors.energy.effects import Effect, Say, ToDriver, ToParent
from actors.energy.evse_state import SILENT_S, StateMachine
from actors.energy.external import SavedSources, SourceConfig
from actors.energy.lease import Lease, longest_grant_s
from actors.energy.member import Member
from actors.energy.messages import (
    Actuate,
    Amount,
    Command,
    Grant,
    Instant,
    ModuleStatus,
    Outcome,
    Reading,
    Report,
)
from actors.energy.modules import EvseManagerConfig
from actors.energy.phase_switch import PhaseSwitch
from actors.energy.schedules import OwnLimits, grid_stamp, import_limits, with_schedules
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EvseState,
    IntegerWithSource,
    LimitsReq,
    LimitsRes,
    NodeType,
    NumberWithSource,
    valid_for_s,
    value_of,
)

_IDLE = {EvseState.Unplugged, EvseState.WaitForAuth, EvseState.Finished, EvseState.Disabled}
_OVER = {EvseState.Unplugged, EvseState.Finished}


class EvseSettings(Struct, frozen=True, kw_only=True):
    """All that does not change in the life of an EvseManager."""

    id: str
    controller: str
    config: EvseManagerConfig
    site: EnergyManagerConfig
    phases: int
    """Wired to it."""
    sources: tuple[SourceConfig, ...] = ()
    config_digest: str = ""


class EvseCore(Member):
    """`step` takes a Reading, Grant, Command, Outcome, or None for the passing of time."""

    def __init__(
        self, settings: EvseSettings, boot: str, now: Instant, saved: SavedSources | None = None
    ) -> None:
        super().__init__(settings.id, settings.sources, saved, now)
        self.settings = settings
        self._lease = Lease(boot, longest_grant_s(settings.site))
        self._states = StateMachine()
        self._switch = PhaseSwitch(settings.phases, settings.config.switch_3ph1ph_delay_s)
        self._reading: Reading | None = None
        self._read_at_s = now.mono_s
        self._draw = Draw(current_A=0.0, power_W=None, source="")
        self._told: Actuate | None = None
        self._told_until_s = now.mono_s
        self._report_due_s = now.mono_s
        self.due_s = now.mono_s

    def step(self, now: Instant, event: Reading | Grant | Command | Outcome | None) -> list[Effect]:
        """Take an event; returns what to do."""
        version = self.sources.version
        effects = self.tick_sources(now)
        match event:
            case Reading():
                self._read(now.mono_s, event)
            case Grant():
                refused = self._lease.offer(now.mono_s, event)
                if refused is not None:
                    effects.append(Say("debug", f"grant not taken: {refused}"))
            case Command():
                effects += self.obey(now, event)
            case Outcome():
                raise AssertionError("an EVSE has nobody below it")
            case None:
                pass
        hurry = self.sources.version != version
        effects += self._follow(now, renew=isinstance(event, Grant) or hurry)
        effects += self._report(now, hurry)
        self._plan(now)
        return effects

    def _read(self, now_s: float, reading: Reading) -> None:
        """Take a reading, unless it was overtaken. Hardware that restarts counts from 0 again: it is
        believed once its former life counts as silent."""
        last = self._reading
        overtaken = last is not None and reading.t_hardware_s < last.t_hardware_s
        if not overtaken or now_s - self._read_at_s > SILENT_S:
            self._reading, self._read_at_s = reading, now_s

    def _follow(self, now: Instant, *, renew: bool) -> list[Effect]:
        """Hold the hardware to what may flow now."""
        reading = self._reading
        if reading is None:
            return []
        now_s, config = now.mono_s, self.settings.config
        grant = self._lease.in_force(now_s)
        limits = self._granted(grant)
        wanted = self._wanted_phases(limits, reading)
        paused = self._switch.step(now_s, wanted, reading)
        local = import_limits(self._request(now, "all").schedule_import[0])
        phases = max(self._switch.commanded, reading.closed_phases)
        if config.charge_mode == "DC":
            draw = dc_draw(limits, local, self.settings.phases, self.settings.site.nominal_ac_voltage)
        else:
            draw = ac_draw(limits, local, phases, self.settings.site.nominal_ac_voltage, config.min_current_A)
        if paused:
            draw = no_draw(f"{self.id}/phase switch", dc=config.charge_mode == "DC")
        self._draw = draw
        message = Actuate(
            t_echo_s=reading.t_hardware_s,
            duration_s=self._duration_s(grant),
            limit_A=draw.current_A,
            limit_W=draw.power_W,
            phase_count=self._switch.commanded,
            cp_state=config.switch_3ph1ph_cp_state if paused else "on",
            source=draw.source,
        )
        if self._silent_s(now_s) is not None:
            return self._lower_only(message)
        if not (renew or self._differs(message) or now_s >= self._report_due_s):
            return []
        return self._tell(message)

    def _lower_only(self, message: Actuate) -> list[Effect]:
        """Hardware that does not answer is lowered, but not renewed: what it holds runs out."""
        left_s = self._told_until_s - self._read_at_s
        if self._told is None or message.limit_A >= self._told.limit_A or left_s <= 0:
            return []
        return self._tell(replace(message, duration_s=min(message.duration_s, left_s)))

    def _tell(self, message: Actuate) -> list[Effect]:
        self._told, self._told_until_s = message, self._read_at_s + message.duration_s
        return [ToDriver(message)]

    def _granted(self, grant: Grant | None) -> LimitsRes:
        if grant is None:
            source = f"{self.id}/fallback"
            return LimitsRes(ac_max_current_A=NumberWithSource(self.settings.config.fallback_limit_A, source))
        for limits in grant.limits:
            if limits.uuid == self.id:
                return limits.limits_root_side
        return LimitsRes()

    def _changes_phases(self) -> bool:
        config = self.settings.config
        able = config.supports_changing_phases_during_charging and config.charge_mode == "AC"
        return able and not self._switch.stuck

    def _wanted_phases(self, limits: LimitsRes, reading: Reading) -> int | None:
        """What the contactor shall connect; None: as it does."""
        if not self._changes_phases():
            return None
        if not reading.plugged_in:
            return self.settings.phases
        if limits.ac_max_phase_count is None:
            return None
        return max(1, min(self.settings.phases, limits.ac_max_phase_count.value))

    def _duration_s(self, grant: Grant | None) -> float:
        """How long the hardware may hold this, counted from the reading that is answered."""
        if grant is None:
            return float(valid_for_s(self.settings.site))
        expires_s = self._lease.expires_s()
        assert expires_s is not None
        return expires_s - self._read_at_s

    def _differs(self, message: Actuate) -> bool:
        told = self._told
        return told is None or (told.limit_A, told.limit_W, told.phase_count, told.cp_state) != (
            message.limit_A,
            message.limit_W,
            message.phase_count,
            message.cp_state,
        )

    def _report(self, now: Instant, hurry: bool) -> list[Effect]:
        """Tell the parent each interval, and at once when a session begins or ends."""
        before = self._states.state
        state = self._states.step(now.mono_s, self._reading, self._read_at_s, self._offered())
        changed = state is not before
        priority = hurry or (changed and ((state in _IDLE) != (before in _IDLE) or state in _OVER))
        effects: list[Effect] = [Say("info", f"{before.value} -> {state.value}")] if changed else []
        if not (priority or changed or now.mono_s >= self._report_due_s):
            return effects
        self._report_due_s = now.mono_s + self.settings.site.update_interval
        return [*effects, ToParent(self._make_report(now, priority))]

    def farewell(self, now: Instant) -> list[Effect]:
        """What to do before the process ends in good order."""
        return [ToParent(replace(self._make_report(now, priority=True), leaving=True))]

    def _make_report(self, now: Instant, priority: bool) -> Report:
        wants = self._request(now, self._appetite(now.mono_s), priority)
        return Report(
            boot=self._lease.boot,
            t_child_s=now.mono_s,
            wants=wants,
            acked=self._lease.acked,
            fallback=Amount(import_A=self.settings.config.fallback_limit_A),
            settle_time_s=self.settings.config.settle_time_s,
            config_digest=self.settings.config_digest,
            priority=priority,
            status=(self._status(now, wants),),
        )

    def _offered(self) -> bool:
        return self._draw.current_A > 0

    def _appetite(self, now_s: float) -> str:
        state = self._states.state
        if self._silent_s(now_s) is not None and now_s < self._told_until_s:
            return "as told"  # silence is not absence: the hardware may hold its limit to its end
        if state in _IDLE and self.settings.config.request_zero_power_in_idle:
            return "nothing"
        return "minimum" if state is EvseState.PausedEV else "all"

    def _silent_s(self, now_s: float) -> float | None:
        """For how long the hardware has said nothing; None while it is heard, or never was."""
        age_s = now_s - self._read_at_s
        return age_s if self._reading is not None and age_s > SILENT_S else None

    def _request(self, now: Instant, appetite: str, priority: bool = False) -> EnergyFlowRequest:
        own = self._own_limits(appetite)
        bare = EnergyFlowRequest(
            uuid=self.id,
            node_type=NodeType.Evse,
            evse_state=self._states.state,
            priority=self.settings.config.priority,
            priority_request=priority or None,
        )
        stamp_us = grid_stamp(now.wall_us, self.settings.site.schedule_interval_duration)
        return with_schedules(bare, own, self.sources.in_force(), stamp_us, now.wall_us)

    def _own_limits(self, appetite: str) -> OwnLimits:
        name = self.id
        common = LimitsReq(
            ac_max_phase_count=IntegerWithSource(self.settings.phases, f"{name}/phases"),
            ac_number_of_active_phases=self._switch.commanded,
            ac_supports_changing_phases_during_charging=self._changes_phases(),
        )
        nothing = NumberWithSource(0.0, f"{name}/no export")
        current = min(self._currents(appetite), key=lambda c: c.value)
        if self.settings.config.charge_mode == "DC":
            rated = NumberWithSource(self.settings.config.max_power_W or 0.0, f"{name}/hardware")
            asked = NumberWithSource(current.value * self._volt(), current.source)
            return OwnLimits(
                limits_import=replace(common, total_power_W=min(rated, asked, key=lambda p: p.value)),
                limits_export=replace(common, total_power_W=nothing),
            )
        common = replace(
            common,
            ac_min_current_A=NumberWithSource(self.settings.config.min_current_A, f"{name}/minimum"),
            ac_min_phase_count=IntegerWithSource(1, f"{name}/phases"),
        )
        return OwnLimits(
            limits_import=replace(common, ac_max_current_A=current),
            limits_export=replace(common, ac_max_current_A=nothing),
        )

    def _currents(self, appetite: str) -> Iterator[NumberWithSource]:
        """What limits the current per phase on the grid side, apart from external sources."""
        config, reading, name = self.settings.config, self._reading, self.id
        yield NumberWithSource(
            config.max_current_A if config.charge_mode == "AC" else math.inf, f"{name}/hardware"
        )
        if reading is not None and reading.cable_limit_A is not None:
            yield NumberWithSource(reading.cable_limit_A, f"{name}/cable")
        if reading is not None and reading.car_limit_A is not None:
            yield NumberWithSource(reading.car_limit_A, f"{name}/car")
        if appetite == "nothing":
            why = "idle" if self._states.state is not EvseState.Disabled else "disabled"
            yield NumberWithSource(0.0, f"{name}/{why}")
        elif appetite == "as told" and self._told is not None:
            yield NumberWithSource(self._told.limit_A, f"{name}/silent hardware")
        elif appetite == "minimum":
            yield NumberWithSource(config.min_current_A, f"{name}/paused by car")

    def _volt(self) -> float:
        """Watt for each ampere per phase of the feeder."""
        return self.settings.phases * self.settings.site.nominal_ac_voltage

    def report_status(self, now: Instant) -> tuple[ModuleStatus, ...]:
        """This module; nothing is below it."""
        return (self._status(now, self._request(now, self._appetite(now.mono_s))),)

    def _status(self, now: Instant, wants: EnergyFlowRequest) -> ModuleStatus:
        reading, asked = self._reading, import_limits(wants.schedule_import[0])
        capacity = import_limits(self._request(now, "all").schedule_import[0])
        grant = self._lease.in_force(now.mono_s)
        expires_s = self._lease.expires_s()
        notes = []
        if grant is None:
            notes.append("no limit received yet" if expires_s is None else "limit has run out: fallback")
        silent_s = self._silent_s(now.mono_s)
        if silent_s is not None:
            notes.append(f"hardware not heard for {silent_s:.0f} s")
            reading = None
        elif reading is None:
            notes.append("hardware not heard")
        elif reading.fault is not None:
            notes.append(reading.fault)
        if self._switch.stuck:
            notes.append("its hardware does not change phases")
        return ModuleStatus(
            id=self.id,
            kind="EvseManager",
            controller=self.settings.controller,
            state=self._states.state.value,
            wants_A=value_of(asked.ac_max_current_A),
            wants_W=value_of(asked.total_power_W),
            limit=self._granted(grant),
            limit_ends_in_s=expires_s - now.mono_s if grant is not None and expires_s is not None else None,
            in_force_A=None if reading is None else reading.limit_A,
            in_force_W=None if reading is None else reading.limit_W,
            phases=None if reading is None else reading.closed_phases,
            currents_A=(0.0, 0.0, 0.0) if reading is None else reading.currents_A,
            power_W=0.0 if reading is None else reading.power_W,
            capacity_A=value_of(capacity.ac_max_current_A),
            capacity_W=value_of(capacity.total_power_W),
            sources=self.sources.status(now.mono_s),
            note="; ".join(notes),
        )

    def _plan(self, now: Instant) -> None:
        """When to step again without an event."""
        ends = (self._lease.expires_s(), self._switch.due_s(), self.sources.due_s(), self._report_due_s)
        self.due_s = min(t for t in ends if t is not None and t > now.mono_s)
