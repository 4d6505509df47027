"""`amptree stop`: end all processes of a site on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import time

from actors.rundir import RunDir
from tools.client import add_site_argument, find_site
from tools.errors import UserError

TIMEOUT_S = 40.0
"""More than `up` gives its processes."""
POLL_S = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_site_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Ask `up` to end, or each process where there is none; wait until all have."""
    site = find_site(options.site)
    run_dir = RunDir(site)
    holders = run_dir.holders()
    # `up` ends its own; the plant goes last, since EVSEs are shown what they do until the end.
    first = ["up"] if "up" in holders else sorted(holders, key=lambda name: name == "plant")
    asked = {name for name in first if "pid" in holders[name]}
    for name in first:
        _terminate(holders[name].get("pid"))
    deadline_s = time.monotonic() + TIMEOUT_S
    while left := run_dir.holders():
        if time.monotonic() > deadline_s:
            raise UserError(f"still running after {TIMEOUT_S:g} s: {', '.join(left)}")
        if "up" not in left:
            # Begun by hand beside `up`, or so new that its lock did not name it before.
            for name in left.keys() - asked:
                _terminate(left[name].get("pid"))
                asked |= {name} if "pid" in left[name] else set()
        time.sleep(POLL_S)
    print(f"site {site} has stopped")
    return 0


def _terminate(pid: object) -> None:
    if isinstance(pid, int):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise UserError(f"pid {pid} is another user's") from error
