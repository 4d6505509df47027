"""What a charger was told, what of that may be in force, and which mark a reading of it may bear.

For chargers that are told by messages and answer them, or not: OCPP, EVerest. A driver turns what its EVSE
wants (`Actuate`) into *orders*: a limit and how long it holds, with an end of its own, after which the
charger falls back by itself to its default, which it is given first and keeps.

**An order's life.** Only one is under way at a time.

    sent ──accepted──► held                    in force, until another is accepted or it runs out
      ├────refused──► answered                 not in force, as it seems
      └──no answer──► unanswered ──late answer──► answered

**What may be in force** is the default, or any order that is not *struck*. One is struck

    - when it is surely over: `duration * STRETCH` after it was sent. Its end is part of the order, so that
      one which is carried out late ends no later;
    - when a later one is accepted that was sent after this one had been *answered*, whatever the answer: a
      charger that has answered is done with it, so the later one was carried out after it.

So an order without an answer counts to its end, also when later ones were accepted: it may be carried out
after them. So does a refused one until another is accepted: a refusal is a charger's word that nothing
changed, not that what it held before is gone. And whatever a former life of the driver told, which nobody
remembers, counts until the longest such order is over.

**Which mark.** A reading that bears a mark tells its EVSE that nothing told before that is in force
(actors/energy/actuator.py). What is told after it, the EVSE counts by itself, each until `duration *
STRETCH` after the reading that it answers. So

    a mark may be borne only if each order that may be in force is *covered* by something that was wanted
    with it or after it: no less current, power and phases, and surely over no earlier.

That is the invariant here, worked out from what `covers` each order. A mark may be of something that was
never sent: where the same is wanted again for a little longer, or more is wanted than is held, nothing need
be sent for the mark to be true. So a charger is told far less often than its EVSE tells its driver.

Nothing here knows a clock, a socket or a protocol. Times are the driver's monotonic seconds, which are the
hardware's time for the EVSE.
"""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.ledger import STRETCH
from actors.energy.messages import Actuate

ORDERS_MAX = 16
"""Orders that may be in force; a charger with so many open ones is told nothing more until some are over."""
RENEW_PART = 0.5
"""The same limit is sent again when less than this part of what is wanted is left."""
RETRY_S = 3.0
"""After an order that was refused or not answered."""
SHORTEST_S = 1.0
"""What is over sooner is not sent."""
SLACK_A, SLACK_PART = 1.0, 0.02
"""By so much a current may be measured above its limit."""


class Limit(Struct, frozen=True):
    """Per phase, and for all together; None is none."""

    limit_A: float
    limit_W: float | None = None
    phase_count: int = 3

    def fits(self, other: Limit) -> bool:
        """Whether it allows no more than another."""
        own_W = math.inf if self.limit_W is None else self.limit_W
        other_W = math.inf if other.limit_W is None else other.limit_W
        return self.limit_A <= other.limit_A and own_W <= other_W and self.phase_count <= other.phase_count


NO_LIMIT = Limit(math.inf, None, 3)


class Order(Struct, frozen=True, kw_only=True):
    """Something that a charger was told, or is to be told."""

    number: int
    limit: Limit
    duration_s: float
    """From when it was sent, on the charger's clock."""
    ends_s: float
    """When it is over if the clocks agree."""
    over_s: float
    """When it is surely over."""
    answered: bool = False
    covered: int
    """Number of the newest that was wanted and covers it."""
    mark: str
    """Of that."""


class _Wanted(Struct, frozen=True):
    number: int
    mark: str
    limit: Limit
    ends_s: float
    over_s: float

    def covers(self, order: Order) -> bool:
        return order.limit.fits(self.limit) and order.over_s <= self.over_s


