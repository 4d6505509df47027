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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Floats, Ints
from actors.energy.market.tiers import Stage, Tier

SLACK = 1e-9
"""What two orders of adding the same sales may differ by."""


OWN = -1
"""The EVSE's own limits stop it, whichever of them."""


def limit_number(group: Ints | int, *, is_power: bool) -> Ints | int:
    """One number for a group's limit in a unit; limits outside the groups count on from there."""
    return 2 * group + is_power


@dataclass
class Positions:
    """Where the EVSEs of a tier stand: ampere or watt, (columns, EVSEs). `caps` is narrowed in place,
    through flat views, so all arrays are laid out column after column (C order)."""

    held: Floats
    caps: Floats
    steps: Floats
    grid_W: Floats
    """Grid watts for each unit that the EVSE buys."""
    stopped_by: NDArray[np.int32]
    """The limit that stops an EVSE: OWN, or a number made by `limit_number`."""

    def __post_init__(self) -> None:
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
            self.steps[columns],
            self.grid_W[columns],
            self.stopped_by[columns],
        )


def sell_rounds(tier: Tier, shared_A: Floats, shared_grid_W: Floats | None, positions: Positions) -> None:
    """Narrow the caps to what every EVSE gets in the end; limits are (columns, groups), or none."""
    for stage in tier.stages:
        _narrow(stage, shared_A[:, stage.groups], positions, None)
        if shared_grid_W is not None:
            _narrow(stage, shared_grid_W[:, stage.groups], positions, positions.grid_W)


def _narrow(stage: Stage, limits: Floats, positions: Positions, unit: Floats | None) -> None:
    caps = positions.caps if unit is None else positions.caps * unit
    exceeded = stage.sums(caps) > limits
    if not exceeded.any():
        return
    columns, groups = np.nonzero(exceeded)
    length = stage.length[groups]
    starts = np.cumsum(length) - length
    cells: slice | Ints = slice(None)
    if not exceeded.all() or len(stage.members) < caps.shape[1]:
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
    new = sold.amounts if factor is None else sold.amounts / factor
    stops = new < all_caps[cells] - SLACK
    numbers = limit_number(stage.groups[groups], is_power=unit is not None)
    stopped_by[cells] = np.where(stops, np.repeat(numbers, length), stopped_by[cells])
    all_caps[cells] = np.minimum(all_caps[cells], new)


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
    alike = int(length[0]) if (length == length[0]).all() else 0

    def total(values: Floats) -> Floats:
        if alike:
            return np.asarray(values.reshape(-1, alike).sum(axis=1))
        return np.asarray(np.add.reduceat(values, starts))

    def each(values: Floats) -> Floats:
        return np.repeat(values, alike or length)

    to_cap, for_rounds = caps - held, limits - total(held)
    rounds = np.zeros(len(limits))
    for _ in range(len(held) + 2):
        reach = each(rounds) * steps if isinstance(steps, np.ndarray) else each(rounds * steps)
        left = for_rounds - total(np.minimum(reach, to_cap))
        speed = total(np.where(to_cap > reach, steps, 0.0))
        ahead = np.divide(left, speed, out=np.zeros_like(left), where=(speed > 0.0) & (left > 0.0))
        rounds += ahead
        if not np.any(ahead > SLACK * SLACK * rounds):
            break
    full = np.floor(rounds)
    reached = np.minimum(caps, held + each(full) * steps)
    too_far = (total(reached) > limits) & (full > 0.0)
    if too_far.any():
        full -= too_far
        reached = np.minimum(caps, held + each(full) * steps)
    left = np.maximum(limits - total(reached), 0.0)
    wanted = np.minimum(steps, caps - reached)
    before = np.cumsum(wanted) - wanted
    before -= each(before[starts])
    bought = np.minimum(wanted, np.maximum(each(left) - before, 0.0))
    return Filled(reached + bought, full, bought)


def fill_plainly(limit: float, held: list[float], caps: list[float], steps: list[float]) -> list[float]:
    """`fill` of one limit in plain numbers: what it sold to each EVSE when it was used up."""
    parts = range(len(held))
    rounds_to_cap = [(caps[i] - held[i]) / steps[i] for i in parts]
    rounds = 0.0
    for _ in range(len(held) + 2):
        left = limit - sum([held[i] + steps[i] * min(rounds, rounds_to_cap[i]) for i in parts])
        speed = sum([steps[i] for i in parts if rounds_to_cap[i] > rounds])
        if speed <= 0.0 or left <= 0.0:
            break
        ahead = left / speed
        rounds += ahead
        if ahead <= SLACK * SLACK * rounds:
            break
    full = float(int(rounds))
    reached = [min(caps[i], held[i] + full * steps[i]) for i in parts]
    if full > 0.0 and sum(reached) > limit:
        full -= 1.0
        reached = [min(caps[i], held[i] + full * steps[i]) for i in parts]
    left = limit - sum(reached)
    for i in parts:
        if left <= 0.0:
            break
        bought = min(steps[i], caps[i] - reached[i], left)
        reached[i] += bought
        left -= bought
    return reached
