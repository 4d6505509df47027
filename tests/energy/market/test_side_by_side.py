"""First purchases of panels side by side, and minimums at once: as in turn, on any site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from hypothesis import given, settings

from actors.energy.market import first_round, lanes, plain_tree
from actors.energy.market.arrays import Ints
from tests.energy.builders import assert_caught
from tests.energy.market.agreement import assert_agreement
from tests.energy.market.worlds import Story, stories


@contextmanager
def _always() -> Iterator[None]:
    """Small sites, too, are worked out in arrays, with panels side by side."""
    with mock.patch.object(plain_tree, "MOST_EVSES", 0), mock.patch.object(lanes, "LEAST_AT_ONCE", 0):
        yield


def _assert_agreement(story: Story) -> None:
    with _always():
        assert_agreement(story)


@given(stories(watts=True, setpoints=False))
def test_side_by_side_equals_the_reference(story: Story) -> None:
    _assert_agreement(story)


@given(stories(watts=True, minimums=True, switching=True, setpoints=False, steps=3))
def test_side_by_side_equals_the_reference_with_phase_switching(story: Story) -> None:
    _assert_agreement(story)


@given(stories(watts=False, minimums=True, setpoints=False, schedules=True))
def test_minimums_that_do_not_all_fit_equal_the_reference(story: Story) -> None:
    _assert_agreement(story)


@settings(max_examples=10)
@given(stories(evses=40, watts=True, minimums=True, switching=True, setpoints=False))
def test_side_by_side_equals_the_reference_on_larger_sites(story: Story) -> None:
    _assert_agreement(story)


def test_the_check_notices_panels_that_do_not_heed_what_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def heedless(counter: first_round.Counter, columns: Ints, bought: first_round.FirstPurchases) -> object:
        until = lanes.buy_side_by_side(counter, columns, bought)
        until[:] = len(counter.tier.members)
        return until

    monkeypatch.setattr(first_round, "buy_side_by_side", heedless)
    assert_caught(_assert_agreement, stories(watts=True, minimums=True, switching=True, setpoints=False))
