"""The ledger: what a parent has granted its children, and what each may still be drawing.

**Claim.** Whatever is lost, late, repeated or dead: what flows below a child is never more than its
*exposure* here, and no grant raises the exposures together over the fuse, or over what the parent may
hand out now (the sum of the fallbacks where that is more). So what flows never exceeds the fuse. An
exposure may be higher than need be: a report that was under way for long can tell of what is over.

**What bounds a child.** It follows a grant only when that is newer than all that it took before, and
only until `duration` after the report that the grant answers was sent, on the child's clock. Clock
rates differ by at most RHO from true time, and the report was sent before it was heard: so on the
parent's clock the grant is surely over `duration * STRETCH` after the report came in. Then currents
have the child's settle time. So a child draws no more than the largest of

    - its fallback: what it may draw when it hears nothing,
    - every grant that it may be following, or may yet take,
    - what it told as `committed`: the most that could still flow when it said so.

**What a report proves.** A child that has taken grant n follows none before n any more. What they left
behind is in the `committed` of that same report. So a report strikes out the grants before `acked`,
when it tells `committed`, and nothing else does: neither silence, nor a restart, nor a low reading.
Of two reports of a life the one sent later counts. A life is believed to be the present one when it
speaks first or when the former has fallen silent, but only its `acked` strikes anything out: no dead
life can take a grant that was sent after its death.

**Raising** a child above its *latest* grant needs room: its new amount and the exposures of all others
within the capacity. Compared is the latest grant, not the exposure: that may be high only by a late
report, and the room have been given to another since. Renewing and lowering are always allowed. So a
decrease is confirmed before an increase uses it.

**Restart.** Every life of a parent has an *epoch* of its own, on stable storage before it is used, and
its grants are newer than all of its former lives'. What those granted is not known:

    unknown ──takes a fence of this epoch──► fenced ──tells `committed`──► known
    unknown, fenced ──the longest grant is surely over, and the settle time──► known

A fence grants nothing: the child keeps what it holds, and takes nothing older any more. What fenced
children hold together the former life has granted together, so that may be renewed. But while the
exposure of one is not known, it has no limit: nobody is raised. Where the last epoch was lost, a grant of a
former life could look newer than ours, so nothing is sent until all those are surely over.

Times are the parent's monotonic seconds unless named otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from msgspec import Struct

from actors.energy.amount import (
    CRUMB,
    NOTHING,
    UNLIMITED,
    Amount,
    largest,
    smallest,
    total,
)
from actors.energy.messages import Order, Report

RHO = 0.1
"""Clock rates differ from true time by at most this part."""
STRETCH = (1 + RHO) / (1 - RHO)
MAX_EPOCH_JUMP = 1_000_000
"""A child that claims a later epoch than this ahead of ours is not believed."""
JUMPS_MAX = 3
"""Within the time of the longest grant."""
BELIEVABLE = 1e9
"""Ampere or watt: more is a lie or a fault, and would drown the sums of all others."""
BELIEVABLE_SETTLE_S = 3600.0
FORMER_LIVES_MAX = 16
"""Former lives of a child that are remembered, to tell their late reports from a new life's."""
PERSISTS = 0.25
"""Of the time after which a child is silent: less than one interval."""
TURNS_MAX = 3
"""Two lives of a child that speak in turn so often are no late reports: both live."""


class Entry(Struct, frozen=True):
    """A grant that the child may be following, or what a former life of it left behind."""

    order: Order
    """What a former life left has that of the last grant before the new life was heard."""
    until_s: float
    """When it is surely over; currents may still have to settle."""
    amount: Amount
    left: bool = False
    """It was no grant, so no `acked` means it."""


class Account(Struct, kw_only=True):
    """One child's."""

    configured: Amount
    """Its fallback by our configuration."""
    fallback: Amount
    """The larger of what is configured and what it told."""
    settle_s: float
    """On the parent's clock: what currents below it may need to come down."""
    known: bool
    """Whether what stands here bounds all that it may draw."""
    fenced: bool = False
    """It takes no grant of our former lives any more."""
    entries: tuple[Entry, ...] = ()
    newest: Entry | None = None
    """The last grant sent."""
    committed: Amount = NOTHING
    committed_until_s: float = -math.inf
    """When the grants that it held when it told `committed` are surely over."""
    boot: str = ""
    told_s: float = -math.inf
    """`t_child_s` of the newest report of this life."""
    heard_s: float = -math.inf
    acked: Order | None = None
    former: dict[str, float] = {}
    """Former lives with the `t_child_s` of their newest report."""
    speaks: tuple[str, float] = ("", -math.inf)
    """A life that seems to be before the present one, and since when it alone speaks."""
    turns: int = 0
    """How often a former life spoke lately."""
    turned_s: float = -math.inf
    doubt: str = ""
    """Why it is raised no more."""
    figures: tuple[float, Amount, Amount, Amount | None] | None = None
    """Of the last report taken: settle time, what it holds, its fallback, what it is committed to."""
    exposure: Amount = NOTHING
    """As worked out last, until something is heard or granted, or runs out."""
    same_until_s: float = -math.inf

    def was_granted(self, order: Order) -> bool:
        """Whether a grant is remembered."""
        if self.newest is not None and self.newest.order == order:
            return True
        return any(entry.order == order and not entry.left for entry in self.entries)


