"""Using up a limit: what it sells to each of its EVSEs until nothing is left, in closed form.

A limit L, of which EVSE i holds x_i, buys s_i a turn and may reach cap c_i (all in the unit of L),
sells j full rounds, j the largest with

    Σ min(c_i, x_i + j * s_i) ≤ L.

The round after is clipped by prefix sums in depth-first order, and then the limit is used up. The left
side is concave and piecewise linear in j, so Newton's method from 0 finds the bound without passing it,
in about as many steps as there are different times at which caps stop somebody. The slice's size does
not matter.

Many limits of few EVSEs are used up together, as arrays; one of many EVSEs alone, where only what the
EVSEs have is arrays and what the limit has are plain numbers; few EVSEs in plain numbers throughout.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Bools, Floats, Ints, all_of, row_sums

NEARLY = 1e-13
"""Of the rounds: nearer than this the search does not come, as sums are rounded."""
LONG = 500
"""EVSEs of a limit: a sum up to each of them costs ten times as much as one of all, so that of more than
these only some are summed up one by one."""
VERY_LONG = 4000
"""EVSEs of a limit that is used up alone: what several such have does not stay in the processor's cache."""


class Filled(NamedTuple):
    """What a used-up limit sold to each EVSE, and when it ended: full rounds, then the turn."""

    amounts: Floats
    full_rounds: float
    in_last_round: Floats


def fill(
    limits: Floats, starts: Ints, length: Ints, held: Floats, caps: Floats, steps: Floats | float
) -> Floats:
    """Use up limits that the caps exceed: what they sell to each.

    `limits` has one value a segment; segment k are the elements from `starts[k]` on, `length[k]`
    of them, in depth-first order. All values are in the unit of the limits; `steps` is one number
    where all are alike.
    """
    if (length == length[0]).all():  # then segments are rows
        shape = len(limits), int(length[0])
        if isinstance(steps, np.ndarray):
            steps = steps.reshape(shape)
        return fill_rows(limits, held.reshape(shape), caps.reshape(shape), steps).reshape(-1)
    return _fill(_Segments(starts, length), limits, held, caps, steps)


def fill_rows(limits: Floats, held: Floats, caps: Floats, steps: Floats | float) -> Floats:
    """The same where each row is a segment."""
    rows, length = held.shape
    if rows > 1 and length < VERY_LONG:
        return _fill(_Rows(), limits, held, caps, steps)
    if rows == 1:
        steps = steps[0] if isinstance(steps, np.ndarray) else steps
        return fill_one(float(limits[0]), held[0], caps[0], steps).amounts[np.newaxis]
    amounts, room = np.empty(held.shape), (np.empty(length), np.empty(length))
    for row, limit in enumerate(limits.tolist()):
        step = steps[row] if isinstance(steps, np.ndarray) else steps
        amounts[row] = fill_one(limit, held[row], caps[row], step, room).amounts
    return amounts


def fill_one(
    limit: float, held: Floats, caps: Floats, steps: Floats | float, room: tuple[Floats, Floats] | None = None
) -> Filled:
    """Use up one limit. `room` are two rows to work in, where the answer stands, too."""
    to_cap, reached = (np.empty(len(held)), np.empty(len(held))) if room is None else room
    for_rounds = limit - float(np.add.reduce(held))
    np.subtract(caps, held, out=to_cap)
    if isinstance(steps, float):
        full, left = divmod(max(for_rounds, 0.0), len(held) * steps)
        if all_of(to_cap >= (full + 1.0) * steps):  # nobody's cap is near
            last, rest = divmod(left, steps)
            to_cap.fill(steps)
            _end_turn(to_cap, int(last), rest)
            np.add(held, full * steps, out=reached)
            reached += to_cap
            return Filled(reached, full, to_cap)
    each_buys = steps if isinstance(steps, float) else float(np.maximum.reduce(steps))
    # Where nobody's cap mattered, there would be no fewer.
    rounds, speed = max(for_rounds, 0.0) / (len(held) * each_buys), -1.0
    for _ in range(len(held) + 2):
        reach = rounds * steps
        buying, before = to_cap > reach, speed
        if isinstance(steps, float):
            speed = np.count_nonzero(buying) * steps
        else:
            speed = float(np.add.reduce(np.multiply(buying, steps, out=reached)))
        if speed == before:  # no cap lies between these rounds and those before
            break
        left = for_rounds - float(np.add.reduce(np.minimum(to_cap, reach, out=reached)))
        if left <= 0.0 or speed <= 0.0:
            break
        ahead = left / speed
        rounds += ahead
        if ahead <= NEARLY * rounds:
            break
    full = rounds // 1.0
    sold = _reach(full * steps, held, caps, reached)
    if full > 0.0 and sold > limit:
        full -= 1.0
        sold = _reach(full * steps, held, caps, reached)
    wanted = np.subtract(caps, reached, out=to_cap)
    np.minimum(wanted, steps, out=wanted)
    _end_turn(wanted, *_last_in_turn(wanted, max(limit - sold, 0.0)))
    reached += wanted
    return Filled(reached, full, wanted)


