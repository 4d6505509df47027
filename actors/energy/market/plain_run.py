"""A run in plain numbers, from limits to results; arrays of it are made only for who asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

from actors.energy import timestamps
from actors.energy.market.entries import Direction
from actors.energy.market.memory import Context
from actors.energy.market.outcome import Outcome
from actors.energy.market.plain import (
    PlainLimits,
    PlainTrades,
    Trader,
    limits_at,
    nobody_exports,
    nothing_traded,
    settled_choices,
)
from actors.energy.market.plain_arrays import as_outcome
from actors.energy.market.plain_fallbacks import cap_at_fallbacks, fallbacks_of, trade_imports
from actors.energy.market.plain_names import PlainNames
from actors.energy.market.plain_phases import import_choices
from actors.energy.market.plain_tree import PlainTree
from actors.energy.market.slots import Slots
from actors.energy.types import (
    EnergyManagerConfig,
    EnforcedLimits,
    IntegerWithSource,
    LimitsRes,
    NumberWithSource,
    ScheduleResEntry,
    valid_for_s,
)


@dataclass(frozen=True)
class PlainRun:
    """One run over one slot."""

    tree: PlainTree
    slots: Slots
    config: EnergyManagerConfig
    bought: PlainTrades
    sold_back: PlainTrades | None
    """Exports; None where nobody does."""
    imports: list[bool]
    exports: list[bool]
    """Who may trade which way."""

    def results(
        self, evses: Sequence[int], *, forecast: bool = True, named: bool = True
    ) -> list[EnforcedLimits]:
        """Of some EVSEs, with the forecast or without, and with sources if `named`."""
        valid_for, bought, given = valid_for_s(self.config), self.bought, self.sold_back
        times = [timestamps.format_utc(time) for time in self.slots.times_us.tolist()] if forecast else ()
        names, found = PlainNames(self), []
        for evse in evses:
            current = power = phases = None
            exported_A = exported_W = 0.0
            if given is not None:
                exported_A, exported_W = given.current_A[evse], given.power_W(evse)
            source = names.of(evse) if named else ""
            if bought.limits.path_A[evse] < inf or (given is not None and given.phases[evse]):
                current = NumberWithSource(bought.current_A[evse] - exported_A, source)
            if bought.limits.path_grid_W[evse] < inf or exported_W > 0.0:
                power = NumberWithSource(bought.power_W(evse) - exported_W, source)
            if named:
                phases = names.phases_of(evse)
            elif count := self.phases(evse):
                phases = IntegerWithSource(count)
            limits = LimitsRes(power, current, phases)
            schedule = tuple([ScheduleResEntry(time, limits) for time in times])
            found.append(EnforcedLimits(self.tree.shape.uuids[evse], valid_for, limits, schedule))
        return found

    @cached_property
    def given(self) -> PlainTrades:
        """`sold_back`, also where nobody does."""
        if self.sold_back is not None:
            return self.sold_back
        return nothing_traded(limits_at(self.tree, int(self.slots.columns_us[0]), "export"))

    def trades(self, direction: Direction) -> PlainTrades:
        """What was sold in a direction."""
        return self.bought if direction == "import" else self.given

    def phases(self, evse: int) -> int:
        """Phases that current was bought on; 0 where none was."""
        return self.bought.phases[evse] or (self.sold_back.phases[evse] if self.sold_back else 0)

    @property
    def sales(self) -> int:
        """EVSEs that got something."""
        both = (self.bought,) if self.sold_back is None else (self.bought, self.sold_back)
        return sum(
            A + W > 0.0 for trades in both for A, W in zip(trades.current_A, trades.grid_W, strict=True)
        )

    @cached_property
    def outcome(self) -> Outcome:
        """The same as arrays of one column."""
        return as_outcome(self)


def run_plainly(
    tree: PlainTree,
    limits: PlainLimits,
    slots: Slots,
    config: EnergyManagerConfig,
    contexts: Mapping[str, Context],
    start_us: int,
) -> PlainRun:
    """Trade in the only column of `slots`; `limits` are those of imports there."""
    fallbacks = fallbacks_of(tree, limits)
    if fallbacks is not None:
        cap_at_fallbacks(tree, limits, *fallbacks)
    imports = limits.open()
    trader = Trader(tree, limits, imports, import_choices(tree, limits, config, contexts, start_us), config)
    bought = trade_imports(tree, limits, imports, trader, *fallbacks) if fallbacks else trader.trade()
    at_us, given = int(slots.columns_us[0]), None
    exports = [False] * len(imports)
    if not nobody_exports(tree, at_us):
        out = limits_at(tree, at_us, "export")
        exports = [may and not imported for may, imported in zip(out.open(), imports, strict=True)]
        if any(exports):
            given = Trader(tree, out, exports, settled_choices(tree, out), config).trade()
    return PlainRun(tree, slots, config, bought, given, imports, exports)
