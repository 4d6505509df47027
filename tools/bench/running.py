"""A site of real processes while it is measured: begun by `amptree up`, in a run folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from actors import clock
from actors.rundir import RunDir
from tools.bench.sites import Size, write_site
from tools.client import Client, SiteStatus
from tools.errors import UserError
from tools.processes import end_or_kill
from tools.status import all_alive

START_TIMEOUT_S = 300.0
LOOK_EVERY_S = 1.0
STATUS_TIMEOUT_S = 5.0
SETTLE_TIMEOUT_S = 120.0
SETTLE_LOOK_EVERY_S = 2.0
"""From when all modules are there to when all EVSEs have their share."""
TOLERANCE_A = 0.1
END_TIMEOUT_S = 60.0
PLANT = "plant"
SITE = "bench"


class Change(msgspec.Struct, frozen=True, array_like=True):
    """A limit that came into force, as the plant stamped it."""

    at_s: float
    """On the machine's steady clock."""
    evse: str
    limit_A: float


class _Line(Struct):
    changes: tuple[Change, ...] = ()


class RunningSite:
    """Its processes, its record, and a client."""

    def __init__(self, size: Size, folder: Path, begun_s: float, client: Client) -> None:
        self.size = size
        self.begun_s = begun_s
        """When `amptree up` was called, on the machine's steady clock."""
        self.client = client
        self._folder = folder

    def pids(self) -> dict[str, int]:
        """All its processes by name: plant, controllers, and `up` itself."""
        return {name: int(facts["pid"]) for name, facts in RunDir(SITE).holders().items() if "pid" in facts}

    def changes(self) -> Iterator[Change]:
        """Limits that came into force until now, a second ago at the latest, in the order of time."""
        decoder = msgspec.json.Decoder(_Line)
        with open(self._folder / "plant.jsonl", "rb") as record:
            for line in record:
                if line.endswith(b"\n"):
                    yield from decoder.decode(line).changes

    def last_change_s(self, limit_A: float) -> float:
        """When the last EVSE came to a limit, on the machine's steady clock; waits until all have.
        Raises UserError when they do not."""
        deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            newest = {change.evse: change for change in self.changes()}
            there = [c.at_s for c in newest.values() if abs(c.limit_A - limit_A) < TOLERANCE_A]
            if len(there) == self.size.evses:
                return max(there)
            if time.monotonic() > deadline_s:
                missing = self.size.evses - len(there)
                raise UserError(f"{missing} of {self.size.evses} EVSEs did not come to {limit_A:g} A")
            time.sleep(SETTLE_LOOK_EVERY_S)

    def status(self) -> SiteStatus | None:
        """Of all modules; None where nobody answers yet."""
        try:
            return self.client.status(with_reasons=False)
        except UserError:
            return None

    def log(self) -> str:
        """The last words of `up`."""
        return (self._folder / "up.log").read_text(errors="replace")[-500:]


@contextmanager
def running(size: Size, *, restart: bool = False) -> Iterator[RunningSite]:
    """A site of that size, complete; ended whatever happens. Raises UserError when it does not begin."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amptree-bench-")))
        stack.enter_context(_run_folder(folder))
        file = write_site(size, SITE, folder)
        command = [sys.executable, "-m", "tools.main", "up", str(file), "--no-screen", "--no-restart"]
        log = stack.enter_context(open(folder / "up.log", "wb"))
        begun_s = clock.steady_s()
        up = subprocess.Popen(
            [*command, "--record", str(folder), "--log-level", "warning"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        stack.callback(end_or_kill, up, END_TIMEOUT_S)
        client = stack.enter_context(Client(SITE, timeout_s=STATUS_TIMEOUT_S))
        site = RunningSite(size, folder, begun_s, client)
        _wait_until_complete(site, up)
        yield site


@contextmanager
def _run_folder(folder: Path) -> Iterator[None]:
    """No other site of this user is met, whatever it is called."""
    before = os.environ.get("AMPTREE_RUN_DIR")
    os.environ["AMPTREE_RUN_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["AMPTREE_RUN_DIR"]
        else:
            os.environ["AMPTREE_RUN_DIR"] = before


def _wait_until_complete(site: RunningSite, up: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while (status := site.status()) is None or status.optimizer is None or not all_alive(status):
        if up.poll() is not None:
            raise UserError(f"the site has ended: {site.log()}")
        if time.monotonic() > deadline_s:
            raise UserError(f"the site is not at work after {START_TIMEOUT_S:g} s: {site.log()}")
        time.sleep(LOOK_EVERY_S)
