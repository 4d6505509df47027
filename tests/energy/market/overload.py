"""Is any limit exceeded? Summed up anew from the request and the answer, by nothing of the market.

Each EVSE's current and power is followed up its path: at every node the leaf side's sum, the root
side's after the conversion, and the sum of those that heed the node's setpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.energy import timestamps
from actors.energy.forecasts import forecast_of
from actors.energy.types import EnergyFlowRequest, EnforcedLimits, NodeType, ScheduleResEntry
from tests.energy.market.reference import allowed_by, effective_setpoint, holding

OVER_A = 1e-6
OVER_W = 1e-3


@dataclass(frozen=True)
class Flow:
    """What one EVSE may take (or give), and the best setpoint priority on its path."""

    current_A: float
    power_W: float
    heeds: int | None


def overloads(request: EnergyFlowRequest, limits: Sequence[EnforcedLimits]) -> list[str]:
    """Every limit that is exceeded, in words; an empty list when all is well."""
    answers = {each.uuid: forecast_of(each) for each in limits}
    found: list[str] = []
    if not answers:
        return found
    for i, entry in enumerate(answers[limits[0].uuid]):
        for direction, sign in (("import", 1.0), ("export", -1.0)):
            slot_us = timestamps.parse(entry.timestamp)
            _flows(request, answers, i, slot_us, direction, sign, None, found)
    return found


def _flows(
    node: EnergyFlowRequest,
    answers: dict[str, tuple[ScheduleResEntry, ...]],
    slot: int,
    slot_us: int,
    direction: str,
    sign: float,
    best: int | None,
    found: list[str],
) -> list[Flow]:
    setpoint = effective_setpoint(node, slot_us)
    if setpoint is not None:
        best = setpoint[0] if best is None else min(best, setpoint[0])
    allowed = allowed_by(holding(getattr(node, f"schedule_{direction}"), slot_us))
    below = [
        flow
        for child in node.children
        for flow in _flows(child, answers, slot, slot_us, direction, sign, best, found)
    ]
    efficiency = allowed.efficiency if direction == "import" else 1.0 / allowed.efficiency
    at_root = [Flow(flow.current_A, flow.power_W / efficiency, flow.heeds) for flow in below]
    leaf_W = sum(flow.power_W for flow in below)
    if node.node_type is NodeType.Evse:
        now = answers[node.uuid][slot].limits_to_root
        current = 0.0 if now.ac_max_current_A is None else max(sign * now.ac_max_current_A.value, 0.0)
        power = 0.0 if now.total_power_W is None else max(sign * now.total_power_W.value, 0.0)
        at_root.append(Flow(current, power, best))
        leaf_W += power * efficiency
    where = f"{node.uuid} {direction} slot {slot}"
    current_A, root_W = sum(flow.current_A for flow in at_root), sum(flow.power_W for flow in at_root)
    for what, value, limit, over in (
        ("current", current_A, allowed.A, OVER_A),
        ("root power", root_W, allowed.root_W, OVER_W),
        ("leaf power", leaf_W, allowed.leaf_W, OVER_W),
    ):
        if limit is not None and value > limit + over:
            found.append(f"{where}: {what} {value} > {limit}")
    if setpoint is not None:
        priority, unit, target = setpoint
        heeding = [flow for flow in at_root if flow.heeds == priority]
        cap = max(sign * target, 0.0)
        value = sum(flow.current_A if unit == "A" else flow.power_W for flow in heeding)
        if value > cap + (OVER_A if unit == "A" else OVER_W):
            found.append(f"{where}: setpoint {value} > {cap} {unit}")
    return at_root
