"""All parts of a site as processes of this machine, started as `amptree up` does."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from actors import clock
from actors.controller import addresses
from actors.energy.external import ClearLimits, SetLimits, ShortLimits, SourceEvent, short_form
from actors.identities import keys_of_a_run, make_keys
from actors.injection import Orders
from actors.rundir import RunDir
from actors.site import EvseManagerConfig, Site
from actors.state import StateFolder
from tools.chaos.disks import Disks, remove
from tools.chaos.hosts import PLANT, Notice
from tools.client import Client, SiteStatus
from tools.errors import UserError
from tools.supervisor import Supervisor
from transport import Disturbance

STATUS_TIMEOUT_S = 1.5
LIMIT_TRIES_S = 30.0
SOURCE = "chaos"
END_CODES = {signal.SIGKILL: -int(signal.SIGKILL), signal.SIGTERM: 0}
"""How a process ends that is killed, or stopped in good order."""


class LocalHosts:
    """See `tools.chaos.hosts.Hosts`. The site's run folder must be locked for this process."""

    def __init__(self, site: Site, file: Path, report: Path) -> None:
        """`file` is what the processes load; their logs and the record go to `report`."""
        self._site = site
        self._file = file
        self._report = report
        self._scratch = RunDir(site.name).path / "scratch"
        self._disks = Disks(self._scratch / "disks")
        self._supervisor = Supervisor(report, restarts=True)
        self._keys = self._scratch / "keys"
        self._client = Client(site.name, timeout_s=STATUS_TIMEOUT_S, keys=self._keys)
        self._setters: dict[str, ThreadPoolExecutor] = {}
        """One for each module: what one does not take yet must not hold up another's."""
        self._ended = False
        self._cut: frozenset[tuple[str, str]] = frozenset()
        self._orders: Mapping[str, Orders] = {}
        self._ended_by: dict[str, signal.Signals] = {}

    def begin(self) -> None:
        """Start the plant and all controllers. Raises UserError."""
        remove(self._scratch / "disks")
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(mode=0o700)
        make_keys(self._keys, keys_of_a_run(self._site))
        self._client.__enter__()
        plant = addresses(self._site, next(iter(self._site.controllers))).plant
        record = str(self.record())
        self._begin(PLANT, ["plant", str(self._file), "--listen", plant, "--record", record])
        for name, controller in self._site.controllers.items():
            state = self._disks.make(name)
            nodes = [m for m in controller.modules if not self._is_evse(m)]
            # All of the site begins now, its hardware too: nothing can hold a grant of a former life.
            if fault := StateFolder(state).begin_without_former_life(nodes):
                raise UserError(fault)
            arguments = ["run", str(self._file), "--controller", name, "--plant", plant]
            self._begin(name, [*arguments, "--state", str(state)])

    def _is_evse(self, module: str) -> bool:
        return isinstance(self._site.modules[module].config, EvseManagerConfig)

    def _begin(self, name: str, arguments: list[str]) -> None:
        common = [
            "--parent",
            str(os.getpid()),
            "--faults",
            str(self._faults(name)),
            "--keys",
            str(self._keys),
        ]
        self._supervisor.begin(name, [*arguments, *common])

    def _faults(self, name: str) -> Path:
        return self._scratch / f"{name}.faults.json"

    def tend(self) -> list[Notice]:
        """Begin again what has died, unless it is held down."""
        notices = []
        for death in self._supervisor.tend():
            ended_by = self._ended_by.pop(death.name, None)
            notices.append(Notice(death.line(), ended_by is None or death.code != END_CODES[ended_by]))
            if death.name == PLANT:
                raise UserError(f"{death.line()}: see {self._report / 'plant.log'}")
        return notices

    def end(self) -> None:
        """End all, the plant last."""
        if self._ended:
            return
        self._ended = True
        for setter in self._setters.values():
            setter.shutdown(wait=False, cancel_futures=True)
        self._supervisor.end()
        self._client.__exit__()
        self._disks.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    # --- one controller ---------------------------------------------------------------------------

    def kill(self, part: str, *, stay_dead: bool) -> None:
        """kill -9."""
        self._end_one(part, signal.SIGKILL, stay_dead)

    def stop(self, part: str, *, stay_dead: bool) -> None:
        """SIGTERM."""
        self._end_one(part, signal.SIGTERM, stay_dead)

    def _end_one(self, part: str, number: signal.Signals, stay_dead: bool) -> None:
        if self._supervisor.alive(part) is not None:
            self._ended_by[part] = number
        self._supervisor.signal(part, number, hold=stay_dead)

    def start(self, part: str) -> None:
        """Begin one again that stayed dead."""
        self._supervisor.release(part)

    def pause(self, part: str) -> None:
        """SIGSTOP."""
        self._supervisor.signal(part, signal.SIGSTOP)

    def resume(self, part: str) -> None:
        """SIGCONT."""
        self._supervisor.signal(part, signal.SIGCONT)

    def fill_disk(self, part: str) -> None:
        """Its state folder takes nothing more. Raises UserError where that cannot be done."""
        if not self._disks.can_fill():
            raise UserError("fill_disk: root without the right to mount; run it as another user")
        self._disks.fill(part)

    def free_disk(self, part: str) -> None:
        """It does again."""
        self._disks.free(part)

    # --- lines, limits and clocks -----------------------------------------------------------------

    def cut(self, ways: frozenset[tuple[str, str]]) -> None:
        """Nothing passes these ways."""
        self._cut = ways
        self._write_orders()

    def inject(self, orders: Mapping[str, Orders]) -> None:
        """What each part does to what comes in."""
        self._orders = orders
        self._write_orders()

    def _write_orders(self) -> None:
        for part in (PLANT, *self._site.controllers):
            orders = self._orders.get(part, Orders())
            cut = [Disturbance(sender=sender, loss=1.0) for sender, to in self._cut if to == part]
            senders = {each.sender for each in cut}
            others = [each for each in orders.links if each.sender not in senders]
            orders = msgspec.structs.replace(orders, links=(*cut, *others))
            file = self._faults(part)
            content = msgspec.json.encode(orders)
            if not file.exists() or file.read_bytes() != content:
                draft = file.with_suffix(".new")
                draft.write_bytes(content)
                draft.replace(file)

    def limit(self, module: str, current_A: float | None) -> None:
        """Set or clear an external limit; as long as nobody answers it is tried again."""
        event: SourceEvent = ClearLimits(source=SOURCE)
        if current_A is not None:
            event = SetLimits(
                source=SOURCE, limits=short_form(ShortLimits(ac_max_current_A=current_A), SOURCE)
            )
        setter = self._setters.setdefault(module, ThreadPoolExecutor(1, "limits"))
        setter.submit(self._set, module, event)

    def _set(self, module: str, event: SourceEvent) -> None:
        deadline_s = time.monotonic() + LIMIT_TRIES_S
        with Client(self._site.name, timeout_s=STATUS_TIMEOUT_S, keys=self._keys) as client:
            while time.monotonic() < deadline_s and not self._ended:
                try:
                    client.set_source(module, event)
                except UserError:
                    time.sleep(0.2)
                else:
                    return

    # --- what is seen -------------------------------------------------------------------------------

    def now_s(self) -> float:
        """The steady clock of the plant's record."""
        return clock.steady_s()

    def record(self) -> Path:
        """The plant's record."""
        return self._report / "plant.jsonl"

    def status(self, *, with_request: bool = False) -> SiteStatus | None:
        """What the controllers say."""
        try:
            return self._client.status(with_request=with_request)
        except UserError:
            return None
