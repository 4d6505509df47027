"""The parts of a site on hosts of their own, for stories of chaos (see tools/chaos/hosts.py).

Every host has a folder with the site's file, the state and the run folder of its part, its log, and the
number of its process. A part that ends without having been ended is begun again, as systemd does on a site.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from actors import clock
from actors.injection import Orders
from actors.site import EvseManagerConfig
from deploy.bench.bench_keys import BenchKeys
from deploy.bench.inventory import Inventory
from deploy.bench.machines import Machine, Namespace, Remote, call
from deploy.bench.network import Network, namespace
from tools.chaos.disks import Disks, remove
from tools.chaos.hosts import PLANT, Notice
from tools.client import SiteStatus
from tools.errors import UserError
from tools.supervisor import Restarts

CHAIN = "AMPTREE-BENCH"
SOURCE = "chaos"
END_TIMEOUT_S = 12.0
STATUS_TIMEOUT_S = 15.0


class _Part:
    """A part and its host."""

    def __init__(self, name: str, machine: Machine, arguments: list[str]) -> None:
        self.name = name
        self.machine = machine
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = Restarts()
        self.due_s: float | None = None
        self.held = False
        self.killed = False

    def alive(self) -> bool:
        """As far as can be seen from here."""
        return self.process is not None and self.process.poll() is None


class BenchHosts:
    """Begin, hurt, mend and watch the parts; `end` leaves nothing, whatever happened."""

    def __init__(self, inventory: Inventory, site_file: Path, report: Path, *, ssh: bool) -> None:
        """`site_file` is written for this inventory (`write_site`); logs and record go to `report`."""
        self._inventory = inventory
        self._site = inventory.site
        self._site_text = site_file.read_bytes()
        self._report = report
        self._network = None if ssh else Network(inventory)
        # Short: there are sockets in it.
        self._folder = Path(f"/tmp/{namespace(self._site.name)}")
        self._disks = Disks(self._folder / "disks")
        self._parts = {name: self._part(name, ssh) for name in (PLANT, *self._site.controllers)}
        self._setters: list[subprocess.Popen[bytes]] = []
        self._copied_B = 0
        self._offset_s = 0.0
        self._cutting = False
        self._ended = False

    def _part(self, name: str, ssh: bool) -> _Part:
        host = self._inventory.hosts[name]
        if ssh and host.ssh is None:
            raise UserError(f"{self._inventory.path}: hosts.{name}: no `ssh` says how to reach it")
        machine: Machine = (
            Remote(host, name) if ssh else Namespace(namespace(self._site.name, name), self._folder / name)
        )
        if name == PLANT:
            arguments = ["plant", "site.yaml", "--record", str(machine.folder / "plant.jsonl")]
        else:
            arguments = ["run", "site.yaml", "--controller", name, "--state", str(machine.folder / "state")]
        arguments += ["--faults", "faults.json", "--keys", str(machine.folder / "keys")]
        if machine.near:
            arguments += ["--parent", str(os.getpid())]
        return _Part(name, machine, arguments)

    # --- all --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make the hosts ready, and start the plant and all controllers. Raises UserError."""
        if self._network is not None:
            self._network.begin()
            remove(self._folder / "disks")
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(mode=0o700)
        keys = BenchKeys(self._site)
        for part in self._parts.values():
            folder = shlex.quote(str(part.machine.folder))
            self._stop_left_over(part)
            script = f"rm -rf {folder} && mkdir -p -m 700 {folder}/run && cat > {folder}/site.yaml"
            call(part.machine, script, given=self._site_text)
            unpack = f"umask 077 && mkdir {folder}/keys && tar -x --no-same-owner -C {folder}/keys -f -"
            call(part.machine, unpack, given=keys.archive(part.name))
            self._write_orders(part, Orders())
            if part.name != PLANT:
                self._make_state(part)
        self._measure_clock()
        for part in self._parts.values():
            self._start(part)

    def _make_state(self, part: _Part) -> None:
        """A state folder of nodes that had no former life: the plant's hardware begins now, too."""
        state = part.machine.folder / "state"
        if part.machine.near:
            part.machine.folder.joinpath("state").symlink_to(self._disks.make(part.name))
        files = {
            f"{module}.epoch.json": b"0"
            for module in self._site.controllers[part.name].modules
            if not isinstance(self._site.modules[module].config, EvseManagerConfig)
        }
        for name, content in files.items():
            path = shlex.quote(str(state / name))
            call(part.machine, f"mkdir -p -m 700 {shlex.quote(str(state))} && cat > {path}", given=content)

    def tend(self) -> list[Notice]:
        """Begin again what has died, unless it is held down."""
        notices = []
        now_s = time.monotonic()
        for part in self._parts.values():
            if part.process is None:
                if part.due_s is not None and now_s >= part.due_s and not part.held:
                    self._start(part)
                continue
            if part.alive():
                continue
            by_itself, part.killed, code = not part.killed, False, part.process.returncode
            part.process = None
            if part.name == PLANT:
                raise UserError(f"the plant has ended ({code}): see {self._log(part)}")
            if part.held:
                continue
            pause_s = part.restarts.died(now_s)
            part.due_s = None if pause_s is None else now_s + pause_s
            again = "is left dead" if pause_s is None else f"begins again in {pause_s:.1f} s"
            notices.append(Notice(f"{part.name} has ended ({code}) and {again}", by_itself))
        return notices

    def end(self) -> None:
        """End all, the plant last, and leave nothing on any host."""
        if self._ended:
            return
        self._ended = True
        for setter in self._setters:
            setter.kill()
            setter.wait()
        try:
            controllers = [part for part in self._parts.values() if part.name != PLANT]
            self._end_parts(controllers)
            self._end_parts([self._parts[PLANT]])
            self.record()
        finally:
            self._clean()

    def _end_parts(self, parts: list[_Part]) -> None:
        for part in parts:
            if part.alive():
                self._signal(part, "TERM")
                self._signal(part, "CONT")
        deadline_s = time.monotonic() + END_TIMEOUT_S
        for part in parts:
            if part.process is None:
                continue
            try:
                part.process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                print(f"{part.name} did not end in time and is killed", file=sys.stderr)
                self._signal(part, "KILL")
                part.process.kill()
                part.process.wait()

    def _clean(self) -> None:
        for part in self._parts.values():
            if part.machine.near:
                continue
            with contextlib.suppress(UserError):
                self._uncut(part)
                call(part.machine, f"rm -rf {shlex.quote(str(part.machine.folder))}")
        if self._network is not None:
            self._disks.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._network.end()

    # --- one part ---------------------------------------------------------------------------------

    def _start(self, part: _Part) -> None:
        if part.alive():
            return
        part.due_s = None
        folder = shlex.quote(str(part.machine.folder))
        # The shell becomes the process, so its number is the process's.
        script = (
            f"cd {folder} && echo $$ > pid && "
            f"exec env AMPTREE_RUN_DIR={folder}/run {shlex.join([*part.machine.amptree, *part.arguments])}"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with open(self._log(part), "ab") as log:
            part.process = subprocess.Popen(
                part.machine.command(script),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                # Ctrl-C is for the bench, which ends them in order.
                start_new_session=True,
            )

    def _signal(self, part: _Part, name: str) -> None:
        pid = shlex.quote(str(part.machine.folder / "pid"))
        with contextlib.suppress(UserError):  # it has ended just now
            call(part.machine, f"kill -{name} $(cat {pid})")

    def _stop_left_over(self, part: _Part) -> None:
        """What a bench that was killed left on a real host."""
        if not part.machine.near:
            self._signal(part, "KILL")

    def kill(self, part: str, *, stay_dead: bool) -> None:
        """kill -9."""
        self._end_one(self._parts[part], "KILL", stay_dead)

    def stop(self, part: str, *, stay_dead: bool) -> None:
        """SIGTERM."""
        self._end_one(self._parts[part], "TERM", stay_dead)

    def _end_one(self, part: _Part, name: str, stay_dead: bool) -> None:
        part.held = part.held or stay_dead
        if part.alive():
            part.killed = True
            self._signal(part, name)

    def start(self, part: str) -> None:
        """Begin one again that stayed dead."""
        self._parts[part].held = False
        self._parts[part].due_s = time.monotonic()

    def pause(self, part: str) -> None:
        """SIGSTOP."""
        self._signal(self._parts[part], "STOP")

    def resume(self, part: str) -> None:
        """SIGCONT."""
        self._signal(self._parts[part], "CONT")

    def fill_disk(self, part: str) -> None:
        """Its state folder takes nothing more. Raises UserError where that cannot be done."""
        if not (self._parts[part].machine.near and self._disks.can_fill()):
            raise UserError("fill_disk: only in namespaces, where a small disk can be mounted")
        self._disks.fill(part)

    def free_disk(self, part: str) -> None:
        """It does again."""
        self._disks.free(part)

    # --- lines, limits and clocks -----------------------------------------------------------------

    def cut(self, ways: frozenset[tuple[str, str]]) -> None:
        """Packets of these ways are dropped where they arrive."""
        for part in self._parts.values():
            senders = sorted(sender for sender, to in ways if to == part.name)
            if not (senders or self._cutting):
                continue
            drops = [f"iptables -w -A {CHAIN} -s {self._inventory.hosts[s].address} -j DROP" for s in senders]
            script = " && ".join(
                [
                    f"(iptables -w -N {CHAIN} 2>/dev/null && iptables -w -I INPUT -j {CHAIN} || true)",
                    f"iptables -w -F {CHAIN}",
                    *drops,
                ]
            )
            call(part.machine, part.machine.as_root(script))
        self._cutting = True

    def _uncut(self, part: _Part) -> None:
        if self._cutting:
            script = f"iptables -w -D INPUT -j {CHAIN}; iptables -w -F {CHAIN}; iptables -w -X {CHAIN}; true"
            call(part.machine, part.machine.as_root(script))

    def limit(self, module: str, current_A: float | None) -> None:
        """Set or clear an external limit, at the root's host."""
        what = ["--clear"] if current_A is None else ["--current", f"{current_A:g}"]
        arguments = ["limit", module, *what, "--source", SOURCE, "--site", self._site.name]
        part = self._parts[self._inventory.root]
        self._setters = [setter for setter in self._setters if setter.poll() is None]
        tries = f"for n in 1 2 3 4 5 6; do {self._there(part, arguments)} && break; sleep 1; done"
        with open(self._report / "limits.log", "ab") as log:
            self._setters.append(
                subprocess.Popen(
                    part.machine.command(tries),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def inject(self, orders: Mapping[str, Orders]) -> None:
        """What each part does to what comes in, and to its wall clock."""
        for part in self._parts.values():
            self._write_orders(part, orders.get(part.name, Orders()))

    def _write_orders(self, part: _Part, orders: Orders) -> None:
        path = shlex.quote(str(part.machine.folder / "faults.json"))
        call(part.machine, f"cat > {path}.new && mv {path}.new {path}", given=msgspec.json.encode(orders))

    # --- what is seen -------------------------------------------------------------------------------

    def _measure_clock(self) -> None:
        """How far the plant's steady clock is from ours; /proc/uptime is the same clock."""
        before_s = clock.steady_s()
        there_s = float(call(self._parts[PLANT].machine, "cat /proc/uptime").split()[0])
        self._offset_s = 0.0 if self._network else there_s - (before_s + clock.steady_s()) / 2

    def now_s(self) -> float:
        """The steady clock of the plant's record."""
        return clock.steady_s() + self._offset_s

    def record(self) -> Path:
        """The plant's record, as far as it has got, in the report."""
        here = self._report / "plant.jsonl"
        there = shlex.quote(str(self._parts[PLANT].machine.folder / "plant.jsonl"))
        with contextlib.suppress(UserError):  # not there yet, or no longer
            new = call(self._parts[PLANT].machine, f"tail -c +{self._copied_B + 1} {there}")
            with open(here, "ab" if self._copied_B else "wb") as file:
                file.write(new)
            self._copied_B += len(new)
        return here

    def status(self, *, with_request: bool = False) -> SiteStatus | None:
        """What the root's controller says."""
        part = self._parts[self._inventory.root]
        arguments = ["status", "--json", "--site", self._site.name, *(["--request"] if with_request else [])]
        try:
            # It exits with 1 where somebody is silent.
            text = call(part.machine, f"{self._there(part, arguments)} || true", timeout_s=STATUS_TIMEOUT_S)
            return msgspec.json.decode(text, type=SiteStatus)
        except (UserError, msgspec.DecodeError):
            return None

    def _there(self, part: _Part, arguments: list[str]) -> str:
        folder = shlex.quote(str(part.machine.folder))
        near = f"PYTHONPATH={shlex.quote(str(Path(__file__).parents[2]))} " if part.machine.near else ""
        return f"{near}AMPTREE_RUN_DIR={folder}/run {shlex.join([*part.machine.amptree, *arguments])}"

    def _log(self, part: _Part) -> Path:
        return self._report / f"{part.name}.log"


def write_site(inventory: Inventory, plant: Mapping[str, object], path: Path) -> None:
    """The site's file for these hosts: their addresses, and what the plant plays."""
    data = yaml.safe_load(Path(inventory.site.path).read_text(encoding="utf-8-sig"))
    data["site"] = inventory.site.name
    data["controllers"] = {
        name: {
            "listen": f"tcp://{inventory.hosts[name].address}:{inventory.port}",
            "modules": _listed(inventory, name),
        }
        for name in inventory.site.controllers
    }
    data["plant"] = {**plant, "listen": f"tcp://{inventory.hosts[PLANT].address}:{inventory.port}"}
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def _listed(inventory: Inventory, controller: str) -> list[str]:
    """Of a controller's modules those that do not come with another of them."""
    site = inventory.site
    hosted = site.controllers[controller].modules
    return [module for module in hosted if site.modules[module].parent not in hosted]
