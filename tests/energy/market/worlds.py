"""Random sites for the market's properties: trees, schedules and stories of several steps.

Hypothesis draws the shape and the features, so that a counterexample shrinks to a small tree with
few of them; a seed draws the numbers, which is what keeps thousands of trees affordable.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import msgspec
from hypothesis import strategies as st

from actors.energy import timestamps
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EvseState,
    Frequency,
    FrequencyWattPoint,
    IntegerWithSource,
    LimitsReq,
    NodeType,
    NumberWithSource,
    Powermeter,
    ScheduleReqEntry,
    ScheduleSetpointEntry,
    SetpointType,
)

NOW_US = timestamps.parse("2025-06-07T20:51:29.250Z")
MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Features:
    """What may occur in a site."""

    seed: int = 0
    evses: int = 4
    levels: int = 2
    watts: bool = False
    dc: bool = False
    mixed_phases: bool = False
    minimums: bool = True
    schedules: bool = False
    efficiency: bool = False
    setpoints: bool = False
    setpoint_priorities: bool = False
    export: bool = False
    tiers: bool = False
    switching: bool = False
    steps: int = 1
    odd_numbers: bool = False
    fallbacks: bool = False


@dataclass(frozen=True)
class Step:
    """One run of a story."""

    start_us: int
    request: EnergyFlowRequest


@dataclass(frozen=True)
class Story:
    """A site over some steps."""

    config: EnergyManagerConfig
    steps: tuple[Step, ...]


class _Maker:
    def __init__(self, features: Features):
        self.features = features
        self.random = random.Random(features.seed)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def number(self, *round_ones: float) -> float:
        if self.features.odd_numbers and self.chance(0.5):
            return round(self.random.uniform(0, max(round_ones)), 3)
        return self.random.choice(round_ones)

    def config(self) -> EnergyManagerConfig:
        pick = self.random.choice
        config = EnergyManagerConfig(
            slice_ampere=pick((0.25, 0.5, 1.0, 0.3, 5.0)),
            slice_watt=pick((500.0, 1000.0, 333.3, 2000.0)),
            schedule_interval_duration=pick((30, 60, 45)),
            schedule_total_duration=pick((1, 1, 2)),
        )
        if not self.features.switching:
            return config
        return msgspec.structs.replace(
            config,
            switch_3ph1ph_while_charging_mode=pick(("Oneway", "Both", "Both")),
            switch_3ph1ph_max_nr_of_switches_per_session=pick((0, 0, 1, 2, 3)),
            switch_3ph1ph_switch_limit_stickyness=pick(("SinglePhase", "ThreePhase", "DontChange")),
            switch_3ph1ph_power_hysteresis_W=pick((0, 200, 500)),
            switch_3ph1ph_time_hysteresis_s=pick((0, 60, 600)),
        )

    def shape(self) -> list[tuple[int, bool]]:
        """Depth-first (depth, is EVSE); the root alone may be the EVSE."""
        features = self.features
        if features.evses == 1 and features.levels == 1:
            return [(0, True)]
        nodes: list[tuple[int, bool]] = [(0, False)]
        depth = 0
        for _ in range(features.evses):
            depth = self.random.randint(0, max(features.levels - 2, 0))
            depth = min(depth, nodes[-1][0] + (0 if nodes[-1][1] else 1))
            while nodes[-1][1] is False and nodes[-1][0] < depth:
                nodes.append((nodes[-1][0] + 1, False))
            if depth > 0 and (nodes[-1][1] or self.chance(0.4)) and self.chance(0.5):
                nodes.append((depth, False))
            at = nodes[-1][0] + 1 if not nodes[-1][1] else self.random.randint(1, nodes[-1][0])
            nodes.append((at, True))
        if self.chance(0.1):
            nodes.append((1, False))  # a node without anything below
        return nodes

    def tree(self, shape: list[tuple[int, bool]]) -> EnergyFlowRequest:
        made: list[tuple[int, EnergyFlowRequest]] = []
        for i in range(len(shape) - 1, -1, -1):
            depth, is_evse = shape[i]
            below = [node for at, node in reversed(made) if at == depth + 1]
            made = [(at, node) for at, node in made if at != depth + 1]
            made.append((depth, self.node(f"{'evse' if is_evse else 'node'}_{i}", is_evse, tuple(below))))
        assert len(made) == 1
        return made[0][1]

    def node(self, uuid: str, is_evse: bool, children: tuple[EnergyFlowRequest, ...]) -> EnergyFlowRequest:
        features = self.features
        dc = is_evse and features.dc and self.chance(0.5)
        max_phases = 1 if is_evse and features.mixed_phases and self.chance(0.4) else 3
        meter = Frequency(L1=self.random.choice((49.2, 50.0, 50.13, 53.0)))
        with_meter = features.setpoints and self.chance(0.6)
        return EnergyFlowRequest(
            uuid=uuid,
            node_type=NodeType.Evse if is_evse else NodeType.Generic,
            children=children,
            schedule_import=self.schedule(
                uuid, lambda: self.entry(uuid, is_evse, dc, max_phases, 1.0), empty=0.03
            ),
            schedule_export=self.schedule(
                f"{uuid}.export",
                lambda: self.entry(
                    f"{uuid}.export", is_evse, dc, max_phases, 1.0 if features.export else 0.0
                ),
                empty=0.1,
            ),
            schedule_setpoints=self.setpoints(uuid) if features.setpoints and self.chance(0.3) else (),
            evse_state=self.random.choice(list(EvseState)[1:]) if is_evse else None,
            energy_usage_root=Powermeter(timestamp="", frequency_Hz=meter) if with_meter else None,
            priority=self.random.choice((0, 1, 1, 3, None)) if is_evse and features.tiers else None,
            fallback_A=self.fallback(0.6 if is_evse else 0.2, 6.0, 6.0, 6.0, 8.0, 3.0, 0.0),
            fallback_W=self.fallback(0.2 if features.watts else 0.0, 1380.0, 4140.0, 2000.0),
        )

    def fallback(self, share: float, *round_ones: float) -> float | None:
        if not self.features.fallbacks or not self.chance(share):
            return None
        return self.number(*round_ones)

    def schedule(self, uuid, make, empty: float) -> tuple[ScheduleReqEntry, ...]:  # type: ignore[no-untyped-def]
        if self.chance(empty):
            return ()
        count = self.random.randint(1, 3) if self.features.schedules else 1
        return tuple(msgspec.structs.replace(make(), timestamp=self.time(first=i == 0)) for i in range(count))

    def time(self, *, first: bool) -> str:
        minutes = -51 if first and self.chance(0.8) else self.random.randint(-120, 240)
        return timestamps.format_utc(NOW_US + minutes * MINUTE_US)

    def entry(self, uuid: str, is_evse: bool, dc: bool, max_phases: int, scale: float) -> ScheduleReqEntry:
        features = self.features
        root: dict[str, object] = {}
        leaf: dict[str, object] = {}
        amps = (16.0, 20.0, 32.0, 32.0, 10.0, 8.0, 0.0) if is_evse else (63.0, 40.0, 25.0, 16.0, 20.0, 0.0)
        watts = (11000.0, 22000.0, 3500.0, 4140.0) if is_evse else (22000.0, 9000.0, 4140.0, 30000.0, 6000.0)
        if dc:
            leaf["total_power_W"] = NumberWithSource(
                scale * self.number(20000.0, 15000.0, 50000.0), f"{uuid}/leafW"
            )
        elif is_evse or self.chance(0.7):
            root["ac_max_current_A"] = NumberWithSource(scale * self.number(*amps), f"{uuid}/A")
            if self.chance(0.25):
                leaf["ac_max_current_A"] = NumberWithSource(scale * self.number(*amps), f"{uuid}/leafA")
        if features.watts and self.chance(0.4):
            root["total_power_W"] = NumberWithSource(scale * self.number(*watts), f"{uuid}/W")
        if features.watts and self.chance(0.2) and "total_power_W" not in leaf:
            leaf["total_power_W"] = NumberWithSource(scale * self.number(*watts), f"{uuid}/leafW")
        if is_evse and not dc:
            if features.minimums:
                root["ac_min_current_A"] = NumberWithSource(
                    self.random.choice((6.0, 6.0, 8.0, 0.0)), f"{uuid}/min"
                )
            root["ac_max_phase_count"] = IntegerWithSource(max_phases, f"{uuid}/maxph")
            if self.chance(0.85):
                least = min(max_phases, self.random.choice((1, 1, 1, 2)))
                root["ac_min_phase_count"] = IntegerWithSource(least, f"{uuid}/minph")
            if self.chance(0.9):
                root["ac_number_of_active_phases"] = self.random.randint(1, 3)
            if self.chance(0.5):
                root["ac_supports_changing_phases_during_charging"] = self.chance(0.8)
        elif not is_evse and self.chance(0.3):
            root["ac_max_phase_count"] = IntegerWithSource(self.random.choice((3, 3, 2, 1)), f"{uuid}/maxph")
        efficiency = (
            self.random.choice((0.8, 0.95, 1.0)) if features.efficiency and self.chance(0.5) else None
        )
        return ScheduleReqEntry(
            timestamp="",
            limits_to_root=LimitsReq(**root),  # type: ignore[arg-type]
            limits_to_leaves=LimitsReq(**leaf),  # type: ignore[arg-type]
            conversion_efficiency=efficiency,
        )

    def setpoints(self, uuid: str) -> tuple[ScheduleSetpointEntry, ...]:
        count = self.random.randint(1, 2) if self.features.schedules else 1
        return tuple(
            ScheduleSetpointEntry(
                timestamp=self.time(first=i == 0), setpoint=None if self.chance(0.1) else self.setpoint(uuid)
            )
            for i in range(count)
        )

    def setpoint(self, uuid: str) -> SetpointType:
        sign = -1.0 if self.features.export and self.chance(0.5) else 1.0
        priority = self.random.choice((0, 1, 500)) if self.features.setpoint_priorities else 0
        kind = self.random.choice(("A", "W", "table"))
        if kind == "A":
            current = sign * self.number(10.0, 16.0, 40.0, 0.0)
            return SetpointType(priority=priority, source=f"{uuid}/setpoint", ac_current_A=current)
        if kind == "W":
            power = sign * self.number(10000.0, 5000.0, 20000.0, 0.0)
            return SetpointType(priority=priority, source=f"{uuid}/setpoint", total_power_W=power)
        table = tuple(
            FrequencyWattPoint(frequency_Hz=hertz, total_power_W=watt)
            for hertz, watt in ((49.0, 3000.0), (51.0, 20000.0), (50.0, 9000.0))
        )
        return SetpointType(priority=priority, source=f"{uuid}/setpoint", frequency_table=table)


def story_of(features: Features) -> Story:
    """The story that these features make, always the same."""
    maker = _Maker(features)
    config = maker.config()
    shape = maker.shape()
    start = NOW_US
    steps: list[Step] = []
    for i in range(features.steps):
        if i and maker.chance(0.2):
            steps.append(Step(start, steps[-1].request))
        else:
            again = _Maker(replace(features, seed=features.seed + 1_000_003 * i))
            steps.append(Step(start, again.tree(shape)))
        start += maker.random.choice((1, 30, 300, 700, 3600, -500)) * 1_000_000
    return Story(config, tuple(steps))


FLAGS = (
    "watts", "dc", "mixed_phases", "minimums", "schedules", "efficiency", "setpoints",
    "setpoint_priorities", "export", "tiers", "odd_numbers",
)  # fmt: skip


def features(**fixed: object) -> st.SearchStrategy[Features]:
    """All features drawn, but for those that are given."""
    flags = st.booleans()
    drawn: dict[str, st.SearchStrategy[object]] = {
        "seed": st.integers(0, 2**24),
        "evses": st.integers(1, 12),
        "levels": st.integers(1, 5),
        "steps": st.just(1),
        **dict.fromkeys(FLAGS, flags),
        "switching": st.just(False),
    }
    return st.builds(Features, **{**drawn, **{name: st.just(value) for name, value in fixed.items()}})


def stories(**fixed: object) -> st.SearchStrategy[Story]:
    """Stories with all features but for those that are given."""
    return features(**fixed).map(story_of)
