"""An EvseManager between a parent and hardware that are made up: its limits hold, whatever comes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from actors.energy import evse as evse_module
from actors.energy import evse_wishes
from actors.energy.draw import Draw, ac_draw
from actors.energy.evse import EvseCore
from actors.energy.lease import Lease
from actors.energy.messages import Grant, Instant, Reading
from actors.energy.schedules import with_schedules
from actors.energy.types import LimitsReq, LimitsRes
from tests.energy.builders import assert_caught
from tests.energy.evse_bench import STEPS, Bench, Step


def play_ac(steps: list[Step]) -> None:
    for closed in (1, 3):
        Bench("AC", closed).play(steps)


def play_dc(steps: list[Step]) -> None:
    Bench("DC").play(steps)


@given(STEPS)
def test_the_hardware_is_never_allowed_more_or_longer_than_all_of_its_limits(steps: list[Step]) -> None:
    play_ac(steps)


@given(STEPS)
def test_dc_hardware_is_never_allowed_more_or_longer_than_all_of_its_limits(steps: list[Step]) -> None:
    play_dc(steps)


def _without_local(
    granted: LimitsRes, local: LimitsReq, phases: int, voltage_V: float, minimum_A: float
) -> Draw:
    return ac_draw(granted, LimitsReq(), phases, voltage_V, minimum_A)


def _on_one_phase(
    granted: LimitsRes, local: LimitsReq, phases: int, voltage_V: float, minimum_A: float
) -> Draw:
    return ac_draw(granted, local, 1, voltage_V, minimum_A)


def _without_sources(request: Any, own: Any, sources: Any, stamp_us: int, now_us: int) -> Any:
    return with_schedules(request, own, (), stamp_us, now_us)


def _takes_any(self: Lease, now_s: float, message: Grant) -> None:
    self.acked, self.grant, self._expires_s = message.order, message, message.t_echo_s + message.duration_s


def _counts_from_receipt(self: Lease, now_s: float, message: Grant) -> str | None:
    return _offer(self, now_s, replace(message, t_echo_s=now_s))


def _always_ten(self: EvseCore, message: Grant | None) -> float:
    return 10.0


def _deaf_to_cable_and_car(self: EvseCore, now: Instant, event: Any) -> Any:
    if isinstance(event, Reading):
        event = replace(event, cable_limit_A=None, car_limit_A=None)
    return _step(self, now, event)


_step, _offer = EvseCore.step, Lease.offer


@pytest.mark.parametrize(
    ("owner", "name", "mutant"),
    [
        (evse_module, "ac_draw", _without_local),
        (evse_module, "ac_draw", _on_one_phase),
        (evse_module, "max", min),  # the fewer of the phases that are commanded and closed
        (evse_wishes, "with_schedules", _without_sources),
        (Lease, "offer", _takes_any),
        (Lease, "offer", _counts_from_receipt),
        (EvseCore, "_duration_s", _always_ten),
        (EvseCore, "step", _deaf_to_cable_and_car),
    ],
)
def test_each_broken_rule_is_caught_by_the_property(
    owner: Any, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mutant, raising=False)
    assert_caught(play_ac, STEPS)
