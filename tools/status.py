"""`amptree status`: every module of a running site, and what the optimizer did."""

from __future__ import annotations

import argparse
import sys

import msgspec
from rich.console import Console

from actors.config import ConfigError, load_site
from actors.rundir import RunDir
from tools.client import Client, SiteStatus, add_site_argument, find_site
from tools.view import render


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="everything, with the forecast, as JSON")
    add_site_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Print it; 1 when some module is not alive."""
    site = find_site(options.site)
    with Client(site) as client:
        status = client.status()
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(status)).decode() + "\n")
    else:
        console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
        console.print(render(status, depths_of(site)))
    return 0 if all_alive(status) else 1


def all_alive(status: SiteStatus) -> bool:
    """Whether every module is heard and every controller answers."""
    return all(m.alive for m in status.modules) and not status.silent_controllers


def depths_of(site_name: str) -> dict[str, int]:
    """How deep each module is, from the file that the site's processes loaded; empty if it is gone."""
    for facts in RunDir(site_name).holders().values():
        try:
            site = load_site(str(facts.get("file", "")))
        except ConfigError:
            continue
        return {m: len(site.path_to_root(m)) - 1 for m in site.modules}
    return {}
