"""Explores all small sites: `python -m tests.model.explore [--depth N] [--minutes M] [--walks] [--mutants]`.

Prints a line for each: states, transitions, the depth up to which everything was looked at (`all`: there
is nothing more), from how many states running without faults was tried, seconds. A violation is told as
a shortest story. `--walks` takes random walks over the same sites instead; `--mutants` breaks each known
rule in turn and tells how it is found out.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.model.mutants import MUTANTS, Mutant
from tests.model.search import HEADER, Result, explore, walk
from tests.model.sites import runs
from tests.model.world import Site

WALK_STEPS = 60


def search(mutant: Mutant, depth: int, seconds: float) -> Result:
    """How a mutant is found out."""
    with mutant.broken():
        return explore(mutant.site, depth=depth, seconds=seconds, cold=mutant.cold, prologue=mutant.prologue)


def _run(depth: int, seconds: float, walks: bool, site: Site) -> Result:
    if walks:
        return walk(site, seconds=seconds, length=WALK_STEPS)
    return explore(site, depth=depth, seconds=seconds)


def main() -> int:
    """Returns 1 when anything was violated, or a mutant survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=30.0, help="of CPU, for all together")
    parser.add_argument("--site", default="", help="only sites or mutants with this in their name")
    parser.add_argument("--walks", action="store_true")
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.mutants:
        mutants = [m for m in MUTANTS if options.site in m.name]
        print(f"{'mutant':<42} {HEADER}")
        survivors = 0
        for mutant in mutants:
            result = search(mutant, options.depth, options.minutes * 60 / len(mutants))
            survivors += not (result.violation or mutant.only_live)
            print(f"{mutant.name:<42} {result.text()}", flush=True)
        return int(survivors > 0)
    sites = [site for site in runs() if options.site in site.name]
    seconds = options.minutes * 60 / len(sites)
    print(HEADER)
    bad = 0
    with ProcessPoolExecutor(options.processes) as pool:
        for result in pool.map(partial(_run, options.depth, seconds, options.walks), sites):
            bad += bool(result.violation)
            print(result.text(), flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
