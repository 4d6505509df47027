"""`amptree up`: a whole site on this machine, its plant included, until Ctrl-C.

It makes keys for the run, begins one process for the plant and one for each controller, shows the tree,
begins controllers again that die, and ends them all, the plant last: EVSEs are told to stop while there is
still hardware to tell.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from actors.controller import addresses
from actors.identities import keys_of_a_run, make_keys
from actors.rundir import AlreadyRunningError, RunDir, RunDirError
from actors.site import EvseManagerConfig, Site
from actors.state import StateFolder
from actors.stop import Stop
from actors.wiring import tree_registry
from tools import logs
from tools.client import Client, SiteStatus
from tools.errors import UserError
from tools.processes import load, stop_on_signals
from tools.screen import Screen, screen_for
from tools.status import all_alive
from tools.supervisor import TEND_EVERY_S, Supervisor
from transport import AddressError, KeyFileError, Wire, nobody

PLANT = "plant"
START_TIMEOUT_S = 30.0
START_TIMEOUT_EACH_S = 0.03
"""For all modules to be heard: so long, and so much longer for each of them."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("file", metavar="FILE", help="the site's YAML file")
    parser.add_argument("--for", dest="for_s", type=float, metavar="SECONDS", help="end after so long")
    parser.add_argument(
        "--record", metavar="DIR", type=Path, help="write plant.jsonl and the logs of all processes there"
    )
    parser.add_argument(
        "--no-screen", action="store_true", help="logs instead of the screen, unless --record takes them"
    )
    parser.add_argument(
        "--restart",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="begin controllers again that die (default), or leave them dead",
    )
    logs.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Run the site; 1 when a process ended and was not begun again."""
    if options.for_s is not None and not 0 < options.for_s < math.inf:
        raise UserError(f"--for needs more than 0 seconds, got {options.for_s:g}")
    site = load(options.file)
    try:
        with ExitStack() as stack:
            stop = stack.enter_context(stop_on_signals())
            run_dir = RunDir(site.name)
            scratch = run_dir.path / "scratch"
            file, keys = str(Path(options.file).resolve()), str((scratch / "keys").resolve())
            facts = {"file": file, "state": str(scratch / "state"), "keys": keys}
            stack.enter_context(run_dir.lock("up", f"site {site.name}", **facts))
            code = _run(site, options, stop, stack, scratch)
    except AlreadyRunningError as error:
        raise UserError(f"{error}; end it with: amptree stop --site {site.name}") from error
    except (RunDirError, AddressError, KeyFileError) as error:
        raise UserError(str(error)) from error
    if not options.no_screen:
        print(f"site {site.name} has stopped")
    return code


def _run(site: Site, options: argparse.Namespace, stop: Stop, stack: ExitStack, scratch: Path) -> int:
    if others := [name for name in RunDir(site.name).holders() if name != "up"]:
        raise UserError(
            f"parts of site {site.name} run already: {', '.join(others)}; "
            f"end them with: amptree stop --site {site.name}"
        )
    _check_addresses(site)
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir(mode=0o700)
    stack.callback(shutil.rmtree, scratch, ignore_errors=True)
    make_keys(scratch / "keys", keys_of_a_run(site))
    log_dir = _folder(options.record) if options.record else None if options.no_screen else scratch
    supervisor = Supervisor(log_dir, restarts=options.restart)
    stack.callback(supervisor.end)
    _begin(site, options, supervisor, scratch)
    deadline_s = None if options.for_s is None else time.monotonic() + options.for_s
    with Client(site.name, timeout_s=2.0) as client, screen_for(site, silent=options.no_screen) as screen:
        return _watch(site, screen, client, supervisor, stop, deadline_s)


def _check_addresses(site: Site) -> None:
    """Listen for a moment wherever the site will. Raises AddressError where that fails.

    Told by the controllers it would be too late: those below have found, and disturbed, whoever is there.
    """
    all_addresses = [addresses(site, name) for name in site.controllers]
    for address in dict.fromkeys([all_addresses[0].plant, *(a.listen for a in all_addresses)]):
        if address is not None:
            wire = Wire(name="up", registry=tree_registry(), keys=nobody())
            try:
                wire.listen(address, lambda _: None, name="check")
            finally:
                wire.stop()


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made: {error.strerror}") from error
    return path


def _begin(site: Site, options: argparse.Namespace, supervisor: Supervisor, scratch: Path) -> None:
    state = scratch / "state"
    # No part of the site runs, its hardware neither: nothing can hold a grant of a former life. Chargers can.
    nodes = [m.id for m in site.modules.values() if not isinstance(m.config, EvseManagerConfig)]
    nodes = [] if site.chargers else nodes
    if fault := StateFolder(state).begin_without_former_life(nodes):
        raise UserError(fault)
    common = [*logs.arguments(options), "--parent", str(os.getpid()), "--keys", str(scratch / "keys")]
    plant = addresses(site, next(iter(site.controllers))).plant
    record = ["--record", str(options.record / "plant.jsonl")] if options.record else []
    supervisor.begin(PLANT, ["plant", options.file, "--listen", plant, *record, *common])
    for name in site.controllers:
        arguments = ["run", options.file, "--controller", name, "--plant", plant, "--state", str(state)]
        supervisor.begin(name, [*arguments, *common])


def _lost(supervisor: Supervisor, console: Console, *, starting: bool) -> bool:
    """Tell of processes that died; whether one is not begun again. While starting, an error ends the run."""
    lost = False
    for death in supervisor.tend():
        if starting and death.code > 0:
            raise UserError(death.words.partition(": ")[2] or f"{death.name} did not start ({death.reason})")
        console.print(death.line(), style="red", markup=False)
        lost = lost or death.again_in_s is None
        if death.name == PLANT:
            raise UserError("the plant has ended, and with it the site")
    return lost


def _over(stop: Stop, deadline_s: float | None) -> bool:
    return stop.is_set() or (deadline_s is not None and time.monotonic() >= deadline_s)


def _ask(client: Client) -> SiteStatus | None:
    try:
        return client.status(with_reasons=False)
    except UserError:
        return None


def _watch(
    site: Site,
    screen: Screen,
    client: Client,
    supervisor: Supervisor,
    stop: Stop,
    deadline_s: float | None,
) -> int:
    failed = complete = False
    timeout_s = START_TIMEOUT_S + START_TIMEOUT_EACH_S * len(site.modules)
    begin_s = show_s = time.monotonic()
    while not _over(stop, deadline_s):
        failed = _lost(supervisor, screen.console, starting=not complete) or failed
        if time.monotonic() >= show_s:
            status = _ask(client) if screen.shows or not complete else None
            # Only the root's controller, which has the optimizer, knows whether all are there.
            complete = complete or (status is not None and status.optimizer is not None and all_alive(status))
            screen.show(status, complete=complete)
            show_s = time.monotonic() + screen.pause_s
        if not complete and time.monotonic() - begin_s > timeout_s:
            raise UserError(f"site {site.name} is not complete after {timeout_s:.0f} s")
        left_s = TEND_EVERY_S if deadline_s is None else deadline_s - time.monotonic()
        stop.wait(min(TEND_EVERY_S, left_s))
    if not complete and not stop.is_set():
        raise UserError(f"site {site.name} was not complete after {time.monotonic() - begin_s:.0f} s")
    return 1 if failed else 0
