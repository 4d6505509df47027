"""Phase counts: on how many phases an EVSE's first purchase is made.

Without switching it is the maximum count, or the active phases where there is no minimum current.
With switching (imports with a power limit and a minimum current) it depends on the power that is
offered at the EVSE's turn, and on nothing else that happens while trading. So the answer is worked
out beforehand for the three classes that the power may fall in, and looked up at the turn:

    BELOW    power < minimum current * maximum phases * V: the minimum phase count
    BETWEEN  stay with the active count
    ABOVE    a further power hysteresis and mode Both: the maximum count

Then come the limit of switches with its stickiness (a switch away from the sticky count needs
room for the one back), and in the active slot the time hysteresis, which holds back going up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.energy.market.arrays import (
    Bools,
    Counts,
    Floats,
    all_of,
    any_of,
    once,
    repeated,
    same_row,
    same_rows,
)
from actors.energy.market.limits import PathLimits
from actors.energy.market.memory import Contexts
from actors.energy.market.tiers import Tier
from actors.energy.types import EnergyManagerConfig

T = TypeVar("T", bound=np.generic)

SLACK_W = 1e-6
"""Power that misses a threshold by this little has reached it."""
CLASSES = BELOW, BETWEEN, ABOVE = 0, 1, 2


class PhaseReason(IntEnum):
    """Why a purchase is made on its number of phases."""

    NOTHING = 0
    MAXIMUM = 1
    ACTIVE = 2
    POWER_BELOW = 3
    HYSTERESIS_BAND = 4
    POWER_ABOVE = 5
    SWITCH_LIMIT = 6
    TIME_HYSTERESIS = 7
    CANNOT_SWITCH = 8
    FALLBACK = 9
    EXPORT = 10


PHASE_TEXTS = {
    PhaseReason.NOTHING: "",
    PhaseReason.MAXIMUM: "the maximum count",
    PhaseReason.ACTIVE: "the active phases, as there is no minimum current",
    PhaseReason.POWER_BELOW: "the power is below the minimum on all phases",
    PhaseReason.HYSTERESIS_BAND: "the power does not ask for a change",
    PhaseReason.POWER_ABOVE: "the power is enough for all phases",
    PhaseReason.SWITCH_LIMIT: "no switch is left in this charging session",
    PhaseReason.TIME_HYSTERESIS: "held back by the time hysteresis",
    PhaseReason.CANNOT_SWITCH: "the EVSE cannot change phases while charging",
    PhaseReason.FALLBACK: "the minimum current cannot be had on more phases",
    PhaseReason.EXPORT: "the EVSE's own maximum count",
}


@dataclass(frozen=True)
class PhaseChoices:
    """All arrays are (columns, EVSEs), those that depend on the power one for each class."""

    counts: list[Counts]
    reasons: list[Counts]
    wants_minimum: list[Bools]
    """Whether the minimum phase count is what is wanted, which starts the time hysteresis."""
    fallback: Counts
    """The count to try when the minimum current cannot be had; 0: none."""
    below_W: Floats
    above_W: Floats
    depends: Bools
    """Where the power plays a part at all."""

    def classes(self, power_W: Floats) -> Counts:
        """The class of an offered power."""
        return (power_W >= self.below_W).astype(np.int8) + (power_W >= self.above_W)

    def of(self, tier: Tier) -> PhaseChoices:
        """The choices of a tier's members."""
        if tier.whole:
            return self
        return PhaseChoices(
            [tier.of(each) for each in self.counts],
            [tier.of(each) for each in self.reasons],
            [tier.of(each) for each in self.wants_minimum],
            tier.of(self.fallback),
            tier.of(self.below_W),
            tier.of(self.above_W),
            tier.of(self.depends),
        )

    def part(self, columns: slice) -> PhaseChoices:
        """Of some columns."""
        return PhaseChoices(
            [each[columns] for each in self.counts],
            [each[columns] for each in self.reasons],
            [each[columns] for each in self.wants_minimum],
            self.fallback[columns],
            self.below_W[columns],
            self.above_W[columns],
            self.depends[columns],
        )

    @cached_property
    def any_depends(self) -> bool:
        """Whether the power plays a part anywhere."""
        return any_of(once(self.depends))

    def pick(self, of_class: list[Counts], classes: Counts) -> Counts:
        """The values of the given classes."""
        return _of_classes(classes, of_class) if self.any_depends else of_class[BELOW]

    def wanting_minimum(self, classes: Counts) -> Bools:
        """Whether the minimum phase count is what is wanted at the given classes."""
        return _of_classes(classes, self.wants_minimum)


def _of_classes(classes: Counts, values: Sequence[NDArray[T]]) -> NDArray[T]:
    """As np.choose, which takes ten times as long."""
    below, between, above = values
    return np.where(classes == BELOW, below, np.where(classes == BETWEEN, between, above))


def export_choices(limits: PathLimits) -> PhaseChoices:
    """Exports use the EVSE's own phases."""
    counts = once(limits.own_max_phases)
    return _settled(counts, same_row(PhaseReason.EXPORT, counts.shape[1], np.int8), len(limits.node_A))


def _settled(counts: Counts, reasons: Counts, columns: int) -> PhaseChoices:
    shape = columns, counts.shape[1]
    nowhere, none = same_rows(False, shape, np.bool_), same_rows(0, shape, np.int8)
    never = same_rows(-np.inf, shape, np.float64)
    counts, reasons = repeated(counts, columns), repeated(reasons, columns)
    return PhaseChoices([counts] * 3, [reasons] * 3, [nowhere] * 3, none, never, never, nowhere)


