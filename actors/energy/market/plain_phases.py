"""Phase counts in plain numbers: phases.py for small trees, where the rules are told."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from actors.energy.market.memory import Context
from actors.energy.market.phases import CLASSES, SLACK_W, PhaseReason
from actors.energy.market.plain import PlainChoices, PlainLimits, settled_choices
from actors.energy.market.plain_tree import PlainTree
from actors.energy.timestamps import MICROSECONDS
from actors.energy.types import EnergyManagerConfig

_REASONS = (PhaseReason.POWER_BELOW, PhaseReason.HYSTERESIS_BAND, PhaseReason.POWER_ABOVE)


def import_choices(
    tree: PlainTree,
    limits: PlainLimits,
    config: EnergyManagerConfig,
    contexts: Mapping[str, Context],
    start_us: int,
) -> PlainChoices:
    """The choices of imports."""
    choices = settled_choices(tree, limits)
    if config.switch_3ph1ph_while_charging_mode == "Never":
        return choices
    switching = _Switching(config, start_us, choices)
    for i, node in enumerate(tree.shape.evses):
        row = limits.rows[node]
        if not (limits.min_A[i] > 0.0 and limits.path_grid_W[i] < inf and limits.path_A[i] < inf):
            continue
        charging = min(row.active_phases or 3, limits.max_phases[i])
        if row.may_switch:
            switching.decide(i, limits, charging, contexts[tree.shape.uuids[i]])
        else:
            for counts, reasons in zip(choices.counts, choices.reasons, strict=True):
                counts[i], reasons[i] = charging, PhaseReason.CANNOT_SWITCH
    return choices


class _Switching:
    """Writes into `choices` where the power plays a part."""

    def __init__(self, config: EnergyManagerConfig, start_us: int, choices: PlainChoices) -> None:
        self._config = config
        self._start_us = start_us
        self._choices = choices

    def decide(self, i: int, limits: PlainLimits, charging: int, context: Context) -> None:
        """Of EVSE i."""
        config, choices = self._config, self._choices
        if choices.wants_minimum is None:
            choices.counts = [each.copy() for each in choices.counts]
            choices.reasons = [each.copy() for each in choices.reasons]
            choices.wants_minimum = [[False] * len(each) for each in choices.counts]
        most, given = limits.max_phases[i], limits.min_phases[i]
        floor, least = min(max(given, 1), most), min(given or 3, most)
        charging = max(charging, floor)
        last = False
        for power_class in CLASSES:
            wanted = (least, charging, most)[power_class]
            count, last = self._within_switch_limit(wanted, least, most, charging, context.switches)
            reason = _REASONS[power_class] if count == wanted else PhaseReason.SWITCH_LIMIT
            if self._is_held_back(count, least, most, charging, wanted == least, context):
                count, reason = least, PhaseReason.TIME_HYSTERESIS
            choices.counts[power_class][i], choices.reasons[power_class][i] = count, reason
            choices.wants_minimum[power_class][i] = wanted == least
        choices.fallback[i] = 0 if last else floor
        choices.below_W[i] = limits.min_A[i] * most * config.nominal_ac_voltage - SLACK_W
        choices.above_W[i] = inf
        if config.switch_3ph1ph_while_charging_mode == "Both":
            choices.above_W[i] = choices.below_W[i] + config.switch_3ph1ph_power_hysteresis_W

    def _within_switch_limit(
        self, wanted: int, least: int, most: int, charging: int, switches: int
    ) -> tuple[int, bool]:
        """The count, and whether no switch is left."""
        limit = self._config.switch_3ph1ph_max_nr_of_switches_per_session
        if limit == 0:
            return wanted, False
        stickyness = self._config.switch_3ph1ph_switch_limit_stickyness
        sticky = {"SinglePhase": least, "ThreePhase": most, "DontChange": charging}[stickyness]
        reached = switches >= limit
        count = sticky if reached else wanted
        if stickyness == "DontChange":
            return count, reached
        no_way_back = switches + 2 > limit
        if no_way_back and count not in (charging, sticky):
            count = charging
        return count, reached or (no_way_back and charging == sticky)

    def _is_held_back(
        self, count: int, least: int, most: int, charging: int, wants_minimum: bool, context: Context
    ) -> bool:
        """Going up, sooner after the minimum was wanted than the hysteresis."""
        if not (count == most and count > charging and count != least):
            return False
        wanted_us = self._start_us if wants_minimum else context.single_wanted_us
        if wanted_us is None:
            return False
        waited_s = (self._start_us - wanted_us) / MICROSECONDS
        return waited_s < self._config.switch_3ph1ph_time_hysteresis_s
