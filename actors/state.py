"""Keeps external limits over restarts: a file a module, replaced as a whole.

A file that cannot be read is said and left aside; one that cannot be written is said each time. The
module goes on either way, since a site without its state folder is better than no site.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from actors.energy.external import SavedSources

LOG = logging.getLogger("amptree.state")


class StateFolder:
    """The state of the modules of one controller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, module_id: str) -> SavedSources | None:
        """What was saved last; None when there is nothing usable."""
        path = self._path(module_id)
        try:
            return msgspec.json.decode(path.read_bytes(), type=SavedSources)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            LOG.error("%s: not usable, external limits set before are not known: %s", path, error)
            return None

    def save(self, module_id: str, sources: SavedSources) -> bool:
        """Replace what is saved; whether it is on the disk now."""
        path = self._path(module_id)
        draft = path.with_suffix(".new")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(draft, "wb") as file:
                file.write(msgspec.json.encode(sources))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)  # the new name, too
            finally:
                os.close(folder)
        except OSError as error:
            LOG.error("%s: not saved, its external limits will not outlive a restart: %s", path, error)
            return False
        return True

    def _path(self, module_id: str) -> Path:
        return self.folder / f"{module_id}.sources.json"
