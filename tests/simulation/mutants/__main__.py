"""Breaks the safety protocol on purpose, and tells how each break is found out.

    python -m tests.simulation.mutants [NAME ...] [--seeds N] [--minutes M] [--bases B] [--jobs J] [--markdown]

Each is shown by its scene (a small story, also a test), and hunted in simulated runs from several first
seeds on. Ends with 1 if one is found by neither.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from tests.simulation.mutants.breaks import BREAKS, Break
from tests.simulation.mutants.hunt import Hunt, hunt_broken
from tests.simulation.mutants.scenes import SCENES
from tools.workers import worker_pool

BASE = 10_000
"""First seeds are multiples of this."""
HEAD = """# How each broken rule is found out

Each line breaks one rule of the safety protocol on purpose. A *scene* is a small story in which that is
seen; all of them are tests (`tests/simulation/mutants/`), each passes with the protocol as it is and fails
without the rule. *Explored* are those that the exhaustive search over small sites finds, too (`tests/model/`).
*Runs* are simulated ones with random faults, from {bases} first seeds on: how many of
these hunts found it, and what it took (median, and worst), with at most {seeds} runs and {cpu_s:.0f} s of CPU
for each hunt. It is found as

- `overload`, `power`: more flows than a fuse or a contract allows;
- `limit`: more flows than an external limit allows, after all that was granted before has run out;
- `promise`: more flows below a child than its parent counts with, so that room for others may be wrong;
- `invariant`: a ledger found out itself, and sent nothing.

Made by `python -m tests.simulation.mutants --markdown`.
"""

TAIL = """
## Where runs find little

Margins cover each other up. A parent counts with what a child told as `committed` for as long as the longest
grant may last, nodes become islands before their grants end, and a change of state is reported at once. One
missing margin shows only where all others are gone: tight spots (`actors/simulation/tight_spots.py`) draw such
coincidences on purpose. Every other run of a hunt is of nothing else, in `simulate-faults` half of all have
some. There are a dozen kinds of them, and a hunt ends early, so chance decides which of these rules it finds;
scenes show them in any case."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 when a mutant survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these, or those with this in their name"
    )
    parser.add_argument("--seeds", type=int, default=150, help="runs at most, of each hunt (0: scenes only)")
    parser.add_argument("--minutes", type=float, default=60.0, help="of CPU at most, for all together")
    parser.add_argument("--bases", type=int, default=3, help="first seeds to hunt from")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    mutants = [m for m in BREAKS if not options.names or any(name in m.name for name in options.names)]
    if not mutants:
        parser.error("no mutant has such a name")
    hunted = [m for m in mutants if not (m.not_simulated or m.harmless)]
    cpu_s = options.minutes * 60.0 / max(1, len(hunted) * options.bases)
    if options.markdown:
        print(HEAD.format(bases=options.bases, seeds=options.seeds, cpu_s=cpu_s))
        print(
            "| mutant | what it breaks | scene, s | explored | hunts | found as | runs | simulated hours | CPU s |"
        )
        print("|---|---|--:|---|--:|---|--:|--:|--:|")
    else:
        print(f"{'mutant':<52} {'scene s':>8} {'hunts':>6} {'runs':>9} {'hours':>13} {'CPU s':>13}  found as")
    survivors = []
    with worker_pool(options.jobs) as pool:
        tasks = {
            m.name: [
                pool.submit(hunt_broken, m.name, (i + 1) * BASE, options.seeds, cpu_s)
                for i in range(options.bases)
            ]
            for m in hunted
        }
        for mutant in mutants:
            scene_s = _scene_s(mutant)
            hunts = [task.result() for task in tasks.get(mutant.name, ())]
            if scene_s is None and not any(h.found for h in hunts):
                survivors.append(mutant.name)
            print((_as_markdown if options.markdown else _as_text)(mutant, scene_s, hunts), flush=True)
    missed = [
        f"- {m.name}: {m.harmless or m.not_simulated}." for m in mutants if m.harmless or m.not_simulated
    ]
    if missed:
        print("\nNot hunted in runs:\n\n" + "\n".join(missed))
    if options.markdown:
        print(TAIL)
    for name in survivors:
        print(f"SURVIVES: {name}")
    return 1 if survivors else 0


def _scene_s(mutant: Break) -> float | None:
    """CPU seconds until its scene sees it; None when it does not."""
    begin_s = time.process_time()
    try:
        with mutant.broken():
            SCENES[mutant.name]()
    except AssertionError:
        return time.process_time() - begin_s
    return None


def _of(hunts: Iterable[Hunt], what: Callable[[Hunt], float], digits: int) -> str:
    """Median and worst of those that found it."""
    values = [what(h) for h in hunts if h.found]
    return f"{statistics.median(values):.{digits}f} / {max(values):.{digits}f}" if values else ""


def _columns(scene_s: float | None, hunts: list[Hunt]) -> tuple[str, str, str, str, str, str]:
    kinds = sorted({h.found for h in hunts if h.found})
    return (
        "NOT SEEN" if scene_s is None else f"{scene_s:.2f}",
        f"{sum(h.found != '' for h in hunts)} of {len(hunts)}" if hunts else "",
        ", ".join(kinds),
        _of(hunts, lambda h: h.seeds, 0),
        _of(hunts, lambda h: h.hours, 2),
        _of(hunts, lambda h: h.cpu_s, 1),
    )


def _as_text(mutant: Break, scene_s: float | None, hunts: list[Hunt]) -> str:
    scene, found, kinds, runs, hours, cpu = _columns(scene_s, hunts)
    return f"{mutant.name:<52} {scene:>8} {found:>6} {runs:>9} {hours:>13} {cpu:>13}  {kinds}"


def _as_markdown(mutant: Break, scene_s: float | None, hunts: list[Hunt]) -> str:
    scene, *others = _columns(scene_s, hunts)
    cells = (mutant.name, mutant.breaks, scene, "yes" if mutant.explored else "", *others)
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
