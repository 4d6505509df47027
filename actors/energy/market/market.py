"""The market: requests in, limits out. Pure: no clock, no log, no argument is changed.

    request ── compile ──> tree ── limits of every path, slot by slot ──> direction of each EVSE
                                                                              │
    limits <── when read ── arrays <── trade imports, trade exports <── phase counts

Where the rules are: what a node allows is in limits.py, setpoints in setpoints.py and heeding.py,
phase counts in phases.py, trading in trading.py, together.py, first_round.py, rounds.py and filling.py,
what is kept for fallbacks in fallbacks.py, limits that cannot keep them in tight.py. How requests become
arrays is in walking.py, reading.py and blocks.py, how arrays become results in naming.py, texts.py and
results.py, and what of them stays in changes.py. Small trees take the same way in plain numbers:
plain_tree.py, plain.py, plain_phases.py, plain_fallbacks.py, plain_run.py, plain_names.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from actors.energy.market import configuration
from actors.energy.market.allocation import Allocation
from actors.energy.market.arrays import once, repeated, same_rows
from actors.energy.market.errors import RequestError, TooMuchError
from actors.energy.market.fallbacks import trade_imports
from actors.energy.market.heeding import heeded_targets
from actors.energy.market.limits import path_limits
from actors.energy.market.memory import (
    Context,
    Contexts,
    Memory,
    observe,
    observe_plainly,
    wanting_single_plainly,
)
from actors.energy.market.outcome import Outcome
from actors.energy.market.phases import export_choices, import_choices
from actors.energy.market.plain import limits_at
from actors.energy.market.plain_run import PlainRun, run_plainly
from actors.energy.market.plain_tree import PlainTree, read_tree
from actors.energy.market.slots import Slots, active_slot_of, slots_of
from actors.energy.market.tight import cap_at_fallbacks
from actors.energy.market.trading import trade
from actors.energy.market.tree import CompiledTree
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig

MOST_CELLS = 5_000_000
"""Slots * nodes: bounds the work and the memory of a run, and the size of its answer."""


def allocate(
    request: EnergyFlowRequest,
    config: EnergyManagerConfig,
    start_time_us: int,
    memory: Memory | None = None,
    *,
    trace: bool = False,
    forecast: bool = True,
) -> tuple[Allocation, Memory]:
    """Share what the tree allows among its EVSEs.

    `start_time_us` is "now", in microseconds since the epoch; `memory` is what the last run
    returned (None at first): it carries phase switching over, and the compiled tree. The
    allocation has one EnforcedLimits for each EVSE, in depth-first order; without `forecast` it is
    worked out for the active slot alone.

    Raises RequestError, with the JSON path, for a value of the request that is not accepted, for
    one of the configuration (its path starts with `config.`), and for work without bound.
    """
    try:
        configuration.check(config)
    except RequestError as error:
        raise error.below("config") from None
    memory = memory or Memory()
    tree = read_tree(request, memory.tree)
    slots = (slots_of if forecast else active_slot_of)(tree.times_us, config, start_time_us)
    nodes = len(tree.shape.parent)
    if len(slots.times_us) * nodes > MOST_CELLS:
        raise TooMuchError("", f"{len(slots.times_us)} slots of {nodes} nodes are too many")
    made: Outcome | PlainRun
    contexts: Mapping[str, Context]
    if isinstance(tree, CompiledTree):
        made, contexts = _run(tree, slots, config, memory.contexts, start_time_us)
    elif len(slots.columns_us) > 1:
        made, contexts = _run(tree.compiled, slots, config, memory.contexts, start_time_us)
    else:
        made, contexts = _small_run(tree, slots, config, memory.contexts, start_time_us)
    return Allocation(made, trace=trace), Memory(contexts, tree)


def _small_run(
    tree: PlainTree,
    slots: Slots,
    config: EnergyManagerConfig,
    before: Mapping[str, Context],
    start_us: int,
) -> tuple[PlainRun, Mapping[str, Context]]:
    limits = limits_at(tree, int(slots.columns_us[0]), "import")
    reported = [limits.rows[node].active_phases for node in tree.shape.evses]
    contexts = observe_plainly(before, tree.uuids, tree.session_over, reported, start_us)
    made = run_plainly(tree, limits, slots, config, contexts, start_us)
    return made, wanting_single_plainly(contexts, tree.uuids, made.bought.wants_minimum, start_us)


def _run(
    tree: CompiledTree,
    slots: Slots,
    config: EnergyManagerConfig,
    before: Mapping[str, Context],
    start_us: int,
) -> tuple[Outcome, Contexts]:
    tiers = tree.shape.tiers
    heeded = heeded_targets(tree, slots.columns_us)
    imports = cap_at_fallbacks(tree, path_limits(tree, slots.columns_us, "import", heeded))
    active = slots.active_column
    contexts = observe(before, tree, imports.active_phases[active], start_us)
    imports_at = imports.open
    choices = import_choices(imports, config, contexts, active, start_us)
    bought = trade_imports(tree, tiers, imports, imports_at, choices, config)
    given, exports_at = None, same_rows(False, imports_at.shape, np.bool_)
    if not tree.schedules["export"].always_closed():
        exports = path_limits(tree, slots.columns_us, "export", heeded)
        exports_at = repeated(once(exports.open) & ~once(imports_at), len(imports_at))
        given = trade(tree, tiers, exports, exports_at, export_choices(exports), config)
    outcome = Outcome(
        tree=tree,
        slots=slots,
        config=config,
        heeded=heeded,
        bought=bought,
        given=given,
        imports=imports_at,
        exports=exports_at,
    )
    return outcome, contexts.wanting_single(bought.wants_minimum[active], start_us)
