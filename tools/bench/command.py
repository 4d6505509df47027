"""`amptree bench`: arguments, and which benchmark does what."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from tools.bench.decrease import measure_decrease
from tools.bench.end_to_end import measure_end_to_end
from tools.bench.market import FAMILIES, measure_market
from tools.bench.rows import Chooses, Row
from tools.bench.runs import load, run_of, save
from tools.bench.startup import measure_startup
from tools.bench.steady import measure_steady
from tools.bench.table import shown, table_of
from tools.errors import UserError
from tools.view import console


def _measure_families(*, quick: bool, only: Chooses) -> Iterable[Row]:
    return measure_market([name for name in FAMILIES if only(name)], quick=quick)


BENCHES: dict[str, Callable[..., Iterable[Row]]] = {
    "market": _measure_families,
    "decrease": measure_decrease,
    "end-to-end": measure_end_to_end,
    "steady": measure_steady,
    "startup": measure_startup,
}
"""Each takes `quick` and `only`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "benches", nargs="*", metavar="BENCH", help=f"which: {', '.join(BENCHES)}; all if none is named"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="save the run there; `-` prints it")
    parser.add_argument("--compare", metavar="FILE", type=Path, help="tell how many times a saved run it is")
    parser.add_argument(
        "--only", metavar="PATTERN", help="only rows whose name matches: `1000 on 10`, `floors`; see the JSON"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and few runs: whether it works")


def run(options: argparse.Namespace) -> int:
    """Measure, print, save; 1 where a figure is above what is promised."""
    names = options.benches or list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        print(f"amptree bench: no benchmark {unknown[0]!r}; known: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    try:
        pattern = re.compile(options.only or "")
    except re.error as error:
        raise UserError(f"--only: {error}") from None
    before = None if options.compare is None else load(options.compare)
    rows = [row for name in names for row in _told(_measured(name, options.quick, pattern))]
    found = run_of(rows)
    if str(options.json) == "-":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        console().print(table_of(found, before))
    if options.json is not None and str(options.json) != "-":
        save(found, options.json)
    return 1 if any(row.misses() for row in rows) else 0


def _measured(name: str, quick: bool, pattern: re.Pattern[str]) -> Iterable[Row]:
    return BENCHES[name](quick=quick, only=lambda row: pattern.search(row) is not None)


def _told(rows: Iterable[Row]) -> Iterator[Row]:
    """Each as soon as it is there: a whole run takes long."""
    for row in rows:
        figures = ", ".join(f"{name} {shown(value)}" for name, value in row.figures.items())
        print(f"{row.bench}: {row.what}: {figures}", file=sys.stderr, flush=True)
        yield row