def _reach(bought: Floats | float, held: Floats, caps: Floats, reached: Floats) -> float:
    """Write down what everybody holds who bought so much, and sum it up."""
    np.minimum(caps, np.add(held, bought, out=reached), out=reached)
    return float(np.add.reduce(reached))


def _end_turn(wanted: Floats, last: int, rest: float) -> None:
    """Who buys last gets what is left after those before it; in place."""
    if last < len(wanted):
        wanted[last] = rest
        wanted[last + 1 :] = 0.0


def _last_in_turn(wanted: Floats, left: float) -> tuple[int, float]:
    """Who buys last, and what that one gets."""
    begin, end = 0, len(wanted)
    if end >= VERY_LONG:  # sums up to each are needed only where the limit is used up, before that of blocks
        size = isqrt(end)
        upto = np.add.reduceat(wanted, np.arange(0, end, size)).cumsum()
        block = int(upto.searchsorted(left, side="right"))
        if block:
            left -= float(upto[block - 1])
        begin, end = block * size, min((block + 1) * size, end)
    upto = wanted[begin:end].cumsum()
    last = begin + int(upto.searchsorted(left, side="right"))
    if last >= end:
        return end, 0.0
    return last, max(float(wanted[last] - (upto[last - begin] - left)), 0.0)


class _Rows:
    """Segments of one length: (segments, elements)."""

    def total(self, values: Floats) -> Floats:
        """Of each segment."""
        return row_sums(values)

    def speed(self, buying: Bools, steps: Floats | float, scratch: Floats) -> Floats:
        """What all that are `buying` get in a round."""
        if isinstance(steps, np.ndarray):
            return row_sums(np.multiply(buying, steps, out=scratch))
        return np.asarray(np.add.reduce(buying.view(np.int8), axis=-1, dtype=np.int32) * steps)

    def length_of(self, values: Floats) -> Ints | int:
        """How many elements a segment has."""
        return int(values.shape[1])

    def each(self, values: NDArray[Any]) -> NDArray[Any]:
        """A segment's value for each of its elements."""
        return values[:, np.newaxis]

    def sell_in_turn(self, wanted: Floats, left: Floats) -> None:
        """Who buys last gets what is left after those before it; in place."""
        length = wanted.shape[1]
        if length < LONG:
            _clip(wanted, np.cumsum(wanted, axis=1) - self.each(left))
            return
        size = isqrt(length)
        starts = np.maximum(np.arange(-(-length % size), length, size), 0)
        upto = np.zeros((len(wanted), len(starts) + 1))
        np.cumsum(np.add.reduceat(wanted, starts, axis=1), axis=1, out=upto[:, 1:])
        # Blocks before this one are served, those after it find nothing.
        block, rows = (upto[:, 1:-1] <= self.each(left)).sum(axis=1), np.arange(len(wanted))
        first = starts[block]
        cells = self.each(rows), self.each(first) + np.arange(size)
        some = wanted[cells]
        _clip(some, np.cumsum(some, axis=1) - self.each(left - upto[rows, block]))
        for row, begin in enumerate(first.tolist()):
            wanted[row, begin:] = 0.0
        wanted[cells] = some


