"""All rounds after the first, in closed form.

In a full round every EVSE buys its slice, until its own cap stops it. Nothing that was sold comes
back, so a limit that is used up stops all EVSEs below it for good, in the same turn, and before
that turn it was as if it were not there. Hence from the innermost groups to the outermost: what
an EVSE gets where only the limits up to this group count is its cap for the group around it.

A group with limit L, where EVSE i holds x_i after the first round, buys s_i a turn and may reach
cap c_i (all in the unit of L), sells j full rounds, j the largest with

    Σ min(c_i, x_i + j * s_i) ≤ L.

The round after is clipped by prefix sums in depth-first order, and then the group is used up.
The left side is concave and piecewise linear in j, so Newton's method from 0 finds the bound
without passing it, in about as many steps as there are different times at which caps stop
somebody. The slice's size does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Bools, Floats, Ints, row_sums
from actors.energy.market.tiers import Stage, Tier

SLACK = 1e-9
"""What two orders of adding the same sales may differ by."""
NEARLY = 1e-13
"""Of the rounds: nearer than this the search does not come, as sums are rounded."""
LONG = 500
"""EVSEs of a limit: a sum up to each of them costs ten times as much as one of all, so that of more than
these only some are summed up one by one."""

OWN = -1
"""The EVSE's own limits stop it, whichever of them."""


def limit_number(group: Ints | int, *, is_power: bool) -> Ints | int:
    """One number for a group's limit in a unit; limits outside the groups count on from there."""
    return 2 * group + is_power


@dataclass
class Positions:
    """Where the EVSEs of a tier stand: ampere or watt, (columns, EVSEs)."""

    held: Floats
    caps: Floats
    steps: Floats
    grid_W: Floats
    """Grid watts for each unit that the EVSE buys."""
    stopped_by: NDArray[np.int32]
    """The limit that stops an EVSE: OWN, or a number made by `limit_number`."""

    def lay_out(self) -> None:
        """Column after column (C order), as `caps` is narrowed in place through flat views."""
        for name in ("held", "caps", "grid_W", "stopped_by"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name)))

    def steps_of(self, cells: slice | Ints) -> Floats | float:
        """Of flat cells; one number where all are one and the same."""
        if self.steps.strides == (0, 0):
            return float(self.steps[0, 0])
        return np.asarray(self.steps.reshape(-1)[cells])

    def of_columns(self, columns: NDArray[np.bool_]) -> Positions:
        """A copy of some columns."""
        return Positions(
            self.held[columns],
            self.caps[columns],
            self.steps[: np.count_nonzero(columns)] if self.steps.strides == (0, 0) else self.steps[columns],
            self.grid_W[columns],
            self.stopped_by[columns],
        )


def sell_rounds(tier: Tier, shared_A: Floats, shared_grid_W: Floats | None, positions: Positions) -> None:
    """Narrow the caps to what every EVSE gets in the end; limits are (columns, groups), or none."""
    settled = _settle_outermost(tier, shared_A, shared_grid_W, positions)
    if settled is None:
        _sell_outwards(tier.stages, shared_A, shared_grid_W, positions)
    elif not settled.all():
        rest = ~settled
        some = positions.of_columns(rest)
        in_watts = None if shared_grid_W is None else shared_grid_W[rest]
        _sell_outwards(tier.stages, shared_A[rest], in_watts, some)
        positions.caps[rest] = some.caps
        positions.stopped_by[rest] = some.stopped_by


def _sell_outwards(
    stages: list[Stage], shared_A: Floats, shared_grid_W: Floats | None, positions: Positions
) -> None:
    """From the innermost groups to the outermost."""
    positions.lay_out()
    for stage in stages:
        _narrow(stage, shared_A[:, stage.groups], positions, None)
        if shared_grid_W is not None:
            _narrow(stage, shared_grid_W[:, stage.groups], positions, positions.grid_W)


def _settle_outermost(
    tier: Tier, shared_A: Floats, shared_grid_W: Floats | None, positions: Positions
) -> Bools | None:
    """The columns in which only the outermost group stops anybody; None where there is none.

    Its limits are used up as if there were no others. If no group within then has more than its limit,
    none ever had, as nobody gives back: the other limits are as if they were not there. Where one is
    just used up, too, it is told as usual which of them stopped whom."""
    if len(tier.stages) < 2:
        return None
    inner, outermost = tier.stages[:-1], tier.stages[-1]
    units: list[tuple[Floats, Floats | None]] = [(shared_A, None)]
    if shared_grid_W is not None:
        units.append((shared_grid_W, positions.grid_W))
    may_bind = np.zeros(len(shared_A), dtype=np.bool_)
    with np.errstate(invalid="ignore"):  # an infinite limit of infinite caps is not above it
        for shared, unit in units:
            caps = positions.caps if unit is None else positions.caps * unit
            above = row_sums(caps) - shared[:, outermost.groups[0]]
            if (above > 0.0).any():
                for stage in inner:  # what these take away in any case
                    above -= np.maximum(stage.sums(caps) - shared[:, stage.groups], 0.0).sum(axis=1)
            may_bind |= above > 0.0
    if not may_bind.any():
        return None
    alone = positions
    for shared, unit in units:
        number = int(limit_number(int(outermost.groups[0]), is_power=unit is not None))
        alone = _used_up_by_all(shared[:, outermost.groups[0]], number, alone, unit)
    for shared, unit in units:
        caps = alone.caps if unit is None else alone.caps * unit
        for stage in inner:
            most = shared[:, stage.groups]
            may_bind &= (stage.sums(caps) < most * (1.0 - SLACK) - SLACK).all(axis=1)
    if may_bind.all():
        positions.caps, positions.stopped_by = alone.caps, alone.stopped_by
    else:
        positions.caps[may_bind] = alone.caps[may_bind]
        positions.stopped_by[may_bind] = alone.stopped_by[may_bind]
    return may_bind


