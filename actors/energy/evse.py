"""EvseManager: one charge point.

Upwards it reports what its car can use; downwards it holds the hardware to the most restrictive of
grant, local limits, hardware, cable and car. What it tells the hardware never outlives its grant;
without one it is at its fallback. Times are monotonic seconds unless said otherwise.
"""

from __future__ import annotations

import math
from itertools import count
from typing import Literal

from msgspec.structs import replace

from actors.energy.actuator import Actuator
from actors.energy.amount import CRUMB, Amount
from actors.energy.draw import Draw, ac_draw, dc_draw, no_draw
from actors.energy.effects import Effect, Say, ToDriver, ToParent
from actors.energy.evse_state import SILENT_S, StateMachine
from actors.energy.evse_wishes import Appetite, EvseSettings, Situation, Wishes
from actors.energy.external import SavedSources
from actors.energy.lease import SILENT_INTERVALS, Lease, longest_grant_s
from actors.energy.member import Member
from actors.energy.messages import (
    Actuate,
    Command,
    Grant,
    Instant,
    ModuleStatus,
    Outcome,
    Reading,
    Report,
)
from actors.energy.phase_switch import PhaseSwitch
from actors.energy.telling import NOTHING_NEW, Telling
from actors.energy.types import (
    EvseState,
    LimitsReq,
    LimitsRes,
    NumberWithSource,
    valid_for_s,
    value_of,
)

