"""Runs of benchmarks that are kept and compared."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from tools.bench.rows import Row
from tools.errors import UserError

ROOT = Path(__file__).parents[2]

Key = tuple[str, str, str]
"""Benchmark, row and figure."""


class Run(Struct, frozen=True, kw_only=True):
    """All that one call found, and where."""

    date: str
    """RFC 3339."""
    commit: str
    """Empty where that is not known."""
    machine: str
    rows: tuple[Row, ...]


def run_of(rows: Iterable[Row]) -> Run:
    """Rows of here and now."""
    return Run(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        machine=_machine(),
        rows=tuple(rows),
    )


def save(run: Run, path: Path) -> None:
    """Write a run as JSON. Raises UserError."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def load(path: Path) -> Run:
    """Read a saved run. Raises UserError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UserError(f"{path}: no saved run of amptree bench: {error}") from error


def ratios(run: Run, before: Run) -> dict[Key, float]:
    """How many times what it was each figure is, where both are there."""
    known = {key: value for key, value in _figures(before) if value}
    return {key: value / known[key] for key, value in _figures(run) if key in known}


def _figures(run: Run) -> Iterator[tuple[Key, float]]:
    for row in run.rows:
        for name, value in row.figures.items():
            yield (row.bench, row.name, name), value


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent of all are not above. Raises IndexError where there is none."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * percent) // 100) - 1)]


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=9"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()


def _machine() -> str:
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}"
