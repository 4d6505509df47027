"""Where the processes of a site on this machine find each other, and what they keep.

One folder a site, for this user only: sockets, and a lock file for each process that says who holds
it. The lock is the kernel's, so it ends with its process, however that ends. What must outlive a
process (external limits) is in the state folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IPC_PATH_MAX_B = 107
"""Longest path of a socket file (Linux: sun_path less its end mark)."""

LOCK_TRIES = 5
LOCK_PAUSE_S = 0.02


class RunDirError(Exception):
    """The folder cannot be used; the message says why and what to do."""


class AlreadyRunningError(RunDirError):
    """Another live process holds the lock."""

    def __init__(self, what: str, holder: dict[str, Any]) -> None:
        super().__init__(f"{what} is already running (pid {holder.get('pid', '?')})")
        self.holder = holder


def base_dir() -> Path:
    """The folder that holds every site's: AMPTREE_RUN_DIR, else the user's runtime folder, else /tmp."""
    if chosen := os.environ.get("AMPTREE_RUN_DIR"):
        return Path(chosen)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "amptree"
    return Path(tempfile.gettempdir()) / f"amptree-{os.getuid()}"


def state_dir() -> Path:
    """Where controllers keep what must outlive them, unless told otherwise."""
    if chosen := os.environ.get("AMPTREE_STATE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "amptree"


class RunDir:
    """One site's folder."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.path = base_dir() / site

    def make(self) -> None:
        """Create the folder. Raises RunDirError."""
        try:
            for folder in (base_dir(), self.path):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _check_private(folder)
        except OSError as error:
            raise RunDirError(
                f"{self.path}: {error.strerror}; set AMPTREE_RUN_DIR to a folder of yours"
            ) from error

    def address(self, name: str) -> str:
        """ZeroMQ address of a socket in this folder. Raises RunDirError when its path is too long."""
        path = self.path / f"{name}.sock"
        if len(os.fsencode(path)) > IPC_PATH_MAX_B:
            raise RunDirError(f"{path}: too long for a socket; set AMPTREE_RUN_DIR to a shorter path")
        return f"ipc://{path}"

    @contextmanager
    def lock(self, name: str, what: str, **facts: Any) -> Iterator[None]:
        """Hold the lock `name`, telling others `facts`. Raises AlreadyRunningError."""
        self.make()
        path = self.path / f"{name}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _take(descriptor):
                raise AlreadyRunningError(what, _read(path))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), **facts}).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def holders(self) -> dict[str, dict[str, Any]]:
        """Name and facts of every live process of the site."""
        try:
            files = sorted(path for path in self.path.iterdir() if path.suffix == ".lock")
        except OSError:
            return {}
        locks = [path for path in files if ".sock" not in path.suffixes]
        return {path.stem: _read(path) for path in locks if _held(path)}


def running_sites() -> list[str]:
    """Sites of which some process runs on this machine, for this user."""
    try:
        names = sorted(folder.name for folder in base_dir().iterdir())
    except OSError:
        return []
    return [name for name in names if RunDir(name).holders()]


def _take(descriptor: int) -> bool:
    # Whoever looks whether a lock is held takes it for an instant, so one refusal proves nothing.
    for attempt in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < LOCK_TRIES:
                time.sleep(LOCK_PAUSE_S)
        else:
            return True
    return False


def _held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _check_private(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise RunDirError(
            f"{folder}: others can write there, so its sockets prove nothing; "
            "remove it or set AMPTREE_RUN_DIR to a folder of yours"
        )
