"""Runs of the fuzzer: how many inputs, for how long, what was found, how much memory was held."""

from __future__ import annotations

import logging
import platform
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.fuzz.configs import Configs
from tests.fuzz.links import Links
from tools.workers import worker_pool

PROGRESS_EVERY_S = 5.0
LOOK_EVERY = 256
"""Inputs between two looks at the clock."""
WARM_UP = 20_000
"""Frames after which memory is no longer expected to grow."""
GROWTH_MAX_B = 192 << 20
"""Of the most memory that the process ever held since: a frame may be 16 MiB, and is held some times over."""


class Findings:
    """What was found, told at once."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def note(self, target: str, number: int, given: str) -> None:
        """The exception that is being handled."""
        text = traceback.format_exc()
        self.told.append({"target": target, "number": number, "error": text.strip().splitlines()[-1][:500]})
        print(f"\n--- {target} {number}\n{text}input: {given[:4_000]}", file=sys.stderr, flush=True)


def run(
    name: str,
    feed: Callable[[], None],
    given: Callable[[], str],
    *,
    count: int,
    until_s: float,
    findings: Findings,
    most: int,
) -> int:
    """Feed so many inputs, or until it is time; returns how many."""
    told_s = begin_s = time.monotonic()
    done = 0
    while done < count and len(findings.told) < most:
        try:
            feed()
        except Exception:  # what is looked for
            findings.note(name, done, given())
        done += 1
        if done % LOOK_EVERY == 0:
            now_s = time.monotonic()
            if now_s - told_s >= PROGRESS_EVERY_S:
                told_s = now_s
                rate = done / (now_s - begin_s)
                text = f"{name}: {done:,} of {count:,}, {rate:,.0f}/s, {len(findings.told)} findings"
                print(text, file=sys.stderr, flush=True)
            if now_s >= until_s:
                break
    return done


def peak_B() -> int:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(
    *, seed: int, frames: int, configs: int, until_s: float = float("inf"), most: int = 1
) -> dict[str, Any]:
    """All of it; returns the summary."""
    findings = Findings()
    begin_s = time.monotonic()
    links, files = Links(seed), Configs(seed)

    def over(feed: Callable[[], None], name: str, given: Callable[[], str], count: int) -> int:
        return run(name, feed, given, count=count, until_s=until_s, findings=findings, most=most)

    try:
        logging.disable(logging.CRITICAL)
        warm = over(links.feed, "frames", lambda: links.frame.hex(), min(frames, WARM_UP))
        warm_B = peak_B()
        warm += over(links.feed, "frames", lambda: links.frame.hex(), frames - warm)
        growth_B = peak_B() - warm_B
        loaded = over(files.feed, "site files", lambda: files.text, configs)
    finally:
        logging.disable(logging.NOTSET)
        files.close()
    if growth_B > GROWTH_MAX_B:
        findings.told.append({"target": "memory", "error": f"grew by {growth_B >> 20} MiB"})
    return {
        "seed": seed,
        "frames": warm,
        "let_in_and_acted_on": links.acted_on,
        "verdicts": dict(links.verdicts.most_common()),
        "largest_frame_B": links.largest_B,
        "site_files": loaded,
        "site_verdicts": dict(files.verdicts.most_common()),
        "memory_growth_MiB": round(growth_B / 2**20, 1),
        "seconds": round(time.monotonic() - begin_s, 1),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "findings": findings.told,
    }


def in_parallel(
    jobs: int, *, seed: int, frames: int, configs: int, until_s: float, most: int
) -> dict[str, Any]:
    """The same, shared among processes with seeds of their own; returns one summary."""
    shares = [
        {"seed": seed + job, "frames": -(-frames // jobs), "configs": -(-configs // jobs)}
        for job in range(jobs)
    ]
    # Fresh interpreters: what was held before must not count as grown.
    with worker_pool(jobs) as pool:
        runs = [pool.submit(fuzz, **share, until_s=until_s, most=most) for share in shares]
        summaries = [run.result() for run in runs]
    together = {"seeds": [summary["seed"] for summary in summaries], **summaries[0]}
    del together["seed"]
    for name in ("frames", "let_in_and_acted_on", "site_files"):
        together[name] = sum(summary[name] for summary in summaries)
    for name in ("largest_frame_B", "memory_growth_MiB", "seconds"):
        together[name] = max(summary[name] for summary in summaries)
    for name in ("verdicts", "site_verdicts"):
        together[name] = dict(sum((Counter(summary[name]) for summary in summaries), Counter()).most_common())
    together["findings"] = [finding for summary in summaries for finding in summary["findings"]]
    return together
