"""A parent's view of its children: what each asks for, who is silent, what each is granted.

What may flow below each is the ledger's to know (ledger.py). A child that falls silent is no longer
in the market with what it wanted last, but as a fixed load of its exposure, so that others get what
it had beyond its fallback once that is surely over. So is one whose request the market would refuse
(request_checks.py): it spoils nothing for others, and is granted nothing until it asks for what can be.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from actors.energy import timestamps
from actors.energy.amount import NOTHING, Amount, largest, of_limits, smallest, total
from actors.energy.lease import SILENT_INTERVALS, longest_grant_s
from actors.energy.ledger import STRETCH, Heard, Ledger, Planned
from actors.energy.market.errors import RequestError
from actors.energy.messages import Grant, ModuleStatus, Order, Report
from actors.energy.packing import efficiency_at_first, packed
from actors.energy.request_checks import NOT_HEARD, RequestCheck
from actors.energy.telling import Asked, asks_alike
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EnforcedLimits,
    LimitsReq,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
)

LEVELS_MAX = 100
"""Of the trees that children ask for, where the configuration does not say."""
SENT_MAX = 100
"""Grants to a child that are remembered until it answers them; beyond it the oldest are forgotten."""
REASON_MAX = 200
"""Characters of a refusal that are kept: it may quote the child."""
RENEW_INTERVALS = 0.5
"""A grant that says the same as the last is sent when that ends so much earlier, or when it was sent so long
ago and the child has not told that it took it: then it may have been lost."""
Limits = Mapping[str, EnforcedLimits]
"""What the market gives, by EVSE."""


class ChildSettings(Struct, frozen=True, kw_only=True):
    """What the configuration says of a child."""

    id: str
    kind: str
    controller: str
    fallback: Amount
    settle_time_s: float
    """The longest of all EVSEs below it."""
    modules: tuple[str, ...]
    """The child and all below it, depth-first."""
    expected: tuple[tuple[str, str, str], ...]
    """(id, kind, controller) of each of these, to show those that were never heard."""


class _Share(Struct, frozen=True):
    """What the market gives a child, as worked out for these limits and wants."""

    limits: Limits | None = None
    wants: EnergyFlowRequest | None = None
    entries: tuple[EnforcedLimits, ...] = ()
    amount: Amount = NOTHING


class _Child:
    def __init__(self, settings: ChildSettings, levels: int) -> None:
        self.settings = settings
        self.modules = frozenset(settings.modules)
        self.check = RequestCheck(self.modules, levels)
        self.report: Report | None = None
        self.alive_until_s = -math.inf
        self.wants: EnergyFlowRequest | None = None
        self.life = ""
        self.asked = Asked()
        """As told by that life of it, refused or not."""
        self.asked_before: tuple[str, Asked] = ("", self.asked)
        """As told by the life before."""
        self.refused = ""
        """Why the request that it told last does not count."""
        self.status: tuple[ModuleStatus, ...] = ()
        self.status_s = 0.0
        self.status_sent_s = -math.inf
        """When that was sent at the earliest, by the grant that it answers; it was heard at `status_s`."""
        self.sent_at: deque[tuple[Order, float]] = deque(maxlen=SENT_MAX)
        """Grants that may still be answered, and when they were sent."""
        self.planned: Planned | None = None
        self.sent: Grant | None = None
        self.sent_s = self.ends_s = 0.0
        self.share = _Share()
        self.load: tuple[Amount, str, EnergyFlowRequest] | None = None
        """The fixed load that stood for it last."""

    def sent_s_of(self, acked: Order | None) -> float:
        """When a grant was sent; what answers it was sent later. Earlier ones are forgotten."""
        while self.sent_at and acked is not None and self.sent_at[0][0] < acked:
            self.sent_at.popleft()
        return self.sent_at[0][1] if self.sent_at and self.sent_at[0][0] == acked else -math.inf

    def begin_life(self, boot: str) -> None:
        """It speaks as another than before. One that is back, after a late report of a former life was
        believed, does not tell again what it knows to be known."""
        life, asked = self.asked_before
        self.asked_before = self.life, self.asked
        self.life, self.asked = boot, asked if life == boot else Asked()


class Branch:
    """The children of one node, in the order of the configuration. Times are monotonic seconds."""

    def __init__(
        self,
        children: Iterable[ChildSettings],
        site: EnergyManagerConfig,
        now_s: float,
        *,
        kept_epoch: int | None,
        digest: str = "",
        levels: int = LEVELS_MAX,
    ) -> None:
        """`levels` is how deep a child's tree may be."""
        self._children = {child.id: _Child(child, levels) for child in children}
        self._silent_s = SILENT_INTERVALS * float(site.update_interval)
        self._renew_s = RENEW_INTERVALS * float(site.update_interval)
        self._voltage_V = site.nominal_ac_voltage
        self._born_s = now_s
        self._desired: tuple[float, Limits, dict[str, Amount]] | None = None
        """As worked out last, until when it holds and of what, unless somebody comes, goes or wants something
        else."""
        self.ledger = Ledger(
            {c.settings.id: (c.settings.fallback, c.settings.settle_time_s) for c in self._children.values()},
            longest_s=longest_grant_s(site),
            silent_s=self._silent_s,
            now_s=now_s,
            kept_epoch=kept_epoch,
            digest=digest,
        )

    # --- hearing -----------------------------------------------------------------------------------

    def hear(self, now_s: float, report: Report) -> Heard:
        """Take a child's report. Whether it wants something else than before need not be what the child
        thinks is urgent: the report in which it said so may have been lost, or have been overtaken by one
        that says less. KeyError for a stranger."""
        child = self._children[report.child]
        heard = self.ledger.hear(now_s, report)
        if not heard.stale:
            if report.leaving or now_s > child.alive_until_s:
                self._desired = None
            child.report = report
            if heard.first or heard.restarted:
                child.begin_life(report.boot)
            child.alive_until_s = -math.inf if report.leaving else now_s + self._silent_s
            # The first row is the child's own, whatever it is called (_with_account).
            if report.status:
                rows = (s for n, s in enumerate(report.status) if n == 0 or s.id in child.modules)
                child.status, child.status_s = tuple(rows), now_s
                child.status_sent_s = child.sent_s_of(report.acked)
        elif not heard.overtaken or not child.asked.is_older_than(report):
            return heard
        # One that was gone is back with what it wanted: it knows that we know that, and says nothing new.
        if not child.asked.hear(report) and (child.wants is not None or child.refused):
            return heard
        before, asked = child.wants, child.asked.request
        if asked is None:
            return heard
        refused = self._take_request(child, asked)
        wants = child.wants
        alike = wants is before or (before is not None and wants is not None and asks_alike(before, wants))
        return replace(heard, refused=refused, wants_other=not alike)

    def _take_request(self, child: _Child, wants: EnergyFlowRequest) -> str:
        """Returns what is newly wrong with it."""
        if wants is child.wants or wants == child.wants:
            return ""
        before, child.refused = child.refused, ""
        try:
            child.check.check(wants)
        except RequestError as error:
            child.refused = str(error)[:REASON_MAX]
        child.wants, self._desired = None if child.refused else wants, None
        return child.refused if child.refused != before else ""

    def gone(self, now_s: float) -> list[str]:
        """Children that said nothing until nothing but their fallback could flow; forgets them."""
        gone, self._desired = [], None
        for name, child in self._children.items():
            if child.report is None or now_s <= child.alive_until_s:
                continue
            if self.ledger.exposure(now_s, name) == child.settings.fallback:
                child.report = child.wants = None
                child.alive_until_s = -math.inf
                child.refused = ""
                gone.append(name)
        return gone

    def alive(self, now_s: float, child_id: str) -> bool:
        """Whether a child has been heard in the last few intervals."""
        return now_s <= self._children[child_id].alive_until_s

    def any_alive(self, now_s: float) -> bool:
        """Whether any child is alive."""
        return any(now_s <= child.alive_until_s for child in self._children.values())

    def gathered(self, now_s: float) -> bool:
        """Whether this life knows what its children want, of all but those that are silent."""
        if now_s >= self._born_s + self._silent_s:
            return True
        return all(child.wants is not None or child.refused for child in self._children.values())

    def wants(self, now_s: float, stamp_us: int) -> tuple[EnergyFlowRequest, ...]:
        """What all children ask for; one that is silent or gone is a fixed load."""
        wants = []
        for name, child in self._children.items():
            if child.wants is not None and now_s <= child.alive_until_s:
                wants.append(child.wants)
            elif (load := self._load_of_silent(now_s, name)) != NOTHING:
                wants.append(self._fixed_load(child, load, timestamps.format_utc(stamp_us)))
        return tuple(wants)

    def _fixed_load(self, child: _Child, load: Amount, stamp: str) -> EnergyFlowRequest:
        """The very same object as long as it is the same load."""
        if child.load is None or child.load[:2] != (load, stamp):
            child.load = (load, stamp, _fixed_load(f"{child.settings.id}{NOT_HEARD}", load, stamp))
        return child.load[2]

    def _load_of_silent(self, now_s: float, name: str) -> Amount:
        """The most that a silent child may draw; while that is not known nobody is raised anyway."""
        if self.ledger.is_known(now_s, name):
            return self.ledger.exposure(now_s, name)
        return self._children[name].settings.fallback

    # --- granting ----------------------------------------------------------------------------------

    def desired(self, now_s: float, limits: Limits) -> dict[str, Amount]:
        """What the market gives each child that is there, of those that it has seen: an EVSE that it
        has not keeps what it has, since saying nothing is not saying 0."""
        last = self._desired
        if last is not None and now_s <= last[0] and last[1] is limits:
            return last[2]
        desired, until_s = {}, math.inf
        for name, child in self._children.items():
            if child.wants is None or now_s > child.alive_until_s:
                continue
            share = self._share(child, child.wants, limits)
            until_s = min(until_s, child.alive_until_s)
            if share.entries:
                desired[name] = share.amount
        self._desired = until_s, limits, desired
        return desired

    def _share(self, child: _Child, wants: EnergyFlowRequest, limits: Limits) -> _Share:
        """A child's part of the market's answer. Neither is changed once it is there, so the very same
        objects give the same again."""
        share = child.share
        if share.limits is not limits or share.wants is not wants:
            entries = tuple([limits[m] for m in child.settings.modules if m in limits])
            if share.wants is wants and share.entries == entries:
                share = _Share(limits, wants, share.entries, share.amount)
            else:
                share = _Share(limits, wants, entries, self._sum(wants, limits, top=True))
            child.share = share
        return share

    def _sum(self, wants: EnergyFlowRequest, limits: Limits, *, top: bool = False) -> Amount:
        """What a module needs to be granted so that all below it get their limits: of each below no
        less than its fallback is counted. At the module's root side."""
        if wants.node_type is NodeType.Evse:
            limit = limits.get(wants.uuid)
            share = NOTHING if limit is None else of_limits(limit.limits_root_side, self._voltage_V)
            if top or not (wants.fallback_A or wants.fallback_W):
                return share
            return largest(share, Amount(wants.fallback_A or 0.0, wants.fallback_W or 0.0))
        fallback = Amount(wants.fallback_A or 0.0, wants.fallback_W or 0.0)
        below = total([self._sum(child, limits) for child in wants.children])
        return largest(fallback, below.with_efficiency(*factors_to_root(wants)))

    def fits(self, now_s: float, limits: Limits, capacity: Amount) -> bool:
        """Whether there is capacity for what the market gives. Where it is below the sum of the fallbacks
        only what the EVSEs are given must keep within it."""
        desired = self.desired(now_s, limits)
        outside = total([self._load_of_silent(now_s, name) for name in self._children if name not in desired])
        wanted = total(desired.values())
        # Of what nobody is given, nobody can be given less: what a child exports by itself, say.
        together = (wanted + outside).where(wanted)
        if together.fits(capacity):
            return True
        given = total([of_limits(entry.limits_root_side, self._voltage_V) for entry in limits.values()])
        return together.fits(self.ledger.at_least_fallbacks(capacity)) and given.fits(capacity)

    def grants(
        self,
        now_s: float,
        limits: Limits,
        capacity: Amount,
        duration_s: Callable[[float], float],
        *,
        fuse: Amount,
        fallback_only: bool = False,
    ) -> list[tuple[str, Grant]]:
        """A grant for each child that is there, as far as it is safe now; fences for unknown ones.

        `duration_s` tells how long a grant may last that answers a report heard at a time. Raises
        InvariantError when the ledger does not hold afterwards; nothing was sent then.
        """
        ledger = self.ledger
        known = ledger.committed(now_s) is not None
        fenced = set() if known else {n for n in self._children if not ledger.may_grant(now_s, n)}
        desired = self.desired(now_s, limits)
        if fenced:
            desired = {n: a for n, a in desired.items() if n not in fenced}
        if fallback_only:
            desired = {n: smallest(a, self._children[n].settings.fallback) for n, a in desired.items()}
        planned = ledger.plan(now_s, desired, capacity)
        before = ledger.exposures(now_s)
        grants = []
        for name, child in self._children.items():
            report = child.report
            if report is None or now_s > child.alive_until_s:
                continue
            heard_s = ledger.accounts[name].heard_s
            lasts_s = duration_s(heard_s)
            fence = name in fenced
            if lasts_s <= 0.0 or not (fence or name in planned):
                continue
            ends_s = heard_s + lasts_s
            if not fence and self._is_held(now_s, ends_s, child, planned[name]):
                child.planned = planned[name]
                continue
            order, amount = ledger.next_order(), NOTHING
            entries: tuple[EnforcedLimits, ...] = ()
            if not fence:
                child.planned = planned[name]
                amount, entries = child.planned.amount, child.share.entries
                ledger.note(now_s, name, order, lasts_s, amount)
            grant = Grant(
                boot=report.boot,
                t_echo_s=report.t_child_s,
                order=order,
                duration_s=lasts_s,
                amount=amount,
                limits=entries,
                knows_s=child.asked.stamp_s,
                fence=fence,
            )
            child.sent, child.sent_s, child.ends_s = grant, now_s, ends_s
            child.sent_at.append((order, now_s))
            grants.append((name, grant))
        ledger.check(now_s, fuse, capacity, before)
        return grants

    def _is_held(self, now_s: float, ends_s: float, child: _Child, planned: Planned) -> bool:
        """Whether a child has just this, to an end hardly earlier: it took it, or it is on its way."""
        sent, report = child.sent, child.report
        if sent is None or sent.fence or report is None or sent.amount != planned.amount:
            return False
        if ends_s - child.ends_s >= self._renew_s:
            return False
        taken = report.acked == sent.order and child.asked.stamp_s == sent.knows_s
        if now_s - child.sent_s >= self._renew_s and not taken:
            return False
        if sent.boot != report.boot:
            return False
        return sent.limits is child.share.entries or sent.limits == child.share.entries

    def waits(self) -> bool:
        """Whether a child waits for room, or for being known."""
        return any(
            (child.planned is not None and child.planned.waits_for != "")
            or (child.report is not None and not self.ledger.accounts[name].known)
            for name, child in self._children.items()
        )

    # --- the rest ----------------------------------------------------------------------------------

    def child_towards(self, module_id: str) -> str | None:
        """The child on whose branch a module is."""
        return next((n for n, c in self._children.items() if module_id in c.settings.modules), None)

    def status(self, now_s: float) -> tuple[ModuleStatus, ...]:
        """Every module below, as last told; those not heard are shown as not alive."""
        statuses: list[ModuleStatus] = []
        for name, child in self._children.items():
            alive = self.alive(now_s, name)
            if child.report is None or not child.status:
                own, *below = (
                    ModuleStatus(id=i, kind=k, controller=c, alive=False, note="not heard")
                    for i, k, c in child.settings.expected
                )
                statuses += (self._with_account(now_s, own, child), *below)
                continue
            age_s = now_s - child.status_s
            own, *below = (
                replace(
                    s,
                    alive=s.alive and alive,
                    age_s=s.age_s + age_s if number else age_s,
                    currents_age_s=_age_s(now_s, child, s),
                )
                for number, s in enumerate(child.status)
            )
            statuses += (self._with_account(now_s, own, child), *below)
        return tuple(statuses)

    def _with_account(self, now_s: float, status: ModuleStatus, child: _Child) -> ModuleStatus:
        """A child's status with what stands in the ledger."""
        name = child.settings.id
        account = self.ledger.accounts[name]
        exposure = self.ledger.exposure(now_s, name) if self.ledger.is_known(now_s, name) else None
        waits_for = "" if child.planned is None else child.planned.waits_for
        if child.refused:
            waits_for = f"its request is refused: {child.refused}"
        if account.doubt:
            waits_for = f"raised no more: {account.doubt}"
        return replace(
            status,
            id=name,
            granted=None if account.newest is None else self.ledger.latest(now_s, name),
            exposure=exposure,
            committed=None if child.report is None else child.report.committed,
            waits_for=waits_for,
        )

    def currents_A(self, now_s: float) -> tuple[tuple[float, float, float], float]:
        """What all EVSEs below that are heard say that they draw, per phase; and since when each of them has
        told that, as far as that is proven. Of one that draws nothing it is enough to have heard that: it
        explains nothing of what a meter shows."""
        L1 = L2 = L3 = 0.0
        told_s = now_s
        for name, child in self._children.items():
            if not self.alive(now_s, name):
                continue
            for number, row in enumerate(child.status):
                if row.kind != "EvseManager" or not row.alive:
                    continue
                one, two, three = row.currents_A
                L1, L2, L3 = L1 + one, L2 + two, L3 + three
                age_s: float | None = now_s - child.status_s + (row.age_s if number else 0.0)
                if one or two or three:
                    age_s = _age_s(now_s, child, row)
                told_s = min(told_s, -math.inf if age_s is None else now_s - age_s)
        return (L1, L2, L3), told_s

    def settle_time_s(self) -> float:
        """The longest of the children's, configured or told (s)."""
        longest_s = 0.0
        for child in self._children.values():
            told_s = 0.0 if child.report is None else child.report.settle_time_s
            longest_s = max(longest_s, child.settings.settle_time_s, told_s)
        return longest_s


def _age_s(now_s: float, child: _Child, row: ModuleStatus) -> float | None:
    """How old at most is what a child told of currents, of its own or below it; clocks drift apart."""
    if row.currents_age_s is None or math.isinf(child.status_sent_s):
        return None
    return now_s - child.status_sent_s + row.currents_age_s * STRETCH


def factors_to_root(wants: EnergyFlowRequest) -> tuple[float, float]:
    """Watt at a node's root side for one at its leaves, importing and exporting, now."""
    return 1.0 / efficiency_at_first(wants.schedule_import), efficiency_at_first(wants.schedule_export)


def _fixed_load(uuid: str, load: Amount, stamp: str) -> EnergyFlowRequest:
    """Something that asks for nothing and may draw `load` at any time."""
    nothing = LimitsReq(ac_max_current_A=NumberWithSource(0.0, uuid))
    entry = ScheduleReqEntry(timestamp=stamp, limits_to_root=nothing, limits_to_leaves=LimitsReq())
    schedule = packed((entry,))
    return EnergyFlowRequest(
        uuid=uuid,
        node_type=NodeType.Evse,
        fallback_A=load.import_A,
        fallback_W=load.import_W,
        schedule_import=schedule,
        schedule_export=schedule,
    )
