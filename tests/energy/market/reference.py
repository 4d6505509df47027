"""The market round by round: as literal as possible to the design's text, slow and plain.

Property tests compare the product with it. It shares no code with the product but the types and
the timestamps: sums are kept at each node's root side and leaf side, sale by sale.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, field, replace

from actors.energy import timestamps
from actors.energy.packing import entries_of
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EvseState,
    LimitsReq,
    NodeType,
    ScheduleReqEntry,
    SetpointType,
)

CRUMB = 1e-7
SLACK_W = 1e-6
"""Power that misses a threshold by this little has reached it: sums are rounded in another order here."""
US = 1_000_000
MOST_ROUNDS = 1_000_000
"""Far above what any test needs: reaching it is an error of the test."""


@dataclass
class Context:
    """What is remembered of an EVSE from step to step."""

    noted_us: float
    switches: int = 0
    last_phases: int | None = None


Contexts = dict[str, Context]


@dataclass(frozen=True)
class Allowed:
    """What one schedule entry of a node allows; None lets all pass."""

    A: float | None
    root_W: float | None
    leaf_W: float | None
    efficiency: float
    min_A: float | None
    max_phases: int | None
    min_phases: int | None
    active_phases: int | None
    supports: bool | None


@dataclass(eq=False)
class Node:
    """A node of the tree in one slot, with what was sold there so far."""

    uuid: str
    allowed: dict[str, Allowed]
    setpoint: tuple[int, str, float] | None  # priority, unit, signed value
    sold_A: dict[str, float] = field(default_factory=lambda: {"import": 0.0, "export": 0.0})
    sold_root_W: dict[str, float] = field(default_factory=lambda: {"import": 0.0, "export": 0.0})
    sold_leaf_W: dict[str, float] = field(default_factory=lambda: {"import": 0.0, "export": 0.0})
    heeded_A: dict[str, float] = field(default_factory=lambda: {"import": 0.0, "export": 0.0})
    heeded_W: dict[str, float] = field(default_factory=lambda: {"import": 0.0, "export": 0.0})
    children: list[Node] = field(default_factory=list)
    traders: list[Trader] = field(default_factory=list)  # at or below it
    fallback_A: float = 0.0
    fallback_W: float = 0.0  # at the root side, like the others
    own_A: float = 0.0  # sold to the node itself, if it is an EVSE
    own_W: float = 0.0
    filler_A: float = 0.0
    filler_W: float = 0.0
    goes_ahead: bool = False
    kept_A: float = 0.0  # fillers below it
    kept_W: float = 0.0
    cap_A: float = math.inf  # its fallback, below a tight node
    cap_W: float = math.inf
    tight: tuple[bool, bool] = (False, False)  # in A, in W: the limit is below the children's fallbacks


@dataclass
class Offer:
    """The smallest of what is left on a path."""

    A: float | None
    W: float | None
    min_A: float | None
    max_phases: int
    min_phases: int | None
    active_phases: int | None
    supports: bool | None


@dataclass
class Deal:
    """What an EVSE has in a slot; W is set only where power was part of the deal."""

    has_A: bool = False
    has_W: bool = False
    direction: str | None = None
    phases: int | None = None
    A: float = 0.0
    W: float = 0.0


@dataclass(frozen=True)
class Result:
    """Deals of one EVSE, one per slot."""

    uuid: str
    deals: tuple[Deal, ...]


parsed = functools.cache(timestamps.parse)


def least(one: float | None, other: float | None) -> float | None:
    """The smaller of those that are there."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def greatest(one: float | None, other: float | None) -> float | None:
    """The larger of those that are there."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _value(limits: LimitsReq, name: str) -> float | None:
    number = getattr(limits, name)
    return None if number is None else number.value


def allowed_by(entry: ScheduleReqEntry | None) -> Allowed:
    """An empty schedule counts as 0 A and 0 W."""
    if entry is None:
        return Allowed(0.0, 0.0, None, 1.0, None, None, None, None, None)
    root, leaf = entry.limits_to_root, entry.limits_to_leaves
    max_phases = least(_value(root, "ac_max_phase_count"), _value(leaf, "ac_max_phase_count"))
    min_phases = greatest(_value(root, "ac_min_phase_count"), _value(leaf, "ac_min_phase_count"))
    active = root.ac_number_of_active_phases
    supports = root.ac_supports_changing_phases_during_charging
    return Allowed(
        A=least(_value(root, "ac_max_current_A"), _value(leaf, "ac_max_current_A")),
        root_W=_value(root, "total_power_W"),
        leaf_W=_value(leaf, "total_power_W"),
        efficiency=1.0 if entry.conversion_efficiency is None else entry.conversion_efficiency,
        min_A=greatest(_value(root, "ac_min_current_A"), _value(leaf, "ac_min_current_A")),
        max_phases=None if max_phases is None else int(max_phases),
        min_phases=None if min_phases is None else int(min_phases),
        active_phases=leaf.ac_number_of_active_phases if active is None else active,
        supports=leaf.ac_supports_changing_phases_during_charging if supports is None else supports,
    )


def holding(schedule: tuple, slot_us: int):  # type: ignore[type-arg, no-untyped-def]
    """The last entry stamped at or before the slot, else the first; None of an empty schedule."""
    if not schedule:
        return None
    ordered = sorted(schedule, key=lambda entry: parsed(entry.timestamp))
    before = [entry for entry in ordered if parsed(entry.timestamp) <= slot_us]
    return before[-1] if before else ordered[0]


def frequency_value(table: list[tuple[float, float]], frequency: float) -> float:
    """Linear between points, the end values beyond."""
    points = sorted(table, key=lambda point: point[0])
    if frequency <= points[0][0]:
        return points[0][1]
    for (f0, p0), (f1, p1) in itertools.pairwise(points):
        if f0 < frequency <= f1:
            return p0 + (p1 - p0) * (frequency - f0) / (f1 - f0)
    return points[-1][1]


def effective_setpoint(request: EnergyFlowRequest, slot_us: int) -> tuple[int, str, float] | None:
    """Ampere before watt before frequency table; without a reading the table is ignored."""
    entry = holding(request.schedule_setpoints, slot_us)
    setpoint: SetpointType | None = None if entry is None else entry.setpoint
    if setpoint is None:
        return None
    if setpoint.ac_current_A is not None:
        return setpoint.priority, "A", setpoint.ac_current_A
    if setpoint.total_power_W is not None:
        return setpoint.priority, "W", setpoint.total_power_W
    if not setpoint.frequency_table:
        return None
    for meter in (request.energy_usage_root, request.energy_usage_leaves):
        if meter is not None and meter.frequency_Hz is not None:
            table = [(point.frequency_Hz, point.total_power_W) for point in setpoint.frequency_table]
            return setpoint.priority, "W", frequency_value(table, meter.frequency_Hz.L1)
    return None


def all_nodes(request: EnergyFlowRequest) -> list[EnergyFlowRequest]:
    """Depth-first order."""
    return [request, *(node for child in request.children for node in all_nodes(child))]


def slots_of(request: EnergyFlowRequest, config: EnergyManagerConfig, start_us: int) -> list[int]:
    """The regular grid with every timestamp of every schedule, sorted, without doubles."""
    interval = config.schedule_interval_duration * 60 * US
    first = start_us // interval * interval
    slots = set(range(first, first + config.schedule_total_duration * 3600 * US, interval))
    for node in all_nodes(request):
        limits = entries_of(node.schedule_import), entries_of(node.schedule_export)
        for schedule in (*limits, node.schedule_setpoints):
            slots |= {parsed(entry.timestamp) for entry in schedule}
    return sorted(slots)


def active_slot(slots: list[int], start_us: int) -> int:
    """Index of the last slot at or before the start, else of the first."""
    return max((i for i, slot in enumerate(slots) if slot <= start_us), default=0)


class Trader:
    """One EVSE in one slot."""

    def __init__(self, request: EnergyFlowRequest, path: list[Node]):
        self.uuid = request.uuid
        self.priority = 5 if request.priority is None else request.priority
        self.path = path  # the root first, the EVSE itself last
        self.deal = Deal()
        self.bought = False
        self.ahead = False
        ranks = [node.setpoint[0] for node in path if node.setpoint is not None]
        self.heeds = [node.setpoint is not None and node.setpoint[0] == min(ranks) for node in path]

    def look(self) -> None:
        """Before anything is sold."""
        self.before = {direction: self.offer(direction) for direction in ("import", "export")}
        self.deal.has_A = self.before["import"].A is not None
        self.deal.has_W = self.before["import"].W is not None
        for direction, offer in self.before.items():
            if self.deal.direction is None and offer.A != 0 and offer.W != 0:
                self.deal.direction = direction

    def offer(self, direction: str) -> Offer:
        """Over the whole path: what is allowed and not yet sold."""
        A: float | None = None
        W: float | None = None  # at the EVSE's root side
        min_A: float | None = None
        max_phases: float | None = None
        min_phases: float | None = None
        per_watt = 1.0  # watt at this node's leaf side for each watt at the EVSE's root side
        for node, heeds in reversed(list(zip(self.path, self.heeds, strict=True))):
            allowed = node.allowed[direction]
            kept = kept_at(node) if direction == "import" else (0.0, 0.0)
            if node is self.path[-1]:
                own = allowed.leaf_W
                if own is not None:
                    own = own / allowed.efficiency if direction == "import" else own * allowed.efficiency
                    W = least(W, own - node.sold_root_W[direction] - kept[1])
            else:
                if allowed.leaf_W is not None:
                    kept_leaf_W = kept[1] * allowed.efficiency
                    W = least(W, (allowed.leaf_W - node.sold_leaf_W[direction] - kept_leaf_W) / per_watt)
                if direction == "import":
                    per_watt /= allowed.efficiency
                else:
                    per_watt *= allowed.efficiency
            if allowed.root_W is not None:
                W = least(W, (allowed.root_W - node.sold_root_W[direction] - kept[1]) / per_watt)
            if allowed.A is not None:
                A = least(A, allowed.A - node.sold_A[direction] - kept[0])
            if direction == "import":
                if node.cap_A < math.inf:
                    A = least(A, node.cap_A - node.sold_A[direction] - kept[0])
                if node.cap_W < math.inf:
                    W = least(W, (node.cap_W - node.sold_root_W[direction] - kept[1]) / per_watt)
            if direction == "import" and self.ahead and node.goes_ahead:
                above = self.path[: self.path.index(node)]
                up_to_A, up_to_W = ahead_to(node)
                if up_to_A and is_limited(above, 0):
                    A = least(A, max(0.0, up_to_A - node.kept_A) - node.sold_A[direction])
                if up_to_W and is_limited(above, 1):
                    W = least(W, (max(0.0, up_to_W - node.kept_W) - node.sold_root_W[direction]) / per_watt)
            if heeds and node.setpoint is not None:
                _, unit, value = node.setpoint
                cap = max(value, 0.0) if direction == "import" else max(-value, 0.0)
                kept = kept if kept != (0.0, 0.0) and all_heed(node) else (0.0, 0.0)
                if unit == "A":
                    A = least(A, cap - node.heeded_A[direction] - kept[0])
                else:
                    W = least(W, (cap - node.heeded_W[direction] - kept[1]) / per_watt)
            min_A = greatest(min_A, allowed.min_A)
            max_phases = least(max_phases, allowed.max_phases)
            min_phases = greatest(min_phases, allowed.min_phases)
        itself = self.path[-1].allowed[direction]
        return Offer(
            A=A,
            W=W,
            min_A=min_A,
            max_phases=3 if max_phases is None else int(max_phases),
            min_phases=None if min_phases is None else int(min_phases),
            active_phases=itself.active_phases,
            supports=itself.supports,
        )

    def sell(self, direction: str, current_A: float, power_W: float) -> None:
        """Book a sale on the whole path."""
        power = power_W
        if direction == "import":
            self.path[-1].own_A += current_A
            self.path[-1].own_W += power_W
        for node, heeds in reversed(list(zip(self.path, self.heeds, strict=True))):
            if node is not self.path[-1]:
                node.sold_leaf_W[direction] += power
                efficiency = node.allowed[direction].efficiency
                power = power / efficiency if direction == "import" else power * efficiency
            node.sold_A[direction] += current_A
            node.sold_root_W[direction] += power
            if heeds:
                node.heeded_A[direction] += current_A
                node.heeded_W[direction] += power
        sign = 1 if direction == "import" else -1
        self.deal.A += sign * current_A
        self.deal.W += sign * power_W


# --- fallbacks -------------------------------------------------------------------------------------


def all_heed(node: Node) -> bool:
    """Whether the node's setpoint is heeded by all below it, so that it is a limit like any other."""
    return all(trader.heeds[trader.path.index(node)] for trader in node.traders)


