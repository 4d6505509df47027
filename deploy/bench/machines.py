"""How a command comes to a host: into a network namespace of this machine, or over ssh.

Nothing else knows the difference. A script is one for `sh`, with all that it names quoted.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from deploy.bench.inventory import Host
from tools.errors import UserError

CALL_TIMEOUT_S = 20.0
SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=5")
Command = list[str]


class Machine(Protocol):
    """One host, as far as a bench needs it."""

    folder: Path
    """Where everything of a part is kept there."""
    amptree: Command
    near: bool
    """Whether its files are ours, and its processes end with us."""

    def command(self, script: str) -> Command:
        """What to start here so that `script` runs there."""

    def as_root(self, script: str) -> str:
        """The script for what only root may do."""


class Namespace:
    """A network namespace."""

    near = True

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self.folder = folder
        self.amptree = [sys.executable, "-m", "tools.main"]

    def command(self, script: str) -> Command:
        return ["ip", "netns", "exec", self._name, "sh", "-c", script]

    def as_root(self, script: str) -> str:
        return script


class Remote:
    """A host over ssh, which keeps nothing of ours but a folder."""

    near = False

    def __init__(self, host: Host, part: str) -> None:
        assert host.ssh is not None
        self._target = host.ssh
        self._sudo = host.sudo
        self.folder = Path(host.folder) / part
        self.amptree = [host.amptree]

    def command(self, script: str) -> Command:
        return ["ssh", *SSH_OPTIONS, "--", self._target, f"sh -c {shlex.quote(script)}"]

    def as_root(self, script: str) -> str:
        return f"sudo -n sh -c {shlex.quote(script)}" if self._sudo else script


def call(machine: Machine, script: str, *, given: bytes = b"", timeout_s: float = CALL_TIMEOUT_S) -> bytes:
    """Run a script there to its end; returns what it wrote. Raises UserError with its last word."""
    command = machine.command(script)
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=timeout_s, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"no answer within {timeout_s:g} s from: {shlex.join(command)[:200]}") from None
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed here") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        said = words[-1] if words else f"exit code {done.returncode}"
        raise UserError(f"{said} (from: {shlex.join(command)[:200]})")
    return done.stdout


def need_root() -> None:
    """Raises UserError where namespaces cannot be made."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise UserError("network namespaces need root: run it with sudo, or with --ssh on hosts of their own")
    for tool, package in (("ip", "iproute2"), ("iptables", "iptables")):
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is missing: apt-get install {package}")
