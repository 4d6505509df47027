"""What EnergyManager and EnergyNode share: a node with children, external sources, a fuse, a ledger.

What the node may hand out now is its *capacity*, at its leaves: the least of its fuse, its external
limits and, below the root, its own grant or fallback. The market's wishes go through the ledger: what
is safe now is granted, the rest when there is room.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from actors.energy.amount import UNLIMITED, Amount, smallest
from actors.energy.branch import Branch, ChildSettings, Limits, factors_to_root
from actors.energy.effects import Effect, KeepEpoch, Say, ToChild
from actors.energy.external import SavedSources, SourceConfig
from actors.energy.fixed_load import FixedLoad, MeterConfig
from actors.energy.lease import longest_grant_s
from actors.energy.ledger import STRETCH, InvariantError
from actors.energy.member import Member
from actors.energy.memo import Memo
from actors.energy.messages import Command, EpochKept, Instant, ModuleStatus, Outcome, Report
from actors.energy.packing import all_packed, entries_of, packed
from actors.energy.schedules import (
    FOREVER_US,
    OwnLimits,
    grid_stamp,
    import_limits,
    steady_until_us,
    tightest,
    with_schedules,
)
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    LimitsReq,
    NodeType,
    NumberWithSource,
    Schedule,
    value_of,
)

SHORTEST_GAP_S = 0.1
"""Between two reactions to what children tell: what comes together is met together."""


class TrunkSettings(Struct, frozen=True, kw_only=True):
    """All that does not change in the life of a node."""

    id: str
    kind: str
    controller: str
    site: EnergyManagerConfig
    limits: LimitsReq = LimitsReq()
    """Its own, of either direction; the fuse."""
    watt_to_current_W: float | None = None
    children: tuple[ChildSettings, ...] = ()
    sources: tuple[SourceConfig, ...] = ()
    fallback: Amount = Amount()
    """What all below it may draw when it hears nothing."""
    height: int = 1
    """Levels of nodes from here down."""
    fixed_load_A: float = 0.0
    """The most that everything else below its fuse draws, ampere per phase."""
    meter: MeterConfig | None = None
    """Where that is measured."""
    config_digest: str = ""


class Trunk(Member):
    """A node of the tree that is not an EVSE."""

    def __init__(
        self,
        settings: TrunkSettings,
        now: Instant,
        saved: SavedSources | None = None,
        kept_epoch: int | None = None,
    ) -> None:
        super().__init__(settings.id, settings.sources, saved, now)
        self.settings = settings
        self.branch = Branch(
            settings.children,
            settings.site,
            now.mono_s,
            kept_epoch=kept_epoch,
            digest=settings.config_digest,
            levels=settings.height,
        )
        fuse_A = value_of(settings.limits.ac_max_current_A)
        self.fixed_load = FixedLoad(settings.fixed_load_A, settings.meter, now.mono_s, fuse_A)
        declared = _amount_of(settings.limits if settings.meter is not None else self._fuse_for_evses())
        self._fuse = replace(_amount_of(settings.limits), import_A=declared.import_A)
        """What no exposures may exceed: a load that is measured changes, a declared one does not."""
        self._own_request: Memo[EnergyFlowRequest] = Memo()
        """Without what is below."""
        self._requested: Memo[EnergyFlowRequest] = Memo()
        self._own_capacity: Memo[tuple[Amount, tuple[float, float]]] = Memo()
        self._keep_due_s = -math.inf
        self._keep_fault = ""
        self._broken_until_s = -math.inf

    # --- hearing -----------------------------------------------------------------------------------

    def hear(self, now: Instant, report: Report) -> tuple[list[Effect], bool, bool]:
        """Take a child's report; also returns whether something urgent changed, and whether there may
        be room for a raise that waits."""
        heard = self.branch.hear(now.mono_s, report)
        told: list[Effect] = []
        if heard.first or heard.restarted:
            told.append(Say("info", f"{report.child} {'has restarted' if heard.restarted else 'is here'}"))
        if heard.doubt:
            told.append(Say("warning", f"{report.child} is raised no more: {heard.doubt}"))
        if heard.refused:
            text = f"the request of {report.child} is refused, it is granted nothing: {heard.refused}"
            told.append(Say("warning", text))
        urgent = heard.wants_other or (not heard.stale and (report.priority or heard.back or heard.restarted))
        return told, urgent, heard.eased and (heard.became_known or self.branch.waits())

    def forget_gone(self, now: Instant) -> list[Effect]:
        """Forget children that are gone for good."""
        return [
            Say("warning", f"{child} is gone: all its limits have run out")
            for child in self.branch.gone(now.mono_s)
        ]

    # --- the epoch ---------------------------------------------------------------------------------

    def keep_epoch(self, now: Instant) -> list[Effect]:
        """Put a new epoch on stable storage; tried each interval until it is there."""
        ledger = self.branch.ledger
        epoch = ledger.to_keep
        # While a lost epoch is waited out nothing is kept: the next life would not know that it was lost.
        if epoch is None or now.mono_s < max(self._keep_due_s, ledger.quiet_until_s):
            return []
        self._keep_due_s = now.mono_s + self.settings.site.update_interval
        return [KeepEpoch(epoch)]

    def epoch_kept(self, event: EpochKept) -> list[Effect]:
        """It is there, or it is not: then nothing can be granted."""
        self._keep_fault = "" if event.ok else event.fault or "its epoch cannot be written to disk"
        if event.ok:
            self.branch.ledger.kept(event.epoch)
        return []

    # --- commands ----------------------------------------------------------------------------------

    def route(self, now: Instant, command: Command) -> list[Effect]:
        """Carry a command out, or pass it down its branch."""
        if command.target == self.id:
            return self.obey(now, command)
        child = self.branch.child_towards(command.target)
        if child is not None and self.branch.alive(now.mono_s, child):
            return [ToChild(child, command)]
        error = f"no module {command.target!r} here" if child is None else f"{child} is not alive"
        return self.answer(Outcome(id=command.id, origin=command.origin, error=error))

    # --- the market --------------------------------------------------------------------------------

    def request(self, now: Instant) -> EnergyFlowRequest:
        """What this node and all below it ask for."""
        stamp_us = grid_stamp(now.wall_us, self.settings.site.schedule_interval_duration)
        children = self.branch.wants(now.mono_s, stamp_us)

        def make() -> EnergyFlowRequest:
            fallback = self.settings.fallback
            bare = EnergyFlowRequest(
                uuid=self.id,
                node_type=NodeType.Generic,
                fallback_A=fallback.import_A or None,
                fallback_W=fallback.import_W or None,
            )
            return all_packed(self._with_limits(bare, stamp_us, now))

        key = (stamp_us, self.sources.version, self.fixed_load.counted_A)
        own = self._own_request.get(key, now.wall_us, make, lambda: self._steady_until_us(now))
        return self._requested.get(
            (own, children), now.wall_us, lambda: replace(own, children=children), lambda: FOREVER_US
        )

    def _steady_until_us(self, now: Instant) -> int:
        return steady_until_us(self.sources.in_force(), now.wall_us)

    def _with_limits(self, bare: EnergyFlowRequest, stamp_us: int, now: Instant) -> EnergyFlowRequest:
        own = OwnLimits(
            limits_import=self._fuse_for_evses(),
            limits_export=self.settings.limits,
            watt_to_current_W=self.settings.watt_to_current_W,
        )
        return with_schedules(bare, own, self.sources.in_force(), stamp_us, now.wall_us)

    def _fuse_for_evses(self) -> LimitsReq:
        """Its fuse without what is kept for the fixed load."""
        fuse, load_A = self.settings.limits.ac_max_current_A, self.fixed_load.counted_A
        if fuse is None or load_A == 0.0:
            return self.settings.limits
        left = NumberWithSource(max(0.0, fuse.value - load_A), f"{fuse.source} less fixed load")
        return replace(self.settings.limits, ac_max_current_A=left)

    def own_capacity(self, now: Instant) -> tuple[Amount, tuple[float, float]]:
        """What fuse and external limits allow at the leaves now, and watt at the root side for one there
        (importing, exporting)."""
        return self._own_capacity.get(
            (self.sources.version, self.fixed_load.counted_A),
            now.wall_us,
            lambda: self._make_own_capacity(now),
            lambda: self._steady_until_us(now),
        )

    def _make_own_capacity(self, now: Instant) -> tuple[Amount, tuple[float, float]]:
        alone = EnergyFlowRequest(uuid=self.id, node_type=NodeType.Generic)
        limited = self._with_limits(alone, now.wall_us, now)
        factors = factors_to_root(limited)
        into, out = (entries_of(s)[0] for s in (limited.schedule_import, limited.schedule_export))
        at_root = _both_ways(into.limits_to_root, out.limits_to_root)
        at_leaves = _both_ways(into.limits_to_leaves, out.limits_to_leaves)
        return smallest(at_leaves, at_root.with_efficiency(1 / factors[0], 1 / factors[1])), factors

    # --- granting ----------------------------------------------------------------------------------

    def hand_down(
        self, now: Instant, limits: Limits, capacity: Amount, duration_s: Callable[[float], float]
    ) -> list[Effect]:
        """Grant what is safe of the market's wishes."""
        if not self.branch.ledger.may_send(now.mono_s):
            return []
        broken = now.mono_s < self._broken_until_s
        try:
            grants = self.branch.grants(
                now.mono_s, limits, capacity, duration_s, fuse=self._fuse, fallback_only=broken
            )
        except InvariantError as error:
            # Nothing was sent. Until all that is out there is over, nobody gets more than its fallback.
            self._broken_until_s = now.mono_s + longest_grant_s(self.settings.site) * STRETCH
            return [Say("error", f"invariant broken, nothing is granted but fallbacks: {error}")]
        return [ToChild(child, grant) for child, grant in grants]

    # --- status ------------------------------------------------------------------------------------

    def status(self, now: Instant, granted: Amount | None, note: str = "") -> tuple[ModuleStatus, ...]:
        """This node, then every module below it."""
        below = self.branch.status(now.mono_s)
        evses = [s for s in below if s.kind == "EvseManager" and s.alive]
        silent = sum(not s.alive for s in below)
        alone = EnergyFlowRequest(uuid=self.id, node_type=NodeType.Generic)
        capacity = import_limits(entries_of(self._with_limits(alone, now.wall_us, now).schedule_import)[0])
        lowest = capacity.ac_max_current_A or capacity.total_power_W
        wanted_W = [s.wants_W for s in evses if s.wants_W is not None]
        L1, L2, L3 = (sum(s.currents_A[phase] for s in evses) for phase in range(3))
        own = ModuleStatus(
            id=self.id,
            kind=self.settings.kind,
            controller=self.settings.controller,
            state="fallback" if note else f"ok, {silent} silent" if silent else "ok",
            wants_A=sum(s.wants_A for s in evses if s.wants_A is not None),
            wants_W=sum(wanted_W) if wanted_W else None,
            granted=granted,
            committed=self.branch.ledger.committed(now.mono_s),
            in_force_A=sum(s.in_force_A for s in evses if s.in_force_A is not None),
            currents_A=(L1, L2, L3),
            power_W=sum(s.power_W for s in evses),
            capacity_A=value_of(capacity.ac_max_current_A),
            capacity_W=value_of(capacity.total_power_W),
            capacity_source=lowest.source if lowest else "",
            sources=self.sources.status(now.mono_s),
            fixed_load=self.fixed_load.text() if self.settings.limits.ac_max_current_A else "",
            note="; ".join(text for text in (note, self._trouble(now)) if text),
        )
        return (own, *below)

    def _trouble(self, now: Instant) -> str:
        """Why it does not grant as it should."""
        ledger = self.branch.ledger
        if now.mono_s < self._broken_until_s:
            return "an invariant was broken: only fallbacks are granted"
        if self.fixed_load.fault:
            return self.fixed_load.text()
        if now.mono_s < ledger.quiet_until_s:
            return f"grants nothing for {ledger.quiet_until_s - now.mono_s:.0f} s: its epoch was lost"
        return self._keep_fault