def limits_of(node: Node) -> tuple[float, float]:
    """Ampere and watt at the root side that the node lets pass for import."""
    allowed = node.allowed["import"]
    A = math.inf if allowed.A is None else allowed.A
    W = math.inf if allowed.root_W is None else allowed.root_W
    if allowed.leaf_W is not None:
        W = min(W, allowed.leaf_W / allowed.efficiency)
    if node.setpoint is not None and node.traders and all_heed(node):
        _, unit, value = node.setpoint
        A, W = (min(A, max(value, 0.0)), W) if unit == "A" else (A, min(W, max(value, 0.0)))
    return min(A, node.cap_A), min(W, node.cap_W)


def counted_below(node: Node, *, sales: bool) -> tuple[float, float]:
    """Of a node, its own sale and what it counts for its children; or, without sales, at least."""
    A, W = (node.own_A, node.own_W) if sales else (0.0, 0.0)
    for child in node.children:
        child_A, child_W = counted_below(child, sales=sales)
        A += max(child_A, child.fallback_A)
        W += max(child_W, child.fallback_W) / node.allowed["import"].efficiency
    return A, W


def cap_children(node: Node, below_tight: tuple[bool, bool] = (False, False)) -> None:
    """Where a limit is below the children's fallbacks, each child has no more than its own.

    Further down a limit that equals the children's fallbacks is enough for that."""
    tight = [False, False]
    fallbacks, limits = counted_below(node, sales=False), limits_of(node)
    for unit, (fallback, limit) in enumerate(zip(fallbacks, limits, strict=True)):
        equal = abs(fallback - limit) <= 1e-9 * (1 + min(fallback, limit))
        tight[unit] = fallback > 0 and (below_tight[unit] if equal else fallback > limit)
    node.tight = (tight[0], tight[1])
    for child in node.children:
        child_A, child_W = counted_below(child, sales=False)
        if node.tight[0]:
            child.cap_A = max(child_A, child.fallback_A)
        if node.tight[1]:
            child.cap_W = max(child_W, child.fallback_W)
        cap_children(child, (below_tight[0] or tight[0], below_tight[1] or tight[1]))


