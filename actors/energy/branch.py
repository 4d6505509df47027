"""A parent's view of its children: what each said last, what each was granted, who is gone.

A child that falls silent is no longer in the market with what it wanted last, but as a fixed load of
the most that it may still be drawing: the largest of its grants that may be in force. A grant ends on
the child's clock `duration` after the report that it answers was sent, so on the parent's clock at the
latest `duration * (1 + rho) / (1 - rho)` after that report came in; then its cars have their settle
time. Once all have surely run out, the child is gone: a fixed load of its fallback.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.lease import SILENT_INTERVALS
from actors.energy.messages import Amount, Grant, ModuleStatus, Order, Report
from actors.energy.types import (
    EnergyFlowRequest,
    EnforcedLimits,
    LimitsReq,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
    value_of,
)

RHO = 0.1
"""Clock rates differ by at most this."""
STRETCH = (1 + RHO) / (1 - RHO)
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
    def __init__(self, settings: ChildSettings, granted_until_s: float) -> None:
        self.settings = settings
        self.report: Report | None = None
        self.heard_s = 0.0
        self.newest: Order | None = None
        """The last grant of this life of the parent."""
        self.granted_until_s = granted_until_s
        """When every grant has surely run out."""
        self.grants: deque[tuple[float, Amount]] = deque()
        """Those that may be in force, and until when each may be."""
        self.settle_time_s = 0.0
        """The longest that it ever told."""

    def note_grant(self, now_s: float, until_s: float, amount: Amount) -> None:
        """Remember a grant for as long as it may be in force."""
        self.granted_until_s = max(self.granted_until_s, until_s)
        self.grants.append((until_s, amount))
        while self.grants[0][0] + self.settle_time_s < now_s:
            self.grants.popleft()

    def fixed_load(self, now_s: float) -> Amount:
        """The most that it may still be importing, in ampere, or in watt where it was granted watts only."""
        granted = [a for until_s, a in self.grants if now_s <= until_s + self.settle_time_s]
        currents_A = [a.import_A for a in granted if a.import_A is not None]
        if granted and not currents_A:
            return Amount(import_W=max(a.import_W or 0.0 for a in granted))
        return Amount(import_A=max([self.settings.fallback_A, *currents_A]))


class Branch:
    """The children of one node, in the order of the configuration. Times are monotonic seconds."""

    def __init__(
        self, children: Iterable[ChildSettings], interval_s: float, longest_grant_s: float, now_s: float
    ) -> None:
        # A former life of the parent may have given grants until now.
        over_s = now_s + longest_grant_s * STRETCH
        self._children = {child.id: _Child(child, over_s) for child in children}
        self._interval_s = interval_s
        self._order = Order(1, 0)

    def hear(self, now_s: float, child_id: str, report: Report) -> str | None:
        """Take a child's report; returns a line worth logging. KeyError for a stranger."""
        child = self._children[child_id]
        before = child.report
        if before is not None and before.boot == report.boot and report.t_child_s < before.t_child_s:
            return None  # overtaken by a newer one
        if before is None or before.boot != report.boot or report.t_child_s > before.t_child_s:
            child.heard_s = now_s  # one that is repeated proves no life
        child.report = report
        child.settle_time_s = max(child.settle_time_s, report.settle_time_s)
        self._follow_former_life(child, report.acked)
        if before is None:
            return f"{child_id} is here"
        if before.boot != report.boot:
            return f"{child_id} has restarted"
        return None

    def _follow_former_life(self, child: _Child, acked: Order | None) -> None:
        """Where the child has taken a grant that we did not give, we have restarted: carry on after it."""
        if acked is None or (child.newest is not None and acked <= child.newest):
            return
        if self._order.epoch <= acked.epoch <= self._order.epoch + MAX_EPOCH_JUMP:
            self._order = Order(acked.epoch + 1, 0)

    def gone(self, now_s: float) -> list[str]:
        """Children whose every limit has surely run out and that said nothing since; forgets them."""
        gone = []
        for name, child in self._children.items():
            if child.report is None or self.alive(now_s, name):
                continue
            if now_s >= child.granted_until_s + child.settle_time_s:
                child.report = None
                gone.append(name)
        return gone

    def alive(self, now_s: float, child_id: str) -> bool:
        """Whether a child has been heard in the last few intervals."""
        child = self._children[child_id]
        if child.report is None or child.report.leaving:
            return False
        return now_s - child.heard_s <= SILENT_INTERVALS * self._interval_s

    def wants(self, now_s: float, stamp_us: int) -> tuple[EnergyFlowRequest, ...]:
        """What all children ask for; one that is silent or gone is a fixed load."""
        wants = []
        for name, child in self._children.items():
            if child.report is not None and self.alive(now_s, name):
                wants.append(child.report.wants)
            elif (load := child.fixed_load(now_s)) != Amount(import_A=0.0):
                wants.append(_fixed_load(f"{name}/not heard", load, timestamps.format_utc(stamp_us)))
        return tuple(wants)

    def grants(
        self, now_s: float, limits: dict[str, EnforcedLimits], duration_s: float
    ) -> list[tuple[str, Grant]]:
        """A grant for each child that is there: what is for its subtree, ending by now + duration.

        An EVSE that the market has not seen yet keeps what it has: saying nothing is not saying 0.
        """
        grants = []
        for name, child in self._children.items():
            report = child.report
            if report is None or report.leaving or not self.alive(now_s, name):
                continue
            mine = tuple(limits[m] for m in child.settings.modules if m in limits)
            if not mine and child.settings.kind == "EvseManager":
                continue
            # Counted from the report that it answers: what the child makes of it ends no later.
            remaining_s = now_s + duration_s - child.heard_s
            self._order = child.newest = Order(self._order.epoch, self._order.seq + 1)
            grant = Grant(
                boot=report.boot,
                t_echo_s=report.t_child_s,
                order=self._order,
                duration_s=remaining_s,
                amount=total(mine),
                limits=tuple(sorted(mine, key=lambda entry: entry.uuid)),
            )
            grants.append((name, grant))
            child.note_grant(now_s, child.heard_s + remaining_s * STRETCH, grant.amount)
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
        return max((c.settle_time_s for c in self._children.values()), default=0.0)


