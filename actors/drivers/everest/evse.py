"""One EVSE that runs EVerest: what it was told, what it says, and the reading that follows. Pure.

**First its default** is told, for the broker to keep: a charger that begins anew knows no limit but its own
fuse until it is told one. Nothing else is told, and no mark is borne, until it is seen to have that; all
orders end in it. So it is after a restart of the charger, and after its clock was set back.

**An order** goes out as EVerest's external limits: the limit from now on, and from the order's end on the
default, both at times of the charger's clock (charger_clock.py). So it falls back when nobody renews.

**In force** is what its energy manager says that it enforces (`enforced_limits`). That does not name whom a
limit is from where it is 0 or another binds; but its schedule has every time at which any limit in its tree
changes. So the end of each order is a millisecond that no other has, and an order is in force when that
stands in the schedule and no more is enforced than it allows. While EVerest's random delay runs, what it says
is enforced is not: then nothing is confirmed.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from actors.drivers.account import Account, Order
from actors.drivers.chargers import Served
from actors.drivers.everest import messages as words
from actors.drivers.everest.charger_clock import ChargerClock
from actors.drivers.everest.messages import MessageError
from actors.drivers.everest.shown import DISABLED, Shown
from actors.energy.messages import Actuate, Reading

HEARD_S = 3.5
"""A charger that says nothing for longer is not there."""
CONFIRM_S = 2.0
"""An order that is not enforced within this and the charger's reaction counts as not answered."""
SLACK_A, SLACK_W = 0.1, 50.0
"""So much more than an order allows is rounding."""
STAMPS_KEPT = 200
NOT_READY = "it has not confirmed its fallback yet"
DELAYED = "its random delay is on; switch that off"


class _Sent(Struct, frozen=True):
    order: Order
    stamp_ms: int
    at_s: float