def ahead_to(node: Node) -> tuple[float, float]:
    """Up to what those below a node buy ahead: its fallback, of a tight one with those below it."""
    A, W = counted_below(node, sales=False)
    return (
        max(A, node.fallback_A) if node.tight[0] else node.fallback_A,
        max(W, node.fallback_W) if node.tight[1] else node.fallback_W,
    )


def note_kept(node: Node) -> None:
    """Add up the fillers below every node."""
    node.kept_A = node.kept_W = 0.0
    for child in node.children:
        note_kept(child)
        node.kept_A += child.kept_A + child.filler_A
        node.kept_W += (child.kept_W + child.filler_W) / node.allowed["import"].efficiency


def kept_at(node: Node) -> tuple[float, float]:
    """What of a node's limits is not for sale."""
    if not node.kept_A and not node.kept_W:
        return 0.0, 0.0
    return 0.0 if node.tight[0] else node.kept_A, 0.0 if node.tight[1] else node.kept_W


def is_limited(path: list[Node], unit: int) -> bool:
    """Whether any of these nodes limits ampere (0) or watt (1)."""
    return any(limits_of(each)[unit] < math.inf for each in path)


def missing(node: Node, above: list[Node]) -> tuple[float, float]:
    """What a node lacks of its fallback, where any limit above takes note of it."""
    A, W = counted_below(node, sales=True)
    return (
        max(0.0, node.fallback_A - A) if is_limited(above, 0) else 0.0,
        max(0.0, node.fallback_W - W) if is_limited(above, 1) else 0.0,
    )