_IDLE = (EvseState.Unplugged, EvseState.WaitForAuth, EvseState.Finished, EvseState.Disabled)
_OVER = (EvseState.Unplugged, EvseState.Finished)


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
        self._actuator = Actuator(settings.fallback, settings.config.settle_time_s)
        self._wishes = Wishes(settings, self.sources)
        self._telling = Telling()
        self._marks = count(1)
        self._hardware_due_s = now.mono_s + SILENT_INTERVALS * settings.site.update_interval
        self._reading: Reading | None = None
        self._read_at_s = now.mono_s
        self._draw = Draw(current_A=0.0, power_W=None, source="")
        self._bounds: tuple[LimitsRes, Amount | None, LimitsReq, int, bool] | None = None
        """What it was worked out from."""
        self._followed: Grant | None = None
        """What the hardware was last held to."""
        self._told: Actuate | None = None
        self._told_until_s = now.mono_s
        self._report_due_s = self._renew_due_s = now.mono_s
        self._appetite_told: Appetite = "nothing"
        self._committed: Amount | None = None
        """As reported last."""
        self.due_s = now.mono_s

    def step(self, now: Instant, event: Reading | Grant | Command | Outcome | None) -> list[Effect]:
        """Take an event; returns what to do."""
        version = self.sources.version
        renew = prompt = False
        effects = self.tick_sources(now)
        match event:
            case Reading():
                news = self._is_news(now.mono_s, event)
                self._read(now.mono_s, event)
                if not (news or effects or self._eased(now.mono_s)):
                    return effects
            case Grant():
                first = self._lease.acked is None
                again = not effects and self._says_the_same(now.mono_s, event)
                refused = self._lease.offer(now.mono_s, event)
                if again and refused is None and not self._eased(now.mono_s):
                    return self._tell_again(now.mono_s, event)
                if refused is not None:
                    effects.append(Say("debug", f"grant not taken: {refused}"))
                if refused is None and self._telling.known(event.knows_s):
                    self._report_due_s = now.mono_s
                renew = refused is None
                prompt = renew and (first or event.fence)
            case Command():
                effects += self.obey(now, event)
            case Outcome():
                raise AssertionError("an EVSE has nobody below it")
            case None:
                pass
        hurry = self.sources.version != version
        if event is not None or hurry or not self._goes_on(now.mono_s):
            effects += self._follow(now, renew=renew or hurry)
        effects += self._report(now, hurry, prompt)
        self._plan(now)
        return effects

    def _is_news(self, now_s: float, reading: Reading) -> bool:
        """Whether a reading asks for more than being noted by the actuator. Most do not: they show what
        the last did, and nothing else is due. Limits of sources may follow the wall clock, currents count
        while phases are changed, and limits before the first grant."""
        last = self._reading
        return (
            last is None
            or now_s >= self.due_s
            or now_s - self._read_at_s > SILENT_S
            or self._lease.grant is None
            or self._switch.due_s() is not None
            or bool(self.sources.in_force())
            or reading.t_hardware_s < last.t_hardware_s
            or not reading.shows_the_same(last)
        )

    def _says_the_same(self, now_s: float, grant: Grant) -> bool:
        """Whether a grant only goes on with the last, under circumstances that are as they were when the
        hardware was told. Most do."""
        last = self._lease.in_force(now_s)
        return (
            last is not None
            and not grant.fence
            and grant.amount == last.amount
            and grant.limits == last.limits
            and grant.knows_s == last.knows_s
            and now_s < self.due_s
            and self._stands(now_s)
        )

    def _goes_on(self, now_s: float) -> bool:
        """Whether the hardware needs to be told nothing, as all is as it was when it was told last."""
        grant = self._lease.in_force(now_s)
        return (
            grant is not None
            and grant is self._followed
            and now_s < self._renew_due_s
            and self._stands(now_s)
        )

    def _stands(self, now_s: float) -> bool:
        """Whether there is nothing, grants apart, for which the hardware may have to be told anew."""
        return (
            self._reading is not None
            and now_s - self._read_at_s <= SILENT_S
            and self._switch.due_s() is None
            and not self.sources.in_force()
            and not self._differs(self._draw, "on")
        )

    def _read(self, now_s: float, reading: Reading) -> None:
        """Take a reading, unless it was overtaken. Hardware that restarts counts from 0 again: it is
        believed once its former life counts as silent."""
        last = self._reading
        if last is None:
            self._report_due_s = now_s
        overtaken = last is not None and reading.t_hardware_s < last.t_hardware_s
        if not overtaken or now_s - self._read_at_s > SILENT_S:
            self._reading, self._read_at_s = reading, now_s
            self._actuator.read(now_s, reading)

    def _amount(self, current_A: float, phases: int) -> Amount:
        return Amount(current_A, current_A * phases * self.settings.voltage_V)

    def _follow(self, now: Instant, *, renew: bool) -> list[Effect]:
        """Hold the hardware to what may flow now."""
        reading = self._reading
        if reading is None:
            return []
        now_s = now.mono_s
        self._followed = grant = self._lease.in_force(now_s)
        inherits = grant is None and self._inherits(reading)
        limits = self._inherited(reading) if inherits else self._granted(grant)
        wanted = self._wanted_phases(limits, reading)
        paused = self._switch.step(now_s, wanted, reading)
        local = self._wishes.local_limits(now, self._situation(now.mono_s))
        phases = max(self._switch.commanded, reading.closed_phases)
        bounds = (limits, None if grant is None else grant.amount, local, phases, paused)
        if bounds != self._bounds:
            self._bounds, self._draw = bounds, self._make_draw(*bounds)
        draw = self._draw
        silent = self._silent_s(now_s) is not None
        due = renew or now_s >= self._renew_due_s
        if not due and not self._differs(draw, self._cp_state(paused)):
            return []
        message = Actuate(
            t_echo_s=reading.t_hardware_s,
            boot=reading.boot,
            duration_s=reading.limit_ends_in_s if inherits else self._duration_s(grant),
            mark=self._next_mark(),
            takes_over=reading.mark if inherits else None,
            limit_A=draw.current_A,
            limit_W=draw.power_W,
            phase_count=self._switch.commanded,
            cp_state=self._cp_state(paused),
            source=draw.source,
        )
        return self._lower_only(now_s, message) if silent else self._tell(now_s, message)

    def _make_draw(
        self, limits: LimitsRes, amount: Amount | None, local: LimitsReq, phases: int, paused: bool
    ) -> Draw:
        settings, config = self.settings, self.settings.config
        if paused:
            return no_draw(f"{self.id}/phase switch", dc=config.charge_mode == "DC")
        if amount is not None:
            limits = self._allowed(limits, amount, phases)
        if config.charge_mode == "DC":
            return dc_draw(limits, local, settings.phases, settings.voltage_V)
        return ac_draw(limits, local, phases, settings.voltage_V, config.min_current_A)

    def _lower_only(self, now_s: float, message: Actuate) -> list[Effect]:
        """Hardware that does not answer is lowered, but not renewed: what it holds runs out."""
        left_s = self._told_until_s - self._read_at_s
        if self._told is None or message.limit_A >= self._told.limit_A or left_s <= 0:
            return []
        return self._tell(now_s, replace(message, duration_s=min(message.duration_s, left_s)))

    def _tell(self, now_s: float, message: Actuate) -> list[Effect]:
        self._told, self._told_until_s = message, self._read_at_s + message.duration_s
        self._renew_due_s = now_s + self.settings.site.update_interval
        if message.limit_W is None:
            amount = self._amount(message.limit_A, max(message.phase_count, self._closed_phases()))
        else:
            amount = Amount(message.limit_A, message.limit_W)
        self._actuator.tell(message.mark, amount, self._told_until_s, self._read_at_s)
        return [ToDriver(message)]

    def _tell_again(self, now_s: float, grant: Grant) -> list[Effect]:
        """The same as last, for as long as this grant."""
        assert self._told is not None
        assert self._reading is not None
        self._followed = grant
        return self._tell(
            now_s,
            replace(
                self._told,
                t_echo_s=self._reading.t_hardware_s,
                boot=self._reading.boot,
                duration_s=self._duration_s(grant),
                mark=self._next_mark(),
                takes_over=None,
            ),
        )

    def _next_mark(self) -> str:
        return f"{self._lease.boot}:{next(self._marks)}"

    def _closed_phases(self) -> int:
        return self.settings.phases if self._reading is None else self._reading.closed_phases

    def _inherits(self, reading: Reading) -> bool:
        """Whether the hardware still holds what an earlier life told it, and this one was granted
        nothing yet: that runs to its end, and is told again as it is, so that it bears our mark."""
        holds_more = reading.limit_A > self.settings.fallback.import_A
        return self._lease.expires_s() is None and holds_more and reading.limit_ends_in_s > 0.0

    def _inherited(self, reading: Reading) -> LimitsRes:
        source = f"{self.id}/held since before a restart"
        return LimitsRes(
            ac_max_current_A=NumberWithSource(reading.limit_A, source),
            total_power_W=None if reading.limit_W is None else NumberWithSource(reading.limit_W, source),
        )

    def _allowed(self, limits: LimitsRes, amount: Amount, phases: int) -> LimitsRes:
        """The market's limits, within what the grant allows on so many phases."""
        source = f"{self.id}/waits for room"
        current, power = limits.ac_max_current_A, limits.total_power_W
        if current is None and power is None:
            return limits  # nothing said is nothing granted
        if current is None or current.value > amount.import_A + CRUMB:
            current = NumberWithSource(amount.import_A, source)
        full_W = math.inf if current is None else current.value * phases * self.settings.voltage_V
        if amount.import_W + CRUMB < (full_W if power is None else min(full_W, power.value)):
            power = NumberWithSource(amount.import_W, source if power is None else power.source)
        if current is limits.ac_max_current_A and power is limits.total_power_W:
            return limits
        return replace(limits, ac_max_current_A=current, total_power_W=power)

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
        return self._lease.nested_s(self._read_at_s)

    def _cp_state(self, paused: bool) -> Literal["on", "X1", "E", "F"]:
        return self.settings.config.switch_3ph1ph_cp_state if paused else "on"

    def _differs(self, draw: Draw, cp_state: str) -> bool:
        """Whether the hardware was told something else last."""
        told = self._told
        return (
            told is None
            or told.limit_A != draw.current_A
            or told.limit_W != draw.power_W
            or told.phase_count != self._switch.commanded
            or told.cp_state != cp_state
        )

    def _report(self, now: Instant, hurry: bool, prompt: bool) -> list[Effect]:
        """Tell the parent each interval; at once when a session begins or ends, when less may flow than
        was told last (somebody may wait for it), and that a first grant or a fence was taken. A new life
        reads its hardware first: the parent renews what it holds by the first report, and no more."""
        before = self._states.state
        state = self._states.step(now.mono_s, self._reading, self._read_at_s, self._offered())
        changed = state is not before
        wants_other = self._appetite(now.mono_s) != self._appetite_told
        priority = hurry or wants_other or (changed and state in _OVER)
        effects: list[Effect] = [Say("info", f"{before.value} -> {state.value}")] if changed else []
        if self._lease.in_force(now.mono_s) is None:
            self._telling.forget()
        if not self._heard(now.mono_s):
            self._report_due_s = self._hardware_due_s
            return effects
        if priority or changed or now.mono_s >= self._report_due_s:
            self._report_due_s = now.mono_s + self.settings.site.update_interval
            return [*effects, ToParent(self._make_report(now, priority))]
        if self._eased(now.mono_s) or prompt:
            return [*effects, ToParent(self._short_report(now))]
        return effects

    def farewell(self, now: Instant) -> list[Effect]:
        """What to do before the process ends in good order."""
        return [ToParent(replace(self._make_report(now, priority=True), leaving=True))]

    def _make_report(self, now: Instant, priority: bool) -> Report:
        """With what the car wants, unless the hardware has only not been heard yet."""
        self._appetite_told = appetite = self._appetite(now.mono_s)
        asked = self._wishes.asked(now, self._situation(now.mono_s), appetite)
        report, told = self._short_report(now), NOTHING_NEW
        if self._heard(now.mono_s):
            told = self._telling.tell(report.t_child_s, asked.request, urgent=priority)
        return replace(
            report,
            wants=told.wants,
            changes=told.changes,
            since_s=told.since_s,
            priority=priority,
            status=(self._status(now, asked.limits),) if self.tells_status else (),
        )

    def _heard(self, now_s: float) -> bool:
        """Whether the hardware was heard, or has been silent for so long that it is no more waited for."""
        return self._reading is not None or now_s >= self._hardware_due_s

    def _short_report(self, now: Instant) -> Report:
        """What the ledger above needs, always whole."""
        self._committed = self._actuator.committed(now.mono_s)
        grant = self._lease.in_force(now.mono_s)
        return Report(
            child=self.id,
            boot=self._lease.boot,
            t_child_s=self._lease.stamp(now.mono_s),
            acked=self._lease.acked,
            holds=self._holds() if grant is None else grant.amount,
            committed=self._committed,
            fallback=self.settings.fallback,
            settle_time_s=self.settings.config.settle_time_s,
            config_digest=self.settings.config_digest,
        )

    def _holds(self) -> Amount:
        """Without a grant its fallback, or what its hardware still holds since before a restart."""
        reading = self._reading
        if reading is None or not self._inherits(reading):
            return self.settings.fallback
        return self._amount(reading.limit_A, reading.closed_phases)

    def _eased(self, now_s: float) -> bool:
        """Whether less may flow than was told last."""
        now, told = self._actuator.committed(now_s), self._committed
        return now is not None and now is not told and (told is None or not told.fits(now))

    def _offered(self) -> bool:
        return self._draw.current_A > 0

    def _appetite(self, now_s: float) -> Appetite:
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

    def _situation(self, now_s: float) -> Situation:
        reading, told = self._reading, self._told
        return Situation(
            self._states.state,
            self._switch.commanded,
            self._changes_phases(),
            None if reading is None else reading.cable_limit_A,
            None if reading is None else reading.car_limit_A,
            0.0 if told is None or self._silent_s(now_s) is None else told.limit_A,
        )

    def report_status(self, now: Instant) -> tuple[ModuleStatus, ...]:
        """This module; nothing is below it."""
        asked = self._wishes.asked(now, self._situation(now.mono_s), self._appetite(now.mono_s))
        return (self._status(now, asked.limits),)

    def _status(self, now: Instant, asked: LimitsReq) -> ModuleStatus:
        reading = self._reading
        capacity = self._wishes.local_limits(now, self._situation(now.mono_s))
        grant = self._lease.in_force(now.mono_s)
        expires_s = self._lease.expires_s()
        age_s = now.mono_s - self._actuator.made_after_s
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
            currents_age_s=None if math.isinf(age_s) else age_s,
            power_W=0.0 if reading is None else reading.power_W,
            capacity_A=value_of(capacity.ac_max_current_A),
            capacity_W=value_of(capacity.total_power_W),
            sources=self.sources.status(now.mono_s),
            note="; ".join(notes),
        )

    def _plan(self, now: Instant) -> None:
        """When to step again without an event."""
        now_s, due_s = now.mono_s, self._report_due_s
        for at_s in (
            self._lease.expires_s(),
            self._switch.due_s(),
            self.sources.due_s(),
            self._actuator.due_s(now_s),
            self._states.due_s(),
        ):
            if at_s is not None and now_s < at_s < due_s:
                due_s = at_s
        self.due_s = due_s
