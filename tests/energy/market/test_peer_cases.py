"""The answers of EVerest's own EnergyManager: the product and the reference both agree with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.energy import timestamps
from actors.energy.market import Memory, allocate
from actors.energy.market.decoding import config_from, request_from
from actors.energy.types import valid_for_s
from tests.energy.market import reference
from tests.energy.market.building import results

CASES = Path(__file__).parents[2] / "data" / "peer-cases" / "peer.jsonl.gz"
FAMILIES = (
    "balance", "tight", "mixed_phases", "watts", "schedule", "dc", "ac_and_dc", "setpoints", "v2g",
    "v2g_dc", "switching", "everything",
)  # fmt: skip
TOLERANCE = {"ac_max_current_A": 0.02, "total_power_W": 2.0}


def cases_of(family: str) -> list[dict[str, Any]]:
    with gzip.open(CASES, "rt", encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines if f'"{family}/' in line]
    return [case for case in cases if case["id"].startswith(f"{family}/")]


def assert_same(got: dict[str, float], expected: dict[str, Any], where: str) -> None:
    assert got.keys() == expected.keys(), where
    for name, value in got.items():
        wanted = expected[name]["value"]
        if name == "ac_max_phase_count":
            assert value == wanted, f"{where} {name}"
        else:
            assert value == pytest.approx(wanted, abs=TOLERANCE[name] + 1e-4 * abs(wanted)), f"{where} {name}"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_market_answers_as_everest_does(family: str) -> None:
    cases = cases_of(family)
    assert len(cases) == 40
    for case in cases:
        config, memory = config_from(case["config"]), Memory()
        for number, step in enumerate(case["steps"]):
            start_us = timestamps.parse(step["start_time"])
            allocation, memory = allocate(request_from(step["request"]), config, start_us, memory)
            answers = msgspec.to_builtins(results(allocation))
            assert [each["uuid"] for each in answers] == [each["uuid"] for each in step["expected"]]
            for ours, theirs in zip(answers, step["expected"], strict=True):
                where = f"{case['id']} step {number} {ours['uuid']}"
                assert ours["valid_for"] == theirs["valid_for"] == valid_for_s(config)
                assert_same(_numbers(ours["limits_root_side"]), theirs["limits_root_side"], where)
                for entry, peer in zip(ours["schedule"], theirs["schedule"], strict=True):
                    assert entry["timestamp"] == peer["timestamp"], where
                    assert_same(_numbers(entry["limits_to_root"]), peer["limits_to_root"], where)


def _numbers(limits: dict[str, Any]) -> dict[str, float]:
    return {name: number["value"] for name, number in limits.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_answers_as_everest_does(family: str) -> None:
    for case in cases_of(family):
        config = config_from(case["config"])
        contexts: reference.Contexts | None = None
        for number, step in enumerate(case["steps"]):
            start_us = timestamps.parse(step["start_time"])
            slots, active, results, contexts = reference.allocate(
                request_from(step["request"]), config, start_us, contexts
            )
            for result, theirs in zip(results, step["expected"], strict=True):
                where = f"{case['id']} step {number} {result.uuid}"
                assert result.uuid == theirs["uuid"]
                assert [timestamps.parse(entry["timestamp"]) for entry in theirs["schedule"]] == slots
                assert_same(_deal(result.deals[active]), theirs["limits_root_side"], where)
                for deal, peer in zip(result.deals, theirs["schedule"], strict=True):
                    assert_same(_deal(deal), peer["limits_to_root"], where)


def _deal(deal: reference.Deal) -> dict[str, float]:
    numbers: dict[str, float] = {}
    if deal.has_A:
        numbers["ac_max_current_A"] = deal.A
    if deal.has_W:
        numbers["total_power_W"] = deal.W
    if deal.phases is not None:
        numbers["ac_max_phase_count"] = deal.phases
    return numbers
