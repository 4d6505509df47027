"""When a controller gives signs of life, for the watchdog of a service manager."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import controller
from actors.clock import steady_s
from actors.config import load_site
from actors.controller import Controller, addresses
from actors.rundir import RunDir
from actors.stop import Stop
from actors.tree_actor import StatusAnswer, StatusQuery
from transport import nobody

SITE = Path(__file__).parents[2] / "configs" / "single_charger.yaml"
WAIT_S = 20.0


class Running:
    """A controller in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        site = load_site(SITE)
        name = next(iter(site.controllers))
        RunDir(site.name).make()
        self.controller = Controller(site, name, addresses(site, name), folder / "state", nobody())
        self.stop = Stop()
        self.beats = 0
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.code = self.controller.run(self.stop, self._beat)

    def _beat(self) -> None:
        self.beats += 1

    def wait_for_beats(self, count: int) -> None:
        """Until so many more have been heard."""
        wanted, end_s = self.beats + count, time.monotonic() + WAIT_S
        while self.beats < wanted:
            assert time.monotonic() < end_s, "no sign of life"
            time.sleep(0.02)

    def end(self) -> int | None:
        """Its exit code."""
        self.stop.set()
        return self.join()

    def join(self) -> int | None:
        """Wait until it has ended by itself."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        return self.code


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="amp-"))
    monkeypatch.setenv("AMPTREE_RUN_DIR", str(folder))
    one = Running(folder)
    yield one
    one.end()
    one.stop.close()
    shutil.rmtree(folder)


def test_a_controller_gives_signs_of_life_while_all_is_well(running: Running) -> None:
    running.wait_for_beats(3)
    assert running.end() == 0


def test_a_controller_gives_no_sign_of_life_while_an_actor_hangs(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.wait_for_beats(1)
    monkeypatch.setattr(controller, "OVERDUE_S", 0.5)
    hangs, free = threading.Event(), threading.Event()

    def hang(_: StatusAnswer) -> None:
        hangs.set()
        free.wait(WAIT_S)

    handle = next(iter(running.controller._handles.values()))
    handle.tell(StatusQuery(hang))
    assert hangs.wait(WAIT_S)
    core = running.controller._cores[handle.name]
    end_s = time.monotonic() + WAIT_S
    while steady_s() < core.due_s + 0.5 + 2 * controller.WATCH_S:
        assert time.monotonic() < end_s
        time.sleep(0.02)
    before, due_s = running.beats, steady_s() + 2 * controller.WATCH_S
    while steady_s() < due_s:
        time.sleep(0.02)
    assert running.beats == before
    free.set()
    running.wait_for_beats(2)
