"""State folders that can really be full: a small tmpfs each, where this user may mount one.

Where not, a full disk is played by a folder that cannot be written to; root may write everywhere, so as
root without the right to mount there is no such fault.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

SIZE = "256k"
BALLAST = "ballast"
CHUNK_B = 4096


class Disks:
    """A state folder for each controller, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mounted: list[Path] = []

    def make(self, name: str) -> Path:
        """The state folder of a controller."""
        path = self.folder / name
        path.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0 and _mount(path):
            self._mounted.append(path)
        return path

    def can_fill(self) -> bool:
        """Whether a full disk can be played here."""
        return bool(self._mounted) or os.geteuid() != 0

    def fill(self, name: str) -> None:
        """Nothing more can be written."""
        path = self.folder / name
        if path not in self._mounted:
            path.chmod(0o500)
            return
        with suppress(OSError), open(path / BALLAST, "ab", buffering=0) as file:  # ends with: disk full
            while True:
                file.write(b"\0" * CHUNK_B)

    def free(self, name: str) -> None:
        """It can again."""
        path = self.folder / name
        if path in self._mounted:
            (path / BALLAST).unlink(missing_ok=True)
        else:
            path.chmod(0o700)

    def close(self) -> None:
        """Unmount and remove all."""
        remove(self.folder)


def remove(folder: Path) -> None:
    """Remove the state folders, also those that a killed run left mounted."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if os.path.ismount(path):
            subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)
        else:
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _mount(path: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "amptree-chaos", str(path)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False
