from __future__ import annotations

from typing import Any

import pytest

from actors.energy.amount import Amount
from actors.energy.ledger import Ledger
from tests.energy.builders import at, mutated
from tests.energy.tree_bench import EVSES, FALLBACK_A, PARENTS, Tree

VALID_S = 10.0
ISLAND_S = 3.0
"""Before the end of its grant a panel begins its island, at its next beat."""
HALVES = {"l1": 15.0, "l2": 15.0, "r1": 15.0, "r2": 15.0}
ROOT_A = 60.0
"""Over four cars."""
SETTLED_S = 11.0 * 1.1 + 1.0
"""What a decrease takes to be confirmed where a car is plugged in."""


def within_fuses(tree: Tree) -> None:
    """What hardware may let through fits every fuse."""
    held = tree.in_force()
    assert sum(held.values()) <= ROOT_A + 1e-6
    for panel in ("left", "right"):
        assert sum(held[e] for e in EVSES if PARENTS[e] == panel) <= 32.0 + 1e-6


def settled(tree: Tree) -> None:
    """The limits in force are what the market gives on the same request, and fit every fuse."""
    held = tree.in_force()
    assert held == tree.allocated()
    within_fuses(tree)


def test_from_a_cold_start_each_evse_has_its_share_within_three_intervals() -> None:
    tree = Tree()
    tree.run(3.0)
    assert tree.in_force() == HALVES
    settled(tree)


def test_a_car_that_leaves_frees_its_share_as_soon_as_its_hardware_says_so() -> None:
    tree = Tree()
    tree.run(5.0)
    tree.plug("l1", False)
    tree.run(0.2)
    assert tree.in_force()["l2"] == 15.0, "the hardware has not confirmed yet"
    tree.run(1.5)
    assert tree.in_force() == {"l1": 0.0, "l2": 22.0, "r1": 16.0, "r2": 16.0}, "l1 keeps 6 A"
    settled(tree)
    tree.plug("l1", True)
    tree.run(0.2)
    assert tree.in_force()["l1"] == 6.0, "its fallback needs nobody's consent"
    tree.run(1.5 + SETTLED_S, lambda: within_fuses(tree))
    assert tree.in_force() == HALVES


def test_messages_that_are_lost_late_and_doubled_change_nothing_once_they_have_settled() -> None:
    for seed in range(5):
        tree = Tree(seed, lost=0.3, twice=0.3, late_s=0.8)
        tree.run(30.0)
        assert min(tree.in_force().values()) > FALLBACK_A, "ten intervals outlast what gets lost"
        tree.lost, tree.late_s = 0.0, 0.02
        tree.run(2 * SETTLED_S)
        settled(tree)


def test_a_panel_that_is_cut_off_falls_back_in_time_and_is_taken_up_again() -> None:
    tree = Tree()
    tree.run(5.0)
    tree.cut.add("left")
    tree.run(VALID_S - ISLAND_S - 1.5)
    assert tree.in_force() == HALVES
    tree.run(ISLAND_S + 1.5)
    assert tree.in_force() == {"l1": 6.0, "l2": 6.0, "r1": 15.0, "r2": 15.0}, "the others go on"
    tree.run(25.0, lambda: _nobody_below(tree, 6.0))
    assert tree.in_force() == {"l1": 6.0, "l2": 6.0, "r1": 16.0, "r2": 16.0}, "it counts with its fallback"
    tree.cut.clear()
    tree.run(2.5)
    assert tree.in_force() == {"l1": 14.0, "l2": 14.0, "r1": 15.0, "r2": 15.0}, "2 A are not free yet"
    tree.run(SETTLED_S, lambda: within_fuses(tree))
    assert tree.in_force() == HALVES
    settled(tree)


