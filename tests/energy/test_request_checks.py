"""One child that asks for what cannot be spoils nothing for the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.energy import request_checks
from actors.energy.amount import NOTHING
from actors.energy.branch import Branch
from actors.energy.manager import ManagerCore
from actors.energy.market import RequestError, allocate
from actors.energy.messages import MarketAnswer, ModuleStatus, Order, Report
from actors.energy.request_checks import NOT_HEARD, RequestCheck
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
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
from tests.energy.builders import at, child, entry, grants, report, runs, said, stamp, trunk
from tests.energy.family import ampere
from tests.energy.tree_bench import Tree

SITE = EnergyManagerConfig()
NOW = stamp(0.0)


def evse(uuid: str = "liar", **more: Any) -> EnergyFlowRequest:
    schedule = (entry(NOW, A=32.0),)
    given_ = {"schedule_import": schedule, "schedule_export": schedule} | more
    return EnergyFlowRequest(uuid=uuid, node_type=NodeType.Evse, **given_)


def node(*children: EnergyFlowRequest, uuid: str = "liar", **more: Any) -> EnergyFlowRequest:
    return EnergyFlowRequest(uuid=uuid, node_type=NodeType.Generic, children=children, **more)


def limited(**limits: Any) -> ScheduleReqEntry:
    return ScheduleReqEntry(timestamp=NOW, limits_to_root=LimitsReq(**limits), limits_to_leaves=LimitsReq())


def setpoint(**more: Any) -> tuple[ScheduleSetpointEntry, ...]:
    return (
        ScheduleSetpointEntry(timestamp=NOW, setpoint=SetpointType(source="x", **({"priority": 0} | more))),
    )


def deep(levels: int) -> EnergyFlowRequest:
    made = evse(f"m{levels}")
    for level in range(levels - 1, 0, -1):
        made = node(made, uuid=f"m{level}")
    return replace(made, uuid="liar")


HALF = entry(NOW, A=32.0, conversion_efficiency=0.009)
TABLE = (FrequencyWattPoint(frequency_Hz=float("nan"), total_power_W=1.0),)
METER = Powermeter(timestamp=NOW, frequency_Hz=Frequency(L1=float("inf")))
LIES: dict[str, tuple[EnergyFlowRequest, str]] = {
    "another's module": (evse("honest"), "uuid"),
    "a module of the site that is not below it": (node(evse("elsewhere")), "children[0].uuid"),
    "one module twice": (node(evse("m1"), evse("m1")), "children[1].uuid"),
    "one module twice, once not heard": (node(evse("m1"), evse(f"m1{NOT_HEARD}")), "children[1].uuid"),
    "too deep a tree": (deep(4), "children[0].children[0].children[0]"),
    "a negative limit": (
        evse(schedule_import=(entry(NOW, A=-1.0),)),
        "schedule_import[0].limits_to_root.ac_max_current_A.value",
    ),
    "a limit without end": (
        evse(schedule_export=(entry(NOW, W=float("inf")),)),
        "schedule_export[0].limits_to_root.total_power_W.value",
    ),
    "four phases": (
        evse(schedule_import=(limited(ac_max_phase_count=IntegerWithSource(4)),)),
        "schedule_import[0].limits_to_root.ac_max_phase_count.value",
    ),
    "an efficiency above 1": (
        evse(schedule_import=(entry(NOW, conversion_efficiency=1.1),)),
        "schedule_import[0].conversion_efficiency",
    ),
    "efficiencies that multiply to nearly nothing": (
        node(evse("m1", schedule_import=(HALF,)), schedule_import=(HALF,)),
        "children[0]",
    ),
    "no timestamp": (evse(schedule_import=(entry("yesterday"),)), "schedule_import[0].timestamp"),
    "a negative priority": (evse(priority=-1), "priority"),
    "a fallback that is no number": (evse(fallback_A=float("nan")), "fallback_A"),
    "a fallback beyond belief": (evse(fallback_W=1e10), "fallback_A"),
    "a setpoint of priority 1001": (
        evse(schedule_setpoints=setpoint(priority=1001)),
        "schedule_setpoints[0].setpoint.priority",
    ),
    "a table that is no number": (
        evse(schedule_setpoints=setpoint(frequency_table=TABLE)),
        "schedule_setpoints[0].setpoint.frequency_table[0].frequency_Hz",
    ),
    "a setpoint without a time": (
        evse(schedule_setpoints=(ScheduleSetpointEntry(timestamp="soon"),)),
        "schedule_setpoints[0].timestamp",
    ),
    "a frequency without end": (evse(energy_usage_leaves=METER), "energy_usage_leaves.frequency_Hz.L1"),
}
BRANCH = ("liar", "m1", "m2", "m3", "m4")


@pytest.mark.parametrize("lie", LIES)
def test_what_the_market_would_refuse_is_refused_with_its_path(lie: str) -> None:
    request, path = LIES[lie]
    with pytest.raises(RequestError) as error:
        RequestCheck(BRANCH, 3).check(request)
    assert error.value.path == path


def test_an_honest_request_passes_whatever_it_says_of_silent_modules() -> None:
    silent = evse(f"m2{NOT_HEARD}", fallback_A=16.0)
    RequestCheck(BRANCH, 3).check(node(evse("m1"), silent, schedule_import=(entry(NOW, W=11e3),)))


def test_size_and_number_of_moments_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = tuple(entry(stamp(float(second)), A=16.0) for second in range(5))
    monkeypatch.setattr(request_checks, "MOST_INSTANTS", 4)
    with pytest.raises(RequestError, match="more than 4"):
        RequestCheck(BRANCH, 3).check(evse(schedule_import=moments))
    RequestCheck(BRANCH, 3).check(evse(schedule_import=moments[:4], schedule_export=moments[:4]))
    monkeypatch.setattr(request_checks, "SIZE_MAX_B", 0)
    monkeypatch.setattr(request_checks, "SIZE_MAX_PER_MODULE_B", 100)
    long = limited(ac_max_current_A=NumberWithSource(1.0, "x" * 1_000))
    with pytest.raises(RequestError, match="bytes"):
        RequestCheck(BRANCH, 3).check(evse(schedule_import=(long,)))


NUMBERS = st.sampled_from([-1.0, 0.0, 1e-9, 0.5, 1.0, 6.0, 32.0, 1e9, 1e300])
LIMITS = st.builds(
    LimitsReq,
    total_power_W=st.none() | st.builds(NumberWithSource, NUMBERS),
    ac_max_current_A=st.none() | st.builds(NumberWithSource, NUMBERS),
    ac_min_current_A=st.none() | st.builds(NumberWithSource, NUMBERS),
    ac_max_phase_count=st.none() | st.builds(IntegerWithSource, st.integers(0, 4)),
)
ENTRIES = st.lists(
    st.builds(
        ScheduleReqEntry,
        timestamp=st.sampled_from([NOW, stamp(3600.0), "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", ""]),
        limits_to_root=LIMITS,
        limits_to_leaves=LIMITS,
        conversion_efficiency=st.none() | NUMBERS,
    ),
    max_size=2,
).map(tuple)
ANY_REQUEST = st.recursive(
    st.builds(
        EnergyFlowRequest,
        uuid=st.sampled_from([*BRANCH, f"m1{NOT_HEARD}", "honest"]),
        node_type=st.sampled_from(NodeType),
        schedule_import=ENTRIES,
        schedule_export=ENTRIES,
        priority=st.none() | st.integers(-1, 3),
        fallback_A=st.none() | NUMBERS,
    ),
    lambda inner: st.tuples(inner, st.lists(inner, max_size=3)).map(
        lambda both: replace(both[0], node_type=NodeType.Generic, children=tuple(both[1]))
    ),
    max_leaves=6,
)


@given(ANY_REQUEST)
def test_what_passes_never_makes_the_market_refuse_the_whole(request: EnergyFlowRequest) -> None:
    try:
        RequestCheck(BRANCH, 3).check(request)
    except RequestError:
        return
    whole = EnergyFlowRequest(
        uuid="root",
        node_type=NodeType.Generic,
        children=(request, evse("honest")),
        schedule_import=(entry(NOW, A=63.0, conversion_efficiency=0.01),),
        schedule_export=(entry(NOW, A=63.0),),
    )
    allocate(whole, SITE, at(0.0).wall_us)


# --- the tree ------------------------------------------------------------------------------------


class LyingTree(Tree):
    """The reports of `left` tell a lie from the moment that there is one."""

    lie: EnergyFlowRequest | None = None

    def _over_link(self, target: str, message: Any) -> None:
        if self.lie is not None and isinstance(message, Report) and message.child == "left":
            message = replace(message, wants=self.lie)
        super()._over_link(target, message)


@pytest.mark.parametrize(
    "lie",
    [
        replace(evse("left"), schedule_import=(entry("never"),)),
        node(evse("r1"), evse("r2"), uuid="left"),
        node(uuid="right"),
        node(evse("l1", priority=-5), uuid="left"),
    ],
)
def test_one_liar_falls_to_its_fallback_and_the_others_get_the_room(lie: EnergyFlowRequest) -> None:
    tree = LyingTree()
    tree.run(60.0)
    assert tree.in_force() == pytest.approx({"l1": 15.0, "l2": 15.0, "r1": 15.0, "r2": 15.0})
    tree.lie = lie
    tree.run(60.0)
    assert tree.in_force() == pytest.approx({"l1": 6.0, "l2": 6.0, "r1": 16.0, "r2": 16.0})
    tree.lie = None
    tree.run(60.0)
    assert tree.in_force() == pytest.approx({"l1": 15.0, "l2": 15.0, "r1": 15.0, "r2": 15.0})


def test_a_refusal_is_told_once_and_shown() -> None:
    core = ManagerCore(trunk("root", child("liar"), child("honest"), fuse_A=63.0), at(0.0), kept_epoch=0)
    core.step(at(0.0), report("honest", 0.0))
    bad = evse(priority=-1)
    row = (ModuleStatus(id="liar", kind="EvseManager", controller="main"),)
    told = said(core.step(at(0.1), report("liar", 0.1, wants=bad, status=row)))
    assert "the request of liar is refused, it is granted nothing: priority" in " ".join(told)
    assert not [
        text for text in said(core.step(at(0.2), report("liar", 0.2, wants=bad))) if "refused" in text
    ]
    assert (
        "its request is refused" in next(s for s in core.report_status(at(0.3)) if s.id == "liar").waits_for
    )


def test_a_refused_child_counts_with_what_it_may_still_draw() -> None:
    core = ManagerCore(trunk("root", child("liar"), child("honest"), fuse_A=32.0), at(0.0), kept_epoch=0)
    holds = {"acked": Order(0, 0), "committed": ampere(20.0), "holds": ampere(20.0)}
    core.step(at(0.1), report("liar", 0.1, wants=evse(priority=-1), **holds))
    core.step(at(0.1), report("honest", 0.1, wants=evse("honest"), committed=NOTHING))
    [run] = runs(core.step(at(2.0), None))
    load = next(c for c in run.request.children if c.uuid.startswith("liar"))
    assert (load.uuid, load.fallback_A) == (f"liar{NOT_HEARD}", 20.0)
    assert grants(core.step(at(2.1), MarketAnswer())) == {}


def test_nobody_shows_rows_for_modules_of_others() -> None:
    branch = Branch((child("a", "a1", kind="EnergyNode"), child("b")), SITE, 0.0, kept_epoch=0)
    rows = tuple(ModuleStatus(id=name, kind="EvseManager", controller="x") for name in ("a", "a1", "b"))
    branch.hear(0.0, report("a", 0.0, status=rows))
    assert [(row.id, row.controller) for row in branch.status(0.1)] == [
        ("a", "x"),
        ("a1", "x"),
        ("b", "main"),
    ]


def test_what_was_read_before_is_not_read_again_and_what_is_new_is() -> None:
    looked = RequestCheck(BRANCH, 3)
    good = (entry(NOW, A=16.0),)
    looked.check(node(evse("m1", schedule_import=good), evse("m2", schedule_import=good)))
    bad = (entry("never", A=16.0),)
    for _ in range(2):
        with pytest.raises(RequestError, match=r"children\[1\].schedule_import\[0\].timestamp"):
            looked.check(node(evse("m1", schedule_import=good), evse("m2", schedule_import=bad)))
    looked.check(node(evse("m1", schedule_import=good), evse("m2", schedule_import=good)))
