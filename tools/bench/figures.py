"""What a benchmark finds: figures, and runs of them that are kept and compared."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from tools.errors import UserError

ROOT = Path(__file__).parents[2]


class Figure(Struct, frozen=True, kw_only=True):
    """One number; less is better."""

    bench: str
    """Which benchmark: market, end-to-end, steady, startup."""
    case: str
    """Of what: sizes and kinds."""
    what: str
    """What was measured."""
    value: float
    unit: str
    reach: float | None = None
    """What it should be at most; None where nothing is promised."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The same in each run."""
        return self.bench, self.case, self.what

    @property
    def reached(self) -> bool | None:
        """Whether it is good enough; None where nothing is promised."""
        return None if self.reach is None else self.value <= self.reach


class Run(Struct, frozen=True, kw_only=True):
    """All figures of one call, and where they come from."""

    date: str
    """RFC 3339."""
    commit: str
    """Empty where that is not known."""
    machine: str
    figures: tuple[Figure, ...]


def run_of(figures: Iterable[Figure]) -> Run:
    """Figures of here and now."""
    return Run(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        machine=_machine(),
        figures=tuple(figures),
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


def ratios(figures: Iterable[Figure], before: Run) -> dict[tuple[str, str, str], float]:
    """How many times what it was each figure is, where both are there."""
    known = {figure.key: figure.value for figure in before.figures}
    return {f.key: f.value / known[f.key] for f in figures if known.get(f.key)}


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
