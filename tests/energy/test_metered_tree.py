"""A panel with a meter in a whole tree of cores: its cars take what its load leaves, and no more."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.energy.fixed_load import MeterConfig
from tests.energy.builders import at
from tests.energy.tree_bench import Tree

FUSE_A, DECLARED_A, INTERVAL_S, SETTLE_S = 32.0, 20.0, 1.0, 11.0
METERED = {"fixed_load_A": DECLARED_A, "meter": MeterConfig(timeout_s=5.0, hold_s=10.0, margin_A=1.0)}
HUNDREDTH_A = 0.01


def left_A(tree: Tree) -> float:
    """What the cars of the left panel may draw."""
    in_force = tree.in_force()
    return in_force["l1"] + in_force["l2"]


def test_cars_take_what_the_load_leaves_and_give_way_when_it_rises() -> None:
    tree = Tree(left=METERED)
    tree.load_A = 4.0
    tree.run(60.0)
    assert left_A(tree) == pytest.approx(FUSE_A - 5.0, abs=HUNDREDTH_A)
    tree.load_A = 14.0
    rose_s, over_s = tree.now_s, [0.0]
    tree.run(60.0, lambda: over_s.append(tree.now_s - rose_s) if tree.at_left_A() > FUSE_A else None)
    assert over_s[-1] <= 2 * INTERVAL_S, "and the settle time, which these cars do not need"
    assert left_A(tree) == pytest.approx(FUSE_A - 15.0, abs=HUNDREDTH_A)
    tree.load_A = 4.0
    tree.run(60.0)
    assert left_A(tree) == pytest.approx(FUSE_A - 5.0, abs=HUNDREDTH_A)


def test_a_load_that_is_declared_alone_is_kept_always() -> None:
    tree = Tree(left={"fixed_load_A": DECLARED_A})
    tree.run(60.0, lambda: None)
    assert left_A(tree) == pytest.approx(FUSE_A - DECLARED_A, abs=HUNDREDTH_A)
    root, left, *_ = tree.cores["root"].report_status(at(tree.now_s))
    assert left.fixed_load == "20 A are kept for its fixed load"
    assert root.fixed_load == ""
    assert (left.wants_A, left.wants_W) == (64.0, None), "nobody asks for watts, which is not to ask for 0"


def test_a_meter_that_dies_leaves_the_cars_what_is_declared_does() -> None:
    tree = Tree(left=METERED)
    tree.load_A = 4.0
    tree.run(60.0)
    tree.meter_works = False
    tree.run(5.0 + 2 * INTERVAL_S)
    assert left_A(tree) == pytest.approx(FUSE_A - DECLARED_A, abs=HUNDREDTH_A)
    (_, left, *_) = tree.cores["root"].report_status(at(tree.now_s))
    assert "its meter is silent for 5 s or more" in left.note
    tree.meter_works = True
    tree.run(60.0)
    assert left_A(tree) == pytest.approx(FUSE_A - 5.0, abs=HUNDREDTH_A)


@settings(max_examples=6, deadline=None)
@example(seed=4331, lost=0.296875, loads_A=[4.0])  # no sample within `hold_s` after the rise
@given(
    seed=st.integers(0, 10_000),
    lost=st.floats(0.0, 0.3),
    loads_A=st.lists(st.floats(0.0, DECLARED_A), min_size=1, max_size=2),
)
def test_whatever_the_load_does_within_what_is_declared_the_fuse_is_over_for_a_moment_only(
    seed: int, lost: float, loads_A: list[float]
) -> None:
    tree = Tree(seed, lost=lost, twice=lost, late_s=0.2, left=METERED)
    over_s = rose_s = 0.0

    def look() -> None:
        nonlocal over_s
        if tree.at_left_A() > FUSE_A + HUNDREDTH_A:
            over_s = tree.now_s - rose_s

    for load_A in loads_A:
        tree.run(25.0, look)
        tree.load_A, rose_s = load_A, tree.now_s
        # Grants are lost, too: what was granted before is over after ten intervals at the latest.
        tree.run(10 * INTERVAL_S + SETTLE_S, look)
    assert over_s <= 10 * INTERVAL_S