class EverestEvse:
    """Lives as long as the driver. Times are monotonic seconds."""

    def __init__(self, now_s: float, served: Served, reaction_s: float) -> None:
        """`reaction_s`: until the charger has carried out that an entry of a schedule is over."""
        self.served = served
        self.account = Account(now_s, served.default, served.longest_s)
        self._reaction_s = reaction_s
        self._confirm_s = CONFIRM_S + reaction_s
        self._clock = ChargerClock()
        self._sent: dict[int, _Sent] = {}
        self._stamps: deque[int] = deque(maxlen=STAMPS_KEPT)
        self._defaults: deque[int] = deque(maxlen=STAMPS_KEPT)
        """Stamps of its default, as told."""
        self._confirmed: int | None = None
        self._last_beat = -1
        self._default_due_s = float("-inf")
        self.lose(now_s)

    def lose(self, now_s: float) -> None:
        """There is no connection: nothing is known of it any more."""
        self._begin_anew(now_s)
        self._clock.forget()
        self._heard_s = float("-inf")
        self._shown = Shown(self.served)
        self._delayed = False
        self._exceeds = ""

    # --- what it is told ----------------------------------------------------------------------------

    def want(self, now_s: float, command: Actuate) -> str | None:
        """What the tree lets it have; returns why it is not taken."""
        return self.account.want(now_s, command)

    def default_message(self, now_s: float, wall_ms: int) -> bytes | None:
        """Its default, if it is to be told that now."""
        if self._ready or now_s < self._default_due_s:
            return None
        self._default_due_s = now_s + self._confirm_s
        self._defaults.append(self._stamp(wall_ms))
        return words.limits_message([(self._defaults[-1], self.served.default)], with_phases=False)

    def _begin_anew(self, now_s: float) -> None:
        """Its default comes first again."""
        self.account.no_answer(now_s)
        self.account.forget_held()
        self._ready, self._confirmed, self._default_due_s = False, None, float("-inf")
        self._defaults.clear()

    def order(self, now_s: float, wall_ms: int) -> bytes | None:
        """What is to be sent now, if anything."""
        if not (self._ready and self.heard(now_s)):
            return None
        self._give_up(now_s)
        shown_s = self._clock.shown_s(now_s)
        if shown_s is None and self._would_raise(now_s):
            return None
        order = self.account.order(now_s)
        if order is None:
            return None
        default = self.served.default
        if shown_s is None or order.limit == default:
            stamp_ms = self._stamp(wall_ms if shown_s is None else round(shown_s * 1000))
            entries = [(stamp_ms, order.limit if order.limit.fits(default) else default)]
        else:
            left_s = order.ends_s - now_s - self._reaction_s
            stamp_ms = self._stamp(int((shown_s + left_s) * 1000))
            from_ms = self._stamp(min(int(shown_s * 1000), stamp_ms) - 1000)
            entries = [(from_ms, order.limit), (stamp_ms, default)]
        self._sent[order.number] = _Sent(order, stamp_ms, now_s)
        return words.limits_message(entries, with_phases=self._changes_phases())

    def _would_raise(self, now_s: float) -> bool:
        """Whether what is wanted is more than what it falls back to and no less than what it holds."""
        wanted, (held, _) = self.account.wanted(), self.account.in_force(now_s)
        return wanted is None or not (wanted.fits(self.served.default) or not held.fits(wanted))

    def _stamp(self, at_ms: int) -> int:
        """That time or a little less: one that no other schedule has, as far as can be."""
        while at_ms in self._stamps or at_ms % 1000 == 0:
            at_ms -= 1
        self._stamps.append(at_ms)
        return at_ms

    def _give_up(self, now_s: float) -> None:
        for number, sent in list(self._sent.items()):
            if (
                self._confirmed != number
                and now_s > sent.at_s + self._confirm_s
                and self.account.under_way(number)
            ):
                self.account.no_answer(now_s)
            if now_s > sent.order.over_s:
                del self._sent[number]

    def _changes_phases(self) -> bool:
        return self.served.config.supports_changing_phases_during_charging

    # --- what it says -------------------------------------------------------------------------------

    def hear(self, now_s: float, what: str, payload: bytes) -> None:
        """A message came. Raises MessageError."""
        content = words.decoded(payload)
        self._heard_s = now_s
        match what:
            case words.HEARTBEAT:
                self._beat(now_s, content)
            case words.SESSION_INFO:
                if not self._clock.shows(now_s, words.stamp_ms(content) / 1000):
                    self._begin_anew(now_s)  # what it was told may end later than it should
                self._shown.session_info(content)
            case words.SESSION_EVENT:
                self._shown.session_event(content)
            case words.POWERMETER:
                if self._shown.powermeter(now_s, content):
                    self.account.measure(now_s, max(self._shown.currents_A))
            case words.ENFORCED_LIMITS:
                self._enforces(now_s, *words.enforced(content))
            case words.RANDOM_DELAY:
                self._delayed = isinstance(content, dict) and content.get("countdown_s", 0) != 0

    def _beat(self, now_s: float, content: object) -> None:
        if not isinstance(content, int):
            raise MessageError("no heartbeat")
        if content < self._last_beat:  # it began anew, and may have lost what it held
            self._begin_anew(now_s)
            self._shown.gone = False
        self._last_beat = content

    def _enforces(
        self, now_s: float, current_A: float, power_W: float | None, stamps: frozenset[int]
    ) -> None:
        found = [number for number, sent in self._sent.items() if sent.stamp_ms in stamps]
        if not found:
            has_default = not stamps.isdisjoint(self._defaults)
            if has_default and not self._delayed and current_A <= self.served.default.limit_A + SLACK_A:
                self._ready = True
            if self._confirmed is not None:  # somebody else set it other limits, or it was told the default
                self._confirmed = None
                self.account.forget_held()
            return
        number = max(found)
        limit, default = self._sent[number].order.limit, self.served.default
        allowed_A = max(limit.limit_A, default.limit_A)  # which is counted in any case
        is_more = current_A > allowed_A + SLACK_A
        if limit.limit_W is not None:
            full_W = default.limit_A * self.served.phases * self.served.voltage_V
            is_more = is_more or (power_W or 0.0) > max(limit.limit_W, default.limit_W or full_W) + SLACK_W
        self._exceeds = f"enforces {current_A:g} A, told {limit.limit_A:g} A" if is_more else ""
        if is_more or self._delayed or number == self._confirmed:
            return
        self._confirmed = number
        self.account.answer(now_s, number, accepted=True)

    # --- what follows -------------------------------------------------------------------------------

    def heard(self, now_s: float) -> bool:
        """Whether it is there."""
        return now_s <= self._heard_s + HEARD_S

    def reading(self, now_s: float) -> Reading | None:
        """What its hardware says; None while it is not there."""
        if not self.heard(now_s):
            return None
        limit, ends_in_s = self.account.in_force(now_s)
        shown = self._shown
        return Reading(
            t_hardware_s=now_s,
            plugged_in=not shown.gone,
            car_asks=shown.asks,
            complete=shown.takes_nothing(now_s),
            closed_phases=shown.phases(limit.phase_count),
            currents_A=shown.currents_A,
            power_W=shown.power_W,
            limit_A=limit.limit_A,
            limit_W=limit.limit_W,
            limit_ends_in_s=ends_in_s,
            mark=self.account.mark(now_s) if self._ready else "",
            contactor_closed=not shown.gone,  # else it does not say, and a low current proves nothing
            fault=self._fault(now_s),
        )

    def _fault(self, now_s: float) -> str | None:
        if self._shown.state == DISABLED:
            return "disabled"
        if self._delayed:
            return DELAYED
        if not self._ready:
            return self._exceeds or NOT_READY
        patience_s = self.served.config.settle_time_s + self._confirm_s
        if self.account.exceeds_s(now_s) > patience_s:
            most_A = self.account.most(now_s).limit_A
            return f"draws {max(self._shown.currents_A):.1f} A, told {most_A:g} A: ignores its limit"
        return self._exceeds or None
