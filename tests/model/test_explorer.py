"""The quick part of the exploration; all of it is `python -m tests.model.explore`."""

from __future__ import annotations

import pytest

from tests.model.explore import search
from tests.model.mutants import MUTANTS, Mutant
from tests.model.search import explore, steady, walk
from tests.model.sites import CLOCKS, FORK, LINE, ONE, RISE, ROW, TWO, TWO_FALLBACK, but
from tests.model.world import Site, World

TRANSITIONS = 4_000
"""Of each site: together with the mutants within half a minute of CPU."""
WORST: dict[str, int] = {"delays": 1, "crashes": 2, "losses": 1}
SITES = (
    but(ONE, delays=1, wire=1, crashes=1, always_read=False),
    but(TWO, **WORST),
    but(TWO_FALLBACK, **WORST),
    but(LINE, **WORST, reboots=True),
    but(ROW, **WORST),
    but(FORK, **WORST),
    *(but(site, **WORST, rates=rates) for rates in CLOCKS.values() for site in (ONE, LINE)),
)
WALKED = (but(TWO, delays=3, crashes=3, losses=1, flips=3), but(FORK, delays=3, crashes=3, losses=1, flips=3))
KILLED = [mutant for mutant in MUTANTS if not mutant.only_live]


@pytest.mark.parametrize("site", [but(ONE, delays=0), but(RISE, delays=0)], ids=lambda site: site.name)
def test_on_the_smallest_sites_no_story_at_all_breaks_anything(site: Site) -> None:
    result = explore(site, depth=1000)
    assert result.complete, result.text()
    assert not result.violation, result.text()


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_no_short_story_breaks_anything(site: Site) -> None:
    result = explore(site, depth=1000, transitions=TRANSITIONS)
    assert not result.violation, result.text()


@pytest.mark.parametrize("site", WALKED, ids=lambda site: site.name)
def test_no_random_story_breaks_anything(site: Site) -> None:
    result = walk(site, seconds=1.5, length=60)
    assert not result.violation, result.text()


@pytest.mark.parametrize("mutant", KILLED, ids=lambda mutant: mutant.name)
def test_each_broken_rule_is_found_out(mutant: Mutant) -> None:
    assert search(mutant, depth=20, seconds=60.0).violation


def test_states_that_differ_in_time_only_are_one() -> None:
    world = World(TWO)
    state = steady(world)
    keys = {world.key(world.run_fairly(state, rounds)) for rounds in (5, 6, 20)}
    assert len(keys) == 1
