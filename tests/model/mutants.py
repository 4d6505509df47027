"""Known ways to get it wrong, each of which the explorer must find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec

from actors.energy import actuator, lease, ledger
from actors.energy.actuator import Actuator
from actors.energy.amount import NOTHING, Amount, largest, total
from actors.energy.lease import Lease
from actors.energy.ledger import Account, Entry, Ledger, Planned
from actors.energy.messages import Grant, Order, Reading, Report
from tests.model import world
from tests.model.sites import LINE, ONE, RISE, SLOW_CHILD, TWO, TWO_FALLBACK, but
from tests.model.world import VALID_S, Site, World

_offer, _exposure, _hear, _init = Lease.offer, Ledger.exposure, Ledger.hear, Ledger.__init__
_read, _tell, _born = Actuator.read, Actuator.tell, Actuator.__init__
_strike_out = Ledger._strike_out


def _latest_is_exposure(self: Ledger, now_s: float, name: str) -> Amount:
    return self.exposure(now_s, name)


def _as_told_last(self: Actuator, now_s: float) -> Amount | None:
    if now_s < self._known_s:
        return None
    return largest(self._fallback, self._told[-1].amount if self._told else NOTHING)


def _as_granted(self: Ledger, now_s: float) -> Amount | None:
    return total(self.latest(now_s, name) for name in self.accounts)


def _as_metered(self: Actuator, now_s: float) -> Amount | None:
    return None if now_s < self._known_s else NOTHING  # the car just takes nothing


def _known_at_once(self: Actuator, fallback: Amount, settle_time_s: float) -> None:
    _born(self, fallback, settle_time_s)
    self._known_s = float("-inf")


def _no_settling(self: Actuator, now_s: float, reading: Reading) -> None:
    _read(self, now_s, reading)
    self._past = ()


def _from_receipt(self: Lease, now_s: float, grant: Grant) -> str | None:
    return _offer(self, now_s, msgspec.structs.replace(grant, t_echo_s=now_s))


def _any_order(self: Lease, now_s: float, grant: Grant) -> str | None:
    before, self.acked = self.acked, None
    refused = _offer(self, now_s, grant)
    if before is not None and (refused is not None or before > grant.order):
        self.acked = before
    return refused


def _any_boot(self: Lease, now_s: float, grant: Grant) -> str | None:
    return _offer(self, now_s, msgspec.structs.replace(grant, boot=self.boot))


def _any_boot_heard(self: Ledger, now_s: float, report: Report) -> Any:
    return _hear(self, now_s, msgspec.structs.replace(report, boot="the only one"))


def _not_nested(self: Lease, heard_s: float) -> float:
    return VALID_S


def _epoch_not_kept(self: Ledger, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **{**kwargs, "kept_epoch": 0})


def _known_after_restart(self: Ledger, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    for account in self.accounts.values():
        account.known = True


def _not_quiet(self: Ledger, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    self.quiet_until_s = float("-inf")


def _without_fallback(self: Ledger, now_s: float, name: str) -> Amount:
    account = self.accounts[name]
    kept, account.fallback, account.same_until_s = account.fallback, NOTHING, float("-inf")
    try:
        return _exposure(self, now_s, name)
    finally:
        account.fallback, account.same_until_s = kept, float("-inf")


def _grants_at_once(
    self: Ledger, now_s: float, desired: Mapping[str, Amount], capacity: Amount
) -> dict[str, Planned]:
    return {name: Planned(amount) for name, amount in desired.items()}


def _late_reports_count(self: Ledger, now_s: float, report: Report) -> Any:
    account = self.accounts[report.child]
    if report.boot == account.boot:
        account.told_s = float("-inf")
    return _hear(self, now_s, report)


def _strikes_without_committed(self: Ledger, now_s: float, account: Account, report: Report) -> None:
    known = report if report.committed is not None else msgspec.structs.replace(report, committed=NOTHING)
    _strike_out(self, now_s, account, known)


def _strikes_by_any_epoch(self: Ledger, now_s: float, account: Account, report: Report) -> None:
    if report.acked is not None and report.acked.epoch < self.epoch:
        report = msgspec.structs.replace(report, acked=Order(self.epoch, 0))
    _strike_out(self, now_s, account, report)


def _forgets_former_life(self: Ledger, now_s: float, report: Report) -> Any:
    account = self.accounts[report.child]
    if report.boot != account.boot:
        account.committed, account.entries = NOTHING, ()
    return _hear(self, now_s, report)


def _silence_is_obedience(self: Ledger, now_s: float, name: str) -> Amount:
    account = self.accounts[name]
    if account.known and now_s - account.heard_s > self._silent_s:
        return account.fallback
    return _exposure(self, now_s, name)


def _unsettled(self: Ledger, now_s: float, name: str) -> Amount:
    account = self.accounts[name]
    account.settle_s, account.same_until_s = 0.0, float("-inf")
    return _exposure(self, now_s, name)


def _only_newest(
    self: Ledger, now_s: float, name: str, order: Order, duration_s: float, amount: Amount
) -> None:
    account = self.accounts[name]
    entry = Entry(order, account.heard_s + duration_s * ledger.STRETCH, amount)
    account.entries, account.newest, account.same_until_s = (entry,), entry, float("-inf")


def _everything_matters(ledger: Ledger, report: Report) -> bool:
    return True


def _may_keep_at_once(self: World, now_s: float, ledger: Ledger) -> bool:
    return True


@dataclass(frozen=True)
class Mutant:
    """One rule broken, and a site on which that shows."""

    name: str
    patches: tuple[tuple[Any, str, Any], ...]
    site: Site
    cold: bool = False
    prologue: tuple[str, ...] = ()
    only_live: bool = False
    """It is safe, and only takes longer to recover."""

    @contextmanager
    def broken(self) -> Iterator[None]:
        """While it is."""
        with ExitStack() as stack:
            for owner, name, value in self.patches:
                stack.enter_context(patch.object(owner, name, value))
            yield


QUIET = but(ONE, delays=0)
CRASH = but(ONE, delays=1, crashes=1)
LATE_REPORT = ("report a 0", "flip", *("grant root prompt lost", "tick"), *["tick", "report b prompt"] * 5)
"""What a told while it had much comes after b got all; its wish is about to return."""
FRESH_LIFE = ("crash a", "tick", "report a prompt", "grant root lost", "grant root 0")
"""A new life of a that has taken nothing yet, and a grant under way to it."""
MUTANTS = (
    Mutant(
        "raising judged by the exposure",
        ((Ledger, "latest", _latest_is_exposure),),
        but(TWO, delays=1, flips=2),
        prologue=LATE_REPORT,
    ),
    Mutant("told counts as done, at an EVSE", ((Actuator, "committed", _as_told_last),), QUIET),
    Mutant("told counts as done, at a node", ((Ledger, "committed", _as_granted),), but(LINE, delays=0)),
    Mutant("a low meter reading counts", ((Actuator, "committed", _as_metered),), QUIET),
    Mutant("no settle time at the EVSE", ((Actuator, "read", _no_settling),), QUIET),
    Mutant("no settle time at the parent", ((Ledger, "exposure", _unsettled),), QUIET),
    Mutant("knows at once after its crash", ((Actuator, "__init__", _known_at_once),), CRASH),
    Mutant("lease from receipt", ((Lease, "offer", _from_receipt),), but(ONE, delays=1)),
    Mutant("grants in any order", ((Lease, "offer", _any_order),), but(ONE, delays=1)),
    Mutant(
        "reports in any order",
        ((Ledger, "hear", _late_reports_count), (world, "matters", _everything_matters)),
        but(RISE, delays=1, flips=2),
    ),
    Mutant("no drift", tuple((m, "STRETCH", 1.0) for m in (ledger, lease, actuator)), SLOW_CHILD),
    Mutant("no nesting, at an EVSE", ((Lease, "nested_s", _not_nested),), but(ONE, delays=1)),
    Mutant(
        "no nesting, at a node",
        ((Lease, "nested_s", _not_nested),),
        but(LINE, delays=0),
        prologue=("tick", "report node prompt", "grant root prompt"),
    ),
    Mutant("epoch not kept", ((Ledger, "__init__", _epoch_not_kept),), CRASH),
    Mutant("all known after a restart", ((Ledger, "__init__", _known_after_restart),), CRASH),
    Mutant(
        "known by an old epoch",
        ((Ledger, "_strike_out", _strikes_by_any_epoch),),
        but(RISE, delays=1, crashes=1),
    ),
    Mutant(
        "no quiet time",
        ((Ledger, "__init__", _not_quiet),),
        but(ONE, delays=1, crashes=2, losses=1),
        prologue=FRESH_LIFE,
    ),
    Mutant(
        "epoch kept while quiet",
        ((World, "may_keep", _may_keep_at_once),),
        but(ONE, delays=1, crashes=4, losses=1),
        prologue=("crash root", "fair", "fair", "fair", *FRESH_LIFE, "lose root", "grant root lost"),
    ),
    Mutant("fallback not reserved", ((Ledger, "exposure", _without_fallback),), but(TWO_FALLBACK, delays=0)),
    Mutant("decrease not awaited", ((Ledger, "plan", _grants_at_once),), but(TWO, delays=0)),
    Mutant("only the newest grant counts", ((Ledger, "note", _only_newest),), QUIET),
    Mutant("silence counts as obedience", ((Ledger, "exposure", _silence_is_obedience),), QUIET),
    Mutant("acked counts without committed", ((Ledger, "_strike_out", _strikes_without_committed),), CRASH),
    Mutant("a new life clears the old one's account", ((Ledger, "hear", _forgets_former_life),), CRASH),
    Mutant(
        "grants of any boot",
        ((Lease, "offer", _any_boot),),
        but(ONE, delays=1, crashes=1, reboots=True),
        cold=True,
    ),
    Mutant(
        "reports of any boot",
        ((Ledger, "hear", _any_boot_heard),),
        but(ONE, delays=1, crashes=1, reboots=True),
        only_live=True,
    ),
)
