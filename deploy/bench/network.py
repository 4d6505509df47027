"""A network of hosts inside this machine: one namespace a host, and one for the switch between them.

    amp-SITE ── bridge br0 ──┬── veth ── eth0 10.77.0.10   amp-SITE-main
      (the switch)           ├── veth ── eth0 10.77.0.11   amp-SITE-level_1
                             └── …

The switch has a namespace of its own, so nothing of this machine's own network is touched: no address, no
route, no rule of its firewall. With its namespaces everything is gone.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

from deploy.bench.inventory import PREFIX_LENGTH, Inventory
from deploy.bench.machines import need_root
from tools.errors import UserError

END_TIMEOUT_S = 5.0


def namespace(site: str, part: str | None = None) -> str:
    """The name of a host's namespace; without a part that of the switch."""
    return f"amp-{site}" if part is None else f"amp-{site}-{part}"


class Network:
    """The namespaces of one inventory. Raises UserError where they cannot be had."""

    def __init__(self, inventory: Inventory) -> None:
        need_root()
        self._site = inventory.site.name
        self._addresses = {part: host.address for part, host in inventory.hosts.items()}
        self._lock = _take_lock(self._site)

    def begin(self) -> None:
        """Make all of it; what an earlier run left is removed first."""
        self._remove()
        switch = namespace(self._site)
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        for number, (part, address) in enumerate(self._addresses.items()):
            name, port = namespace(self._site, part), f"p{number}"
            _ip("netns", "add", name)
            _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", switch, "link", "set", port, "master", "br0", "up")
            _ip("-n", name, "address", "add", f"{address}/{PREFIX_LENGTH}", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")

    def plug(self, part: str, *, plugged: bool) -> None:
        """Pull a host's cable at the switch, or put it in again."""
        port = f"p{list(self._addresses).index(part)}"
        _ip("-n", namespace(self._site), "link", "set", port, "up" if plugged else "down")

    def end(self) -> None:
        """Nothing is left."""
        try:
            self._remove()
        finally:
            _lock_path(self._site).unlink(missing_ok=True)
            os.close(self._lock)

    def _remove(self) -> None:
        switch = namespace(self._site)
        for name in _namespaces():
            if name == switch or name.startswith(f"{switch}-"):
                _end_processes(name)
                _ip("netns", "delete", name)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"ip {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip()]


def _end_processes(name: str) -> None:
    """What still runs in a namespace keeps it alive, and was left by a run that was killed."""
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while pids := _ip("netns", "pids", name).split():
        for pid in pids:
            try:
                os.kill(int(pid), 9)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline_s:
            raise UserError(f"namespace {name}: processes {', '.join(pids)} do not end")
        time.sleep(0.05)


def _lock_path(site: str) -> Path:
    return Path(tempfile.gettempdir()) / f"{namespace(site)}.lock"


def _take_lock(site: str) -> int:
    """Two benches of one site would share their namespaces."""
    lock = os.open(_lock_path(site), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UserError(f"a bench of site {site} runs already: end it first (Ctrl-C)") from None
    return lock
