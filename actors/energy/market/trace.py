"""The story of a run, for an operator's log: data first, one line of text each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from actors.energy import timestamps
from actors.energy.market.outcome import Outcome
from actors.energy.market.report import Report
from actors.energy.types import NodeType

Kind = Literal["request", "slot", "tier", "granted", "refused", "closed", "used up"]


@dataclass(frozen=True)
class Event:
    """One thing that happened; `slot` is an RFC 3339 time, or None for the run as a whole."""

    kind: Kind
    slot: str | None
    uuid: str
    text: str

    def line(self) -> str:
        """As a log line."""
        return f"[{self.slot or 'run'}] {self.kind}: {self.text}"


def trace_of(outcome: Outcome) -> tuple[Event, ...]:
    """Requests seen, then slot by slot who was served in which tier, granted or refused what, and why."""
    tree, slots = outcome.tree, outcome.slots
    events = [_request_event(outcome, node) for node in range(len(tree.nodes))]
    report = Report(outcome)
    seen: set[int] = set()
    for slot, column in enumerate(slots.column_of.tolist()):
        if column in seen:
            continue
        seen.add(column)
        time = timestamps.format_utc(int(slots.times_us[slot]))
        mark = ", active" if column == slots.active_column else ""
        copies = int((slots.column_of == column).sum()) - 1
        same = f", also for the {copies} slots after it" if copies else ""
        events.append(Event("slot", time, "", f"{time}{mark}{same}"))
        for priority in np.unique(tree.priorities).tolist():
            evses = np.flatnonzero(tree.priorities == priority).tolist()
            events.append(Event("tier", time, "", f"priority {priority}: {len(evses)} EVSEs"))
            for evse in evses:
                why = report.why(tree.uuids[evse], slot)
                kind: Kind = "granted"
                if why.direction is None:
                    kind = "closed"
                elif why.minimum_refused_A is not None:
                    kind = "refused"
                events.append(Event(kind, time, why.uuid, why.text()))
        events += [Event("used up", time, bound.node, bound.text()) for bound in report.used_up(slot)]
    return tuple(events)


def _request_event(outcome: Outcome, index: int) -> Event:
    tree = outcome.tree
    node = tree.nodes[index]
    column = outcome.slots.active_column
    parts = [f"{node.uuid} ({node.node_type.value})"]
    for direction, trades in outcome.trades.items():
        limits = trades.limits
        power_W = limits.node_grid_W[column, index] / limits.to_grid[column, index]
        values = [
            f"{value:g} {unit}"
            for value, unit in ((limits.node_A[column, index], "A"), (power_W, "W"))
            if np.isfinite(value)
        ]
        parts.append(f"{direction} {' and '.join(values) or 'without limit'}")
    if node.node_type is NodeType.Evse and node.evse_state is not None:
        parts.append(f"state {node.evse_state.value}")
    return Event("request", None, node.uuid, ", ".join(parts))
