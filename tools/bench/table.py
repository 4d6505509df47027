"""Figures as a table that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from tools.bench.figures import Figure, Run, ratios

DIGITS = 3


def table_of(run: Run, before: Run | None = None) -> Table:
    """A row a figure: what is promised of it, and how many times what it was before it is."""
    times = {} if before is None else ratios(run.figures, before)
    title = f"{run.machine}, {run.date}" + (f", {run.commit}" if run.commit else "")
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for name in ("bench", "case", "what"):
        table.add_column(name, overflow="fold")
    for name in ("value", "unit", "reach", ""):
        table.add_column(name, justify="right" if name in ("value", "reach") else "left")
    if before is not None:
        table.add_column("times before", justify="right")
    for figure in run.figures:
        table.add_row(*_cells(figure), *([] if before is None else [_ratio(figure, times)]))
    return table


def _cells(figure: Figure) -> Sequence[str]:
    reach = "" if figure.reach is None else _shown(figure.reach)
    verdict = {None: "", True: "reached", False: "not reached"}[figure.reached]
    return figure.bench, figure.case, figure.what, _shown(figure.value), figure.unit, reach, verdict


def _ratio(figure: Figure, times: Mapping[tuple[str, str, str], float]) -> str:
    return f"{times[figure.key]:.2f}" if figure.key in times else ""


def _shown(value: float) -> str:
    """With DIGITS digits, and no power of ten."""
    return f"{value:,.0f}" if abs(value) >= 10 ** (DIGITS - 1) else f"{value:.{DIGITS}g}"
