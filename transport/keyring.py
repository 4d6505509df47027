"""Whom a process knows: the keys of a folder, as they are now.

The folder is read again as soon as what was read is REREAD_S old and somebody asks; there is no watcher
that could stop unnoticed. So a key that is removed, or whose file others could have changed, counts for
nothing REREAD_S later. Where the folder cannot be read, nobody is known. A process whose own key is
removed or replaced knows nobody either: it must begin anew with its new key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from transport.counters import LOG
from transport.curve import KeyPair
from transport.keyfiles import KeyFileError, identities, read_secret, read_trusted

REREAD_S = 1.0
"""Seconds for which what was read counts."""


class Keyring:
    """The keys of a folder, seen by the owner of one of them. It is `Keys` for a wire."""

    def __init__(self, folder: Path, own: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`own` is our identity there. Raises KeyFileError if its secret cannot be used."""
        self.folder = folder
        self.identity = own
        self._pair = read_secret(folder, own)
        self._clock = clock
        self._read_s: float | None = None
        self._names: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._said: set[str] = set()

    @property
    def own(self) -> KeyPair:
        """Our own key, as it was at the beginning."""
        return self._pair

    def name_of(self, public_key: str) -> str | None:
        """The identity whose key that is; None if it is not trusted now."""
        self._refresh()
        return self._names.get(public_key)

    def key_of(self, name: str) -> str | None:
        """The public key that is trusted as `name` now."""
        self._refresh()
        return self._keys.get(name)

    def _refresh(self) -> None:
        now_s = self._clock()
        if self._read_s is not None and now_s - self._read_s < REREAD_S:
            return
        faults: set[str] = set()
        names, keys = self._read(faults)
        if self._read_s is not None:
            self._tell(keys)
        for fault in sorted(faults - self._said):
            LOG.error("%s", fault)
        self._names, self._keys, self._said, self._read_s = names, keys, faults, now_s

    def _read(self, faults: set[str]) -> tuple[dict[str, str], dict[str, str]]:
        keys: dict[str, str] = {}
        try:
            if read_secret(self.folder, self.identity).public != self._pair.public:
                raise KeyFileError(f"{self.folder}: the key of {self.identity} is a new one; begin it anew")
            for name in identities(self.folder, "trusted"):
                try:
                    keys[name] = read_trusted(self.folder, name)
                except KeyFileError as error:
                    faults.add(f"{error}: {name} is not trusted")
        except KeyFileError as error:
            faults.add(f"{error}: nobody is trusted")
            return {}, {}
        names: dict[str, str] = {}
        for name, key in list(keys.items()):
            if (first := names.setdefault(key, name)) != name:
                faults.add(f"{self.folder}: {first} and {name} have the same key, and are not trusted")
                keys.pop(first, None)
                del keys[name]
        return {key: name for name, key in keys.items()}, keys

    def _tell(self, keys: dict[str, str]) -> None:
        for name in sorted(self._keys.keys() | keys.keys()):
            match self._keys.get(name), keys.get(name):
                case str(before), str(now) if before != now:
                    LOG.warning("%s has another key now: %s", name, now)
                case None, str(now):
                    LOG.info("%s is trusted now: %s", name, now)
                case str(), None:
                    LOG.warning("%s is trusted no more: nothing from or to it passes", name)
