"""Some columns traded at a time: the same as all of them at once."""

from __future__ import annotations

from unittest import mock

from hypothesis import given

from actors.energy.market import plain_tree, trading
from tests.energy.market.agreement import assert_agreement
from tests.energy.market.worlds import Story, stories


@given(stories(schedules=True, setpoints=False))
def test_columns_one_by_one_equal_the_reference(story: Story) -> None:
    with mock.patch.object(plain_tree, "MOST_EVSES", 0), mock.patch.object(trading, "CELLS_AT_ONCE", 1):
        assert_agreement(story)
