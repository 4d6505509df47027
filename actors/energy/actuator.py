"""What an EVSE's hardware may be letting through: the EvseManager's own account of it.

What the hardware was told may be in force until it has run out on the hardware's clock, or until a
reading bears the mark of something told later: messages to hardware keep their order, so nothing told
before can come after it. What was in force lately may still flow, since cars need their settle time;
only an open contactor proves that nothing does. A low current proves nothing: the car may not have
reacted yet, and take all that it was offered. A high one proves that it may flow, whatever the hardware
says of its limits.

A reading may be old when it comes, overtaken, or of a former life of the hardware. So its mark is proof of
what was before it was made, and its limit, which may be over, of nothing that was not told. Its contactor is
proof of what was before its mark, and only where that is the newest that is known to be in force: then all
that may still flow from before was over when the reading was made.

A new life of an EvseManager knows neither what was in force just before it nor what is still under
way to the hardware. Both are over, a settle time after the first reading that bears a mark of its own.
"""

from __future__ import annotations

import math

from msgspec import Struct

from actors.energy.amount import Amount, largest
from actors.energy.ledger import RHO, STRETCH
from actors.energy.messages import Reading

TOLD_MAX = 64
"""Told and not confirmed; beyond it the two oldest count as one."""
SLACK_A, SLACK_PART = 1.0, 0.02
"""Of meters: so much more than what may flow is measured without meaning anything."""


class _Told(Struct, frozen=True):
    mark: str
    amount: Amount
    until_s: float
    """When it has surely run out."""
    told_s: float = -math.inf
    """Not before that."""


class _Past(Struct, frozen=True):
    amount: Amount
    until_s: float
    """When it has surely settled."""
    replaced: bool
    """A reading showed that something else was in force; else it ran out unseen."""


class Actuator:
    """Times are the EvseManager's monotonic seconds."""

    def __init__(self, fallback: Amount, settle_time_s: float) -> None:
        self._fallback = fallback
        self._settle_s = settle_time_s * (1 + RHO)
        self._told: tuple[_Told, ...] = ()
        self._past: tuple[_Past, ...] = ()
        self._flow: Reading | None = None
        self._flow_until_s = -math.inf
        """Until when what was read to flow may go on."""
        self._exceeds = False
        """It was more than may flow by all else that stands here."""
        self._known_s = math.inf
        """From when on what stands here bounds what flows."""
        self._most = fallback
        self._same_until_s = -math.inf
        """Until when `_most` is what may flow, unless something is told or read."""
        self.made_after_s = -math.inf
        """When the newest reading was made at the earliest, by the mark that it bears."""

    def tell(self, mark: str, amount: Amount, ends_s: float, read_at_s: float) -> None:
        """The hardware is told to let this through until `ends_s`, in answer to a reading."""
        until_s = read_at_s + (ends_s - read_at_s) * STRETCH
        if self._told and amount == self._told[-1].amount:
            amount = self._told[-1].amount  # the very same object costs least to compare
        self._told = (*self._told, _Told(mark, amount, until_s, read_at_s))
        if len(self._told) > TOLD_MAX:
            one, other, *rest = self._told
            until_s = max(one.until_s, other.until_s)
            both = _Told(other.mark, largest(one.amount, other.amount), until_s, other.told_s)
            self._told = (both, *rest)
            self._same_until_s = -math.inf
        self._most = largest(self._most, amount)
        # What is measured may not be more than this any more.
        self._same_until_s = -math.inf if self._exceeds else min(self._same_until_s, until_s)

    def read(self, now_s: float, reading: Reading) -> None:
        """The newest reading came."""
        self._forget(now_s)
        held, self.made_after_s = False, -math.inf
        for own, told in enumerate(self._told):
            if held := told.mark == reading.mark:
                self.made_after_s = told.told_s
                self._confirm(now_s, own)
                break
        if held and not reading.contactor_closed:
            self._known_s = now_s
            if self._past:
                self._past = tuple([past for past in self._past if not past.replaced])
                self._same_until_s = -math.inf
        self._note_flow(now_s, reading)

    def _note_flow(self, now_s: float, reading: Reading) -> None:
        """What flows may go on flowing for a settle time, also if it should not."""
        self._flow, self._flow_until_s = reading, now_s + self._settle_s
        if self._exceeds or _is_more(reading, self._most):
            self._same_until_s = -math.inf

    def _confirm(self, now_s: float, own: int) -> None:
        """The hardware holds what it was told as number `own`, and nothing from before."""
        if self._known_s == math.inf:
            self._known_s = now_s + self._settle_s
        if own:
            for told in self._told[:own]:
                self._leave(now_s, told.amount, self._told[own].amount, replaced=True)
            self._told, self._same_until_s = self._told[own:], -math.inf

    def _leave(self, over_s: float, amount: Amount, after: Amount, *, replaced: bool) -> None:
        """An amount is not in force any more, `after` is; what that covers need not be remembered."""
        if not (amount == after or amount.fits(self._fallback)):
            self._past = (*self._past, _Past(amount, over_s + self._settle_s, replaced))

    def _forget(self, now_s: float) -> None:
        """What has run out leaves its settle time behind; what has settled is gone."""
        if now_s < self._same_until_s:
            return  # nothing has, since that was worked out
        over = [told for told in self._told if told.until_s <= now_s]
        if over:
            self._told = tuple([told for told in self._told if told.until_s > now_s])
            self._same_until_s = -math.inf
            for told in over:
                self._leave(told.until_s, told.amount, self._fallback, replaced=False)
        if self._past and min([past.until_s for past in self._past]) <= now_s:
            self._past = tuple([past for past in self._past if past.until_s > now_s])
            self._same_until_s = -math.inf

    def committed(self, now_s: float) -> Amount | None:
        """The most that may flow now; None while that is not known."""
        if now_s < self._known_s:
            return None
        if now_s < self._same_until_s:
            return self._most
        self._forget(now_s)
        most, same_until_s = self._fallback, math.inf
        for told in self._told:
            most = largest(most, told.amount)
            if told.until_s < same_until_s:
                same_until_s = told.until_s
        for past in self._past:
            most = largest(most, past.amount)
            if past.until_s < same_until_s:
                same_until_s = past.until_s
        flow = self._flow if now_s < self._flow_until_s else None
        self._exceeds = flow is not None and _is_more(flow, most)
        if flow is not None and self._exceeds:
            most = largest(most, Amount(max(flow.currents_A), flow.power_W))
            same_until_s = min(same_until_s, self._flow_until_s)
        self._most, self._same_until_s = most, same_until_s
        return most

    def due_s(self, now_s: float) -> float | None:
        """When `committed` changes by itself; None when it does not."""
        due_s = self._known_s if now_s < self._known_s else math.inf
        for past in self._past:
            if now_s < past.until_s < due_s:
                due_s = past.until_s
        if self._exceeds and now_s < self._flow_until_s < due_s:
            due_s = self._flow_until_s
        return due_s if due_s < math.inf else None


def _is_more(reading: Reading, amount: Amount) -> bool:
    """Whether more is measured than an amount, and than a meter may be wrong by."""
    return max(reading.currents_A) > amount.import_A * (1 + SLACK_PART) + SLACK_A
