"""What the market refuses, always with the JSON path to the value."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from actors.energy.market import RequestError, allocate
from actors.energy.market.decoding import config_from, request_from
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    Frequency,
    FrequencyWattPoint,
    LimitsReq,
    NumberWithSource,
    Powermeter,
    ScheduleReqEntry,
)
from tests.energy.market.building import NOW, NOW_US, entry, evse, node, run, setpoint

ROOT = "limits_to_root"
TABLE = (FrequencyWattPoint(frequency_Hz=50.0, total_power_W=math.nan),)
METER = Powermeter(timestamp="", frequency_Hz=Frequency(L1=math.nan))
ENTRY = ScheduleReqEntry(timestamp=NOW, limits_to_root=LimitsReq(), limits_to_leaves=LimitsReq())


def refused(request: EnergyFlowRequest, **config: Any) -> RequestError:
    with pytest.raises(RequestError) as error:
        run(request, **config)
    return error.value


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"A": -0.1}, f"{ROOT}.ac_max_current_A.value"),
        ({"A": "16"}, f"{ROOT}.ac_max_current_A.value"),
        ({"A": True}, f"{ROOT}.ac_max_current_A.value"),
        ({"W": math.nan}, f"{ROOT}.total_power_W.value"),
        ({"min_A": math.inf}, f"{ROOT}.ac_min_current_A.value"),
        ({"leaf_W": -math.inf}, "limits_to_leaves.total_power_W.value"),
        ({"phases": 0}, f"{ROOT}.ac_max_phase_count.value"),
        ({"phases": 4}, f"{ROOT}.ac_max_phase_count.value"),
        ({"leaf_min_phases": 4}, "limits_to_leaves.ac_min_phase_count.value"),
        ({"active": 0}, f"{ROOT}.ac_number_of_active_phases"),
        ({"active": 4}, f"{ROOT}.ac_number_of_active_phases"),
        ({"efficiency": 0.0}, "conversion_efficiency"),
        ({"efficiency": 1.01}, "conversion_efficiency"),
        ({"efficiency": math.nan}, "conversion_efficiency"),
        ({"at": "yesterday"}, "timestamp"),
        ({"at": "2025-02-30T00:00:00Z"}, "timestamp"),
        ({"at": None}, "timestamp"),
        ({"at": "9999-12-31T23:59:59-10:00"}, "timestamp"),
        ({"at": "0001-01-01T00:00:00+10:00"}, "timestamp"),
    ],
)
@pytest.mark.parametrize("direction", ["import", "export"])
def test_bad_values_of_an_entry_are_refused_with_their_path(
    values: dict[str, Any], path: str, direction: str
) -> None:
    bad = {f"{direction}s": (entry("x", A=16.0), entry("x", **values))}
    site = node("root", evse("a"), node("panel", evse("b"), evse("c", **bad)))
    assert refused(site).path == f"children[1].children[1].schedule_{direction}[1].{path}"


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"priority": 1001, "ac_current_A": 1.0}, "schedule_setpoints[0].setpoint.priority"),
        ({"priority": -1, "ac_current_A": 1.0}, "schedule_setpoints[0].setpoint.priority"),
        ({"ac_current_A": math.nan}, "schedule_setpoints[0].setpoint.ac_current_A"),
        ({"total_power_W": -math.inf}, "schedule_setpoints[0].setpoint.total_power_W"),
        ({"frequency_table": TABLE}, "schedule_setpoints[0].setpoint.frequency_table[0].total_power_W"),
        ({"at": "soon", "ac_current_A": 1.0}, "schedule_setpoints[0].timestamp"),
    ],
)
def test_bad_setpoints_are_refused_with_their_path(more: dict[str, Any], path: str) -> None:
    assert refused(node("root", evse("a"), schedule_setpoints=(setpoint("x", **more),))).path == path


def test_a_frequency_that_is_no_number_is_refused_with_its_path() -> None:
    site = node("root", schedule_setpoints=(setpoint("x", ac_current_A=1.0),), energy_usage_root=METER)
    assert refused(site).path == "energy_usage_root.frequency_Hz.L1"


def test_two_evses_of_one_name_are_refused_but_not_two_nodes() -> None:
    double = refused(node("root", evse("a"), node("panel", evse("a"))))
    assert double.path == "children[1].children[0].uuid"
    assert "'a'" in double.message
    assert len(run(node("x", node("x", evse("a"))))) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slice_ampere", 0.0),
        ("slice_watt", -1.0),
        ("slice_watt", math.nan),
        ("nominal_ac_voltage", math.inf),
        ("update_interval", 0),
        ("schedule_interval_duration", 0),
        ("schedule_interval_duration", -5),
        ("schedule_total_duration", 0),
        ("switch_3ph1ph_max_nr_of_switches_per_session", -1),
        ("switch_3ph1ph_time_hysteresis_s", -1),
        ("switch_3ph1ph_while_charging_mode", "Always"),
        ("switch_3ph1ph_switch_limit_stickyness", "TwoPhase"),
    ],
)
def test_bad_configurations_are_refused_with_their_key(key: str, value: object) -> None:
    assert refused(evse("a"), **{key: value}).path == f"config.{key}"


def test_work_without_bound_is_refused() -> None:
    many = refused(evse("a"), schedule_interval_duration=1, schedule_total_duration=1_000_000)
    assert many.path == "config.schedule_total_duration"
    deep = evse("a")
    for i in range(200):
        deep = node(f"n{i}", deep)
    assert refused(deep).path == ".".join(["children[0]"] * 200)
    assert len(run(deep.children[0])) == 1
    long = node("root", evse("a", imports=(entry("x", A=1.0),) * 20_001))
    assert refused(long).path == "children[0].schedule_import"


def test_efficiencies_that_leave_nothing_are_refused() -> None:
    assert refused(node("root", evse("a"), imports={"efficiency": 1e-12})).path == "schedule_import"


@pytest.mark.parametrize(
    "malformed",
    [
        msgspec.structs.replace(evse("a"), children=(None,)),
        msgspec.structs.replace(evse("a"), node_type="Evse"),
        msgspec.structs.replace(evse("a"), uuid=7),
        msgspec.structs.replace(evse("a"), schedule_import=(None,)),
        msgspec.structs.replace(evse("a"), priority=-1),
        msgspec.structs.replace(evse("a"), schedule_export=(msgspec.structs.replace(ENTRY, limits_to_root=None),)),
        msgspec.structs.replace(evse("a"), schedule_export=(msgspec.structs.replace(ENTRY, limits_to_root=LimitsReq(
            total_power_W=7)),)),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_requests_of_wrong_types_are_refused_and_nothing_else_is_raised(malformed: EnergyFlowRequest) -> None:
    refused(malformed)


def test_the_types_of_json_are_checked_with_their_path() -> None:
    good: dict[str, Any] = msgspec.to_builtins(node("root", evse("a")))
    assert request_from(good) == node("root", evse("a"))
    good["children"][0]["schedule_import"][0]["limits_to_root"]["ac_max_current_A"]["value"] = "much"
    with pytest.raises(RequestError) as error:
        request_from(good)
    assert error.value.path == "children[0].schedule_import[0].limits_to_root.ac_max_current_A.value"
    del good["children"][0]["schedule_import"], good["children"][0]["node_type"]
    with pytest.raises(RequestError) as error:
        request_from(good)
    assert error.value.path == "children[0].node_type"


def test_options_of_newer_managers_are_accepted_where_they_are_neutral() -> None:
    neutral = {
        "broker_strategy": "FastCharging",
        "phase_symmetry_enabled": False,
        "redistribution_margin_A": 2.0,
    }
    assert config_from({**neutral, "slice_watt": 100}) == EnergyManagerConfig(slice_watt=100)
    for key, value in (
        ("broker_strategy", "PowerRedistribution"),
        ("phase_symmetry_enabled", True),
        ("oops", 1),
    ):
        with pytest.raises(RequestError) as error:
            config_from({key: value})
        assert error.value.path == key


def test_arguments_are_never_changed() -> None:
    site, config = node("root", evse("a"), evse("b"), imports={"A": 20.0}), EnergyManagerConfig()
    before = msgspec.json.encode(site)
    _, memory = allocate(site, config, NOW_US)
    contexts = dict(memory.contexts)
    allocate(site, config, NOW_US + 10**9, memory)
    assert msgspec.json.encode(site) == before
    assert dict(memory.contexts) == contexts


def test_huge_limits_are_no_trouble() -> None:
    huge = NumberWithSource(3.4e38, "max float")
    limits = LimitsReq(ac_max_current_A=huge, total_power_W=huge)
    schedule = (ScheduleReqEntry(timestamp=NOW, limits_to_root=limits, limits_to_leaves=limits),)
    allocation = run(node("root", evse("a"), evse("b", imports=schedule), imports=schedule))
    assert allocation.now("a").ac_max_current_A == NumberWithSource(32.0, "a/A")