def test_a_panel_on_an_island_gives_its_fallback_to_whom_it_serves_and_never_dips() -> None:
    tree = Tree()
    tree.run(5.0)
    tree.cut.add("left")
    tree.plug("l2", False)
    for _ in range(3):
        tree.run(20.0, lambda: within_fuses(tree))
        assert tree.in_force()["l1"] == 6.0, "l2 may take its 6 A whenever it hears nothing"
        tree.cut.clear()
        tree.run(15.0, lambda: _nobody_below_of(tree, 6.0, "l1", "r1", "r2"))
        assert tree.in_force()["l1"] > 15.0
        tree.cut.add("left")


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
    for name in ("r1", "r2"):
        tree.plug(name, False)
    tree.run(20.0)
    assert tree.in_force()["l1"] + tree.in_force()["l2"] > 30.0, "so that their share is in use"
    tree.cut.add("left")
    tree.run(4.0)
    tree.plug("r1", True)

    def check() -> None:
        assert sum(max(A, FALLBACK_A) for A in tree.in_force().values()) <= ROOT_A + 1e-6

    tree.run(40.0, check)
    assert tree.in_force()["r1"] == 26.0


def test_a_share_taken_from_a_silent_panel_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_counted(known: Any) -> Any:
        def count(self: Ledger, now_s: float, name: str) -> Amount:
            account = self.accounts[name]
            amount: Amount = known(self, now_s, name)
            return amount if now_s - account.heard_s <= 3.0 else account.fallback

        return count

    for name in ("exposure", "latest"):
        monkeypatch.setattr(Ledger, name, not_counted(getattr(Ledger, name)))
    with pytest.raises(AssertionError):
        test_a_newcomer_gets_nothing_of_what_a_silent_panel_may_still_draw()


def test_a_silent_panel_that_counted_as_gone_too_early_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "exposure", mutated(Ledger.exposure, "account.settle_s", "-10.0"))
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
    _nobody_below_of(tree, least_A, *EVSES)


def _nobody_below_of(tree: Tree, least_A: float, *evses: str) -> None:
    assert min(tree.in_force()[name] for name in evses) >= least_A


def test_an_evse_that_restarts_is_taken_up_again_without_a_dip() -> None:
    tree = Tree()
    tree.run(20.0)
    for _ in range(2):
        tree.stop("r2")
        tree.run(1.0)
        tree.begin("r2")
        tree.run(3.0, lambda: _nobody_below(tree, 15.0))
        assert tree.in_force() == HALVES


def test_an_evse_that_starts_late_gets_its_share_as_soon_as_the_others_have_come_down() -> None:
    tree = Tree()
    tree.stop("r2")
    tree.run(10.0)
    assert tree.in_force() == {"l1": 16.0, "l2": 16.0, "r1": 22.0, "r2": FALLBACK_A}
    tree.begin("r2")
    tree.run(3.0, lambda: within_fuses(tree))
    assert tree.in_force()["r2"] == FALLBACK_A
    [shown] = [s for s in tree.cores["right"].report_status(at(tree.now_s)) if s.id == "r2"]
    assert "r1, which may still draw 22 A" in shown.waits_for
    tree.run(SETTLED_S, lambda: within_fuses(tree))
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
    tree.run(40.0)
    assert tree.in_force() == {"l1": 16.0, "l2": 16.0, "r1": 0.0, "r2": 22.0}
    settled(tree)


def test_a_root_that_began_its_epoch_anew_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "__init__", mutated(Ledger.__init__, "(kept_epoch or 0) + 1", "1"))
    monkeypatch.setattr(Ledger, "_begin_epoch", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_root_that_restarts_carries_on_without_a_restart_of_the_others_and_without_a_dip()


def test_a_panel_that_is_lowered_frees_nothing_before_its_cars_have_come_down() -> None:
    tree = Tree()
    tree.plug("r1", False)
    tree.plug("r2", False)
    tree.run(25.0)
    assert tree.in_force()["l1"] + tree.in_force()["l2"] == 32.0
    tree.plug("r1", True)
    tree.plug("r2", True)
    flowing = dict.fromkeys(EVSES, 0.0)

    def check() -> None:
        """A car follows a lower limit only after 11 s, less what it takes to tell."""
        within_fuses(tree)
        held = tree.in_force()
        flowing.update({name: max(flowing[name], held[name]) for name in EVSES})
        assert sum(flowing.values()) <= ROOT_A + 1e-6

    tree.run(10.5, check)
    tree.run(15.0, lambda: within_fuses(tree))
    assert tree.in_force() == HALVES
