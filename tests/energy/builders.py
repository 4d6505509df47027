"""What the tests of the cores build again and again, each with defaults that a test need not name."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from actors.energy import timestamps
from actors.energy.amount import Amount, of_limits, total
from actors.energy.branch import ChildSettings
from actors.energy.effects import Effect, RunMarket, Save, Say, ToChild, ToDriver, ToGateway, ToParent
from actors.energy.evse import EvseCore
from actors.energy.evse_wishes import EvseSettings
from actors.energy.external import SavedSources, ShortLimits, SourceConfig, short_form
from actors.energy.messages import Actuate, Command, Grant, Instant, Order, Outcome, Reading, Report
from actors.energy.modules import EvseManagerConfig
from actors.energy.trunk import TrunkSettings
from actors.energy.types import (
    EnergyFlowRequest,
    EnergyManagerConfig,
    EnforcedLimits,
    ExternalLimits,
    IntegerWithSource,
    LimitsReq,
    LimitsRes,
    NodeType,
    NumberWithSource,
    ScheduleReqEntry,
)

WALL_US = timestamps.parse("2026-03-01T10:20:00Z")
"""Wall clock at second 0 of every test."""
VOLT = 230.0

T = TypeVar("T")


def at(mono_s: float, wall_shift_s: float = 0.0) -> Instant:
    """An instant of the test; both clocks go at one rate unless the wall clock is shifted."""
    return Instant(mono_s, WALL_US + round((mono_s + wall_shift_s) * 1e6))


def stamp(mono_s: float) -> str:
    """The timestamp of an instant."""
    return timestamps.format_utc(at(mono_s).wall_us)


def number(value: float | None, source: str = "test") -> NumberWithSource | None:
    """A limit, or none."""
    return None if value is None else NumberWithSource(value, source)


def short(**limits: float) -> ExternalLimits:
    """External limits in the page's short form, from source `test`."""
    return short_form(ShortLimits(**limits), "test")


def entry(
    timestamp: str,
    *,
    A: float | None = None,
    W: float | None = None,
    leaf_W: float | None = None,
    **more: Any,
) -> ScheduleReqEntry:
    """An entry of a schedule; `A` and `W` towards the root."""
    return ScheduleReqEntry(
        timestamp=timestamp,
        limits_to_root=LimitsReq(ac_max_current_A=number(A), total_power_W=number(W)),
        limits_to_leaves=LimitsReq(total_power_W=number(leaf_W)),
        **more,
    )


# --- EVSE ----------------------------------------------------------------------------------------


def reading(t_hardware_s: float, **changes: Any) -> Reading:
    """Of three-phase hardware with a car that asks for energy and draws nothing yet."""
    given_: dict[str, Any] = {
        "plugged_in": True,
        "car_asks": True,
        "closed_phases": 3,
        "currents_A": (0.0, 0.0, 0.0),
        "power_W": 0.0,
        "limit_A": 0.0,
        "limit_ends_in_s": 0.0,
    }
    return Reading(t_hardware_s=t_hardware_s, **(given_ | changes))


def unplugged(t_hardware_s: float) -> Reading:
    """Of hardware without a car."""
    return reading(t_hardware_s, plugged_in=False, car_asks=False, contactor_closed=False)


def evse(
    *,
    phases: int = 3,
    site: EnergyManagerConfig | None = None,
    sources: tuple[SourceConfig, ...] = (),
    saved: SavedSources | None = None,
    boot: str = "boot",
    evse_id: str = "evse",
    born_s: float = 0.0,
    **config: Any,
) -> EvseCore:
    """An EvseManager that starts at second 0."""
    fallback_A = config.get("fallback_limit_A", 0.0)
    evse_settings = EvseSettings(
        id=evse_id,
        controller="main",
        config=EvseManagerConfig(**config),
        site=site or EnergyManagerConfig(),
        phases=phases,
        fallback=Amount(fallback_A, fallback_A * phases * VOLT),
        sources=sources,
    )
    return EvseCore(evse_settings, boot, at(born_s), saved)


def enforced(
    uuid: str = "evse", *, A: float | None = None, W: float | None = None, phases: int | None = None
) -> EnforcedLimits:
    """What the market gives an EVSE."""
    return EnforcedLimits(
        uuid=uuid,
        valid_for=10,
        limits_root_side=LimitsRes(
            ac_max_current_A=number(A, "market"),
            total_power_W=number(W, "market"),
            ac_max_phase_count=None if phases is None else IntegerWithSource(phases, "market"),
        ),
    )


