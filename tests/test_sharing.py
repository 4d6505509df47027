"""How tests are shared among workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sharing import mixed


@given(st.integers(0, 40), st.integers(0, 200), st.integers(1, 16))
def test_every_test_is_run_once(waiting: int, computing: int, workers: int) -> None:
    order = mixed(range(waiting), range(1_000, 1_000 + computing), workers)
    assert sorted(order) == [*range(waiting), *range(1_000, 1_000 + computing)]


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_each_worker_begins_with_the_longest_and_has_its_part_of_both_all_the_time(workers: int) -> None:
    waiting, computing = range(30), range(100, 400)
    order = mixed(waiting, computing, workers)
    size = len(order) // workers
    for worker in range(workers):
        piece = order[worker * size : (worker + 1) * size]
        assert [one for one in piece if one in waiting] == [*waiting[worker::workers]]
        assert piece[0] in waiting
        for begin in range(0, size - 11, 11):
            assert sum(one in waiting for one in piece[begin : begin + 11]) == 1