class _Segments:
    """Segments of different lengths, one after the other."""

    def __init__(self, starts: Ints, length: Ints) -> None:
        self._starts, self._length = starts, length

    def total(self, values: Floats) -> Floats:
        """As of rows."""
        return np.asarray(np.add.reduceat(values, self._starts))

    def speed(self, buying: Bools, steps: Floats | float, scratch: Floats) -> Floats:
        """As of rows."""
        return self.total(np.multiply(buying, steps, out=scratch))

    def length_of(self, _: Floats) -> Ints | int:
        """As of rows."""
        return self._length

    def each(self, values: Floats) -> Floats:
        """As of rows."""
        return np.repeat(values, self._length)

    def sell_in_turn(self, wanted: Floats, left: Floats) -> None:
        """As of rows."""
        upto = np.cumsum(wanted)
        upto -= self.each((upto - wanted)[self._starts] + left)
        _clip(wanted, upto)


def _clip(wanted: Floats, exceeded_by: Floats) -> None:
    """Lower what is wanted to what is left for it: `exceeded_by` is what is missing for all of it, and is
    overwritten."""
    np.subtract(wanted, exceeded_by, out=exceeded_by)
    np.maximum(exceeded_by, 0.0, out=exceeded_by)
    np.minimum(wanted, exceeded_by, out=wanted)


def _fill(
    segments: _Rows | _Segments, limits: Floats, held: Floats, caps: Floats, steps: Floats | float
) -> Floats:
    total, each = segments.total, segments.each
    to_cap, for_rounds, reached = caps - held, limits - total(held), np.empty(held.shape)
    # Where nobody's cap mattered, there would be no fewer.
    each_buys = steps if isinstance(steps, float) else np.maximum.reduce(steps, axis=None)
    rounds = np.maximum(for_rounds, 0.0) / (segments.length_of(held) * each_buys)
    speed = np.full_like(rounds, -1.0)
    for _ in range(held.size + 2):
        reach = each(rounds) * steps
        before, speed = speed, segments.speed(to_cap > reach, steps, reached)
        if (speed == before).all():  # no cap lies between these rounds and those before
            break
        left = for_rounds - total(np.minimum(to_cap, reach, out=reached))
        ahead = np.divide(left, speed, out=np.zeros_like(left), where=(speed > 0.0) & (left > 0.0))
        rounds += ahead
        if not (ahead > NEARLY * rounds).any():
            break
    full = np.floor(rounds)
    np.minimum(caps, np.add(held, each(full) * steps, out=reached), out=reached)
    sold = total(reached)
    too_far = (sold > limits) & (full > 0.0)
    if too_far.any():
        full -= too_far
        np.minimum(caps, np.add(held, each(full) * steps, out=reached), out=reached)
        sold = total(reached)
    wanted = np.subtract(caps, reached, out=to_cap)
    np.minimum(wanted, steps, out=wanted)
    segments.sell_in_turn(wanted, np.maximum(limits - sold, 0.0))
    reached += wanted
    return reached


def fill_plainly(limit: float, held: list[float], caps: list[float], steps: list[float]) -> list[float]:
    """`fill` of one limit in plain numbers: what it sold to each EVSE when it was used up."""
    rounds_to_cap = [(cap - x) / step for x, cap, step in zip(held, caps, steps, strict=True)]
    rounds = 0.0
    # A choice of two in place, as a call of min costs more than all the rest.
    for _ in range(len(held) + 2):
        left = limit - sum(
            [
                x + step * (most if most < rounds else rounds)
                for x, step, most in zip(held, steps, rounds_to_cap, strict=True)
            ]
        )
        if left <= 0.0:
            break
        speed = sum([step for step, most in zip(steps, rounds_to_cap, strict=True) if most > rounds])
        if speed <= 0.0:
            break
        ahead = left / speed
        rounds += ahead
        if ahead <= NEARLY * rounds:
            break
    full = float(int(rounds))
    reached = _after(full, held, caps, steps)
    if full > 0.0 and sum(reached) > limit:
        full -= 1.0
        reached = _after(full, held, caps, steps)
    left = limit - sum(reached)
    for i, step in enumerate(steps):
        if left <= 0.0:
            break
        bought = min(step, caps[i] - reached[i], left)
        reached[i] += bought
        left -= bought
    return reached


def _after(rounds: float, held: list[float], caps: list[float], steps: list[float]) -> list[float]:
    """What everybody holds after some full rounds."""
    return [
        reached if (reached := x + rounds * step) < cap else cap
        for x, cap, step in zip(held, caps, steps, strict=True)
    ]
