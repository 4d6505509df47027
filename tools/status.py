"""`amptree status`: every module of a running site, and what the optimizer did."""

from __future__ import annotations

import argparse

import msgspec
from msgspec.structs import replace

from actors.config import ConfigError, load_site
from actors.energy.forecasts import unpacked
from actors.rundir import RunDir
from actors.site import Site
from tools.client import Client, SiteStatus, add_site_argument, find_site
from tools.errors import UserError
from tools.keyrings import add_keys_argument
from tools.view import console, render


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--request",
        action="store_true",
        help="what the market was asked last, as input of `amptree allocate`; with --json: that, too",
    )
    parser.add_argument("--json", action="store_true", help="everything, with the forecast, as JSON")
    add_site_argument(parser)
    add_keys_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Print it; 1 when some module is not alive."""
    site = find_site(options.site)
    with Client(site, keys=options.keys) as client:
        status = client.status(with_request=options.request, with_reasons=options.json)
    if options.json:
        print(as_json(status))
    elif options.request:
        print(as_allocate_input(site, status))
    else:
        out = console()
        out.print(render(status, depths_of(site), out.width))
    return 0 if all_alive(status) else 1


def as_json(status: SiteStatus) -> str:
    """All that is known, forecasts as EVerest writes them."""
    optimizer = status.optimizer
    if optimizer is not None:
        forecast = tuple([unpacked(limits) for limits in optimizer.forecast])
        status = replace(status, optimizer=replace(optimizer, forecast=forecast))
    return msgspec.json.format(msgspec.json.encode(status)).decode()


def as_allocate_input(site_name: str, status: SiteStatus) -> str:
    """The last run of the market, in the form that `amptree allocate` reads."""
    optimizer = status.optimizer
    if optimizer is None or optimizer.request is None:
        raise UserError("the market has not run, or the root's controller does not run here")
    entry = {
        "id": f"{site_name} {optimizer.last_run}",
        "config": optimizer.config,
        "steps": [{"start_time": optimizer.last_run, "request": optimizer.request}],
    }
    return msgspec.json.encode(entry).decode()


def all_alive(status: SiteStatus) -> bool:
    """Whether every module is heard and every controller answers."""
    return all(m.alive for m in status.modules) and not status.silent_controllers


def site_on_file(site_name: str) -> Site | None:
    """The site, from the file that its processes loaded; None if that is gone."""
    for facts in RunDir(site_name).holders().values():
        try:
            return load_site(str(facts.get("file", "")))
        except ConfigError:
            continue
    return None


def depths_of(site_name: str) -> dict[str, int]:
    """How deep each module is in the tree; empty when that cannot be told."""
    site = site_on_file(site_name)
    return {} if site is None else {m: len(site.path_to_root(m)) - 1 for m in site.modules}
