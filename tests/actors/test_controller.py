"""A controller supervises its actors: one that dies begins anew, too many deaths end the process."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.config import load_site
from actors.controller import DEATHS_MAX, DEATHS_WINDOW_S, TOO_MUCH_DIED, Controller, addresses
from actors.deaths import Deaths
from actors.energy.messages import Outcome
from actors.gateways.control import ControlGateway
from actors.handle import INBOX_MAX
from actors.rundir import RunDir
from actors.stop import Stop
from transport import nobody

SITE = Path(__file__).parents[2] / "configs" / "single_charger.yaml"
EVSE = "evse_manager"


@pytest.fixture(autouse=True)
def run_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A short path: socket files have a bound."""
    folder = tempfile.mkdtemp(prefix="amp-")
    monkeypatch.setenv("AMPTREE_RUN_DIR", folder)
    yield
    shutil.rmtree(folder)


def wait_for(what: str, condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


class Running:
    """A controller in a thread of this process; its plant is absent."""

    def __init__(self, state: Path) -> None:
        site = load_site(SITE)
        (name,) = site.controllers
        RunDir(site.name).make()
        self.controller = Controller(site, name, addresses(site, name), state, nobody())
        self.stop = Stop()
        self.code: int | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.code = self.controller.run(self.stop)

    def kill(self, module: str) -> None:
        """Let an actor meet what it cannot bear, and wait until it begins anew, or all ends."""
        handle = self.controller._handles[module]
        wait_for(f"{module} lives", handle.alive)
        before = handle._ref
        handle.tell(Outcome(id="x", origin=module))
        wait_for("another life", lambda: handle._ref is not before or not self.thread.is_alive())


@contextmanager
def running(state: Path) -> Iterator[Running]:
    one = Running(state)
    one.thread.start()
    try:
        yield one
    finally:
        one.stop.set()
        one.thread.join()
        one.stop.close()


def test_an_actor_that_dies_begins_anew_and_its_controller_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        for _ in range(DEATHS_MAX):
            one.kill(EVSE)
        wait_for("it lives again", one.controller._handles[EVSE].alive)
        assert one.thread.is_alive()
    assert one.code == 0


def test_more_deaths_than_an_accident_end_the_process(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        for _ in range(DEATHS_MAX + 1):
            one.kill(EVSE)
        one.thread.join(20.0)
        assert one.code == TOO_MUCH_DIED


def test_a_controller_whose_wire_fails_ends_instead_of_living_on_deaf(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        wait_for("it runs", lambda: one.controller._switchboard.gateways)
        wait_for("it lives", one.controller._handles[EVSE].alive)
        gateway = one.controller._switchboard.gateways[0]
        assert isinstance(gateway, ControlGateway)
        assert gateway.port is not None
        gateway.port._host.stop()  # type: ignore[attr-defined]
        one.thread.join(20.0)
        assert one.code == TOO_MUCH_DIED


def test_deaths_far_apart_are_accidents() -> None:
    deaths = Deaths(DEATHS_MAX, DEATHS_WINDOW_S)
    apart_s = DEATHS_WINDOW_S / DEATHS_MAX
    assert max(deaths.note(n * (apart_s + 0.1)) for n in range(100)) == DEATHS_MAX
    close = Deaths(DEATHS_MAX, DEATHS_WINDOW_S)
    assert max(close.note(n * (apart_s - 0.1)) for n in range(100)) == DEATHS_MAX + 1


def test_a_flood_fills_no_inbox_beyond_its_bound(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        handle = one.controller._handles[one.controller.site.root]
        wait_for("it lives", handle.alive)
        loop = one.controller._loops[handle.name]
        held = threading.Event()
        held_up = one.controller._cores[one.controller.site.root]
        step = held_up.step

        def slow(*args: object) -> object:
            held.wait(20.0)
            return step(*args)  # type: ignore[arg-type]

        held_up.step = slow  # type: ignore[method-assign,assignment]
        told = sum(handle.tell(Outcome(id=f"{n}", origin="nobody")) for n in range(INBOX_MAX + 500))
        # Its turns, which have no bound of their own, are bounded by what waits in the handle.
        assert told <= INBOX_MAX + 10
        assert len(handle._waiting) + len(handle._urgent) <= INBOX_MAX
        assert len(loop._others) + len(loop._urgent) <= INBOX_MAX + 10
        assert handle.refused >= 490
        held.set()


def test_a_controller_loads_nothing_that_only_some_sites_need() -> None:
    """Each of many processes would pay for it, in time and memory."""
    seldom = ("asyncio", "jsonschema", "ocpp", "paho", "pymodbus", "ssl", "websockets")
    code = f"import sys, actors.controller, tools.run; print([m for m in {seldom} if m in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == "[]\n"
