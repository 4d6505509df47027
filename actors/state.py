"""Keeps what modules must know after a restart: files of a few lines, replaced as a whole.

- External limits. A file that cannot be read is said and left aside; the module goes on.
- Epochs (actors/energy/ledger.py). One that cannot be read counts as lost; one that cannot be written
  is not used, and without one nothing is granted.
- What gateways must know.
- What the market keeps of each session (actors/market_runner.py). Where that cannot be read,
  switches of phases are counted anew.

What cannot be written is said once, and again when the reason is another.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from actors.energy.external import SavedSources
from actors.market_runner import KeptSession, Sessions

LOG = logging.getLogger("amptree.state")

Kept = TypeVar("Kept", bound=msgspec.Struct)

REMEDY = "free the disk, make the folder writable, or choose another with --state"


class StateFolder:
    """The state of the modules of one controller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._said: dict[Path, str] = {}

    # --- external limits ---------------------------------------------------------------------------

    def load(self, module_id: str) -> SavedSources | None:
        """What was saved last; None when there is nothing usable."""
        without = "external limits set before are not known"
        saved: SavedSources | None = self._read(self._path(module_id, "sources"), SavedSources, without)
        return saved

    def save(self, module_id: str, sources: SavedSources) -> bool:
        """Replace what is saved; whether it is on the disk now."""
        content = msgspec.json.encode(sources)
        without = "external limits will not outlive a restart"
        return self._replace(self._path(module_id, "sources"), content, without) is None

    # --- epochs ------------------------------------------------------------------------------------

    def load_epoch(self, module_id: str) -> int | None:
        """The last epoch of a node: 0 where there surely was none, None where that is not known."""
        epoch_type = Annotated[int, msgspec.Meta(ge=0)]
        path = self._path(module_id, "epoch")
        epoch: int | None = self._read(path, epoch_type, "the last epoch counts as lost")
        return epoch

    def keep_epoch(self, module_id: str, epoch: int) -> str | None:
        """Put an epoch on the disk; returns why that could not be done."""
        content = b"%d" % epoch
        return self._replace(self._path(module_id, "epoch"), content, f"{module_id} grants nothing")

    def begin_without_former_life(self, module_ids: Iterable[str]) -> str | None:
        """Say of nodes that surely none of them ever granted anything; returns why that could not be
        done. Only for whoever begins all that could hold a grant of theirs, too."""
        faults = (self.keep_epoch(module_id, 0) for module_id in module_ids)
        return next((fault for fault in faults if fault is not None), None)

    # --- sessions ----------------------------------------------------------------------------------

    def load_sessions(self, module_id: str) -> Sessions:
        """The switches of each EVSE's session, as kept last."""
        path = self._path(module_id, "sessions")
        kept: Sessions | None = self._read(
            path, dict[str, KeptSession], "switches of phases are counted anew"
        )
        return kept or {}

    def keep_sessions(self, module_id: str, sessions: Sessions) -> bool:
        """Replace what is kept; whether it is on the disk now."""
        content = msgspec.json.encode(sessions)
        without = "switches of phases are counted anew after a restart"
        return self._replace(self._path(module_id, "sessions"), content, without) is None

    # --- gateways ----------------------------------------------------------------------------------

    def load_kept(self, module_id: str, what: str, type_: type[Kept], without: str) -> Kept | None:
        """What was kept last under this name; None when there is nothing usable: if something was there,
        `without` is said."""
        kept: Kept | None = self._read(self._path(module_id, what), type_, without)
        return kept

    def keep(self, module_id: str, what: str, content: msgspec.Struct, without: str) -> bool:
        """Replace what is kept under this name; whether it is on the disk now."""
        return self._replace(self._path(module_id, what), msgspec.json.encode(content), without) is None

    # --- files -------------------------------------------------------------------------------------

    def _read(self, path: Path, type_: Any, without: str) -> Any:
        """What the file holds; None when there is none, or none that can be used."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=type_)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            LOG.error("%s: not usable, %s: %s", path, without, error)
            return None

    def _replace(self, path: Path, content: bytes, without: str) -> str | None:
        """Put the content into the file; returns why that could not be done."""
        draft = path.with_suffix(".new")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(draft, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)  # the new name, too
            finally:
                os.close(folder)
        except OSError as error:
            fault = f"{path}: cannot be written ({error.strerror}): {without}; {REMEDY}"
            if self._said.get(path) != fault:
                LOG.error("%s", fault)
                self._said[path] = fault
            return fault
        if self._said.pop(path, None) is not None:
            LOG.info("%s: written again", path)
        return None

    def _path(self, module_id: str, what: str) -> Path:
        return self.folder / f"{module_id}.{what}.json"