def import_choices(
    limits: PathLimits,
    config: EnergyManagerConfig,
    contexts: Contexts,
    active_column: int,
    start_us: int,
) -> PhaseChoices:
    """The choices of imports."""
    most, reported, columns = once(limits.max_phases), once(limits.active_phases), len(limits.node_A)
    has_minimum = once(limits.min_A) > 0.0
    if config.switch_3ph1ph_while_charging_mode == "Never" and all_of(has_minimum):
        return _settled(most, same_row(PhaseReason.MAXIMUM, most.shape[1], np.int8), columns)
    charging = np.minimum(np.where(reported > 0, reported, np.int8(3)), most)
    plain = np.where(has_minimum, most, charging)
    plain_reason = np.where(has_minimum, np.int8(PhaseReason.MAXIMUM), np.int8(PhaseReason.ACTIVE))
    if config.switch_3ph1ph_while_charging_mode == "Never":
        return _settled(plain, plain_reason, columns)
    # From here on what is the same in all columns is a row still, and all of it but what depends on the slot.
    decides = has_minimum & once(limits.in_W) & once(limits.in_A)
    may_switch = once(limits.may_switch)
    depends, fixed = decides & may_switch, decides & ~may_switch
    plain = np.where(fixed, charging, plain)
    plain_reason = np.where(fixed, np.int8(PhaseReason.CANNOT_SWITCH), plain_reason)
    if not any_of(depends):
        return _settled(plain, plain_reason, columns)
    given = once(limits.min_phases).astype(np.int8)
    floor = np.minimum(np.maximum(given, 1), most).astype(np.int8)
    switching = _Switching(
        config=config,
        least=np.minimum(np.where(given > 0, given, 3), most).astype(np.int8),
        most=most,
        charging=np.maximum(charging, floor),
        switches=contexts.switches,
        waited_s=contexts.waited_s(start_us),
        active_column=active_column,
        columns=columns,
    )
    counts, reasons, wants, last = [], [], [], np.zeros(most.shape, dtype=np.bool_)
    for power_class in CLASSES:
        count, reason, wants_minimum, last = switching.decide(power_class)
        counts.append(repeated(np.where(depends, count, plain).astype(np.int8), columns))
        reasons.append(repeated(np.where(depends, reason, plain_reason).astype(np.int8), columns))
        wants.append(repeated(wants_minimum & depends, columns))
    three_W = once(limits.min_A) * most * config.nominal_ac_voltage - SLACK_W
    above_W = three_W + config.switch_3ph1ph_power_hysteresis_W
    if config.switch_3ph1ph_while_charging_mode != "Both":
        above_W = np.full_like(three_W, np.inf)
    return PhaseChoices(
        counts=counts,
        reasons=reasons,
        wants_minimum=wants,
        fallback=repeated(np.where(depends & ~last, floor, 0).astype(np.int8), columns),
        below_W=repeated(np.where(depends, three_W, -np.inf), columns),
        above_W=repeated(np.where(depends, above_W, -np.inf), columns),
        depends=repeated(depends, columns),
    )


@dataclass(frozen=True)
class _Switching:
    """Arrays are (columns, EVSEs), or (1, EVSEs) where they are the same in all."""

    config: EnergyManagerConfig
    least: Counts
    most: Counts
    charging: Counts
    switches: NDArray[np.int64]
    waited_s: Floats
    active_column: int
    columns: int

    def decide(self, power_class: int) -> tuple[Counts, Counts, Bools, Bools]:
        """For one class: count, reason, whether the minimum is wanted, whether no switch is left."""
        wanted = (self.least, self.charging, self.most)[power_class]
        reason = (PhaseReason.POWER_BELOW, PhaseReason.HYSTERESIS_BAND, PhaseReason.POWER_ABOVE)[power_class]
        wants_minimum = wanted == self.least
        count, no_switch_left = self._within_switch_limit(wanted)
        reasons = np.where(count == wanted, np.int8(reason), np.int8(PhaseReason.SWITCH_LIMIT))
        held = self._held_back(count, wants_minimum)
        if any_of(held):
            count, reasons = repeated(count, self.columns).copy(), repeated(reasons, self.columns).copy()
            count[self.active_column, held] = self._active(self.least)[held]
            reasons[self.active_column, held] = PhaseReason.TIME_HYSTERESIS
        return count, reasons, wants_minimum, no_switch_left

    def _within_switch_limit(self, wanted: Counts) -> tuple[Counts, Bools]:
        limit = self.config.switch_3ph1ph_max_nr_of_switches_per_session
        if limit == 0:
            return wanted, np.zeros(wanted.shape, dtype=np.bool_)
        sticky = {"SinglePhase": self.least, "ThreePhase": self.most, "DontChange": self.charging}[
            self.config.switch_3ph1ph_switch_limit_stickyness
        ]
        reached = np.broadcast_to(self.switches >= limit, wanted.shape)
        count = np.where(reached, sticky, wanted)
        if self.config.switch_3ph1ph_switch_limit_stickyness == "DontChange":
            return count, reached
        no_way_back = np.broadcast_to(self.switches + 2 > limit, wanted.shape)
        leaves = (count != self.charging) & (count != sticky)
        count = np.where(leaves & no_way_back, self.charging, count)
        return count, reached | (no_way_back & (self.charging == sticky))

    def _held_back(self, count: Counts, wants_minimum: Bools) -> Bools:
        """Who goes up in the active slot, sooner after the minimum was wanted than the hysteresis."""
        goes_up = (count == self.most) & (count > self.charging) & (count != self.least)
        waited_s = np.where(self._active(wants_minimum), 0.0, self.waited_s)
        return self._active(goes_up) & (waited_s < self.config.switch_3ph1ph_time_hysteresis_s)

    def _active(self, values: NDArray[T]) -> NDArray[T]:
        """Of the active slot alone: (EVSEs)."""
        return np.asarray(repeated(values, self.columns)[self.active_column])
