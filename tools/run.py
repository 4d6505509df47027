"""`amptree run`: one controller of a site, for a host of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from actors import identities
from actors.drivers import DriverError
from actors.rundir import AlreadyRunningError, RunDir, RunDirError, state_dir
from tools import logs
from tools.errors import UserError
from tools.keyrings import add_keys_argument, keys_folder, open_keyring
from tools.notify import ServiceManager
from tools.parts import load_part
from tools.processes import (
    add_faults_argument,
    allow_many_files,
    injection_of,
    run_smoothly,
    stop_on_signals,
)
from transport import AddressError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("file", metavar="FILE", help="the site's YAML file, the same on all hosts")
    parser.add_argument("--controller", required=True, metavar="NAME", help="which of the site's controllers")
    parser.add_argument("--plant", metavar="ADDRESS", help="where the simulated plant listens")
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        help="what must outlive a restart (default: that of a running `up`, else per user)",
    )
    add_keys_argument(parser)
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process, its parent, ends")
    add_faults_argument(parser)
    logs.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Run until a signal; 3 when too many actors died."""
    name = options.controller
    site = load_part(options.file, name)
    # Not before: the market's arrays bring threads with them, and the file is read in a fork of this process.
    from actors.controller import Controller, addresses

    logs.set_up(options, debug=site.manager_config().debug)
    state = options.state or _state_of_up(site.name) or state_dir() / site.name
    keys = keys_folder(site.name, options.keys)
    keyring = open_keyring(keys, identities.controller(name))
    allow_many_files()
    hosted = site.controllers[name].modules
    try:
        where = addresses(site, name, options.plant)
        with (
            stop_on_signals(parent=options.parent) as stop,
            RunDir(site.name).lock(
                name,
                f"controller {name} of site {site.name}",
                controller=name,
                root=site.root in hosted,
                file=str(Path(options.file).resolve()),
                keys=str(keys.resolve()),
            ),
        ):
            run_smoothly()
            manager = ServiceManager()
            controller = Controller(site, name, where, state, keyring, injection_of(options))
            code = controller.run(stop, manager.beat)
            manager.stopping()
            return code
    except (AddressError, DriverError, RunDirError, AlreadyRunningError) as error:
        raise UserError(str(error)) from error


def _state_of_up(site_name: str) -> Path | None:
    """Where a running `up` of this site has its controllers keep their state."""
    state = RunDir(site_name).holders().get("up", {}).get("state")
    return Path(state) if isinstance(state, str) else None
