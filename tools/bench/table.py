"""A run as a table that a person reads."""

from __future__ import annotations

from rich import box
from rich.table import Table

from tools.bench.rows import Row
from tools.bench.runs import Run, ratios

DIGITS = 3


def table_of(run: Run, before: Run | None = None) -> Table:
    """A line a figure: what it is to reach, and how many times what it was before it is."""
    times = {} if before is None else ratios(run, before)
    title = f"{run.machine}, {run.date}" + (f", {run.commit}" if run.commit else "")
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for name in ("bench", "what", "figure"):
        table.add_column(name, overflow="fold")
    for name in ("value", "reach"):
        table.add_column(name, justify="right")
    table.add_column("")
    if before is not None:
        table.add_column("times before", justify="right")
    for row in run.rows:
        for name in row.figures:
            ratio = times.get((row.bench, row.name, name))
            table.add_row(*_cells(row, name), *([] if ratio is None else [f"{ratio:.2f}"]))
    return table


def _cells(row: Row, name: str) -> tuple[str, ...]:
    value, most = row.figures[name], row.reach.get(name)
    verdict = "" if most is None else "reached" if value <= most else "not reached"
    return row.bench, row.what, name, shown(value), "" if most is None else shown(most), verdict


def shown(value: float) -> str:
    """With DIGITS digits at least, and no power of ten."""
    return f"{value:,.0f}" if abs(value) >= 10 ** (DIGITS - 1) else f"{value:.{DIGITS}g}"
