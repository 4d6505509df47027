"""The report: why everyone got what they got, in the active slot unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from actors.energy.market.bounds import Bound, bounds_of, used_up_bounds
from actors.energy.market.entries import Direction
from actors.energy.market.outcome import Outcome
from actors.energy.market.phases import PHASE_TEXTS, PhaseReason
from actors.energy.market.plain_run import PlainRun


@dataclass(frozen=True)
class Why:
    """What an EVSE got, and what kept it from getting more."""

    uuid: str
    direction: Direction | None
    current_A: float | None
    power_W: float | None
    phases: int | None
    phase_reason: PhaseReason
    minimum_refused_A: float | None
    """The minimum current that could not be had, if that is why there is nothing."""
    bounds: tuple[Bound, ...]

    def text(self) -> str:
        """One line: `evse_1 imports 8.5 A on 3 phases, bound by: …`."""
        parts = [self._amounts()]
        if self.minimum_refused_A is not None:
            parts.append(f"its minimum of {self.minimum_refused_A:g} A is not to be had")
        if PHASE_TEXTS[self.phase_reason]:
            parts.append(f"phases: {PHASE_TEXTS[self.phase_reason]}")
        if self.bounds:
            parts.append("bound by: " + "; ".join(bound.text() for bound in self.bounds))
        return f"{self.uuid} " + ", ".join(parts)

    def _amounts(self) -> str:
        if self.direction is None:
            return "gets nothing: neither import nor export is allowed"
        amounts = [
            f"{abs(value):g} {unit}"
            for value, unit in ((self.current_A, "A"), (self.power_W, "W"))
            if value is not None
        ]
        phases = f" on {self.phases} phase{'s' if self.phases != 1 else ''}" if self.phases else ""
        return f"{self.direction}s {' and '.join(amounts) or 'without limit'}{phases}"


class Report:
    """Small questions about a run."""

    def __init__(self, run: Outcome | PlainRun):
        self._run = run

    @property
    def _outcome(self) -> Outcome:
        return self._run.outcome

    @property
    def slots(self) -> int:
        """Slots of the answer."""
        return len(self._run.slots.times_us)

    @property
    def computed_slots(self) -> int:
        """Slots that differ from the one before, so that they had to be computed."""
        return len(self._run.slots.columns_us)

    @property
    def sales(self) -> int:
        """EVSEs that got something, counted in every computed slot; the slice plays no part."""
        return self._run.sales

    @property
    def refusals(self) -> int:
        """Minimum currents that could not be had, counted in every computed slot."""
        return int(sum(trades.refused.sum() for trades in self._outcome.trades.values()))

    def why(self, uuid: str, slot: int | None = None) -> Why:
        """Why an EVSE got what it got; KeyError for one that is not in the request."""
        outcome = self._outcome
        evse = outcome.tree.number_of[uuid]
        column = outcome.slots.active_column if slot is None else int(outcome.slots.column_of[slot])
        direction = outcome.direction(column, evse)
        trades = outcome.trades[direction or "import"]
        refused = direction is not None and bool(trades.refused[column, evse])
        phases = int(outcome.phases[column, evse])
        return Why(
            uuid=uuid,
            direction=direction,
            current_A=float(outcome.current_A[column, evse]) if outcome.has_current[column, evse] else None,
            power_W=float(outcome.power_W[column, evse]) if outcome.has_power[column, evse] else None,
            phases=phases or None,
            phase_reason=PhaseReason(int(trades.reasons[column, evse])),
            minimum_refused_A=float(trades.limits.min_A[column, evse]) if refused else None,
            bounds=tuple(bounds_of(outcome, column, evse)),
        )

    def used_up(self, slot: int | None = None) -> list[Bound]:
        """Limits of nodes (not EVSEs) of which nothing is left, the root's first; no closed exports."""
        outcome = self._outcome
        column = outcome.slots.active_column if slot is None else int(outcome.slots.column_of[slot])
        evses = set(outcome.tree.evse_node.tolist())
        found: list[Bound] = []
        directions: tuple[Direction, ...] = ("import", "export")
        for direction in directions:
            for node in range(len(outcome.tree.nodes)):
                if node not in evses:
                    found += used_up_bounds(outcome, column, [node], direction)
        return [bound for bound in found if bound.direction == "import" or bound.limit > 0.0]