def grant(
    t_echo_s: float,
    seq: int,
    *limits: EnforcedLimits,
    epoch: int = 1,
    duration_s: float = 10.0,
    boot: str = "boot",
    amount: Amount | None = None,
) -> Grant:
    """A grant with these limits, and room for all of them."""
    room = total(of_limits(entry.limits_root_side, VOLT) for entry in limits)
    return Grant(
        boot=boot,
        t_echo_s=t_echo_s,
        order=Order(epoch, seq),
        duration_s=duration_s,
        amount=room if amount is None else amount,
        limits=limits,
    )


# --- nodes ---------------------------------------------------------------------------------------


def child(
    child_id: str,
    *below: str,
    kind: str = "EvseManager",
    controller: str = "main",
    fallback_A: float = 0.0,
    settle_time_s: float = 11.0,
) -> ChildSettings:
    """A child, with what is below it."""
    expected = ((child_id, kind, controller), *((b, "EvseManager", controller) for b in below))
    return ChildSettings(
        id=child_id,
        kind=kind,
        controller=controller,
        fallback=Amount(fallback_A, fallback_A * 3 * VOLT),
        settle_time_s=settle_time_s,
        modules=(child_id, *below),
        expected=expected,
    )


def trunk(
    node_id: str,
    *children: ChildSettings,
    fuse_A: float | None = None,
    site: EnergyManagerConfig | None = None,
    **more: Any,
) -> TrunkSettings:
    """Settings of an EnergyManager or EnergyNode."""
    return TrunkSettings(
        id=node_id,
        kind="EnergyNode",
        controller="main",
        site=site or EnergyManagerConfig(),
        limits=LimitsReq(ac_max_current_A=number(fuse_A, f"{node_id}/fuse")),
        children=children,
        **({"height": 1 + any(len(each.modules) > 1 for each in children)} | more),
    )


def report(child_id: str, t_child_s: float, **changes: Any) -> Report:
    """What an EVSE child tells, asking for nothing in particular."""
    wants = EnergyFlowRequest(uuid=child_id, node_type=NodeType.Evse)
    given_: dict[str, Any] = {"child": child_id, "boot": "boot", "wants": wants, "settle_time_s": 11.0}
    return Report(t_child_s=t_child_s, **(given_ | changes))


def command(target: str, event: Any, origin: str = "root") -> Command:
    """A command that entered at `origin`."""
    return Command(id="1", origin=origin, target=target, event=event)


# --- effects -------------------------------------------------------------------------------------


def actuates(effects: Iterable[Effect]) -> list[Actuate]:
    """What was sent to the hardware."""
    return [e.message for e in effects if isinstance(e, ToDriver)]


def reports(effects: Iterable[Effect]) -> list[Report]:
    """What was reported to the parent."""
    return [e.message for e in effects if isinstance(e, ToParent) and isinstance(e.message, Report)]


def outcomes(effects: Iterable[Effect]) -> list[tuple[str, Outcome]]:
    """Outcomes of commands, and whether they went `up` or `out`."""
    up = [("up", e.message) for e in effects if isinstance(e, ToParent) and isinstance(e.message, Outcome)]
    return [*up, *(("out", e.message) for e in effects if isinstance(e, ToGateway))]


def grants(effects: Iterable[Effect]) -> dict[str, Grant]:
    """The grants by child."""
    return {e.child: e.message for e in effects if isinstance(e, ToChild) and isinstance(e.message, Grant)}


def commands(effects: Iterable[Effect]) -> dict[str, Command]:
    """The commands passed down, by child."""
    return {e.child: e.message for e in effects if isinstance(e, ToChild) and isinstance(e.message, Command)}


def said(effects: Iterable[Effect]) -> list[str]:
    """Lines for the log."""
    return [e.text for e in effects if isinstance(e, Say)]


def saved(effects: Iterable[Effect]) -> list[SavedSources]:
    """What shall be kept over a restart."""
    return [e.sources for e in effects if isinstance(e, Save)]


def runs(effects: Iterable[Effect]) -> list[RunMarket]:
    """What the market was asked."""
    return [e for e in effects if isinstance(e, RunMarket)]


# --- mutants -------------------------------------------------------------------------------------


def assert_caught(check: Callable[[T], None], strategy: SearchStrategy[T], soon: int | None = None) -> None:
    """A property, checked over a mutant: it must fail. `soon` is a seed with which it does so early."""
    search = settings(
        max_examples=1_000,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )

    @search
    @given(strategy)
    def run(example: T) -> None:
        check(example)

    with pytest.raises(AssertionError):
        (run if soon is None else seed(soon)(run))()


def mutated(method: Any, before: str, after: str) -> Any:
    """A copy of a function with a part of its text replaced."""
    text = textwrap.dedent(inspect.getsource(method))
    assert before in text, f"{method.__qualname__} has no {before!r} any more: say anew what the mutant is"
    scope: dict[str, Any] = {}
    exec(
        compile(text.replace(before, after), "<mutant>", "exec", dont_inherit=False),
        method.__globals__,
        scope,
    )
    return scope[method.__name__]
