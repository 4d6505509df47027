"""A few seconds of `python -m tests.fuzz`, and that it finds what there is to be found."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from actors.energy.lease import Lease
from actors.energy.ledger import Ledger
from actors.energy.messages import Report
from actors.energy.request_checks import RequestCheck
from actors.energy.trunk import Trunk
from tests.fuzz import links
from tests.fuzz.household import FoundError, Household
from tests.fuzz.mutators import Values, spoil_bytes, spoil_text
from tests.fuzz.runs import fuzz
from transport import inbound

FRAMES = 12_000
SEEDS = (2, 25)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What the first of a few runs finds that finds anything; every message that is let in is acted on."""
    monkeypatch.setattr(links, "DEEP_EVERY", 1)

    def hunt() -> list[str]:
        for seed in SEEDS:
            if findings := fuzz(seed=seed, frames=FRAMES, configs=0)["findings"]:
                return [finding["error"] for finding in findings]
        return []

    return hunt


def test_spoiled_frames_and_site_files_find_nothing() -> None:
    summary = fuzz(seed=1, frames=FRAMES, configs=200)
    assert summary["findings"] == []
    assert summary["frames"] == FRAMES
    assert summary["let_in_and_acted_on"] > 100, "some get through to the cores"
    assert {"bad_frames", "bad_header", "version", "unknown_type", "bad_body", "not_finite", "let in"} <= set(
        summary["verdicts"]
    )
    assert summary["site_verdicts"].keys() == {"a site", "faults"}


def test_the_same_seed_gives_the_same_run() -> None:
    one, other = (fuzz(seed=3, frames=2_000, configs=20) for _ in range(2))
    for summary in (one, other):
        del summary["seconds"], summary["memory_growth_MiB"]
    assert one == other


def test_spoiling_is_a_function_of_the_seed() -> None:
    def spoiled(seed: int) -> tuple[Any, ...]:
        random = Random(seed)
        values = Values(random, [{"a": [1, 2.0, "x"], "b": {"c": None}}])
        return (
            spoil_bytes(random, b"0123456789" * 3, [b"abc"]),
            repr(values.spoil({"a": [1, 2.0, "x"], "b": {"c": None}})),
            spoil_text(random, "a: 1\nb: 2\n", ["c: 3\n"]),
        )

    assert [spoiled(seed) for seed in range(50)] == [spoiled(seed) for seed in range(50)]
    assert len({spoiled(seed) for seed in range(50)}) > 40


def test_a_number_that_is_not_finite_is_found(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(inbound, "body_fault", lambda body: None)
    assert found()


def test_a_parent_that_believes_any_request_is_found(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(RequestCheck, "check", lambda *_: None)
    assert found()


def test_a_change_by_a_refused_grant_is_found(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[], list[str]]
) -> None:
    offer = Lease.offer

    def careless(self: Lease, now_s: float, grant: Any) -> str | None:
        refused = offer(self, now_s, grant)
        if refused is not None:
            self.acked = grant.order
        return refused

    monkeypatch.setattr(Lease, "offer", careless)
    assert found()


def test_a_report_that_was_overtaken_may_tell_what_its_child_wants_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    household = Household(1)
    household.run(5.0, household.check)
    told = next(r for r in household.traffic["left", "root", Report] if r.wants is not None)
    at_s = household.now_s
    household.suffer("root", replace(told, t_child_s=at_s + 3.0, wants=None))
    other = replace(told.wants, fallback_A=1.0, priority_request=None)
    household.suffer("root", replace(told, t_child_s=at_s + 1.0, wants=other, acked=None))
    root = household.cores["root"]
    assert isinstance(root, Trunk)
    assert root.branch._children["left"].wants == other

    hear = Ledger.hear

    def careless(self: Ledger, now_s: float, report: Report) -> Any:
        self.accounts[report.child].acked = report.acked
        return hear(self, now_s, report)

    monkeypatch.setattr(Ledger, "hear", careless)
    with pytest.raises(FoundError, match="and changed"):
        household.suffer("root", replace(told, t_child_s=at_s + 2.0, wants=other, acked=None))
