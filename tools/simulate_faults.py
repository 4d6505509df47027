"""`amptree simulate-faults`: run sites in simulated time while everything goes wrong that may."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import msgspec

from actors.simulation.faults import draw_plan
from actors.simulation.plan import Knobs
from actors.simulation.run import HOUR_S, Result
from actors.simulation.run import run as run_seed
from actors.simulation.shrink import shrink
from actors.simulation.sites import MOST_EVSES
from tools.errors import UserError

MOST_JOBS = 256
AHEAD = 2
"""Runs handed to each process before it needs them."""
NEW_SEEDS = 2**48
MOST_STORIES = 3
"""Failing seeds that are made small and told."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
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
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes that run at once")
    parser.add_argument(
        "--replay", action="store_true", help="run one seed twice, and compare all that happened"
    )
    parser.add_argument(
        "--shrink",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="make failing runs small and tell their story",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Run, and print what was found; 1 when anything failed."""
    if options.evses is not None and not 1 <= options.evses <= MOST_EVSES:
        raise UserError(f"--evses must be from 1 to {MOST_EVSES}")
    if not 1 <= options.jobs <= MOST_JOBS:
        raise UserError(f"--jobs must be from 1 to {MOST_JOBS}")
    if not 0 < options.hours < 1e9:
        raise UserError("--hours must be above 0")
    if options.cpu_minutes is not None and not 0 < options.cpu_minutes < 1e9:
        raise UserError("--cpu-minutes must be above 0")
    knobs = Knobs(evses=options.evses)
    if options.replay:
        return _replay(options, knobs)
    results: list[Result] = []
    stopped = False
    try:
        for result in _results(options, knobs):
            results.append(result)
            _progress(results, options)
    except KeyboardInterrupt:
        stopped = True
    print(file=sys.stderr)
    failed = [r for r in results if r.violation_count]
    stories = [] if stopped or not options.shrink else _stories(failed[:MOST_STORIES], knobs)
    if options.json:
        print(json.dumps({**summary(results), "stories": stories}, indent=2))
    else:
        print("\n".join(as_text(results)))
        for story in stories:
            print("\n" + "\n".join(story))
    if stopped:
        return 130
    return 1 if failed else 0


def _results(options: argparse.Namespace, knobs: Knobs) -> Iterator[Result]:
    """Runs of consecutive seeds, in their order, until there are hours enough."""
    seed = options.seed
    left_s = options.hours * HOUR_S if options.cpu_minutes is None else options.cpu_minutes * 60.0
    if options.jobs == 1:
        while left_s > 0:
            result = run_seed(seed, knobs=knobs)
            yield result
            left_s, seed = left_s - _spent_s(result, options), seed + 1
        return
    context = get_context("spawn")
    pool = ProcessPoolExecutor(options.jobs, mp_context=context, initializer=_ignore_interrupts)
    under_way: list[Future[Result]] = []
    try:
        while left_s > 0:
            while len(under_way) < AHEAD * options.jobs:
                under_way.append(pool.submit(run_seed, seed, None, knobs))
                seed += 1
            result = under_way.pop(0).result()
            yield result
            left_s -= _spent_s(result, options)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _seed(text: str) -> int:
    return secrets.randbelow(NEW_SEEDS) if text == "new" else int(text)


def _spent_s(result: Result, options: argparse.Namespace) -> float:
    """Of what the run's length is counted in."""
    return result.sim_s if options.cpu_minutes is None else result.cpu_s


def _ignore_interrupts() -> None:
    """Ctrl-C is for the parent, which ends its processes itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _progress(results: list[Result], options: argparse.Namespace) -> None:
    of = f" of {options.hours:g}" if options.cpu_minutes is None else ""
    done = sum(r.sim_s for r in results) / HOUR_S
    failed = sum(r.violation_count > 0 for r in results)
    line = f"from seed {options.seed}: {done:.2f}{of} simulated hours, {len(results)} runs, {failed} failed"
    end = "" if sys.stderr.isatty() else "\n"
    if end == "" or len(results) % 20 == 0:
        print(f"\r{line}", end=end, file=sys.stderr, flush=True)


def _stories(failed: list[Result], knobs: Knobs) -> list[list[str]]:
    stories = []
    for result in failed:
        print(f"making the run of seed {result.seed} small …", file=sys.stderr)
        small = shrink(draw_plan(result.seed, knobs))
        if small is None:
            stories.append([f"seed {result.seed}: it does not fail again"])
            continue
        head = f"seed {result.seed}: {len(small.plan.happenings)} of {small.before} happenings are enough"
        stories.append([head, *small.result.story])
    return stories


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
        "simulated_hours": sum(r.sim_s for r in results) / HOUR_S,
        "cpu_s": sum(r.cpu_s for r in results),
        "runs": len(results),
        "events": sum(r.events for r in results),
        "overloads": kinds.get("overload", 0),
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
        ("events", str(found["events"])),
        ("overloads", str(found["overloads"])),
    ]
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
