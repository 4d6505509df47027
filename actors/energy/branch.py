"""A parent's view of its children: what each said last, what each was granted, who is gone.

A child that falls silent keeps its place in the market until everything that it was ever granted
has surely run out. A grant ends on the child's clock `duration` after the report that it answers
was sent, so on the parent's clock at the latest `duration * (1 + rho) / (1 - rho)` after that
report came in; then its cars have their settle time. From there on the child counts as a fixed
load of its fallback, and what it wanted last is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.messages import Amount, Grant, ModuleStatus, Order, Report
from actors.energy.types import (
    EnergyFlowRequest,
    EnforcedLimits,
    LimitsReq,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
)

RHO = 0.1
"""Clock rates differ by at most this (DESIGN: the assumptions)."""
STRETCH = (1 + RHO) / (1 - RHO)
SILENT_INTERVALS = 3
"""A child that missed so many reports is shown as not alive."""
MAX_EPOCH_JUMP = 1_000_000
"""A child that claims a later epoch than this ahead of ours is not believed."""


class ChildSettings(Struct, frozen=True, kw_only=True):
    """What the configuration says of a child."""

    id: str
    kind: str
    controller: str
    fallback_A: float
    modules: frozenset[str]
    """The child and all below it."""
    expected: tuple[tuple[str, str, str], ...]
    """(id, kind, controller) of each of these, depth-first, to show those that were never heard."""


class _Child:
    def __init__(self, settings: ChildSettings) -> None:
        self.settings = settings
        self.report: Report | None = None
        self.heard_s = 0.0
        self.granted_until_s = 0.0


class Branch:
    """The children of one node, in the order of the configuration. Times are monotonic seconds."""

    def __init__(self, children: Iterable[ChildSettings], interval_s: float) -> None:
        self._children = {child.id: _Child(child) for child in children}
        self._interval_s = interval_s
        self._order = Order(1, 0)

    def hear(self, now_s: float, child_id: str, report: Report) -> str | None:
        """Take a child's report; returns a line worth logging. KeyError for a stranger."""
        child = self._children[child_id]
        before = child.report
        if before is not None and before.boot == report.boot and report.t_child_s < before.t_child_s:
            return None  # overtaken by a newer one
        child.report, child.heard_s = report, now_s
        if report.acked is not None and self._order.epoch < report.acked.epoch <= (
            self._order.epoch + MAX_EPOCH_JUMP
        ):
            # We restarted: the child still knows our former life. Carry on after it.
            self._order = Order(report.acked.epoch + 1, 0)
        if before is None:
            return f"{child_id} is here"
        if before.boot != report.boot:
            return f"{child_id} has restarted"
        return None

    def gone(self, now_s: float) -> list[str]:
        """Children whose every limit has surely run out and that said nothing since; forgets them."""
        gone = []
        for name, child in self._children.items():
            if child.report is None or self.alive(now_s, name):
                continue
            if now_s >= child.granted_until_s + child.report.settle_time_s:
                child.report = None
                gone.append(name)
        return gone

    def alive(self, now_s: float, child_id: str) -> bool:
        """Whether a child has been heard in the last few intervals."""
        child = self._children[child_id]
        if child.report is None or child.report.leaving:
            return False
        return now_s - child.heard_s <= SILENT_INTERVALS * self._interval_s

    def wants(self, stamp_us: int) -> tuple[EnergyFlowRequest, ...]:
        """What all children ask for; one that is gone is a fixed load of its fallback."""
        wants = []
        for child in self._children.values():
            if child.report is not None:
                wants.append(child.report.wants)
            elif child.settings.fallback_A > 0:
                wants.append(_fixed_load(child.settings, timestamps.format_utc(stamp_us)))
        return tuple(wants)

    def grants(
        self, now_s: float, limits: dict[str, EnforcedLimits], duration_s: float
    ) -> list[tuple[str, Grant]]:
        """A grant for each child that is there: what is for its subtree, ending by now + duration."""
        grants = []
        for name, child in self._children.items():
            report = child.report
            if report is None or report.leaving or not self.alive(now_s, name):
                continue
            # Counted from the report that it answers: what the child makes of it ends no later.
            remaining_s = now_s + duration_s - child.heard_s
            self._order = Order(self._order.epoch, self._order.seq + 1)
            mine = tuple(limits[m] for m in child.settings.modules if m in limits)
            grants.append(
                (
                    name,
                    Grant(
                        boot=report.boot,
                        t_echo_s=report.t_child_s,
                        order=self._order,
                        duration_s=remaining_s,
                        amount=total(mine),
                        limits=tuple(sorted(mine, key=lambda entry: entry.uuid)),
                    ),
                )
            )
            child.granted_until_s = max(child.granted_until_s, child.heard_s + remaining_s * STRETCH)
        return grants

    def child_towards(self, module_id: str) -> str | None:
        """The child on whose branch a module is."""
        return next((n for n, c in self._children.items() if module_id in c.settings.modules), None)

    def status(self, now_s: float) -> tuple[ModuleStatus, ...]:
        """Every module below, as last told; those not heard are shown as not alive."""
        statuses: list[ModuleStatus] = []
        for name, child in self._children.items():
            alive = self.alive(now_s, name)
            if child.report is None:
                statuses += (
                    ModuleStatus(id=i, kind=k, controller=c, alive=False, note="not heard")
                    for i, k, c in child.settings.expected
                )
                continue
            age_s = now_s - child.heard_s
            statuses += (
                replace(s, alive=s.alive and alive, age_s=s.age_s + age_s) for s in child.report.status
            )
        return tuple(statuses)

    def settle_time_s(self) -> float:
        """The longest of the children's."""
        return max((c.report.settle_time_s for c in self._children.values() if c.report), default=0.0)


def total(limits: Iterable[EnforcedLimits]) -> Amount:
    """What several EVSEs may draw together; import and export apart, currents added whatever phase."""
    import_A = import_W = export_A = export_W = 0.0
    for entry in limits:
        current, power = entry.limits_root_side.ac_max_current_A, entry.limits_root_side.total_power_W
        import_A += max(0.0, current.value) if current else 0.0
        export_A += max(0.0, -current.value) if current else 0.0
        import_W += max(0.0, power.value) if power else 0.0
        export_W += max(0.0, -power.value) if power else 0.0
    return Amount(import_A=import_A, import_W=import_W, export_A=export_A, export_W=export_W)


def _fixed_load(child: ChildSettings, stamp: str) -> EnergyFlowRequest:
    """A load that is served before all others and whose answer goes nowhere."""
    source = f"{child.id}/fallback"

    def entry(current_A: float) -> tuple[ScheduleReqEntry, ...]:
        limits = LimitsReq(ac_max_current_A=NumberWithSource(current_A, source))
        return (ScheduleReqEntry(timestamp=stamp, limits_to_root=limits, limits_to_leaves=LimitsReq()),)

    return EnergyFlowRequest(
        uuid=source,
        node_type=NodeType.Evse,
        priority=0,
        schedule_import=entry(child.fallback_A),
        schedule_export=entry(0.0),
    )
