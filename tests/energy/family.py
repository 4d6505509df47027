"""A ledger with children that tell and are granted what a test says, in ampere; times are the parent's."""

from __future__ import annotations

from typing import Any

from actors.energy.amount import Amount
from actors.energy.ledger import Heard, Ledger
from actors.energy.messages import Order, Report

FUSE_A = 32.0
SETTLE_S = 11.0
LONGEST_S = 14.0


def ampere(value: float) -> Amount:
    """An import."""
    return Amount(import_A=value)


class Family:
    """Children `a` and `b` below a fuse of 32 A, unless told otherwise."""

    def __init__(
        self,
        *,
        kept_epoch: int | None = 0,
        now_s: float = 0.0,
        fallbacks_A: dict[str, float] | None = None,
        digest: str = "",
    ) -> None:
        self.now_s = now_s
        fallbacks = fallbacks_A or {"a": 0.0, "b": 0.0}
        self.ledger = Ledger(
            {name: (ampere(A), SETTLE_S) for name, A in fallbacks.items()},
            longest_s=LONGEST_S,
            silent_s=3.0,
            now_s=now_s,
            kept_epoch=kept_epoch,
            digest=digest,
        )
        self.ledger.kept(self.ledger.epoch)

    def tell(
        self,
        name: str,
        t_child_s: float | None = None,
        *,
        acked: Order | None = None,
        holds_A: float = 0.0,
        flows_A: float | None = None,
        **more: Any,
    ) -> Heard:
        """A report comes; `flows_A` is what the child tells as `committed`."""
        report = Report(
            child=name,
            boot=more.pop("boot", "first"),
            t_child_s=self.now_s if t_child_s is None else t_child_s,
            acked=acked,
            holds=ampere(holds_A),
            committed=None if flows_A is None else ampere(flows_A),
            **more,
        )
        return self.ledger.hear(self.now_s, report)

    def give(self, capacity_A: float = FUSE_A, **wishes_A: float) -> dict[str, float]:
        """Grant what can be, for 10 s; returns it."""
        planned = self.ledger.plan(
            self.now_s, {name: ampere(A) for name, A in wishes_A.items()}, ampere(capacity_A)
        )
        before = self.ledger.exposures(self.now_s)
        self.orders: dict[str, Order] = {}
        for name, plan in planned.items():
            order = self.orders[name] = self.ledger.next_order()
            duration_s = self.now_s + 10.0 - self.ledger.accounts[name].heard_s
            self.ledger.note(self.now_s, name, order, duration_s, plan.amount)
        self.waits = {name: plan.waits_for for name, plan in planned.items()}
        self.ledger.check(self.now_s, ampere(FUSE_A), ampere(capacity_A), before)
        return {name: plan.amount.import_A for name, plan in planned.items()}

    def fence(self) -> Order:
        """A fence is sent."""
        return self.ledger.next_order()

    def exposure_A(self, name: str) -> float:
        """What the ledger counts with."""
        return self.ledger.exposure(self.now_s, name).import_A

    def latest_A(self, name: str) -> float:
        """What the child may have without asking for room."""
        return self.ledger.latest(self.now_s, name).import_A

    def charging(self, name: str = "a", A: float = FUSE_A) -> Order:
        """A child that has taken a grant and draws it; the other one is there."""
        for other in self.ledger.accounts:
            self.tell(other, flows_A=0.0)
        assert self.give(**{name: A}) == {name: A}
        order = self.orders[name]
        self.now_s += 1.0
        self.tell(name, acked=order, holds_A=A, flows_A=A)
        return order
