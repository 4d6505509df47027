"""The options of `amptree bench`: what to measure is its first word."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import msgspec

from tools.bench.market import FAMILIES, measure_market
from tools.bench.rows import Row, as_table
from tools.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parts = parser.add_subparsers(dest="part", metavar="WHAT", required=True)
    market = parts.add_parser("market", help="the market: reading requests, allocating, building results")
    market.add_argument("--quick", action="store_true", help="few runs of each, only to see that it works")
    market.add_argument(
        "--only", metavar="NAME", help=f"families whose name has this pattern in it: {', '.join(FAMILIES)}"
    )
    market.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file, too")


def run(options: argparse.Namespace) -> int:
    """Measure, print the table; 1 when a figure is above its reach."""
    try:
        only = re.compile(options.only or "")
    except re.error as error:
        raise UserError(f"--only: {error}") from None
    names = [name for name in FAMILIES if only.search(name)]
    if not names:
        raise UserError(f"--only: no family has {options.only!r} in its name")
    rows = measure_market(names, quick=options.quick)
    print("\n".join(as_table(rows)))
    if options.json is not None:
        _write(options.json, rows)
    return 1 if any(row.misses() for row in rows) else 0


def _write(path: Path, rows: list[Row]) -> None:
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    except OSError as error:
        raise UserError(f"--json: {error}") from None
