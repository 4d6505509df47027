"""Limits for the market, and the same with a rule broken."""

from __future__ import annotations

import pytest

from actors.energy.charging_profiles import limits as limits_module
from actors.energy.charging_profiles.composite import Held, Step, Wiring
from actors.energy.charging_profiles.profile import Unit
from actors.energy.types import LimitsReq
from tests.energy.charging_profiles.test_mutants import mutated

THREE = Wiring(230.0, 3)

Given = tuple[float | None, float | None, int | None]
"""Ampere, watt, phases."""
TABLE: list[tuple[Unit, Held, Given]] = [
    ("A", Held(16.0), (16.0, None, None)),
    ("A", Held(None, 6900.0), (10.0, None, None)),
    ("A", Held(16.0, 6900.0), (10.0, None, None)),
    ("A", Held(16.0, None, 3), (16.0, None, 3)),
    ("A", Held(16.0, None, 1), (16.0, 3680.0, 1)),
    ("A", Held(None, 2300.0, 1), (10.0, 2300.0, 1)),
    ("W", Held(10.0), (10.0, 6900.0, None)),
    ("W", Held(None, 6900.0), (None, 6900.0, None)),
    ("W", Held(16.0, 6900.0, 3), (16.0, 6900.0, 3)),
    ("W", Held(10.0, None, 1), (10.0, 2300.0, 1)),
    ("W", Held(), (None, None, None)),
]
MUTANTS = [
    ("hardware that cannot change phases draws on all", "held.watts(wiring) if fewer else None", "None"),
    ("with W a named current is forgotten", "held.limit_A, held.watts(wiring)", "None, held.watts(wiring)"),
    ("with W amperes are not converted", "held.limit_A, held.watts(wiring)", "held.limit_A, held.limit_W"),
    (
        "with A watts are not converted",
        "current_A, power_W = held.amperes(wiring)",
        "current_A, power_W = held.limit_A",
    ),
    ("phases are forgotten", "None if held.phases is None else", "None if True else"),
]


def side(module: object, unit: Unit, held: Held) -> Given:
    external = module.external_limits([Step(0, Held(1.0)), Step(9, held)], unit, THREE, "ocpp")  # type: ignore[attr-defined]
    given = external.schedule_import[1].limits_to_root
    assert isinstance(given, LimitsReq)
    found = (given.ac_max_current_A, given.total_power_W, given.ac_max_phase_count)
    assert all(number is None or number.source == "ocpp" for number in found)
    current, power, phases = (None if number is None else number.value for number in found)
    return current, power, None if phases is None else int(phases)


@pytest.mark.parametrize(("unit", "held", "given"), TABLE)
def test_what_the_market_is_given(unit: Unit, held: Held, given: Given) -> None:
    assert side(limits_module, unit, held) == given


@pytest.mark.parametrize(("what", "before", "after"), MUTANTS, ids=[m[0] for m in MUTANTS])
def test_a_broken_rule_is_noticed(what: str, before: str, after: str) -> None:
    mutant = mutated(limits_module, before, after)
    assert any(side(mutant, unit, held) != given for unit, held, given in TABLE), what


def test_where_nothing_holds_nothing_is_set() -> None:
    assert limits_module.external_limits([Step(0, Held())], "A", THREE, "ocpp") is None


def test_a_grid_operators_limit_is_a_power_and_nothing_else() -> None:
    found = limits_module.grid_limits([Step(0, Held(10.0, 9000.0, 1))], THREE, "dso")
    assert found is not None
    (entry,) = found.schedule_import
    assert entry.limits_to_root.total_power_W is not None
    assert entry.limits_to_root.total_power_W.value == 2300
    assert entry.limits_to_root == LimitsReq(total_power_W=entry.limits_to_root.total_power_W)