def may_go_ahead(node: Node, above: list[Node]) -> bool:
    """Whether an EVSE below would use the fallback, and nothing above is tight."""
    if any(True in each.tight for each in above):
        return False
    for trader in node.traders:
        if trader.deal.direction == "import" and trader.priority != 0:
            offer = trader.before["import"]
            min_A = 0.0 if offer.A is None else offer.min_A or 0.0
            up_to_A, _ = ahead_to(node)
            if not up_to_A or min_A <= up_to_A + CRUMB:
                return True
    return False


def with_above(node: Node, above: tuple[Node, ...] = ()) -> list[tuple[Node, list[Node]]]:
    """All nodes, depth-first, each with those above it."""
    found = [(node, list(above))]
    for child in node.children:
        found += with_above(child, (*above, node))
    return found


MOST_PASSES = 8
Kept = list[tuple[float, float, bool]]  # of each node: filler in A and W, whether it goes ahead


def learn(root: Node, kept: Kept, *, hurry: bool) -> Kept:
    """What is kept for the next pass, after a pass."""
    everyone = with_above(root)
    short = {}
    for i, (node, above) in enumerate(everyone):
        A, W = missing(node, above)
        if A - node.filler_A > 1e-7 or W - node.filler_W > 1e-4:
            short[i] = (A, W)
    lacking = {id(everyone[i][0]) for i in short}
    for i in short:  # those below a tight node go ahead together
        lacking |= {id(each) for each in everyone[i][1] if any(each.tight)}
    candidates = {
        id(everyone[i][0]): i
        for i in range(len(everyone))
        if id(everyone[i][0]) in lacking and not kept[i][2] and may_go_ahead(*everyone[i])
    }
    new = list(kept)
    if candidates:
        for i in candidates.values():
            if not any(id(each) in candidates for each in everyone[i][1]):
                new[i] = (kept[i][0], kept[i][1], True)
    elif short:
        for i, (node, above) in enumerate(everyone):
            A, W = missing(node, above)
            if hurry:
                most_A, most_W = most_missing(node)
                A = most_A if A - node.filler_A > 1e-7 else A
                W = most_W if W - node.filler_W > 1e-4 else W
            new[i] = (max(kept[i][0], A), max(kept[i][1], W), kept[i][2])
    return new


