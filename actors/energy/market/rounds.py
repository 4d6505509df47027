"""All rounds after the first, in closed form.

In a full round every EVSE buys its slice, until its own cap stops it. Nothing that was sold comes
back, so a limit that is used up stops all EVSEs below it for good, in the same turn, and before
that turn it was as if it were not there. Hence from the innermost groups to the outermost: what
an EVSE gets where only the limits up to this group count is its cap for the group around it. What
a limit that is used up sells to each is in filling.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import Floats, Ints
from actors.energy.market.filling import fill
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
    """Where the EVSEs of a tier stand: ampere or watt, (columns, EVSEs)."""

    held: Floats
    caps: Floats
    steps: Floats | float
    """One number where all buy as much in a round."""
    grid_W: Floats
    """Grid watts for each unit that the EVSE buys."""
    stopped_by: NDArray[np.int32]
    """The limit that stops an EVSE: OWN, or a number made by `limit_number`."""

    def lay_out(self) -> None:
        """Column after column (C order), as `caps` is narrowed in place through flat views."""
        for name in ("held", "caps", "grid_W", "stopped_by"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name)))

    def steps_of(self, cells: Ints | slice) -> Floats | float:
        """Of flat cells."""
        return self.steps if isinstance(self.steps, float) else self.steps.reshape(-1)[cells]

    def of_columns(self, columns: NDArray[np.bool_]) -> Positions:
        """A copy of some columns."""
        return Positions(
            self.held[columns],
            self.caps[columns],
            self.steps if isinstance(self.steps, float) else self.steps[columns],
            self.grid_W[columns],
            self.stopped_by[columns],
        )


def sell_rounds(tier: Tier, shared_A: Floats, shared_grid_W: Floats | None, positions: Positions) -> None:
    """Narrow the caps to what every EVSE gets in the end; limits are (columns, groups), or none."""
    positions.lay_out()
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
    if not exceeded.all() or stage.size < caps.shape[1]:
        row = columns * caps.shape[1] + stage.first[groups] - starts
        cells = np.arange(int(length.sum()), dtype=np.intp) + np.repeat(row, length)
    factor = None if unit is None else unit.reshape(-1)[cells]
    held, steps = positions.held.reshape(-1)[cells], positions.steps_of(cells)
    new = fill(
        limits[columns, groups],
        starts,
        length,
        held if factor is None else held * factor,
        caps.reshape(-1)[cells],
        steps if factor is None else steps * factor,
    )
    all_caps, stopped_by = positions.caps.reshape(-1), positions.stopped_by.reshape(-1)
    if factor is not None:
        new /= factor
    old = all_caps[cells]
    stops = new < old - SLACK
    numbers = np.asarray(limit_number(stage.groups[groups], is_power=unit is not None), dtype=np.int32)
    # A choice by arithmetic, as choosing (where) by what is like chance costs ten times as much.
    before = stopped_by[cells]
    stopped_by[cells] = before + stops * (np.repeat(numbers, length) - before)
    all_caps[cells] = np.minimum(old, new)
