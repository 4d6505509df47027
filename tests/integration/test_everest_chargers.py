"""Chargers that run EVerest, at a real broker, share the fuse of a running site."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.clock import steady_s
from tests.integration.brokers import broker, needs_mosquitto
from tests.integration.conftest import ROOT, RunningSite, wait_for
from tests.integration.everest_charger import EverestCharger, most_together_A

Begin = Callable[..., RunningSite]
FUSE_A, SETTLE_S = 32.0, 2.0
LEASE_S = 10.0
IN_TIME_S = LEASE_S * 1.1 / 0.9 + SETTLE_S
"""A charger that hears nothing more is down within this."""


def garage(port: int) -> dict[str, Any]:
    """configs/everest.yaml at this broker, with limits that are shorter than its own."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "everest.yaml").read_text())
    modules = data["active_modules"]
    modules["energy_root"]["config"]["update_interval"] = 1
    modules["chargers"]["config"] |= {"host": "127.0.0.1", "port": port, "min_lease_s": 10, "reaction_s": 1.5}
    for module in modules.values():
        if module["module"] == "EvseManager":
            module["config"]["settle_time_s"] = SETTLE_S
    return data


@pytest.mark.long
@needs_mosquitto
def test_chargers_share_a_fuse_and_fall_back_when_nobody_renews(begin: Begin, tmp_path: Path) -> None:
    with broker(tmp_path / "broker") as mosquitto, ExitStack() as stack:
        offsets_s = {"evse_1": 0.0, "evse_2": 3600.0, "evse_3": -90.0}
        one, two, three = chargers = [
            stack.enter_context(EverestCharger(mosquitto.port, name, offset_s))
            for name, offset_s in offsets_s.items()
        ]
        site = begin.data(garage(mosquitto.port), "everest")  # type: ignore[attr-defined]

        def flows(*amounts_A: float) -> Callable[[], bool]:
            return lambda: all(
                abs(charger.flowed[-1][1] - amount_A) < 0.6
                for charger, amount_A in zip(chargers, amounts_A, strict=True)
            )

        wait_for("all have their fallback, which they never had before", flows(0, 0, 0))
        since_s = steady_s()
        wait_for("three share the fuse, whatever their clocks show", flows(10.7, 10.7, 10.7))
        one.plugged = False
        wait_for("two get what the third leaves", flows(0, 16, 16))
        two.restart()
        three.clock_offset_s = -3600.0  # set back
        wait_for("a clock that was set back ends nothing late", lambda: three.flowed[-1][1] == 0.0)
        wait_for("they come back to it", flows(0, 16, 16))

        mosquitto.kill()
        killed_s = steady_s()
        mosquitto.start()
        wait_for(
            "the broker is back, and they are told first to fall back",
            lambda: all((0.0, True) in ((A, at_s > killed_s) for at_s, A in c.flowed) for c in (two, three)),
        )
        wait_for("they charge again", flows(0, 16, 16))
        site.kill("garage")
        killed_s = steady_s()
        wait_for("all fall back without their controller", flows(0, 0, 0))
        assert max(charger.flowed[-1][0] for charger in chargers) <= killed_s + IN_TIME_S
        assert most_together_A(chargers, since_s) <= FUSE_A + 0.1
