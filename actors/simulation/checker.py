"""Ground truth: what flows through every node, and whether it may.

A fuse is a hard limit: the currents of all EVSEs below a node, plainly added, never exceed it, and the
same holds for a power that is declared for good. An external limit that was lowered must be kept once
all that was granted before has surely run out and every car has settled (`reach_s`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable

from msgspec import Struct

from actors.build import fallback
from actors.energy.amount import Amount
from actors.energy.external import SavedSources
from actors.energy.types import ExternalLimits, value_of
from actors.simulation.clocks import RHO
from actors.simulation.metered_fuse import MeteredFuse
from actors.site import EnergyManagerConfig, EnergyNodeConfig, EvseManagerConfig, MeterConfig, Site

CRUMB = 1e-6
"""Share of a limit, and absolute, that is floating point and not an overload."""
STRETCH = (1.0 + RHO) / (1.0 - RHO)
MOST_VIOLATIONS = 50
"""Told of one run; those beyond are only counted."""


class Violation(Struct, frozen=True, kw_only=True):
    """Something that must not be."""

    kind: str
    """overload, power, limit, invariant, exception, slow, wrong or stuck."""
    at_s: float
    where: str
    text: str


class _Flow:
    """What flows through a node, or to an EVSE."""

    def __init__(self) -> None:
        self.sum_A = self.sum_W = 0.0


class _Node(_Flow):
    """A node with all that flows through it."""

    def __init__(self, site: Site, name: str) -> None:
        super().__init__()
        module = site.modules[name]
        self.id = name
        config = module.config
        fuse_A = config.fuse_limit_A if isinstance(config, EnergyNodeConfig) else None
        self.fuse_A = math.inf if fuse_A is None else max(0.0, fuse_A - site.fixed_load_A(name))
        """What is left of it for EVSEs."""
        self.metered: MeteredFuse | None = None
        """Where the load is measured: then that changes."""
        declared = [_import_limits(s.limits)[1] for s in module.sources if s.heartbeat_timeout_s is None]
        self.power_W = min(declared, default=math.inf)
        amount = fallback(site, name)
        self.fallback_A, self.fallback_W = amount.import_A, amount.import_W
        self.limit = (math.inf, math.inf)
        """External: ampere, watt."""
        self.past: deque[tuple[float, float, float]] = deque()
        """(until when, ampere, watt): what was allowed by external limits, and may still flow."""
        self.over: frozenset[str] = frozenset()


class Checker:
    """Of one run; times are true seconds."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.violations: list[Violation] = []
        self.count = 0
        """Of violations, also those that are not told."""
        self.highest_share = 0.0
        """Of any fuse, that flowed at once."""
        self.nodes = {
            m.id: _Node(site, m.id)
            for m in site.modules.values()
            if not isinstance(m.config, EvseManagerConfig)
        }
        self._paths = {
            m.id: [self.nodes[p] for p in site.path_to_root(m.id)[1:]]
            for m in site.modules.values()
            if isinstance(m.config, EvseManagerConfig)
        }
        self._flows = {evse: _Flow() for evse in self._paths}
        self._below: dict[str, _Flow] = {**self.nodes, **self._flows}
        self._broken: set[str] = set()
        settles_s = [
            m.config.settle_time_s for m in site.modules.values() if isinstance(m.config, EvseManagerConfig)
        ]
        config = site.modules[site.root].config
        assert isinstance(config, EnergyManagerConfig)
        self.reach_s = 14 * config.update_interval + max(settles_s) * (1.0 + RHO)
        self.reach_s += 10 * config.update_interval * (STRETCH - 1.0)

    def measure(self, name: str, meter: MeterConfig) -> MeteredFuse:
        """From now on the load at a node counts as its meter lets it know."""
        node, site = self.nodes[name], self._site
        config = site.modules[name].config
        assert isinstance(config, EnergyNodeConfig)
        assert config.fuse_limit_A is not None
        declared_A = site.fixed_load_A(name)
        node.metered = MeteredFuse(config.fuse_limit_A, declared_A, meter, self.reach_s)
        return node.metered

    def flow(self, now_s: float, evse: str, current_A: float, power_W: float) -> None:
        """What flows to an EVSE from now on."""
        flow = self._flows[evse]
        if current_A == flow.sum_A and power_W == flow.sum_W:
            return
        more_A, more_W = current_A - flow.sum_A, power_W - flow.sum_W
        flow.sum_A, flow.sum_W = current_A, power_W
        for node in self._paths[evse]:
            node.sum_A += more_A
            node.sum_W += more_W
            if more_A > 0.0 or more_W > 0.0 or node.over:
                self._check(now_s, node)

    def flows(self, node: str) -> dict[str, float]:
        """Ampere of each EVSE below a node."""
        flows, paths = self._flows, self._paths
        return {evse: flow.sum_A for evse, flow in flows.items() if self.nodes[node] in paths[evse]}

    def flow_below(self, module: str) -> tuple[float, float]:
        """Ampere and watt that flow through a node, or to an EVSE."""
        flow = self._below[module]
        return flow.sum_A, flow.sum_W

    def promises(
        self,
        now_s: float,
        node: str,
        children: Iterable[str],
        own_s: float,
        exposure: Callable[[float, str], Amount],
    ) -> None:
        """What flows below each child of a node is no more than what the node counts with, on whose clock it
        is `own_s`; told once."""
        below = self._below
        for child in children:
            flow = below[child]
            flow_A, flow_W = flow.sum_A, flow.sum_W
            if flow_A <= 0.0 and flow_W <= 0.0:
                continue
            counted = exposure(own_s, child)
            over = _exceeds(flow_A, counted.import_A) or _exceeds(flow_W, counted.import_W)
            if over and child not in self._broken:
                self._broken.add(child)
                text = f"{flow_A:.6g} A, {flow_W:.6g} W flow below {child}, "
                text += f"{node} counts with {counted.text()}"
                self.note(Violation(kind="promise", at_s=now_s, where=node, text=text))

    def limits(self, now_s: float, name: str, saved: SavedSources | None) -> float | None:
        """The external limits of a node from now on; returns when to `look` again, if ever."""
        node = self.nodes.get(name)
        if node is None:
            return None
        pairs = [_import_limits(entry.limits) for entry in saved.sources] if saved is not None else []
        limit = (min((a for a, _ in pairs), default=math.inf), min((w for _, w in pairs), default=math.inf))
        if limit == node.limit:
            return None
        until_s = now_s + self.reach_s
        node.past.append((until_s, *node.limit))
        node.limit = limit
        return until_s

    def look(self, now_s: float, name: str) -> None:
        """Time went by: less may be allowed now."""
        self._check(now_s, self.nodes[name])

    def note(self, violation: Violation) -> None:
        """Something else that must not be."""
        self.count += 1
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(violation)

    def _check(self, now_s: float, node: _Node) -> None:
        if node.metered is not None:
            node.fuse_A = node.metered.may_A(now_s)
        if node.sum_A > self.highest_share * node.fuse_A:
            self.highest_share = node.sum_A / node.fuse_A if node.fuse_A else math.inf
        while node.past and node.past[0][0] <= now_s:
            node.past.popleft()
        over = []
        if _exceeds(node.sum_A, node.fuse_A):
            over.append(("overload", node.sum_A, node.fuse_A, "A"))
        if _exceeds(node.sum_W, node.power_W):
            over.append(("power", node.sum_W, node.power_W, "W"))
        if node.limit != (math.inf, math.inf):
            may_A = max([node.fallback_A, node.limit[0], *(amount_A for _, amount_A, _ in node.past)])
            may_W = max([node.fallback_W, node.limit[1], *(power_W for _, _, power_W in node.past)])
            if _exceeds(node.sum_A, may_A):
                over.append(("limit", node.sum_A, may_A, "A"))
            if _exceeds(node.sum_W, may_W):
                over.append(("limit", node.sum_W, may_W, "W"))
        before, node.over = node.over, frozenset(kind for kind, *_ in over)
        for kind, amount, limit, unit in over:
            if kind not in before:
                parts = " + ".join(f"{e} {a:.4g}" for e, a in self.flows(node.id).items() if a > 0.0)
                text = f"{amount:.6g} {unit} flow through {node.id}, {limit:.6g} {unit} may ({parts} A)"
                if node.metered is not None:
                    text += f", beside a load of {node.metered.load_A:.4g} A"
                self.note(Violation(kind=kind, at_s=now_s, where=node.id, text=text))


def _exceeds(amount: float, limit: float) -> bool:
    return amount > limit * (1.0 + CRUMB) + CRUMB


def _import_limits(limits: ExternalLimits | None) -> tuple[float, float]:
    """The highest that a source allows at any time: ampere, watt."""
    entries = () if limits is None else limits.schedule_import
    currents_A = [value_of(e.limits_to_root.ac_max_current_A) for e in entries]
    powers_W = [value_of(e.limits_to_root.total_power_W) for e in entries]
    return _highest(currents_A), _highest(powers_W)


def _highest(values: list[float | None]) -> float:
    return max((math.inf if value is None else value for value in values), default=math.inf)
