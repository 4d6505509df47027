"""Patched lists are as lists would be, and leave those that they are made of as they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actors.energy.market.patched import Patched

PATCHES = st.lists(st.dictionaries(st.integers(0, 39), st.integers(100, 999), max_size=4), max_size=6)


@given(PATCHES, st.lists(st.integers(0, 39), max_size=40))
def test_a_patched_list_is_as_a_changed_copy(patches: list[dict[int, int]], places: list[int]) -> None:
    below = list(range(40))
    found, expected = Patched(below), list(below)
    for others in patches:
        before, was = found, list(expected)
        found = found.patched(others)
        for place, other in others.items():
            expected[place] = other
        assert list(before) == was
    assert list(found) == found.whole() == expected
    assert [found[place] for place in range(len(found))] == expected
    assert list(found.some(np.array(places, dtype=np.intp))) == [expected[place] for place in places]
    for place in places:
        assert list(found.some(np.array([place], dtype=np.intp))) == [expected[place]], "of few"
    assert below == list(range(40))
