"""`external_limits:` of a module."""

from __future__ import annotations

import pytest

from actors.config import ConfigError, parse_site
from actors.energy.external import ShortLimits, short_form
from actors.energy.grid_limit import GridLimitConfig
from actors.energy.types import ExternalLimits, LimitsReq, NumberWithSource, ScheduleReqEntry
from actors.site import SourceConfig


def sources(text: str) -> tuple[SourceConfig, ...]:
    site = parse_site(f"root: {{module: EnergyManager, external_limits: {text}}}", "test")
    return site.modules["root"].sources


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        sources(text)
    return [line.removeprefix("root.external_limits.") for line in str(caught.value).splitlines()]


def always(**limits: float) -> tuple[ScheduleReqEntry, ...]:
    numbers = {name: NumberWithSource(value, "grid") for name, value in limits.items()}
    return (
        ScheduleReqEntry(
            timestamp="1970-01-01T00:00:00.000Z",
            limits_to_root=LimitsReq(**numbers),  # type: ignore[arg-type]
            limits_to_leaves=LimitsReq(),
        ),
    )


def test_the_short_form_holds_from_the_start_and_names_its_source() -> None:
    assert sources("{grid: {limit: {total_power_W: 22000, ac_max_current_A: 32}}}") == (
        SourceConfig(
            name="grid",
            limits=ExternalLimits(schedule_import=always(total_power_W=22000.0, ac_max_current_A=32.0)),
        ),
    )


def test_export_is_limited_only_where_it_is_named() -> None:
    (grid,) = sources("{grid: {limit: {ac_max_current_A: 32, export_total_power_W: 0}}}")
    assert grid.limits == ExternalLimits(
        schedule_import=always(ac_max_current_A=32.0), schedule_export=always(total_power_W=0.0)
    )


def test_a_heartbeat_brings_its_failsafe() -> None:
    (grid,) = sources("{grid: {heartbeat_timeout_s: 60, failsafe: {ac_max_current_A: 6}}}")
    assert grid == SourceConfig(
        name="grid",
        heartbeat_timeout_s=60.0,
        failsafe=ExternalLimits(schedule_import=always(ac_max_current_A=6.0)),
    )


def test_a_source_may_only_be_named() -> None:
    assert sources("{solar: {}, grid: }") == (SourceConfig(name="solar"), SourceConfig(name="grid"))


def test_negative_setpoints_discharge() -> None:
    (grid,) = sources("{grid: {limit: {setpoint_W: -5000}}}")
    assert grid.limits is not None
    setpoint = grid.limits.schedule_setpoints[0].setpoint
    assert setpoint is not None
    assert (setpoint.total_power_W, setpoint.source) == (-5000.0, "grid")


def test_schedules_in_everests_form_load_and_get_a_source() -> None:
    (grid,) = sources(
        """
        {grid: {limit: {schedule_import: [
          {timestamp: 2026-01-01T00:00:00Z,
           limits_to_root: {total_power_W: {value: 11000}, ac_max_phase_count: {value: 1, source: law}},
           limits_to_leaves: {}}]}}}
        """
    )
    assert grid.limits is not None
    (entry,) = grid.limits.schedule_import
    assert entry.timestamp == "2026-01-01T00:00:00Z"
    assert entry.limits_to_root.total_power_W == NumberWithSource(11000.0, "grid")
    assert entry.limits_to_root.ac_max_phase_count is not None
    assert entry.limits_to_root.ac_max_phase_count.source == "law"


def test_a_grid_operator_has_lpcs_values_and_his_failsafe() -> None:
    (dso,) = sources("{dso: {lpc: }}")
    assert dso == SourceConfig(name="dso", failsafe=short_limits(4200.0, "dso"), grid=GridLimitConfig())
    (dso,) = sources(
        "{dso: {lpc: {failsafe_W: 3000, devices: 2, failsafe_minimum_h: 24}, random_delay_s: 60}}"
    )
    assert dso.random_delay_s == 60.0
    assert dso.failsafe == short_limits(7560.0, "dso")


def short_limits(power_W: float, source: str) -> ExternalLimits:
    return short_form(ShortLimits(total_power_W=power_W), source)