class Heard(Struct, frozen=True):
    """What a report changed."""

    first: bool = False
    restarted: bool = False
    back: bool = False
    """It had been silent."""
    stale: bool = False
    """Nothing: it was late or repeated."""
    overtaken: bool = False
    """By a later one of the same life: what only it carries (see Branch) is news all the same."""
    eased: bool = False
    """The child's exposure is lower than before."""
    became_known: bool = False
    doubt: str = ""
    """New reason not to raise the child."""
    wants_other: bool = False
    """The child wants something else than it told before (branch.py)."""
    refused: str = ""
    """New reason why the request that came with the report does not count (branch.py)."""


NOTHING_NEW = Heard()


class Planned(Struct, frozen=True):
    """What a child is granted now, and what the rest waits for."""

    amount: Amount
    waits_for: str = ""


class InvariantError(AssertionError):
    """What the ledger promises does not hold; the text tells how it came to that."""


class Ledger:
    """Accounts of all children of one parent."""

    def __init__(
        self,
        children: Mapping[str, tuple[Amount, float]],
        *,
        longest_s: float,
        silent_s: float,
        now_s: float,
        kept_epoch: int | None,
        digest: str = "",
    ) -> None:
        """`children`: fallback and settle time (s) of each, by configuration.

        `longest_s` is that of any grant; a child that said nothing for `silent_s` counts as silent.
        `kept_epoch` is the last on stable storage: 0 when there surely never was a grant, None when it
        was lost.
        """
        self.epoch = (kept_epoch or 0) + 1
        self._newest = Order(self.epoch, 0)
        self._digest = digest
        self._longest_s = longest_s * STRETCH
        self._silent_s = silent_s
        self._committed = NOTHING
        self._same_until_s = -math.inf
        """Until when that holds, unless something is heard or granted."""
        self.quiet_until_s = now_s + self._longest_s if kept_epoch is None else -math.inf
        """No grant before."""
        self._over_s = now_s + self._longest_s
        """When every grant of former lives is surely over."""
        self._jumps: tuple[float, ...] = ()
        """When epochs had to be begun beyond what was kept."""
        self.to_keep: int | None = self.epoch
        """An epoch that must be on stable storage before it is used."""
        self.accounts = {
            name: Account(
                # Mostly it is nothing: then it costs nothing to add and to take away.
                configured=NOTHING if fallback == NOTHING else fallback,
                fallback=fallback,
                settle_s=settle_s * (1 + RHO),
                known=kept_epoch == 0,
            )
            for name, (fallback, settle_s) in children.items()
        }
        self._fallbacks = total(fallback for fallback, _ in children.values())
        self._plan: tuple[Mapping[str, Amount], Amount, object, dict[str, Planned]] | None = None
        """As worked out last, and what of."""

    # --- the epoch ---------------------------------------------------------------------------------

    def kept(self, epoch: int) -> None:
        """An epoch is on stable storage."""
        if epoch == self.to_keep:
            self.to_keep = None

    def may_send(self, now_s: float) -> bool:
        """Whether anything may be granted or fenced."""
        return self.to_keep is None and now_s >= self.quiet_until_s

    def _is_of_a_later_life(self, now_s: float, acked: Order) -> bool:
        """Whether there was a life of ours that we know nothing of. A child that says so again and again,
        or names an epoch far ahead, is not believed."""
        if not self._newest < acked < Order(self.epoch + MAX_EPOCH_JUMP + 1, 0):
            return False
        return sum(now_s < jumped_s + self._longest_s for jumped_s in self._jumps) < JUMPS_MAX

    def _begin_epoch(self, now_s: float, epoch: int) -> None:
        """There was a life of ours that we know nothing of: come after it."""
        self._jumps = (*self._jumps[1 - JUMPS_MAX :], now_s)
        self.epoch, self._newest, self.to_keep = epoch, Order(epoch, 0), epoch
        self._over_s = now_s + self._longest_s
        for account in self.accounts.values():
            account.known = account.fenced = False
            account.same_until_s = -math.inf
        self._same_until_s = -math.inf

    def next_order(self) -> Order:
        """Newer than all before."""
        self._newest = Order(self.epoch, self._newest.seq + 1)
        return self._newest

    # --- hearing -----------------------------------------------------------------------------------

    def hear(self, now_s: float, report: Report) -> Heard:
        """Take a child's report. KeyError for a stranger."""
        account = self.accounts[report.child]
        figures = (report.settle_time_s, report.holds, report.fallback, report.committed)
        if figures != account.figures and not _is_believable(report):
            account.doubt = "what it tells of itself is beyond belief"
            return Heard(stale=True, doubt=account.doubt)
        before = self.exposure(now_s, report.child)
        first = not account.boot
        restarted = False
        if report.boot != account.boot:
            if not self._follow_life(now_s, account, report):
                return Heard(stale=True)
            restarted = not first
        elif report.t_child_s <= account.told_s:
            return Heard(stale=True, overtaken=True)
        back = now_s - account.heard_s > self._silent_s
        account.told_s, account.heard_s = report.t_child_s, now_s
        if figures != account.figures:
            account.figures = figures
            account.settle_s = max(account.settle_s, report.settle_time_s * (1 + RHO))
            account.fallback = largest(account.configured, report.fallback)
        doubt = self._doubt(now_s, account, report)
        self._strike_out(now_s, account, report)
        account.same_until_s = -math.inf
        after = self.exposure(now_s, report.child)
        # Most reports leave the sum of all as it is; else a parent of many would add it up with each.
        self._same_until_s = min(self._same_until_s, account.same_until_s) if after == before else -math.inf
        eased = after is not before and not before.fits(after)
        if not (first or restarted or back or eased or doubt):
            return NOTHING_NEW
        return Heard(
            first=first,
            restarted=restarted,
            back=back,
            eased=eased,
            became_known=before is UNLIMITED and after is not UNLIMITED,
            doubt=doubt,
        )

    def _follow_life(self, now_s: float, account: Account, report: Report) -> bool:
        """Whether a report of another life than the present one is to be followed."""
        present = now_s - account.heard_s <= self._silent_s
        told_s = account.former.get(report.boot)
        if told_s is not None and report.t_child_s <= told_s:
            return False
        earlier = report.t_child_s <= account.told_s
        # Lives on one machine share its clock: this one came before, unless the machine restarted.
        if present and earlier and not self._persists(now_s, account, report.boot):
            return False
        if told_s is not None:
            account.former[report.boot] = report.t_child_s
            if now_s - account.turned_s > self._silent_s:  # late reports may come in one burst
                lately = now_s - account.turned_s < self._longest_s
                account.turns = account.turns + 1 if lately else 1
                account.turned_s = now_s
            if present and not self._persists(now_s, account, report.boot):
                return False
        if account.boot:
            account.former[account.boot] = account.told_s
            while len(account.former) > FORMER_LIVES_MAX:
                del account.former[next(iter(account.former))]
            # What the former life told is struck out as a grant is, by an `acked` of the new one.
            until_s, amount = account.committed_until_s, account.committed
            left = Entry(self._newest, until_s, amount, left=True)
            account.entries = (*account.entries, left)
            account.committed, account.committed_until_s = NOTHING, -math.inf
        account.former.pop(report.boot, None)
        account.boot, account.acked = report.boot, None
        return True

    def _persists(self, now_s: float, account: Account, boot: str) -> bool:
        """Whether a life goes on speaking, for longer than late reports mostly do, while the present one says
        nothing. So that a machine that restarts at once need not wait until its former life is silent."""
        speaker, since_s = account.speaks
        if speaker != boot or since_s < account.heard_s:
            account.speaks = boot, now_s
            return False
        return now_s - since_s >= PERSISTS * self._silent_s

    def _doubt(self, now_s: float, account: Account, report: Report) -> str:
        """Judge the child anew; returns what is new about it."""
        before = account.doubt
        acked = report.acked
        if acked is not None and acked > self._newest and not self._is_of_a_later_life(now_s, acked):
            account.doubt = f"it claims to follow epoch {acked.epoch}, here is {self.epoch}"
        elif account.turns >= TURNS_MAX and now_s - account.turned_s < self._longest_s:
            account.doubt = "two lives of it speak in turn"
        elif not account.fallback.fits(account.configured):
            account.doubt = f"its fallback is {account.fallback.text()}, not {account.configured.text()}"
        elif self._digest and report.config_digest not in ("", self._digest):
            account.doubt = "its configuration is another"
        else:
            account.doubt = ""
        return account.doubt if account.doubt != before else ""

    def _strike_out(self, now_s: float, account: Account, report: Report) -> None:
        acked, committed = report.acked, report.committed
        if acked is not None:
            if self._is_of_a_later_life(now_s, acked):
                self._begin_epoch(now_s, acked.epoch + 1)
            account.acked = acked
        if acked is not None and acked.epoch != self.epoch:
            acked = None
        if acked is not None and not account.was_granted(acked):
            # A fence, or a grant that is forgotten: what the child holds by a former one goes on.
            holds = Entry(acked, now_s + self._longest_s, report.holds)
            account.entries = (*account.entries, holds)
            grants = (entry for entry in account.entries if not entry.left)
            account.newest = max(grants, key=lambda entry: entry.order)
            account.fenced = True
        if committed is None:
            return
        account.committed, account.committed_until_s = committed, now_s + self._longest_s
        if acked is not None:
            account.entries = tuple([entry for entry in account.entries if entry.order >= acked])
            account.known = True

    # --- what may flow -----------------------------------------------------------------------------

    def exposure(self, now_s: float, name: str) -> Amount:
        """The most that may flow below a child; without limit where it is not known. Time never goes
        back: asked for a later instant first, the answer for an earlier one may be too low."""
        account = self.accounts[name]
        if now_s < account.same_until_s:
            return account.exposure
        settle_s = account.settle_s
        if not account.known and now_s < self._over_s + settle_s:
            return UNLIMITED
        most, same_until_s = account.fallback, account.committed_until_s + settle_s
        if now_s < same_until_s:
            most = largest(most, account.committed)
        else:
            same_until_s = math.inf
        for entry in account.entries:
            over_s = entry.until_s + settle_s
            if now_s < over_s:
                if over_s < same_until_s:
                    same_until_s = over_s
                if entry.amount is not most:
                    most = largest(most, entry.amount)
        account.exposure, account.same_until_s = most, same_until_s
        return most

    def latest(self, now_s: float, name: str) -> Amount:
        """What the child may have without asking for room: its newest grant, and its fallback."""
        account = self.accounts[name]
        newest = account.newest
        if newest is None or now_s >= newest.until_s:
            return account.fallback
        return largest(account.fallback, newest.amount)

    def committed(self, now_s: float) -> Amount | None:
        """The most that may flow below all children together; None: not known."""
        if now_s < self._same_until_s:
            return self._committed
        exposures, same_until_s = [], math.inf
        for name, account in self.accounts.items():
            exposure = self.exposure(now_s, name)
            if exposure is UNLIMITED:
                return None
            exposures.append(exposure)
            if account.same_until_s < same_until_s:
                same_until_s = account.same_until_s
        self._committed, self._same_until_s = total(exposures), same_until_s
        return self._committed

    def may_grant(self, now_s: float, name: str) -> bool:
        """Whether it is known what a grant to this child would be to it."""
        return self.accounts[name].fenced or self.is_known(now_s, name)

    def is_known(self, now_s: float, name: str) -> bool:
        """Whether there is a bound on what may flow below a child."""
        return self.exposure(now_s, name) is not UNLIMITED

    # --- granting ----------------------------------------------------------------------------------

    def plan(self, now_s: float, desired: Mapping[str, Amount], capacity: Amount) -> dict[str, Planned]:
        """What each child of `desired` can be granted now, in their order; nothing is noted yet. Mostly it is
        what it was before: then it is the very same."""
        capacity = self.at_least_fallbacks(capacity)
        exposures = self.exposures(now_s)
        latest = {name: self.latest(now_s, name) for name in self.accounts}
        stand = [(account.fallback, account.doubt) for account in self.accounts.values()], exposures, latest
        last = self._plan
        if last is None or last[0] is not desired or last[1] != capacity or last[2] != stand:
            planned = self._make_plan(now_s, desired, capacity, dict(exposures), latest)
            last = self._plan = desired, capacity, stand, planned
        return last[3]

    def _make_plan(
        self,
        now_s: float,
        desired: Mapping[str, Amount],
        capacity: Amount,
        exposures: dict[str, Amount],
        latest: Mapping[str, Amount],
    ) -> dict[str, Planned]:
        """`exposures` become those with what is planned."""
        unknown = [name for name, exposure in exposures.items() if exposure is UNLIMITED]
        flowing = total([exposure for exposure in exposures.values() if exposure is not UNLIMITED])
        # What is left for all that is granted together, each with no less than its fallback.
        left = capacity.less(
            total([a.fallback if n in desired else latest[n] for n, a in self.accounts.items()])
        )
        amounts: dict[str, Amount] = {}
        short: list[str] = []
        for name, wish in desired.items():
            account = self.accounts[name]
            fallback = account.fallback
            wanted = smallest(wish, fallback + left)
            amount = smallest(wanted, latest[name])
            raises = amount is not wanted and amount != wanted
            if raises and name not in unknown and not account.doubt:
                others = UNLIMITED if unknown else flowing.less(exposures[name])
                amount = largest(amount, smallest(wanted, capacity.less(others)))
                raised = largest(exposures[name], amount)
                flowing, exposures[name] = flowing.less(exposures[name]) + raised, raised
            left = left.less(amount.less(fallback))
            amounts[name] = amount
            if amount is not wish and not wish.fits(amount):
                short.append(name)
        reasons = self._reasons(now_s, short, unknown, exposures, amounts) if short else {}
        return {name: Planned(amount, reasons.get(name, "")) for name, amount in amounts.items()}

    def at_least_fallbacks(self, capacity: Amount) -> Amount:
        """A limit below the sum of the fallbacks is met by what the market gives, while the children
        are heard; no promise can be made for less than what they draw when they hear nothing."""
        return largest(capacity, self._fallbacks)

    def _reasons(
        self,
        now_s: float,
        short: Iterable[str],
        unknown: list[str],
        exposures: Mapping[str, Amount],
        amounts: Mapping[str, Amount],
    ) -> dict[str, str]:
        """Why those that are `short` do not have what they shall have yet."""
        reasons = {}
        for name in short:
            if doubt := self.accounts[name].doubt:
                reasons[name] = f"raised no more: {doubt}"
                continue
            if unknown:
                reasons[name] = f"{unknown[0]}, whose limits from before a restart are not known yet"
                continue
            slow = next(
                (
                    other
                    for other, exposure in exposures.items()
                    if other != name
                    and not exposure.fits(
                        largest(amounts.get(other, NOTHING), self.accounts[other].fallback)
                        if other in amounts
                        else self.latest(now_s, other)
                    )
                ),
                None,
            )
            reasons[name] = (
                "room above" if slow is None else f"{slow}, which may still draw {exposures[slow].text()}"
            )
        return reasons

    def note(self, now_s: float, name: str, order: Order, duration_s: float, amount: Amount) -> None:
        """A grant was sent, in answer to the newest report heard."""
        account = self.accounts[name]
        entry = Entry(order, account.heard_s + duration_s * STRETCH, amount)
        kept = [e for e in account.entries if now_s < e.until_s + account.settle_s]
        account.entries, account.newest = (*kept, entry), entry
        if largest(account.exposure, amount) is not account.exposure:
            account.same_until_s = self._same_until_s = -math.inf

    def check(self, now_s: float, fuse: Amount, capacity: Amount, before: Mapping[str, Amount]) -> None:
        """Raises InvariantError unless the exposures keep within fuse and capacity in what was raised
        since `before` (the exposures then). What only children tell is not ours to answer for: a report
        that was under way for long may tell of what is over, and those in doubt or unknown are left out."""
        capacity = self.at_least_fallbacks(capacity)
        together = self.committed(now_s)
        if together is not None and together.fits(smallest(fuse, capacity)):
            return
        if all(self.exposure(now_s, name) is exposure for name, exposure in before.items()):
            return  # nobody was raised
        after = {
            name: exposure
            for name, account in self.accounts.items()
            if not account.doubt and (exposure := self.exposure(now_s, name)) is not UNLIMITED
        }
        together = total(after.values())
        if together.fits(smallest(fuse, capacity)):
            return
        for part in Amount.__struct_fields__:
            raised = [n for n in after if getattr(after[n], part) > getattr(before[n], part) + CRUMB]
            room = min(getattr(fuse, part), getattr(capacity, part))
            flow = getattr(together, part)
            if raised and flow > room + CRUMB * max(1.0, flow * 1e-3):
                listed = ", ".join(f"{name} {exposure.text()}" for name, exposure in after.items())
                raise InvariantError(
                    f"exposures of {flow:.6g} in {part} exceed {room:.6g}, raised: {raised}; {listed}"
                )

    def exposures(self, now_s: float) -> dict[str, Amount]:
        """Of all children."""
        return {name: self.exposure(now_s, name) for name in self.accounts}


def _is_believable(report: Report) -> bool:
    """Whether the figures of a report can be true."""
    return (
        0.0 <= report.settle_time_s <= BELIEVABLE_SETTLE_S
        and report.holds.is_within(BELIEVABLE)
        and report.fallback.is_within(BELIEVABLE)
        and (report.committed is None or report.committed.is_within(BELIEVABLE))
    )