def keep_most(root: Node) -> Kept:
    """The most that may be missing at any node, and nobody ahead."""
    return [(*most_missing(node), False) for node, _ in with_above(root)]


def most_missing(node: Node) -> tuple[float, float]:
    """If nothing at all is sold below it."""
    A, W = counted_below(node, sales=False)
    return max(0.0, node.fallback_A - A), max(0.0, node.fallback_W - W)


@dataclass
class Market:
    """What a turn needs to know."""

    config: EnergyManagerConfig
    start_us: int
    contexts: Contexts

    def phases_for_first_purchase(self, trader: Trader, offer: Offer, *, active: bool) -> list[int]:
        """Phase counts to try, in order."""
        config = self.config
        own = trader.path[-1].allowed
        if trader.deal.direction == "export":
            count = own["export"].max_phases
            return [3 if count is None else count]
        max_n = offer.max_phases
        charging_n = min(3 if offer.active_phases is None else offer.active_phases, max_n)
        if not offer.min_A:
            return [charging_n]
        if config.switch_3ph1ph_while_charging_mode == "Never" or offer.W is None:
            return [max_n]
        if offer.supports is False:
            return [charging_n]
        min_n = min(3 if offer.min_phases is None else offer.min_phases, max_n)
        floor_n = min(1 if offer.min_phases is None else offer.min_phases, max_n)
        charging_n = max(charging_n, floor_n)
        three_W = offer.min_A * max_n * config.nominal_ac_voltage - SLACK_W
        if three_W > offer.W:
            wanted = min_n
        elif (
            config.switch_3ph1ph_while_charging_mode == "Both"
            and three_W + config.switch_3ph1ph_power_hysteresis_W <= offer.W
        ):
            wanted = max_n
        else:
            wanted = charging_n
        context = self.contexts[trader.uuid]
        if active and wanted == min_n:
            context.noted_us = self.start_us
        n = wanted
        most = config.switch_3ph1ph_max_nr_of_switches_per_session
        sticky = {"SinglePhase": min_n, "ThreePhase": max_n, "DontChange": charging_n}[
            config.switch_3ph1ph_switch_limit_stickyness
        ]
        reached = most > 0 and context.switches >= most
        if reached:
            n = sticky
        elif most > 0 and config.switch_3ph1ph_switch_limit_stickyness != "DontChange":
            if n not in (charging_n, sticky) and context.switches + 2 > most:
                n = charging_n
            reached = charging_n == sticky and context.switches + 2 > most
        waited_s = (self.start_us - context.noted_us) / US
        if active and n == max_n and n > charging_n and n != min_n:  # noqa: SIM102
            if waited_s < config.switch_3ph1ph_time_hysteresis_s:
                n = min_n
        return [n] if reached else [n, floor_n]

    def turn(self, trader: Trader, *, active: bool) -> bool:
        """One turn of one EVSE in one slot; whether anything was sold."""
        config, deal = self.config, trader.deal
        if deal.direction is None:
            return False
        offer = trader.offer(deal.direction)
        if offer.A is None:
            if offer.W is None:
                return False
            power = min(config.slice_watt, offer.W)
            if power < CRUMB:
                return False
            deal.has_W = True
            trader.sell(deal.direction, 0.0, power)
            return True
        volts = config.nominal_ac_voltage

        def affordable(n: int) -> float:
            assert offer.A is not None
            return offer.A if offer.W is None else min(offer.A, offer.W / (n * volts))

        minimum = not trader.bought and bool(offer.min_A)
        if trader.bought:
            assert deal.phases is not None
            n = deal.phases
            current = min(config.slice_ampere, affordable(n))
        else:
            choices = self.phases_for_first_purchase(trader, offer, active=active)
            n = choices[0]
            current = min(config.slice_ampere, affordable(n))
            if minimum:
                assert offer.min_A is not None
                fitting = [n for n in choices if affordable(n) + CRUMB >= offer.min_A]
                if not fitting:
                    return False
                n, current = fitting[0], offer.min_A
        if current < CRUMB:
            return False
        trader.bought = True
        deal.phases = n
        deal.has_A = True
        if offer.W is not None:
            deal.has_W = True
        trader.sell(deal.direction, current, 0.0 if offer.W is None else current * n * volts)
        return True


