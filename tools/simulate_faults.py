"""`amptree simulate-faults`: run sites in simulated time while everything goes wrong that may."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import statistics
import sys
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from multiprocessing import active_children
from typing import Any

import msgspec

from actors.simulation.faults import draw_plan
from actors.simulation.plan import Knobs
from actors.simulation.run import HOUR_S, Result
from actors.simulation.run import run as run_seed
from actors.simulation.shrink import shrink
from actors.simulation.sites import MOST_EVSES, configured
from actors.simulation.tight_spots import KINDS
from actors.site import Site
from tools.errors import UserError
from tools.processes import load
from tools.workers import worker_pool

MOST_JOBS = 256
AHEAD = 2
"""Runs handed to each process before it needs them."""
NEW_SEEDS = 2**48
PROGRESS_S = 10.0
"""Between two lines of progress where there is no terminal."""
LATE = frozenset({"slow", "wrong"})
"""What is found of a site that is safe and at work, but later or a little otherwise than it should be."""
ONLY_LATE = 3
"""Exit code where nothing else was found."""
MOST_STORIES = 3
"""Failing seeds that are made small and told."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "site", nargs="?", metavar="FILE", help="the file of a site: its own tree, not drawn ones"
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="the first seed (default 0), or `new`: any"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--hours", type=float, default=1.0, metavar="H", help="simulated hours in all (default 1)"
    )
    length.add_argument(
        "--cpu-minutes", type=float, metavar="M", help="instead of hours: until so much was computed"
    )
    parser.add_argument("--evses", type=int, metavar="N", help="EVSEs of each site (default: 1 to 20, drawn)")
    parser.add_argument(
        "--panels", type=int, metavar="N", help="sub-panels of each site, at most (default: two an EVSE)"
    )
    parser.add_argument(
        "--tight",
        action="append",
        choices=("any", *KINDS),
        metavar="KIND",
        help=f"nothing but tight spots of this kind (may be given again): any, {', '.join(KINDS)}",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes that run at once")
    parser.add_argument(
        "--replay",
        action="store_true",
        help="run one seed twice, and compare all that happened; "
        "--hours, --cpu-minutes, --jobs and --shrink do not apply",
    )
    parser.add_argument(
        "--shrink",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="make failing runs small and tell their story",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Run, and print what was found; 1 when anything failed, ONLY_LATE when all that failed was safe."""
    if options.evses is not None and not 1 <= options.evses <= MOST_EVSES:
        raise UserError(f"--evses must be from 1 to {MOST_EVSES}")
    if options.panels is not None and options.panels < 1:
        raise UserError("--panels must be 1 or more")
    if options.site is not None and (options.evses, options.panels) != (None, None):
        raise UserError("--evses and --panels are for drawn sites; a file says what there is")
    if not 1 <= options.jobs <= MOST_JOBS:
        raise UserError(f"--jobs must be from 1 to {MOST_JOBS}")
    if not 0 < options.hours < 1e9:
        raise UserError("--hours must be above 0")
    if options.cpu_minutes is not None and not 0 < options.cpu_minutes < 1e9:
        raise UserError("--cpu-minutes must be above 0")
    spots = options.tight or []
    knobs = Knobs(
        site=None if options.site is None else _site(options.site),
        evses=options.evses,
        panels=options.panels,
        tight=bool(spots),
        spots=() if "any" in spots else tuple(dict.fromkeys(spots)),
    )
    if options.replay:
        return _replay(options, knobs)
    results: list[Result] = []
    stopped = False
    progress = _Progress(options)
    try:
        with closing(_results(options, knobs)) as runs:
            for result in runs:
                results.append(result)
                progress.tell(results)
    except KeyboardInterrupt:
        stopped = True
    progress.end()
    failed = [r for r in results if r.violation_count]
    stories: list[list[str]] = []
    if options.shrink and not stopped:
        try:
            stories.extend(_stories(failed[:MOST_STORIES], knobs))
        except KeyboardInterrupt:
            stopped = True
    if options.json:
        print(json.dumps({**summary(results), "stories": stories}, indent=2))
    else:
        print("\n".join(as_text(results)))
        for story in stories:
            print("\n" + "\n".join(story))
    if stopped:
        return 130
    return _exit_code(failed)


def _site(path: str) -> Site:
    site = load(path)
    if not any(module.kind == "EvseManager" for module in site.modules.values()):
        raise UserError(f"{path}: there is no EvseManager in it, so nothing can flow")
    return configured(site)


def _exit_code(failed: list[Result]) -> int:
    if not failed:
        return 0
    return ONLY_LATE if all(v.kind in LATE for r in failed for v in r.violations) else 1


def _results(options: argparse.Namespace, knobs: Knobs) -> Generator[Result, None, None]:
    """Runs of consecutive seeds, in their order, until there are hours enough."""
    seed = options.seed
    left_s = options.hours * HOUR_S if options.cpu_minutes is None else options.cpu_minutes * 60.0
    if options.jobs == 1:
        while left_s > 0:
            result = run_seed(seed, knobs=knobs)
            yield result
            left_s, seed = left_s - _spent_s(result, options), seed + 1
        return
    others = active_children()
    pool = worker_pool(options.jobs)
    under_way: list[Future[Result]] = []
    try:
        while left_s > 0:
            while len(under_way) < AHEAD * options.jobs:
                with _interrupts_wait():  # also in the process begun here: we end it
                    under_way.append(pool.submit(run_seed, seed, knobs))
                seed += 1
            result = under_way.pop(0).result()
            yield result
            left_s -= _spent_s(result, options)
    finally:
        with _interrupts_wait():
            for process in active_children():
                if process not in others:
                    process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)


def _seed(text: str) -> int:
    if text == "new":
        return secrets.randbelow(NEW_SEEDS)
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number from 0 on nor `new`")
    return int(text)


def _spent_s(result: Result, options: argparse.Namespace) -> float:
    """Of what the run's length is counted in."""
    return result.sim_s if options.cpu_minutes is None else result.cpu_s


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C comes at the end of this; in processes begun meanwhile, which inherit it, never."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Progress:
    """Tells on stderr how far it is: in one line of a terminal, else in a new line now and then."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._seed = options.seed
        self._of = f" of {options.hours:g}" if options.cpu_minutes is None else ""
        self._terminal = sys.stderr.isatty()
        self._told_s: float | None = None

    def tell(self, results: list[Result]) -> None:
        """After each run."""
        now_s = time.monotonic()
        if not self._terminal and self._told_s is not None and now_s - self._told_s < PROGRESS_S:
            return
        self._told_s = now_s
        done = sum(r.sim_s for r in results) / HOUR_S
        failed = sum(r.violation_count > 0 for r in results)
        runs = "1 run" if len(results) == 1 else f"{len(results)} runs"
        line = f"from seed {self._seed}: {done:.2f}{self._of} simulated hours, {runs}, {failed} failed"
        if self._terminal:
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """What comes next has a line of its own."""
        if self._terminal and self._told_s is not None:
            print(file=sys.stderr)


def _stories(failed: list[Result], knobs: Knobs) -> Iterator[list[str]]:
    for result in failed:
        print(f"making the run of seed {result.seed} small …", file=sys.stderr)
        small = shrink(draw_plan(result.seed, knobs))
        if small is None:
            yield [f"seed {result.seed}: it does not fail again"]
            continue
        head = f"seed {result.seed}: {len(small.plan.happenings)} of {small.before} happenings are enough"
        yield [head, *small.result.story]


def _replay(options: argparse.Namespace, knobs: Knobs) -> int:
    first, second = run_seed(options.seed, knobs=knobs), run_seed(options.seed, knobs=knobs)
    same = first.hash == second.hash
    if options.json:
        print(json.dumps({"seed": options.seed, "hashes": [first.hash, second.hash], "same": same}))
    else:
        relation = "the same" if same else f"NOT the same as {second.hash}"
        print(f"seed {options.seed}: {first.events} events, hash {first.hash}, twice {relation}")
        for violation in first.violations:
            print(f"{violation.at_s:.3f} s: {violation.kind}: {violation.text}")
    return 0 if same and not first.violation_count else 1


def summary(results: list[Result]) -> dict[str, Any]:
    """All runs as plain data."""
    lives_s = [r.liveness.live_after_s for r in results]
    kinds: dict[str, int] = {}
    for violation in (v for r in results for v in r.violations):
        kinds[violation.kind] = kinds.get(violation.kind, 0) + 1
    return {
        "seeds": [results[0].seed, results[-1].seed] if results else [],
        "simulated_hours": sum(r.sim_s for r in results) / HOUR_S,
        "cpu_s": sum(r.cpu_s for r in results),
        "runs": len(results),
        "events": sum(r.events for r in results),
        "overloads": kinds.get("overload", 0),
        "fullest_fuse": max((r.highest_share for r in results), default=None),
        "violations": dict(sorted(kinds.items())),
        "live_after_s_median": statistics.median(lives_s) if lives_s else None,
        "live_after_s_worst": max(lives_s, default=None),
        "failed": {r.seed: msgspec.to_builtins(r.violations) for r in results if r.violation_count},
    }


def as_text(results: list[Result]) -> Iterator[str]:
    """All runs as a table."""
    found = summary(results)
    rows = [
        ("simulated hours", f"{found['simulated_hours']:.2f}"),
        ("CPU seconds", f"{found['cpu_s']:.1f}"),
        ("runs", str(found["runs"])),
        ("seeds", " to ".join(map(str, found["seeds"])) or "-"),
        ("events", str(found["events"])),
        ("overloads", str(found["overloads"])),
    ]
    if found["fullest_fuse"]:
        rows.append(("fullest fuse", f"{found['fullest_fuse']:.1%}"))
    rows += [(f"other: {kind}", str(n)) for kind, n in found["violations"].items() if kind != "overload"]
    if found["live_after_s_median"] is not None:
        median_s, worst_s = found["live_after_s_median"], found["live_after_s_worst"]
        worst = max(results, key=lambda r: r.liveness.live_after_s)
        rows.append(
            ("at work again after", f"median {median_s:.0f} s, worst {worst_s:.0f} s (seed {worst.seed})")
        )
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:{width}}  {value}"
    for seed, violations in found["failed"].items():
        first = violations[0]
        text = first["text"].splitlines()[-1]
        yield f"seed {seed} failed: {first['kind']} at {first['at_s']:.1f} s: {text}"