def _used_up_by_all(limits: Floats, number: int, positions: Positions, unit: Floats | None) -> Positions:
    """Positions as they are when all EVSEs share one limit in every column."""
    caps = positions.caps if unit is None else positions.caps * unit
    exceeded = row_sums(caps) > limits
    if not exceeded.any():
        return positions
    some = positions if exceeded.all() else positions.of_columns(exceeded)
    held, caps, steps = some.held, some.caps, some.steps_of(slice(None))
    if isinstance(steps, np.ndarray):
        steps = steps.reshape(held.shape)
    if unit is not None:
        held, caps, steps = held * some.grid_W, caps * some.grid_W, steps * some.grid_W
    new = _fill(_Rows(), limits[exceeded], held, caps, steps).amounts
    if unit is not None:
        new /= some.grid_W
    stops = new < some.caps - SLACK
    stopped_by = some.stopped_by + stops * (np.int32(number) - some.stopped_by)
    np.minimum(some.caps, new, out=new)
    if some is not positions:
        all_caps, all_stopped_by = positions.caps.copy(), positions.stopped_by.copy()
        all_caps[exceeded], all_stopped_by[exceeded] = new, stopped_by
        new, stopped_by = all_caps, all_stopped_by
    return replace(positions, caps=new, stopped_by=stopped_by)


def _narrow(stage: Stage, limits: Floats, positions: Positions, unit: Floats | None) -> None:
    caps = positions.caps if unit is None else positions.caps * unit
    exceeded = stage.sums(caps) > limits
    if not exceeded.any():
        return
    columns, groups = np.nonzero(exceeded)
    length = stage.length[groups]
    starts = np.cumsum(length) - length
    cells: slice | Ints = slice(None)
    if not exceeded.all() or stage.size < caps.shape[1]:
        row = columns * caps.shape[1] + stage.first[groups] - starts
        cells = np.arange(int(length.sum()), dtype=np.intp) + np.repeat(row, length)
    factor = None if unit is None else unit.reshape(-1)[cells]
    held, steps = positions.held.reshape(-1)[cells], positions.steps_of(cells)
    sold = fill(
        limits[columns, groups],
        starts,
        length,
        held if factor is None else held * factor,
        caps.reshape(-1)[cells],
        steps if factor is None else steps * factor,
    )
    all_caps, stopped_by = positions.caps.reshape(-1), positions.stopped_by.reshape(-1)
    new = sold.amounts if factor is None else np.divide(sold.amounts, factor, out=sold.amounts)
    old = all_caps[cells]
    stops = new < old - SLACK
    numbers = np.asarray(limit_number(stage.groups[groups], is_power=unit is not None), dtype=np.int32)
    # A choice by arithmetic, as choosing (where) by what is like chance costs ten times as much.
    before = stopped_by[cells]
    stopped_by[cells] = before + stops * (np.repeat(numbers, length) - before)
    all_caps[cells] = np.minimum(old, new)


@dataclass(frozen=True)
class Filled:
    """What a used-up limit sold to each EVSE, and when it ended: full rounds, then the turn."""

    amounts: Floats
    full_rounds: Floats
    in_last_round: Floats


def fill(
    limits: Floats, starts: Ints, length: Ints, held: Floats, caps: Floats, steps: Floats | float
) -> Filled:
    """Use up limits that the caps exceed.

    `limits` has one value a segment; segment k are the elements from `starts[k]` on, `length[k]`
    of them, in depth-first order. All values are in the unit of the limits; `steps` is one number
    where all are alike.
    """
    if (length == length[0]).all():  # then segments are rows
        shape = len(limits), int(length[0])
        if isinstance(steps, np.ndarray):
            steps = steps.reshape(shape)
        filled = _fill(_Rows(), limits, held.reshape(shape), caps.reshape(shape), steps)
        return Filled(filled.amounts.reshape(-1), filled.full_rounds, filled.in_last_round.reshape(-1))
    return _fill(_Segments(starts, length), limits, held, caps, steps)


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
        wanted *= np.arange(length) < self.each(first)
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
) -> Filled:
    total, each = segments.total, segments.each
    to_cap, for_rounds, reached = caps - held, limits - total(held), np.empty(held.shape)
    # Where nobody's cap mattered, there would be no fewer.
    rounds = np.maximum(for_rounds, 0.0) / (segments.length_of(held) * np.max(steps))
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
    return Filled(reached, full, wanted)


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
        if ahead <= SLACK * SLACK * rounds:
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