SCHEDULE = "{grid: {limit: {schedule_import: "
ENTRY = "timestamp: 2026-01-01T00:00:00Z, limits_to_leaves: {}"

CASES = [
    ("[a]", ["root.external_limits: expected a mapping, got a list"]),
    ("{grid: 32}", ["grid: expected a mapping, got 32"]),
    (
        "{a/b: {}}",
        ['a/b: a name is made of letters, digits, "_", "-" and ".", and starts with a letter, digit or "_"'],
    ),
    ("{grid: {limits: {}}}", ['grid.limits: unknown key; did you mean "limit"?']),
    ("{grid: {limit: {}}}", ["grid.limit: names no limit"]),
    ("{grid: {limit: 5}}", ["grid.limit: expected a mapping, got 5"]),
    (
        "{grid: {limit: {total_power_w: 1}}}",
        ['grid.limit.total_power_w: unknown key; did you mean "total_power_W"?'],
    ),
    (
        "{grid: {limit: {total_power_W: -1, ac_max_current_A: .nan}}}",
        [
            "grid.limit.ac_max_current_A: expected a number, got nan",
            "grid.limit.total_power_W: expected a number, at least 0, got -1.0",
        ],
    ),
    (
        "{grid: {limit: {setpoint_W: 1, setpoint_A: 1}}}",
        ["grid.limit: a setpoint is in watt or in ampere, not both"],
    ),
    (
        "{grid: {heartbeat_timeout_s: 60}}",
        ["grid: heartbeat_timeout_s without failsafe: say what holds when the source is silent"],
    ),
    (
        "{grid: {failsafe: {total_power_W: 0}}}",
        ["grid: failsafe without heartbeat_timeout_s: say when the source counts as silent"],
    ),
    (
        "{grid: {heartbeat_timeout_s: 0, failsafe: {total_power_W: true}}}",
        [
            "grid.heartbeat_timeout_s: expected a number above 0, got 0",
            "grid.failsafe.total_power_W: expected a number, got true",
        ],
    ),
    ("{grid: {limit: {schedule_import: 5}}}", ["grid.limit.schedule_import: expected a list, got 5"]),
    (
        "{grid: {limit: {schedule_export: [], schedule_inport: []}}}",
        ['grid.limit.schedule_inport: unknown key; did you mean "schedule_import"?'],
    ),
    (
        SCHEDULE + "[7, {" + ENTRY + ", limits_to_root: {total_power_W: {value: x}}}]}}}",
        [
            "grid.limit.schedule_import[0]: Expected object, got int",
            "grid.limit.schedule_import[1].limits_to_root.total_power_W.value: Expected float, got str",
        ],
    ),
    (
        SCHEDULE + "[{" + ENTRY + ", limits_to_root: {total_power_W: {value: -5}}}]}}}",
        [
            "grid.limit: schedule_import[0].limits_to_root.total_power_W: "
            "must be finite and not negative, got -5.0"
        ],
    ),
    (
        "{grid: {limit: {schedule_import: [{timestamp: today, limits_to_leaves: {}, limits_to_root: {}}]}}}",
        ["grid.limit: schedule_import[0].timestamp: not an RFC 3339 timestamp: 'today'"],
    ),
    (
        "{dso: {lpc: {failsafe_minimum_h: 1, heartbeat_timeout_s: 121, simultaneity_factor: 0.5}, limit: {}}}",
        [
            "dso.limit: not beside lpc, which says all of a grid operator's source",
            "dso.lpc.failsafe_minimum_h: expected a number from 2 to 24, got 1",
            "dso.lpc.heartbeat_timeout_s: expected a number above 0, got 121",
            "dso.lpc.simultaneity_factor: has no effect without devices",
        ],
    ),
    (
        "{grid: {random_delay_s: 601}}",
        ["grid.random_delay_s: expected a number from 0 to 600, got 601"],
    ),
    (f"{{{', '.join(f's{n}: ' for n in range(65))}}}", ["root.external_limits: at most 64 sources, got 65"]),
]


@pytest.mark.parametrize(("text", "told"), CASES)
def test_a_wrong_source_is_told_with_its_path(text: str, told: list[str]) -> None:
    assert faults(text) == told
