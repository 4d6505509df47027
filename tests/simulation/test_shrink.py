"""Failing runs are made small."""

from __future__ import annotations

from msgspec.structs import replace

from actors.simulation.checker import Violation
from actors.simulation.faults import draw_plan
from actors.simulation.plan import Crash, Knobs, Plan, Plug
from actors.simulation.run import run_plan
from actors.simulation.shrink import minimal, reduce_plan


def test_only_what_is_needed_together_is_left() -> None:
    asked = 0

    def fails(some: object) -> bool:
        nonlocal asked
        asked += 1
        return {3, 41, 77} <= {*some}  # type: ignore[misc]

    assert list(minimal(range(100), fails)) == [3, 41, 77]
    assert asked < 150


def test_nothing_is_left_where_nothing_is_needed() -> None:
    assert list(minimal(range(10), lambda some: True)) == []


def test_a_plan_is_cut_and_thinned_while_it_fails() -> None:
    plans = (draw_plan(seed, Knobs()) for seed in range(9, 100))
    plan = next(p for p in plans if p.qualities and any(isinstance(h, Crash) for h in p.happenings))
    crashes = [h for h in plan.happenings if isinstance(h, Crash)]
    plugs = [h for h in plan.happenings if isinstance(h, Plug) and h.at_s < crashes[0].at_s]
    needed = {crashes[0], plugs[0]}
    bad_link = next(iter(plan.qualities))

    def fails(some: Plan) -> bool:
        return needed <= {*some.happenings} and bad_link in some.qualities

    found = Violation(kind="overload", at_s=crashes[0].at_s + 5.0, where="n0", text="")
    small = reduce_plan(plan, fails, found)
    assert {*small.happenings} == needed
    assert list(small.qualities) == [bad_link]
    assert small.hurt_s == crashes[0].at_s + 6.0
    assert replace(small, happenings=(), qualities={}, hurt_s=0.0) == replace(
        plan, happenings=(), qualities={}, hurt_s=0.0
    )


def test_meters_are_taken_away_where_none_is_needed() -> None:
    plans = (draw_plan(seed, Knobs(meters=1.0)) for seed in range(100))
    plan = next(p for p in plans if len(_metered(p)) > 1)
    needed = _metered(plan)[0]

    def fails(some: Plan) -> bool:
        return needed in _metered(some)

    found = Violation(kind="overload", at_s=plan.hurt_s, where=needed, text="")
    small = reduce_plan(plan, fails, found)
    assert _metered(small) == [needed]
    assert small.happenings == ()
    assert run_plan(small).violations == ()


def _metered(plan: Plan) -> list[str]:
    return [m.id for m in plan.site.modules.values() if m.meter is not None]