class Account:
    """Of one EVSE's charger. `default` is what it falls back to by itself."""

    def __init__(self, now_s: float, default: Limit, longest_s: float) -> None:
        """`longest_s`: what a former life of the driver told last is over so long after `now_s`."""
        self.default = default
        over_s = now_s + longest_s * STRETCH
        former = Order(
            number=0, limit=NO_LIMIT, duration_s=longest_s, ends_s=now_s, over_s=over_s, covered=-1, mark=""
        )
        self._orders: tuple[Order, ...] = (former,)
        self._wanted: _Wanted | None = None
        self._newest_echo_s = -math.inf
        self._numbers = 0
        self._under_way: int | None = None
        self._known_before: frozenset[int] = frozenset()
        """Orders that had been answered when the one under way was sent."""
        self._held: int | None = None
        """The order that was accepted last."""
        self._retry_s = -math.inf
        self._exceeds_since_s: float | None = None

    # --- what the EVSE wants ------------------------------------------------------------------------

    def want(self, now_s: float, command: Actuate) -> str | None:
        """Take what the charger shall be told; returns why not, if it is not taken."""
        ends_s = command.t_echo_s + command.duration_s
        if command.t_echo_s > now_s:
            return f"it answers a reading of {command.t_echo_s - now_s:.3f} s ahead"
        if command.t_echo_s < self._newest_echo_s:
            late_s = self._newest_echo_s - command.t_echo_s
            return f"it answers an older reading than the last, by {late_s:.3f} s"
        if command.takes_over is not None and command.takes_over != self.mark(now_s):
            return f"mark {self.mark(now_s)!r} is in force, not {command.takes_over!r}"
        if not now_s < ends_s < math.inf:
            return f"it was over {now_s - ends_s:.3f} s ago"
        watts = 0.0 if command.limit_W is None else command.limit_W
        if not (0.0 <= command.limit_A < math.inf and 0.0 <= watts < math.inf):
            return f"a limit of {command.limit_A} A, {command.limit_W} W is none"
        self._newest_echo_s = command.t_echo_s
        self._numbers += 1
        self._wanted = wanted = _Wanted(
            number=self._numbers,
            mark=command.mark,
            limit=Limit(command.limit_A, command.limit_W, command.phase_count),
            ends_s=ends_s,
            over_s=command.t_echo_s + command.duration_s * STRETCH,
        )
        self._orders = tuple(
            replace(order, covered=wanted.number, mark=wanted.mark) if wanted.covers(order) else order
            for order in self._left(now_s)
        )
        return None

    # --- what the charger is told, and says ---------------------------------------------------------

    def order(self, now_s: float) -> Order | None:
        """What to send now. It counts as sent."""
        wanted = self._wanted
        if wanted is None or self._under_way is not None or now_s < self._retry_s:
            return None
        self._orders = self._left(now_s)
        duration_s = wanted.ends_s - now_s
        if duration_s < SHORTEST_S or len(self._orders) >= ORDERS_MAX or not self._is_news(now_s, wanted):
            return None
        self._numbers += 1
        order = Order(
            number=self._numbers,
            limit=wanted.limit,
            duration_s=duration_s,
            ends_s=wanted.ends_s,
            over_s=min(now_s + duration_s * STRETCH, wanted.over_s),  # which is later, but for rounding
            covered=wanted.number,
            mark=wanted.mark,
        )
        assert wanted.covers(order), "an order says what is wanted, and ends with it"
        self._under_way = order.number
        self._known_before = frozenset(o.number for o in self._orders if o.answered)
        self._orders = (*self._orders, order)
        return order

    def _is_news(self, now_s: float, wanted: _Wanted) -> bool:
        held = self._holding(now_s)
        if held is None:
            return bool(self._orders) or wanted.limit != self.default
        if held.limit != wanted.limit or any(o.answered and o is not held for o in self._orders):
            return True
        if wanted.limit == self.default:
            return False  # it falls back to the same
        return held.ends_s - now_s < RENEW_PART * (wanted.ends_s - now_s)

    def answer(self, now_s: float, number: int, *, accepted: bool) -> None:
        """The charger answered an order, in time or late."""
        self._orders = tuple(replace(o, answered=o.answered or o.number == number) for o in self._orders)
        in_time = self._under_way == number
        if in_time:
            self._under_way = None
        if accepted and any(o.number == number for o in self._orders):
            self._held = number
            if in_time:  # else nobody knows whether a later one was carried out before it
                self._orders = tuple(o for o in self._orders if o.number not in self._known_before)
        elif not accepted:
            self._retry_s = now_s + RETRY_S

    def no_answer(self, now_s: float) -> None:
        """None came in time, or the connection is gone. The order may yet be carried out."""
        if self._under_way is not None:
            self._under_way, self._retry_s = None, now_s + RETRY_S

    def under_way(self, number: int) -> bool:
        """Whether an answer to this is awaited."""
        return self._under_way == number

    def wanted(self) -> Limit | None:
        """What the EVSE wants it told; None before anything was."""
        return None if self._wanted is None else self._wanted.limit

    def forget_held(self) -> None:
        """The charger began anew, and may have lost what it held; it may also have kept it."""
        self._held = None
        self._retry_s = -math.inf

    # --- what is in force ---------------------------------------------------------------------------

    def _left(self, now_s: float) -> tuple[Order, ...]:
        return tuple(order for order in self._orders if now_s < order.over_s)

    def _holding(self, now_s: float) -> Order | None:
        for order in self._orders:
            if order.number == self._held and now_s < order.ends_s:
                return order
        return None

    def in_force(self, now_s: float) -> tuple[Limit, float]:
        """What the charger is known to hold, and for how long: its default without end, which is told as 0,
        unless it accepted something."""
        held = self._holding(now_s)
        return (self.default, 0.0) if held is None else (held.limit, held.ends_s - now_s)

    def most(self, now_s: float) -> Limit:
        """The most that may be in force."""
        limits = [self.default, *(order.limit for order in self._left(now_s))]
        watts = [math.inf if limit.limit_W is None else limit.limit_W for limit in limits]
        most_W = max(watts)
        return Limit(
            max(limit.limit_A for limit in limits),
            None if most_W == math.inf else most_W,
            max(limit.phase_count for limit in limits),
        )

    def mark(self, now_s: float) -> str:
        """The newest that a reading may bear: of what was wanted, nothing from before it is in force."""
        oldest = min(self._left(now_s), key=lambda order: order.covered, default=None)
        if oldest is not None:
            return oldest.mark
        return "" if self._wanted is None else self._wanted.mark

    def is_open(self, now_s: float) -> bool:
        """Whether an order may be in force that the charger has not accepted."""
        return any(order.number != self._held for order in self._left(now_s))

    def measure(self, now_s: float, current_A: float) -> None:
        """The charger's meter shows this, per phase."""
        most_A = self.most(now_s).limit_A
        if current_A <= most_A + SLACK_A + SLACK_PART * most_A:
            self._exceeds_since_s = None
        elif self._exceeds_since_s is None:
            self._exceeds_since_s = now_s

    def exceeds_s(self, now_s: float) -> float:
        """For how long it has been measured to let through more than it may; 0 while it does not."""
        return 0.0 if self._exceeds_since_s is None else now_s - self._exceeds_since_s