def step_contexts(
    evses: list[EnergyFlowRequest], contexts: Contexts, start_us: int, active_slot_us: int
) -> Contexts:
    """Sessions and switches: a switch is a change of the reported phases within a session."""
    new: Contexts = {}
    for evse in evses:
        old = contexts.get(evse.uuid, Context(noted_us=start_us))
        context = Context(min(old.noted_us, start_us), old.switches, old.last_phases)
        if evse.evse_state in (EvseState.Unplugged, EvseState.Finished):
            context = Context(noted_us=-math.inf)
        else:
            reported = allowed_by(holding(entries_of(evse.schedule_import), active_slot_us)).active_phases
            if reported is not None:
                if context.last_phases not in (None, reported):
                    context.switches += 1
                context.last_phases = reported
        new[evse.uuid] = context
    return new


def build(request: EnergyFlowRequest, slot: int) -> tuple[Node, list[Trader]]:
    """The tree in one slot, nothing sold yet, and its traders in depth-first order."""
    traders: list[Trader] = []

    def walk(node: EnergyFlowRequest, above: list[Node]) -> Node:
        here = Node(
            node.uuid,
            {
                "import": allowed_by(holding(entries_of(node.schedule_import), slot)),
                "export": allowed_by(holding(entries_of(node.schedule_export), slot)),
            },
            effective_setpoint(node, slot),
            fallback_A=node.fallback_A or 0.0,
            fallback_W=node.fallback_W or 0.0,
        )
        path = [*above, here]
        if node.node_type is NodeType.Evse:
            traders.append(Trader(node, path))
            for each in path:
                each.traders.append(traders[-1])
        for child in node.children:
            here.children.append(walk(child, path))
        return here

    root = walk(request, [])
    cap_children(root)
    for trader in traders:
        trader.look()
    return root, traders


