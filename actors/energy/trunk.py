"""What EnergyManager and EnergyNode share: a node with children, external sources and a capacity."""

from __future__ import annotations

from msgspec import Struct

from actors.energy.branch import Branch, ChildSettings
from actors.energy.effects import Effect, Say, ToChild
from actors.energy.external import SavedSources, SourceConfig
from actors.energy.lease import longest_grant_s
from actors.energy.member import Member
from actors.energy.messages import Amount, Command, Instant, ModuleStatus, Outcome, Report
from actors.energy.schedules import OwnLimits, grid_stamp, import_limits, with_schedules
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    LimitsReq,
    LimitsRes,
    NodeType,
    NumberWithSource,
    value_of,
)


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
    fallback_A: float = 0.0
    config_digest: str = ""


class Trunk(Member):
    """A node of the tree that is not an EVSE."""

    def __init__(self, settings: TrunkSettings, now: Instant, saved: SavedSources | None) -> None:
        super().__init__(settings.id, settings.sources, saved, now)
        self.settings = settings
        self.branch = Branch(
            settings.children,
            settings.site.update_interval,
            longest_grant_s(settings.site),
            now.mono_s,
        )

    def hear(self, now: Instant, report: Report) -> tuple[list[Effect], bool]:
        """Take a child's report; also returns whether something changed that others wait for."""
        told = self.branch.hear(now.mono_s, report.wants.uuid, report)
        return [Say("info", told)] if told else [], report.priority or told is not None

    def forget_gone(self, now: Instant) -> list[Effect]:
        """Forget children that are gone for good."""
        return [
            Say("warning", f"{child} is gone: all its limits have run out")
            for child in self.branch.gone(now.mono_s)
        ]

    def route(self, now: Instant, command: Command) -> list[Effect]:
        """Carry a command out, or pass it down its branch."""
        if command.target == self.id:
            return self.obey(now, command)
        child = self.branch.child_towards(command.target)
        if child is not None and self.branch.alive(now.mono_s, child):
            return [ToChild(child, command)]
        error = f"no module {command.target!r} here" if child is None else f"{child} is not alive"
        return self.answer(Outcome(id=command.id, origin=command.origin, error=error))

    def request(self, now: Instant, priority: bool = False) -> EnergyFlowRequest:
        """What this node and all below it ask for."""
        stamp_us = grid_stamp(now.wall_us, self.settings.site.schedule_interval_duration)
        bare = EnergyFlowRequest(
            uuid=self.id,
            node_type=NodeType.Generic,
            children=self.branch.wants(now.mono_s, stamp_us),
            priority_request=priority or None,
        )
        return self._with_limits(bare, stamp_us, now)

    def _with_limits(self, bare: EnergyFlowRequest, stamp_us: int, now: Instant) -> EnergyFlowRequest:
        own = OwnLimits(
            limits_import=self.settings.limits,
            limits_export=self.settings.limits,
            watt_to_current_W=self.settings.watt_to_current_W,
        )
        return with_schedules(bare, own, self.sources.in_force(), stamp_us, now.wall_us)

    def status(self, now: Instant, granted: Amount | None, note: str = "") -> tuple[ModuleStatus, ...]:
        """This node, then every module below it."""
        below = self.branch.status(now.mono_s)
        evses = [s for s in below if s.kind == "EvseManager" and s.alive]
        silent = sum(not s.alive for s in below)
        alone = EnergyFlowRequest(uuid=self.id, node_type=NodeType.Generic)
        capacity = import_limits(self._with_limits(alone, now.wall_us, now).schedule_import[0])
        tightest = capacity.ac_max_current_A or capacity.total_power_W
        L1, L2, L3 = (sum(s.currents_A[phase] for s in evses) for phase in range(3))
        own = ModuleStatus(
            id=self.id,
            kind=self.settings.kind,
            controller=self.settings.controller,
            state="fallback" if note else f"ok, {silent} silent" if silent else "ok",
            wants_A=sum(s.wants_A for s in evses if s.wants_A is not None),
            wants_W=sum(s.wants_W for s in evses if s.wants_W is not None),
            limit=None if granted is None else _as_limits(granted),
            in_force_A=sum(s.in_force_A for s in evses if s.in_force_A is not None),
            currents_A=(L1, L2, L3),
            power_W=sum(s.power_W for s in evses),
            capacity_A=value_of(capacity.ac_max_current_A),
            capacity_W=value_of(capacity.total_power_W),
            capacity_source=tightest.source if tightest else "",
            sources=self.sources.status(now.mono_s),
            note=note,
        )
        return (own, *below)


def _as_limits(granted: Amount) -> LimitsRes:
    source = "sum of its EVSEs"
    return LimitsRes(
        ac_max_current_A=None if granted.import_A is None else NumberWithSource(granted.import_A, source),
        total_power_W=None if granted.import_W is None else NumberWithSource(granted.import_W, source),
    )
