"""An EvseManager's core between a parent and hardware that are made up, and what must never happen.

The hardware has a clock of its own and keeps the promises of `Actuate`: a limit ends `duration_s`
after the reading that it echoes was made, one that echoes an older reading is refused, and the
contactor changes phases only while no current flows. Readings may arrive late and out of order: one
that took so long that the answer to it is over before it is given leaves the hardware with what it
had, to the end of that grant. After every step the limit in force is held against an oracle that knows nothing of the core.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from actors.energy.evse_state import SILENT_S
from actors.energy.external import SetLimits
from actors.energy.messages import Actuate, Grant, Instant, Order, Reading
from tests.energy.builders import VOLT, actuates, at, command, enforced, evse, grant, reading, short

CLOCK_SHIFT_S = 1234.5
FALLBACK_A = 7.0
RATED_A = 32.0
RATED_W = 50e3
MINIMUM_A = 6.0
LONGEST_S = 14.0
"""10 intervals of 1 s, 3 of silence, and 1."""
CRUMB = 1e-6


class Offer(NamedTuple):
    """A grant comes."""

    boot: str
    lag_s: float
    epoch: int
    seq: int
    duration_s: float
    A: float | None
    W: float | None
    phases: int | None


class Read(NamedTuple):
    """The hardware makes a reading."""

    plugged_in: bool
    car_asks: bool
    flowing: bool
    cable_A: float | None
    car_A: float | None


class Deliver(NamedTuple):
    """One of the readings under way arrives, most likely the first."""

    position: int


class Local(NamedTuple):
    """A source at the EVSE sets limits."""

    A: float | None
    W: float | None
    for_s: float | None


class Wait(NamedTuple):
    """Time goes by; the core is woken or not."""

    s: float
    woken: bool


class Contactor(NamedTuple):
    """The contactor connects what it was told, if it may."""


Step = Offer | Read | Deliver | Local | Wait | Contactor

_amperes = st.sampled_from([None, 0.0, 5.9, 6.0, 10.0, 16.0, 40.0])
_watts = st.sampled_from([None, 0.0, 1380.0, 2500.0, 4140.0, 7000.0, 11_040.0])

STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(
            Offer,
            st.sampled_from(["boot", "boot", "boot", "other"]),
            st.sampled_from([0.0, 0.0, 0.3, 2.0, 12.0, -1.0]),
            st.integers(1, 2),
            st.integers(1, 30),
            st.sampled_from([0.0, 1.0, 5.0, 10.0, 10.0, 20.0]),
            _amperes,
            _watts,
            st.sampled_from([None, 1, 3]),
        ),
        st.builds(
            Read, st.sampled_from([True, True, False]), st.booleans(), st.booleans(), _amperes, _amperes
        ),
        st.builds(Deliver, st.sampled_from([0, 0, 0, 1, 2])),
        st.builds(Deliver, st.just(0)),
        st.builds(Local, _amperes, _watts, st.sampled_from([None, 1.0, 4.0])),
        st.builds(Wait, st.sampled_from([0.0, 0.2, 1.0, 3.0, 7.0, 11.0]), st.booleans()),
        st.builds(Contactor),
    ),
    max_size=60,
)


class Hardware:
    """Holds what it was told, for as long as it was told."""

    def __init__(self, closed: int) -> None:
        self.closed = closed
        self.limit = Actuate(t_echo_s=0.0, duration_s=0.0, limit_A=0.0, phase_count=3)
        self.ends_s = 0.0
        self._newest_echo_s = 0.0

    def take(self, now_s: float, told: Actuate) -> bool:
        """As any hardware's watchdog does; False for what is over already."""
        ends_s = told.t_echo_s - CLOCK_SHIFT_S + told.duration_s
        if now_s >= ends_s:
            return False
        if told.t_echo_s >= self._newest_echo_s:
            self.limit, self.ends_s, self._newest_echo_s = told, ends_s, told.t_echo_s
        return True

    def in_force(self, now_s: float) -> Actuate | None:
        """None after its end: the hardware's own fallback holds."""
        return self.limit if now_s < self.ends_s else None


