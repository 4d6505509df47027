"""`amptree up`: a whole site on this machine, its plant included, until Ctrl-C.

It makes keys for the run, begins one process for the plant and one for each controller, shows the
tree, and ends them all, the plant last: EVSEs are told to stop while there is still hardware to tell.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import subprocess
import sys
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
from transport import AddressError, KeyFileError, Wire, nobody

START_TIMEOUT_S = 30.0
"""For all modules to be heard."""
END_TIMEOUT_S = 10.0
"""For the controllers to end by themselves, then for the plant."""


class Processes:
    """The processes of one run, in the order of their begin."""

    def __init__(self, log_dir: Path | None) -> None:
        self._log_dir = log_dir
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._told: set[str] = set()

    def begin(self, name: str, arguments: list[str]) -> None:
        """Begin `amptree …`; its log goes to a file where there is a folder for it, else to stderr."""
        command = [sys.executable, "-m", "tools.main", *arguments]
        with ExitStack() as stack:
            log = stack.enter_context(open(self._log(name), "wb")) if self._log_dir else None
            # A group of their own: Ctrl-C reaches `up` only, which ends them in order.
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def newly_dead(self) -> list[tuple[str, int]]:
        """Processes that ended since the last call, with their exit codes."""
        dead = [
            (name, code)
            for name, process in self._processes.items()
            if name not in self._told and (code := process.poll()) is not None
        ]
        self._told.update(name for name, _ in dead)
        return dead

    def last_words(self, name: str) -> str:
        """The end of a process's log."""
        if self._log_dir is None:
            return ""
        lines = self._log(name).read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""

    def end(self) -> None:
        """End all but the first, then the first; kill what does not end in time."""
        names = list(self._processes)
        for group in (names[1:], names[:1]):
            alive = {name: p for name in group if (p := self._processes[name]).poll() is None}
            for process in alive.values():
                process.send_signal(signal.SIGTERM)
            deadline_s = time.monotonic() + END_TIMEOUT_S
            for name, process in alive.items():
                try:
                    process.wait(max(0.0, deadline_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    print(f"{name} did not end within {END_TIMEOUT_S:g} s and is killed", file=sys.stderr)
                    process.kill()
                    process.wait()

    def _log(self, name: str) -> Path:
        assert self._log_dir is not None
        return self._log_dir / f"{name}.log"


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
    logs.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Run the site; 1 when a process ended that should not have."""
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
    processes = Processes(log_dir)
    stack.callback(processes.end)
    _begin(site, options, processes, scratch)
    deadline_s = None if options.for_s is None else time.monotonic() + options.for_s
    with Client(site.name, timeout_s=2.0) as client, screen_for(site, silent=options.no_screen) as screen:
        return _watch(site, screen, client, processes, stop, deadline_s)


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


def _begin(site: Site, options: argparse.Namespace, processes: Processes, scratch: Path) -> None:
    state = scratch / "state"
    # No part of the site runs, its hardware neither: nothing can hold a grant of a former life.
    nodes = [m.id for m in site.modules.values() if not isinstance(m.config, EvseManagerConfig)]
    if fault := StateFolder(state).begin_without_former_life(nodes):
        raise UserError(fault)
    common = [*logs.arguments(options), "--parent", str(os.getpid()), "--keys", str(scratch / "keys")]
    plant = addresses(site, next(iter(site.controllers))).plant
    record = ["--record", str(options.record / "plant.jsonl")] if options.record else []
    processes.begin("plant", ["plant", options.file, "--listen", plant, *record, *common])
    for name in site.controllers:
        arguments = ["run", options.file, "--controller", name, "--plant", plant, "--state", str(state)]
        processes.begin(name, [*arguments, *common])


def _dead(processes: Processes, console: Console, *, starting: bool) -> bool:
    """Tell of processes that died; while starting, that ends the run."""
    for name, code in processes.newly_dead():
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        words = processes.last_words(name) if code > 0 else ""
        if starting and code > 0:
            raise UserError(words.partition(": ")[2] or f"{name} did not start ({reason})")
        console.print(
            f"{name} has ended ({reason}){': ' + words if words else ''}", style="red", markup=False
        )
        return True
    return False


def _over(stop: Stop, deadline_s: float | None) -> bool:
    return stop.is_set() or (deadline_s is not None and time.monotonic() >= deadline_s)


def _ask(client: Client) -> SiteStatus | None:
    try:
        return client.status()
    except UserError:
        return None


def _watch(
    site: Site, screen: Screen, client: Client, processes: Processes, stop: Stop, deadline_s: float | None
) -> int:
    failed = complete = False
    begin_s = time.monotonic()
    while not _over(stop, deadline_s):
        failed = _dead(processes, screen.console, starting=not complete) or failed
        status = _ask(client) if screen.shows or not complete else None
        # Only the root's controller, which has the optimizer, knows whether all are there.
        complete = complete or (status is not None and status.optimizer is not None and all_alive(status))
        screen.show(status, complete=complete)
        if not complete and time.monotonic() - begin_s > START_TIMEOUT_S:
            raise UserError(f"site {site.name} is not complete after {START_TIMEOUT_S:g} s")
        left_s = screen.pause_s if deadline_s is None else deadline_s - time.monotonic()
        stop.wait(min(screen.pause_s, left_s))
    if not complete and not stop.is_set():
        raise UserError(f"site {site.name} was not complete after {time.monotonic() - begin_s:.0f} s")
    return 1 if failed else 0
