"""What came of a run: a verdict, a table for people, `result.json` for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actors.site import Site
from tools.chaos.conduct import Course, Event
from tools.chaos.record import MARGIN, Guard, Judge, Line, Tally, Unmet, read_record
from tools.chaos.story import Story
from tools.columns import printable

GAP_MAX_S = 1.0
"""A longer time without a sample is told: of it nothing is known."""


class Finding(Struct, frozen=True, kw_only=True):
    """A guard's part of the result."""

    node: str
    what: str
    rating_A: float
    max_A: float
    max_at_s: float
    mean_A: float
    samples: int
    overload_samples: int
    excused_samples: int


class Result(Struct, frozen=True, kw_only=True):
    """All of `result.json`."""

    ok: bool
    faults_found: tuple[str, ...]
    """Why it is not ok, a line each."""
    site: str
    story: str
    seed: int
    date: str
    machine: str
    for_s: float
    """How long the story was; the record is longer."""
    samples: int
    longest_gap_s: float
    """Between two samples of the record."""
    overload_samples: int
    stuck: tuple[str, ...]
    at_work_after_s: float | None
    share_in_force: float
    """Limits in force during the story, as part of those before it; of `steady` cars only, else 0."""
    injected: int
    """Faults."""
    guards: tuple[Finding, ...]
    unmet: tuple[str, ...]
    events: tuple[Event, ...]


class Evidence(Struct, frozen=True, kw_only=True):
    """The judged record: what the result and the picture are made of."""

    tallies: list[Tally]
    unmet: list[Unmet]
    longest_gap_s: float
    share_in_force: float


def judge(site: Site, story: Story, course: Course, record: Path) -> Evidence:
    """Read the whole record, from the plant's start on."""
    judge = Judge(site, course.begin_s, story.expect)
    gap_s, last_s = 0.0, None
    shares: list[float] = []
    for line in read_record(record):
        judge.see(line)
        if last_s is not None:
            gap_s = max(gap_s, line["t"] - last_s)
        last_s = line["t"]
        if judge.before is not None and 0.0 <= last_s - course.begin_s <= story.for_s:
            shares.append(_share(judge.before, line))
    steady = story.cars == "steady" and shares
    return Evidence(
        tallies=judge.tallies,
        unmet=judge.unmet,
        longest_gap_s=gap_s,
        share_in_force=sum(shares) / len(shares) if steady else 0.0,
    )


def conclude(site: Site, story: Story, course: Course, evidence: Evidence) -> Result:
    """The result of a run."""
    tallies = evidence.tallies
    samples = max((t.samples for t in tallies), default=0)
    unmet = tuple(_unmet_line(unmet) for unmet in evidence.unmet)
    found = [
        f"{t.guard.name} was overloaded in {t.overloads} samples: {t.max_A:.2f} A of {t.guard.rating_A:g} A "
        f"at {t.max_at_s:.1f} s"
        for t in tallies
        if t.overloads
    ]
    found += unmet
    found += [f"stuck: {text}" for text in course.stuck if course.at_work_after_s is None]
    found += [f"at {event.at_s:.1f} s: {event.text}" for event in course.died]
    if course.stopped:
        found.append("the run was ended before its end")
    if not samples:
        found.append("there is nothing to judge: no fuse and no permanent limit, or no record")
    return Result(
        ok=not found,
        faults_found=tuple(found),
        site=site.name,
        story=story.story,
        seed=story.seed,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        for_s=story.for_s,
        samples=samples,
        longest_gap_s=round(evidence.longest_gap_s, 3),
        overload_samples=sum(t.overloads for t in tallies),
        stuck=tuple(course.stuck) if course.at_work_after_s is None else (),
        at_work_after_s=course.at_work_after_s,
        share_in_force=round(evidence.share_in_force, 4),
        injected=len(story.faults),
        guards=tuple(_finding(tally) for tally in tallies),
        unmet=unmet,
        events=tuple(course.events),
    )


def show(result: Result, console: Console) -> None:
    """The table and the verdict."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("guard")
    for head in ("rating", "most", "of it", "at", "mean", "samples", "over"):
        table.add_column(head, justify="right")
    for guard in result.guards:
        part = guard.max_A / guard.rating_A if guard.rating_A else 0.0
        table.add_row(
            printable(f"{guard.node}{'' if guard.what == 'fuse' else ' (limit)'}"),
            f"{guard.rating_A:g} A",
            f"{guard.max_A:.2f} A",
            f"{part:.1%}",
            f"{guard.max_at_s:.1f} s",
            f"{guard.mean_A:.1f} A",
            str(guard.samples),
            Text(str(guard.overload_samples), style="red" if guard.overload_samples else ""),
        )
    console.print(table)
    for text in _facts(result):
        console.print(Text(text))
    for found in result.faults_found:
        console.print(Text(printable(found), style="red"))
    verdict = "held" if result.ok else "NOT HELD"
    console.print(Text(f"verdict: {verdict}", style="bold green" if result.ok else "bold red"))


def write_result(result: Result, path: Path) -> None:
    """Write `result.json`."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")


def _facts(result: Result) -> Iterator[str]:
    yield (
        f"{result.injected} faults in {result.for_s:g} s; {result.overload_samples} overloads "
        f"(more than {MARGIN:.1%} over), {len(result.stuck)} stuck"
    )
    if result.at_work_after_s is not None:
        yield f"at work again {result.at_work_after_s:.0f} s after the end of all faults"
    if result.share_in_force:
        yield f"in force during the story: {result.share_in_force:.1%} of before"
    if result.longest_gap_s > GAP_MAX_S:
        yield f"the record has a gap of {result.longest_gap_s:.1f} s, of which nothing is known"


def _finding(tally: Tally) -> Finding:
    guard: Guard = tally.guard
    return Finding(
        node=guard.node,
        what="fuse" if guard.fuse else "limit",
        rating_A=guard.rating_A,
        max_A=round(tally.max_A, 3),
        max_at_s=round(tally.max_at_s, 1),
        mean_A=round(tally.sum_A / tally.samples, 3) if tally.samples else 0.0,
        samples=tally.samples,
        overload_samples=tally.overloads,
        excused_samples=tally.excused,
    )


def _unmet_line(unmet: Unmet) -> str:
    e = unmet.expectation
    return (
        f"expected {e.state} below {e.below} from {e.from_s:g} to {e.until_s:g} s; "
        f"at {unmet.at_s:.1f} s {unmet.found}"
    )


def _share(before: Line, line: Line) -> float:
    """Limits in force, as part of those before; none counts for more than it had."""
    had: dict[str, Any] = before["evses"]
    had_A = sum(there["limit_A"] for there in had.values())
    held_A = sum(min(there["limit_A"], had[evse]["limit_A"]) for evse, there in line["evses"].items())
    return 1.0 if had_A <= 0.0 else held_A / had_A