class Bench:
    """Plays steps and checks after each."""

    def __init__(self, charge_mode: Literal["AC", "DC"] = "AC", closed: int = 3) -> None:
        self.dc = charge_mode == "DC"
        self.now_s = 0.0
        self.hardware = Hardware(closed)
        self.core = evse(
            charge_mode=charge_mode,
            max_current_A=RATED_A,
            max_power_W=RATED_W if self.dc else None,
            min_current_A=MINIMUM_A,
            fallback_limit_A=FALLBACK_A,
            supports_changing_phases_during_charging=True,
            switch_3ph1ph_delay_s=1.0,
        )
        self._flowing = False
        self._answered_in_time = True
        self._last_end_s = 0.0
        self._under_way: list[Reading] = []
        self._read: Reading | None = None
        self._read_at_s = 0.0
        self._newest: Order | None = None
        self._granted: tuple[Grant, Offer] | None = None
        self._local: tuple[Local, float] | None = None

    def play(self, steps: list[Step]) -> None:
        """Play all steps."""
        for step in steps:
            self._play(step)
            self._check()

    def _play(self, step: Step) -> None:
        match step:
            case Offer():
                self._offer(step)
            case Read():
                self._make_reading(step)
            case Deliver(position):
                if self._under_way:
                    self._arrive(self._under_way.pop(min(position, len(self._under_way) - 1)))
            case Local():
                limits: dict[str, Any] = {"ac_max_current_A": step.A, "total_power_W": step.W}
                limits = {name: value for name, value in limits.items() if value is not None}
                ends_s = self.now_s + step.for_s if step.for_s is not None else float("inf")
                self._local = step, ends_s
                self._step(command("evse", SetLimits(source="x", limits=short(**limits), for_s=step.for_s)))
            case Wait():
                self.now_s += step.s
                if step.woken:
                    self._step(None)
            case Contactor():
                held = self.hardware.in_force(self.now_s)
                if held is not None and (held.limit_A == 0.0 or not self._flowing):
                    self._move(held.phase_count)

    def _offer(self, step: Offer) -> None:
        t_echo_s = self.now_s - step.lag_s
        limits = enforced(A=step.A, W=step.W, phases=step.phases)
        message = grant(
            t_echo_s, step.seq, limits, epoch=step.epoch, duration_s=step.duration_s, boot=step.boot
        )
        good = step.boot == "boot" and step.lag_s >= 0.0 and 0.0 < step.duration_s <= LONGEST_S
        newer = self._newest is None or message.order > self._newest
        if good and newer and self.now_s < t_echo_s + step.duration_s:
            self._newest, self._granted = message.order, (message, step)
            self._last_end_s = max(self._last_end_s, t_echo_s + step.duration_s)
        self._step(message)

    def _arrive(self, arrived: Reading) -> None:
        overtaken = self._read is not None and arrived.t_hardware_s < self._read.t_hardware_s
        if overtaken and self.now_s - self._read_at_s > SILENT_S:
            return  # lost: after a silence it could not be told from restarted hardware
        if not overtaken:
            self._read, self._read_at_s = arrived, self.now_s
        self._step(arrived)

    def _make_reading(self, step: Read) -> None:
        held = self.hardware.in_force(self.now_s)
        self._flowing = step.plugged_in and step.flowing
        current_A = held.limit_A if held is not None and self._flowing else 0.0
        self._under_way.append(
            reading(
                self.now_s + CLOCK_SHIFT_S,
                plugged_in=step.plugged_in,
                car_asks=step.plugged_in and step.car_asks,
                closed_phases=self.hardware.closed,
                currents_A=(current_A, 0.0, 0.0),
                cable_limit_A=step.cable_A,
                car_limit_A=step.car_A,
            )
        )

    def _move(self, phases: int) -> None:
        """Told at once; what was said before and is still under way is lost."""
        if phases != self.hardware.closed:
            self.hardware.closed = phases
            self._under_way.clear()
            self._check()
            if self._read is not None:
                fresh = replace(self._read, t_hardware_s=self.now_s + CLOCK_SHIFT_S, closed_phases=phases)
                self._arrive(fresh)

    def _step(self, event: Any) -> None:
        now: Instant = at(self.now_s)
        for told in actuates(self.core.step(now, event)):
            self._answered_in_time = self.hardware.take(self.now_s, told)

    # --- the oracle ------------------------------------------------------------------------------

    def _check(self) -> None:
        held = self.hardware.in_force(self.now_s)
        if held is None:
            return
        if not self._answered_in_time:
            assert held.limit_A <= FALLBACK_A or self.hardware.ends_s <= self._last_end_s + CRUMB
            return
        phases = 3 if self.dc else self.hardware.closed
        A, W = held.limit_A, held.limit_A * phases * VOLT
        if held.limit_W is not None:
            assert held.limit_W <= W + CRUMB
        assert self.dc or A == 0.0 or A >= MINIMUM_A
        assert A * phases * VOLT <= RATED_W + CRUMB if self.dc else A <= RATED_A
        if self._granted is not None:
            message, offer = self._granted
            if self.now_s < message.t_echo_s + message.duration_s:
                assert self.hardware.ends_s <= message.t_echo_s + message.duration_s + CRUMB
                self._within(A, W, offer.A, offer.W)
                assert (offer.A, offer.W) != (None, None) or A == 0.0, "nothing said is nothing granted"
            else:
                assert A <= FALLBACK_A
        else:
            assert A <= FALLBACK_A
        if self._local is not None and self.now_s < self._local[1]:
            self._within(A, W, self._local[0].A, self._local[0].W)
        if self._read is not None:
            self._within(A, W, self._read.cable_limit_A, None)
            self._within(A, W, self._read.car_limit_A, None)

    @staticmethod
    def _within(A: float, W: float, limit_A: float | None, limit_W: float | None) -> None:
        assert limit_A is None or limit_A + CRUMB >= A
        assert limit_W is None or limit_W + CRUMB * VOLT >= W
