from __future__ import annotations

import pytest

from actors.energy.branch import Branch
from actors.energy.types import EnergyFlowRequest
from tests.energy.tree_bench import EVSES, FALLBACK_A, PARENTS, Tree

VALID_S = 10.0
HALVES = {"l1": 15.0, "l2": 15.0, "r1": 15.0, "r2": 15.0}
ROOT_A = 60.0
"""Over four cars."""


def settled(tree: Tree) -> None:
    """The limits in force are what the market gives on the same request, and fit every fuse."""
    held = tree.in_force()
    assert held == tree.allocated()
    assert sum(held.values()) <= ROOT_A
    assert all(sum(held[e] for e in EVSES if PARENTS[e] == panel) <= 32.0 for panel in ("left", "right"))


def test_from_a_cold_start_each_evse_has_its_share_within_three_intervals() -> None:
    tree = Tree()
    tree.run(3.0)
    assert tree.in_force() == HALVES
    settled(tree)


def test_a_car_that_leaves_frees_its_share_at_once_up_to_the_fuse_of_each_panel() -> None:
    tree = Tree()
    tree.run(5.0)
    tree.plug("l1", False)
    tree.run(0.5)
    assert tree.in_force() == {"l1": 0.0, "l2": 28.0, "r1": 16.0, "r2": 16.0}
    settled(tree)
    tree.plug("l1", True)
    tree.run(0.5)
    assert tree.in_force() == HALVES


def test_messages_that_are_lost_late_and_doubled_change_nothing_once_they_have_settled() -> None:
    for seed in range(5):
        tree = Tree(seed, lost=0.3, twice=0.3, late_s=0.8)
        tree.run(30.0)
        assert min(tree.in_force().values()) > FALLBACK_A, "ten intervals outlast what gets lost"
        tree.lost, tree.late_s = 0.0, 0.02
        tree.run(3.0)
        settled(tree)


def test_a_panel_that_is_cut_off_falls_back_in_time_and_is_taken_up_again() -> None:
    tree = Tree()
    tree.run(5.0)
    tree.cut.add("left")
    tree.run(VALID_S - 1.1)
    assert tree.in_force()["l1"] == 15.0
    tree.run(1.2)
    assert tree.in_force()["l1"] == tree.in_force()["l2"] == FALLBACK_A
    assert tree.in_force()["r1"] == 15.0, "the others go on with what they had"
    tree.run(25.0)
    assert tree.in_force() == {"l1": 6.0, "l2": 6.0, "r1": 16.0, "r2": 16.0}, "it counts with its fallback"
    tree.cut.clear()
    tree.run(2.5)
    assert tree.in_force() == HALVES
    settled(tree)


def test_a_share_is_given_to_others_only_when_the_limits_of_a_silent_panel_are_surely_over() -> None:
    tree = Tree()
    tree.run(5.0)
    tree.cut.add("left")

    def check() -> None:
        if max(tree.in_force()["r1"], tree.in_force()["r2"]) > 15.0:
            assert tree.in_force()["l1"] + tree.in_force()["l2"] <= 2 * FALLBACK_A
            assert tree.now_s >= 4.0 + VALID_S * 1.1 / 0.9 + 11.0

    tree.run(40.0, check)


def test_a_newcomer_gets_nothing_of_what_a_silent_panel_may_still_draw() -> None:
    tree = Tree()
    tree.plug("r2", False)
    tree.run(5.0)
    assert tree.in_force()["l1"] + tree.in_force()["l2"] > 30.0, "so that r2's share is in use"
    tree.cut.add("left")
    tree.run(4.0)
    tree.plug("r2", True)

    def check() -> None:
        assert sum(tree.in_force().values()) <= ROOT_A + 1e-6

    tree.run(30.0, check)
    assert tree.in_force()["r2"] == 16.0


def test_a_share_taken_from_a_silent_panel_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_wanted_last(self: Branch, now_s: float, stamp_us: int) -> tuple[EnergyFlowRequest, ...]:
        return tuple(c.report.wants for c in self._children.values() if c.report is not None)

    monkeypatch.setattr(Branch, "wants", as_wanted_last)
    with pytest.raises(AssertionError):
        test_a_newcomer_gets_nothing_of_what_a_silent_panel_may_still_draw()


def test_an_early_forgetting_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone_at_once(self: Branch, now_s: float) -> list[str]:
        gone = [n for n, c in self._children.items() if c.report is not None and not self.alive(now_s, n)]
        for name in gone:
            self._children[name].report = None
            self._children[name].grants.clear()
        return gone

    monkeypatch.setattr(Branch, "gone", gone_at_once)
    with pytest.raises(AssertionError):
        test_a_share_is_given_to_others_only_when_the_limits_of_a_silent_panel_are_surely_over()


def test_a_panel_that_restarts_takes_its_evses_up_again_without_a_dip() -> None:
    tree = Tree()
    tree.run(20.0)
    tree.stop("left")
    tree.run(3.0)
    tree.begin("left")
    tree.run(4.0, lambda: _nobody_below(tree, 15.0))
    assert tree.in_force() == HALVES
    settled(tree)


def test_a_root_that_restarts_carries_on_without_a_restart_of_the_others_and_without_a_dip() -> None:
    tree = Tree()
    tree.run(20.0)
    for _ in range(3):
        tree.stop("root")
        tree.run(3.0)
        tree.begin("root")
        tree.run(12.0, lambda: _nobody_below(tree, 15.0))
        settled(tree)


def _nobody_below(tree: Tree, least_A: float) -> None:
    assert min(tree.in_force().values()) >= least_A


def test_an_evse_that_restarts_or_starts_late_is_taken_up_within_three_intervals() -> None:
    tree = Tree()
    tree.stop("r2")
    tree.run(10.0)
    assert tree.in_force()["r2"] == FALLBACK_A
    for _ in range(2):
        tree.begin("r2")
        tree.run(3.0)
        assert tree.in_force() == HALVES


def test_fallbacks_of_what_was_never_heard_are_kept_free() -> None:
    tree = Tree()
    tree.stop("l1")
    tree.stop("l2")
    tree.run(10.0)
    assert tree.in_force() == {"l1": 6.0, "l2": 6.0, "r1": 16.0, "r2": 16.0}
    tree.stop("left")
    tree.run(60.0)
    assert sum(tree.in_force().values()) <= ROOT_A


@pytest.mark.parametrize("seed", range(3))
def test_through_a_rough_day_everyone_ends_at_the_markets_answer(seed: int) -> None:
    tree = Tree(seed, lost=0.2, twice=0.2, late_s=1.5)
    tree.run(6.0)
    tree.stop("root")
    tree.plug("r1", False)
    tree.run(4.0)
    tree.begin("root")
    tree.cut.add("right")
    tree.run(14.0)
    tree.stop("l2")
    tree.cut.clear()
    tree.run(2.0)
    tree.begin("l2")
    tree.stop("left")
    tree.run(1.0)
    tree.begin("left")
    tree.lost, tree.late_s = 0.0, 0.02
    tree.run(20.0)
    assert tree.in_force() == {"l1": 16.0, "l2": 16.0, "r1": 0.0, "r2": 28.0}
    settled(tree)


def test_a_root_that_began_its_epoch_anew_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Branch, "_follow_former_life", lambda self, child, acked: None)
    with pytest.raises(AssertionError):
        test_a_root_that_restarts_carries_on_without_a_restart_of_the_others_and_without_a_dip()