def _both_ways(into: LimitsReq, out: LimitsReq) -> Amount:
    """Limits of both directions; without limit where none is set."""
    imports, exports = _amount_of(into), _amount_of(out)
    return Amount(imports.import_A, imports.import_W, exports.export_A, exports.export_W)


def _amount_of(limits: LimitsReq) -> Amount:
    current_A, power_W = value_of(limits.ac_max_current_A), value_of(limits.total_power_W)
    A = math.inf if current_A is None else max(0.0, current_A)
    W = math.inf if power_W is None else max(0.0, power_W)
    return Amount(A, W, A, W)


def tightened(request: EnergyFlowRequest, capacity: Amount, source: str) -> EnergyFlowRequest:
    """The request of a node that has `capacity` at its root side, in every slot."""
    if capacity == UNLIMITED:
        return request

    def limited(schedule: Schedule, A: float, W: float) -> Schedule:
        most = LimitsReq(
            ac_max_current_A=None if math.isinf(A) else NumberWithSource(A, source),
            total_power_W=None if math.isinf(W) else NumberWithSource(W, source),
        )
        entries = entries_of(schedule)
        return packed(tuple(replace(e, limits_to_root=tightest(e.limits_to_root, most)) for e in entries))

    return replace(
        request,
        schedule_import=limited(request.schedule_import, capacity.import_A, capacity.import_W),
        schedule_export=limited(request.schedule_export, capacity.export_A, capacity.export_W),
    )