def total(limits: Iterable[EnforcedLimits]) -> Amount:
    """What several EVSEs may draw together; import and export apart, currents added whatever phase.

    A unit in which one of them has no limit has none in all.
    """
    entries = tuple(limits)
    currents_A = [value_of(entry.limits_root_side.ac_max_current_A) for entry in entries]
    powers_W = [value_of(entry.limits_root_side.total_power_W) for entry in entries]
    return Amount(
        import_A=_sum(currents_A, 1.0),
        import_W=_sum(powers_W, 1.0),
        export_A=_sum(currents_A, -1.0),
        export_W=_sum(powers_W, -1.0),
    )


def _sum(values: list[float | None], sign: float) -> float | None:
    if None in values:
        return None
    return sum(max(0.0, sign * value) for value in values if value is not None)


def _fixed_load(uuid: str, load: Amount, stamp: str) -> EnergyFlowRequest:
    """A load that is served before all others and whose answer goes nowhere."""

    def entry(current_A: float | None, power_W: float | None) -> tuple[ScheduleReqEntry, ...]:
        limits = LimitsReq(
            ac_max_current_A=None if current_A is None else NumberWithSource(current_A, uuid),
            total_power_W=None if power_W is None else NumberWithSource(power_W, uuid),
        )
        return (ScheduleReqEntry(timestamp=stamp, limits_to_root=limits, limits_to_leaves=LimitsReq()),)

    return EnergyFlowRequest(
        uuid=uuid,
        node_type=NodeType.Evse,
        priority=0,
        schedule_import=entry(load.import_A, load.import_W),
        schedule_export=entry(0.0, 0.0),
    )
