"""`fixed_load_A` of a node, and its `meter:`."""

from __future__ import annotations

import pytest

from actors.config import ConfigError, parse_site
from actors.energy.fixed_load import MeterConfig
from actors.site import Site


def site(config: str, meter: str = "", evse: str = "", below: str = "{}") -> Site:
    return parse_site(
        f"""
        root: {{module: EnergyManager, connections: {{energy_trunk: [node]}}}}
        node: {{module: EnergyNode, config: {{{config}}}, connections: {{energy_trunk: [below]}}{meter}}}
        below: {{module: EnergyNode, config: {below}, connections: {{energy_trunk: [evse]}}}}
        evse: {{module: EvseManager, config: {{{evse}}}}}
        """,
        "test",
    )


def faults(*args: str, **more: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        site(*args, **more)
    return str(caught.value).splitlines()


def test_a_meter_and_what_is_declared() -> None:
    found = site("fuse_limit_A: 63, fixed_load_A: 20", ", meter: {timeout_s: 5}", below="{fixed_load_A: 8}")
    assert found.modules["node"].meter == MeterConfig(timeout_s=5.0)
    assert [found.fixed_load_A(m) for m in ("root", "node", "below", "evse")] == [20.0, 20.0, 8.0, 0.0]


def test_a_node_keeps_what_the_nodes_below_it_have_declared() -> None:
    assert site("fuse_limit_A: 63", below="{fixed_load_A: 8}").fixed_load_A("node") == 8.0


@pytest.mark.parametrize(
    ("config", "meter", "more", "fault"),
    [
        ("fixed_load_A: 20", ", meter: {}", {}, "node.meter: a meter without a fuse_limit_A"),
        ("fuse_limit_A: 63", ", meter: {}", {}, "node.meter: a meter without a fixed_load_A"),
        (
            "fuse_limit_A: 63, fixed_load_A: 20",
            ", meter: {driver: plan}",
            {},
            'node.meter.driver: no driver "plan"; known: plant; did you mean "plant"?',
        ),
        (
            "fuse_limit_A: 63, fixed_load_A: 20",
            ", meter: {timeout_s: 0}",
            {},
            "node.meter.timeout_s: expected a number above 0, got 0",
        ),
        ("fuse_limit_A: 63, fixed_load_A: 64", "", {}, "the fixed load, 64 A, exceeds 63 A"),
        (
            "fuse_limit_A: 63, fixed_load_A: 5",
            "",
            {"below": "{fixed_load_A: 8}"},
            "5 A are less than what the nodes below have for theirs, 8 A in all",
        ),
        (
            "fuse_limit_A: 63, fixed_load_A: 50",
            "",
            {"evse": "fallback_limit_A: 16"},
            "16 A in all, exceed 13 A that are left without 50 A of fixed load; lower their fallback_limit_A",
        ),
        (
            "fuse_limit_A: 63, fixed_load_A: 50, fallback_limit_A: 16",
            "",
            {},
            "16 A exceed the fuse of 63 A without 50 A of fixed load",
        ),
    ],
)
def test_what_cannot_be(config: str, meter: str, more: dict[str, str], fault: str) -> None:
    assert any(fault in line for line in faults(config, meter, **more))


def test_only_a_node_has_a_meter() -> None:
    with pytest.raises(ConfigError, match=r"root.meter: only an EnergyNode has a meter"):
        parse_site("root: {module: EnergyManager, meter: {}}", "test")