def kept_beforehand(root: Node, traders: list[Trader]) -> Kept:
    """What is missing even if everyone gets all that limits allow one alone."""
    for trader in traders:
        itself, offer = trader.path[-1], trader.before["import"]
        if trader.deal.direction == "import":
            itself.own_A = math.inf if offer.A is None else offer.A
            itself.own_W = math.inf if offer.W is None else offer.W
    kept = [(*missing(node, above), False) for node, above in with_above(root)]
    for trader in traders:
        trader.path[-1].own_A = trader.path[-1].own_W = 0.0
    return kept


def sell_all(market: Market, traders: list[Trader], *, active: bool) -> None:
    """All rounds of all tiers: fixed loads, those who go ahead, the innermost first, then the others."""
    rank = {
        trader.uuid: sum(node.goes_ahead for node in trader.path)
        if trader.priority != 0 and trader.deal.direction == "import"
        else 0
        for trader in traders
    }
    order = sorted({(trader.priority != 0, -rank[trader.uuid], trader.priority) for trader in traders})
    for _, negative_rank, tier in order:
        members = [t for t in traders if (-rank[t.uuid], t.priority) == (negative_rank, tier)]
        for trader in members:
            trader.ahead = negative_rank < 0
        for _ in range(MOST_ROUNDS):
            if not sum([market.turn(trader, active=active) for trader in members]):
                break
        else:
            raise AssertionError("the rounds do not end")


def allocate(
    request: EnergyFlowRequest,
    config: EnergyManagerConfig,
    start_us: int,
    contexts: Contexts | None = None,
) -> tuple[list[int], int, list[Result], Contexts]:
    """Slots, the index of the active one, results in depth-first order, and the contexts."""
    slots = slots_of(request, config, start_us)
    active = active_slot(slots, start_us)
    evses = [node for node in all_nodes(request) if node.node_type is NodeType.Evse]
    market = Market(config, start_us, step_contexts(evses, contexts or {}, start_us, slots[active]))
    by_slot: list[list[Trader]] = []
    for index, slot in enumerate(slots):
        at_first = market.contexts
        kept: Kept | None = None
        for number in range(MOST_PASSES + 1):
            market.contexts = {uuid: replace(context) for uuid, context in at_first.items()}
            root, traders = build(request, slot)
            if not any(node.fallback_A or node.fallback_W for node, _ in with_above(root)):
                sell_all(market, traders, active=index == active)
                break
            if kept is None:
                kept = kept_beforehand(root, traders)
            elif number == MOST_PASSES:
                kept = keep_most(root)
            for (node, _), (filler_A, filler_W, ahead) in zip(with_above(root), kept, strict=True):
                node.filler_A, node.filler_W, node.goes_ahead = filler_A, filler_W, ahead
            note_kept(root)
            sell_all(market, traders, active=index == active)
            before, kept = kept, learn(root, kept, hurry=number >= 4)
            if kept == before:
                break
        by_slot.append(traders)
    results = [
        Result(evse.uuid, tuple(traders[i].deal for traders in by_slot)) for i, evse in enumerate(evses)
    ]
    return slots, active, results, market.contexts
