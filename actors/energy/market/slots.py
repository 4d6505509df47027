"""Slots: the instants at which an answer may change, and the few that are really computed.

The slots are the regular grid together with every timestamp of every schedule in the tree. As
schedules are steps, only a slot in which some entry starts differs from the slot before it; so
those are computed (the columns) and the others are copies. With phase switching the active slot
decides differently from a forecast, as it knows the time hysteresis, so it is a column of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.energy import timestamps
from actors.energy.market.arrays import Ints
from actors.energy.market.errors import RequestError
from actors.energy.timestamps import MICROSECONDS
from actors.energy.types import EnergyManagerConfig

MOST_SLOTS = 20_000


@dataclass(frozen=True)
class Slots:
    """`times_us` of all slots; slot i repeats column `column_of[i]`, whose time is `columns_us[…]`."""

    times_us: Ints
    active: int
    column_of: Ints
    columns_us: Ints

    @property
    def active_column(self) -> int:
        """The column of the active slot."""
        return int(self.column_of[self.active])


def slots_of(starts_us: Sequence[int], config: EnergyManagerConfig, start_us: int) -> Slots:
    """The slots from `start_us` on, with all `starts_us` of entries; RequestError where they would be too
    many."""
    grid = _grid(config, start_us)
    starts = set(starts_us)
    in_order = sorted(starts.union(grid))
    if len(in_order) > MOST_SLOTS:
        raise RequestError("", f"the schedules make {len(in_order)} slots, more than {MOST_SLOTS}")
    active = max(bisect_right(in_order, start_us) - 1, 0)
    starts.add(in_order[0])
    if config.switch_3ph1ph_while_charging_mode != "Never":
        starts.update(in_order[active : active + 2])
    columns = [time for time in in_order if time in starts]
    times_us = np.array(in_order, dtype=np.intp)
    if len(columns) == len(in_order):
        return Slots(times_us, active, np.arange(len(in_order)), times_us)
    return Slots(
        times_us=times_us,
        active=active,
        column_of=np.array([bisect_right(columns, time) - 1 for time in in_order], dtype=np.intp),
        columns_us=np.array(columns, dtype=np.intp),
    )


def active_slot_of(starts_us: Sequence[int], config: EnergyManagerConfig, start_us: int) -> Slots:
    """The active slot alone."""
    interval_us = config.schedule_interval_duration * 60 * MICROSECONDS
    at_us = start_us // interval_us * interval_us
    started = bisect_right(starts_us, start_us)
    if started:
        at_us = max(at_us, starts_us[started - 1])
    alone = np.array([at_us], dtype=np.intp)
    return Slots(times_us=alone, active=0, column_of=np.zeros(1, dtype=np.intp), columns_us=alone)


def _grid(config: EnergyManagerConfig, start_us: int) -> range:
    interval_us = config.schedule_interval_duration * 60 * MICROSECONDS
    total_us = config.schedule_total_duration * 3600 * MICROSECONDS
    count = -(-total_us // interval_us)
    if count > MOST_SLOTS:
        raise RequestError(
            "config.schedule_total_duration",
            f"{config.schedule_total_duration} h in intervals of {config.schedule_interval_duration} min "
            f"make {count} slots, more than {MOST_SLOTS}",
        )
    first = start_us // interval_us * interval_us
    if first < timestamps.EARLIEST_US or first + total_us > timestamps.LATEST_US:
        raise RequestError("start_time", "is beyond what a timestamp can say")
    return range(first, first + count * interval_us, interval_us)
