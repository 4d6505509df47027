"""Sites of real processes for the tests: begun, watched, hurt, and ended without a trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from actors.clock import steady_s
from actors.energy.messages import ModuleStatus
from actors.rundir import RunDir
from tools.client import Client, SiteStatus
from tools.errors import UserError

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def amptree(*arguments: str, timeout_s: float = 60.0, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tools.main", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=ROOT,
        check=False,
        **kwargs,
    )


def wait_for(what: str, condition: Callable[[], T | None], timeout_s: float = 60.0) -> T:
    """Poll until the condition gives something that is not None or False; how long says nothing of the site."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody holds now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def plugged(evse: str, **more: Any) -> dict[str, Any]:
    """A 32 A car on three phases that is there from the start, stays, and never gets full."""
    battery = {"battery_kWh": 500, "soc_percent": 1, "target_percent": 100}
    draws = {"max_current_A": 32, "phases": 3}
    return {"evse": evse, "at_s": 0, "stay_s": 36000, **battery, **draws, **more}


SETTLE_TIME_S = 3
"""Of EVSEs in the tests, where cars follow within 1 s: increases wait for it."""


def site_data(
    config: str, cars: list[dict[str, Any]], settle_time_s: float = SETTLE_TIME_S, **plant: Any
) -> dict[str, Any]:
    """A file of configs/ with these cars; its TCP ports are replaced by free ones."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "configs" / config).read_text())
    data["plant"] = {"cars": cars, **plant}
    for module in data["active_modules"].values():
        if module["module"] == "EvseManager":
            module["config"] = {**module.get("config", {}), "settle_time_s": settle_time_s}
    listening = [c for c in data.get("controllers", {}).values() if "listen" in c]
    for controller, port in zip(listening, free_ports(len(listening)), strict=True):
        controller["listen"] = f"tcp://127.0.0.1:{port}"
    return data


UNHURRIED_VALID_FOR_S = 20


def unhurried(data: dict[str, Any]) -> dict[str, Any]:
    """With limits that last 20 s: a busy machine begins a process within them, too, and their cars settle."""
    for module in data["active_modules"].values():
        if module["module"] == "EnergyManager":
            module["config"]["update_interval"] = UNHURRIED_VALID_FOR_S // 10
    return data


class RunningSite:
    """A site under `amptree up`."""

    def __init__(self, folder: Path, data: dict[str, Any], name: str) -> None:
        self.name = name
        self.file = folder / f"{name}.yaml"
        self.file.write_text(yaml.safe_dump(data, sort_keys=False))
        self.records = folder / "record"
        self.restarts = False
        """Whether `up` begins again what dies; else the test does."""
        self._recorded: list[dict[str, Any]] = []
        self._read_B = 0
        self._stack = ExitStack()
        self._by_hand: list[subprocess.Popen[bytes]] = []

    @property
    def state(self) -> Path:
        """Where its controllers keep what must outlive them."""
        return RunDir(self.name).path / "scratch" / "state"

    def begin(self) -> None:
        """Start it and wait until every module is heard."""
        command = [sys.executable, "-m", "tools.main", "up", str(self.file), "--no-screen"]
        command += [] if self.restarts else ["--no-restart"]
        self.up = subprocess.Popen(
            [*command, "--record", str(self.records)], stdin=subprocess.DEVNULL, cwd=ROOT
        )
        self.client = self._stack.enter_context(Client(self.name, timeout_s=1.0))
        wait_for("all modules are heard", self.complete)

    def complete(self) -> bool:
        """Whether every module is heard."""
        status = self.try_status()
        return status is not None and status.optimizer is not None and all(m.alive for m in status.modules)

    def try_status(self, **kwargs: Any) -> SiteStatus | None:
        """The status; None when no controller answers."""
        assert self.up.poll() is None, "up has ended"
        try:
            return self.client.status(**kwargs)
        except UserError:
            return None

    def modules(self) -> dict[str, ModuleStatus]:
        """Every module by its name."""
        status = wait_for("status", self.try_status)
        return {m.id: m for m in status.modules}

    def settled(self, quiet_s: float = 2.0) -> dict[str, dict[str, Any]]:
        """The plant's EVSEs once nobody waits for room, and no limit has changed for so long."""

        since_s = steady_s()

        def quiet() -> dict[str, dict[str, Any]] | None:
            nonlocal since_s
            modules = self.modules().values()
            if any(m.waits_for or "no limit received yet" in m.note for m in modules if m.alive):
                since_s = steady_s()
            record = self.record()
            tail = [line for line in record if line["t"] >= record[-1]["t"] - quiet_s]
            if not tail or record[-1]["t"] < since_s + quiet_s:
                return None
            limits = [{e: v["limit_A"] for e, v in line["evses"].items()} for line in tail]
            return tail[-1]["evses"] if all(x == limits[0] for x in limits) else None

        return wait_for("limits are quiet", quiet, quiet_s + 60.0)

    def record(self) -> list[dict[str, Any]]:
        """What the plant has recorded, without the head."""
        file = self.records / "plant.jsonl"
        if not file.exists():
            return []
        # What was read is kept: a test looks again and again, and on a large site a second is a megabyte.
        with file.open("rb") as stream:
            stream.seek(self._read_B)
            whole = stream.read().rpartition(b"\n")[0]
        if whole:
            lines = whole.splitlines()[0 if self._read_B else 1 :]
            self._recorded += [json.loads(line) for line in lines]
            self._read_B += len(whole) + 1
        return list(self._recorded)

    def pid(self, process: str) -> int:
        """The process that holds a lock of the site."""
        return int(RunDir(self.name).holders()[process]["pid"])

    def kill(self, controller: str) -> None:
        """kill -9."""
        os.kill(self.pid(controller), signal.SIGKILL)
        wait_for(f"{controller} is dead", lambda: controller not in RunDir(self.name).holders())

    def restart(self, controller: str) -> None:
        """Begin a controller by hand, as an operator would."""
        command = [sys.executable, "-m", "tools.main", "run", str(self.file), "--controller", controller]
        self._by_hand.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=ROOT))

    def restart_with_state(self, controller: str) -> None:
        """kill -9 and begin again, and wait until all is well."""
        self.kill(controller)
        self.restart(controller)
        wait_for(f"{controller} answers", lambda: controller in self.client.loads())
        answers_s = steady_s()
        wait_for(f"{controller} is back", lambda: self.complete() and self.is_heard(controller, answers_s))

    def is_heard(self, controller: str, since_s: float) -> bool:
        """Whether all of its modules were heard since then: for a while one that died counts as alive."""
        modules = [m for m in self.modules().values() if m.controller == controller]
        return all(m.alive and m.age_s < steady_s() - since_s for m in modules)

    def end(self) -> int:
        """SIGTERM to `up`; returns its exit code once nothing of the site is left."""
        for process in self._by_hand:
            process.terminate()
            process.wait(60)
        if self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)
        try:
            code = self.up.wait(60)
        finally:
            self.up.kill()
            self.up.wait()
            self._stack.close()
        assert RunDir(self.name).holders() == {}
        return code


@pytest.fixture(autouse=True)
def run_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path: socket files have a bound."""
    folder = Path(tempfile.mkdtemp(prefix="amp-"))
    monkeypatch.setenv("AMPTREE_RUN_DIR", str(folder))
    monkeypatch.setenv("AMPTREE_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("AMPTREE_KEYS_DIR", str(folder / "keys"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., RunningSite]]:
    """Begins sites and ends them after the test."""
    sites: list[RunningSite] = []

    def make(config: str, cars: list[dict[str, Any]], **plant: Any) -> RunningSite:
        return start(site_data(config, cars, **plant), Path(config).stem)

    def start(data: dict[str, Any], name: str) -> RunningSite:
        site = RunningSite(tmp_path, data, name)
        sites.append(site)
        site.begin()
        return site

    make.data = start  # type: ignore[attr-defined]
    yield make
    for site in sites:
        site.end()
