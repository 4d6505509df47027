"""The one promise of the ledger, over all that may happen to it, and a mutant for each of its rules."""

from __future__ import annotations

import pytest
from hypothesis import given

from actors.energy import ledger as ledger_module
from actors.energy.ledger import Ledger
from tests.energy.builders import assert_caught, mutated
from tests.energy.ledger_bench import WORLDS, World, keeps_its_promise


@given(WORLDS)
def test_what_may_flow_is_never_more_than_its_exposure_and_all_together_never_more_than_the_fuse(
    world: World,
) -> None:
    keeps_its_promise(world)


MUTANTS: dict[str, tuple[str, str, str]] = {
    "what was counted before a grant is counted after it": (
        "note",
        "account.same_until_s = self._same_until_s = -math.inf",
        "pass",
    ),
    "the sum of before a grant is the sum after it": ("note", "self._same_until_s = -math.inf", "_ = 0"),
    "a grant is over on the parent's clock when its duration is": (
        "note",
        "duration_s * STRETCH",
        "duration_s",
    ),
    "currents are down at the very end of a grant": ("exposure", "until_s + settle_s", "until_s"),
    "only the last grant counts": ("note", "(*kept, entry)", "(entry,)"),
    "an acknowledgement alone strikes out, whatever still flows": (
        "_strike_out",
        "account.committed, account.committed_until_s = committed,",
        "account.committed, account.committed_until_s = NOTHING,",
    ),
    "a child that does not know what flows counts with nothing": (
        "_strike_out",
        "if committed is None:\n        return",
        "if committed is None:\n        committed = NOTHING",
    ),
    "a new life owes nothing for the former one": (
        "_follow_life",
        "account.entries = (*account.entries, left)",
        "account.entries = ()",
    ),
    "room is what others were granted last": (
        "_make_plan",
        "others = UNLIMITED if unknown else flowing.less(exposures[name])",
        "others = total(self.latest(now_s, n) for n in self.accounts if n != name)",
    ),
    "whatever was granted, it is counted with as before": (
        "note",
        "if largest(account.exposure, amount) is not account.exposure:",
        "if False:",
    ),
    "what is not known is nothing": ("exposure", "return UNLIMITED", "pass"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_broken_rule_breaks_the_promise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, before, after = MUTANTS[name]
    monkeypatch.setattr(Ledger, method, mutated(getattr(Ledger, method), before, after))
    assert_caught(keeps_its_promise, WORLDS, soon=14)


def test_clocks_that_run_wrong_by_more_than_is_counted_on_break_the_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_module, "STRETCH", 1.05 / 0.95)
    assert_caught(keeps_its_promise, WORLDS, soon=14)
