"""Properties that any market should have, whatever its rules."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.market import Memory, allocate
from actors.energy.market.decoding import request_from
from actors.energy.packing import entries_of
from actors.energy.types import EnergyFlowRequest, LimitsReq, NumberWithSource
from tests.energy.market.building import NOW_US, currents, evse, node, results, run
from tests.energy.market.worlds import Story, stories

ONE_UNIT: dict[str, Any] = {
    "watts": False, "dc": False, "mixed_phases": False, "minimums": False, "setpoints": False,
    "export": False, "efficiency": False, "schedules": False,
}  # fmt: skip


def total_A(request: EnergyFlowRequest, story: Story, **config: Any) -> float:
    chosen = msgspec.structs.replace(story.config, **config)
    allocation, _ = allocate(request, chosen, story.steps[0].start_us)
    now = [each.limits_root_side.ac_max_current_A for each in allocation]
    return sum(number.value for number in now if number is not None)


def with_larger_fuse(node: EnergyFlowRequest, index: int, more_A: float) -> tuple[EnergyFlowRequest, int]:
    """The tree with the current limit of its `index`-th node raised; and how many nodes it has."""
    if index == 0:
        node = msgspec.structs.replace(node, schedule_import=tuple(
            msgspec.structs.replace(entry, limits_to_root=_raised(entry.limits_to_root, more_A),
                                    limits_to_leaves=_raised(entry.limits_to_leaves, more_A))
            for entry in entries_of(node.schedule_import)))  # fmt: skip
    seen, children = 1, []
    for child in node.children:
        changed, count = with_larger_fuse(child, index - seen, more_A)
        children.append(changed)
        seen += count
    return msgspec.structs.replace(node, children=tuple(children)), seen


def _raised(limits: LimitsReq, more_A: float) -> LimitsReq:
    now = limits.ac_max_current_A
    if now is None:
        return limits
    return msgspec.structs.replace(limits, ac_max_current_A=NumberWithSource(now.value + more_A, now.source))


@given(stories(**ONE_UNIT), st.integers(0, 20), st.floats(0.0, 50.0))
def test_the_total_never_falls_when_a_fuse_grows(story: Story, index: int, more_A: float) -> None:
    request = story.steps[0].request
    larger, _ = with_larger_fuse(request, index, more_A)
    assert total_A(larger, story) >= total_A(request, story) - 1e-6


@given(stories(**ONE_UNIT), st.floats(0.01, 40.0))
def test_the_total_does_not_depend_on_the_slice(story: Story, slice_A: float) -> None:
    request = story.steps[0].request
    assert abs(total_A(request, story, slice_ampere=slice_A) - total_A(request, story)) < 1e-6


@given(st.integers(1, 12), st.floats(6.0, 500.0), st.floats(0.001, 3.0))
def test_equal_cars_differ_by_at_most_a_slice(count: int, fuse_A: float, slice_A: float) -> None:
    allocation = run(
        node("root", *(evse(f"e{i}") for i in range(count)), imports={"A": fuse_A}), slice_ampere=slice_A
    )
    served = [value for value in currents(allocation).values() if value]
    assert max(served) - min(served) <= slice_A + 1e-6


@given(stories(), st.integers(0, 1000))
def test_the_order_of_json_keys_does_not_matter(story: Story, seed: int) -> None:
    step = story.steps[0]
    shuffled = request_from(_shuffled(msgspec.to_builtins(step.request), random.Random(seed)))
    first, _ = allocate(step.request, story.config, step.start_us)
    second, _ = allocate(shuffled, story.config, step.start_us)
    assert list(first) == list(second)


def _shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: _shuffled(value[key], order) for key in keys}
    return [_shuffled(each, order) for each in value] if isinstance(value, list) else value


@given(stories(steps=2))
def test_the_same_request_on_a_compiled_tree_gets_the_same_answer(story: Story) -> None:
    step = story.steps[0]
    first, memory = allocate(step.request, story.config, step.start_us)
    again, _ = allocate(step.request, story.config, step.start_us, Memory(tree=memory.tree))
    assert results(first) == results(again)


@given(stories(tiers=True))
def test_a_better_tier_is_served_as_if_it_were_alone(story: Story) -> None:
    step = story.steps[0]
    allocation, _ = allocate(step.request, story.config, step.start_us)
    best = min(_priorities(step.request), default=5)
    alone = _without_worse(step.request, best)
    assert alone is not None
    for each in allocate(alone, story.config, step.start_us)[0]:
        assert each.limits_root_side == _unsourced(
            allocation.of(each.uuid).limits_root_side, each.limits_root_side
        )


def _priorities(node: EnergyFlowRequest) -> list[int]:
    own = [5 if node.priority is None else node.priority] if node.node_type.value == "Evse" else []
    return own + [priority for child in node.children for priority in _priorities(child)]


def _without_worse(node: EnergyFlowRequest, best: int) -> EnergyFlowRequest | None:
    """The tree with only the EVSEs of one tier; its slots stay the same, as the others keep their times."""
    if node.node_type.value == "Evse" and (5 if node.priority is None else node.priority) != best:
        return None
    children = [_without_worse(child, best) for child in node.children]
    return msgspec.structs.replace(node, children=tuple(child for child in children if child is not None))


def _unsourced(limits: Any, like: Any) -> Any:
    """The same numbers (to rounding) with the other's sources, which may tell of other ties."""
    for field in ("ac_max_current_A", "total_power_W"):
        ours, theirs = getattr(limits, field), getattr(like, field)
        if ours is not None and theirs is not None and abs(ours.value - theirs.value) < 1e-6 * 690:
            limits = msgspec.structs.replace(limits, **{field: theirs})
    return limits


def test_a_site_without_evses_gets_an_empty_answer() -> None:
    assert list(run(node("root", node("panel")))) == []
    assert run(node("root")).report.used_up() == []


def test_the_root_may_be_an_evse() -> None:
    assert currents(run(evse("alone"), at_us=NOW_US)) == {"alone": 32.0}


def test_an_evse_below_an_evse_shares_its_limits() -> None:
    assert currents(run(msgspec.structs.replace(evse("outer"), children=(evse("inner"),)))) == {
        "outer": 16.0,
        "inner": 16.0,
    }
