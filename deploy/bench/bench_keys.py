"""Keys for a run of the bench: each host gets its own secret what it must trust, and no secret of others."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from actors import identities
from actors.site import Site
from tools.chaos.hosts import PLANT
from transport import KeyPair, keyfiles

OPERATOR = "operator/bench"


class BenchKeys:
    """New keys of all parts, and of whoever operates the bench from the root's host."""

    def __init__(self, site: Site) -> None:
        self._root = site.controller_of(site.root).name
        names = [*(identities.controller(name) for name in site.controllers), identities.PLANT, OPERATOR]
        self._pairs = {name: KeyPair.new() for name in names}

    def archive(self, part: str) -> bytes:
        """The keyring of a part's host, as a tar file."""
        own = identities.PLANT if part == PLANT else identities.controller(part)
        secret = [own, *([OPERATOR] if part == self._root else [])]
        here = Path()
        files = {keyfiles.secret_path(here, name): self._pairs[name].secret.hex() for name in secret}
        files |= {keyfiles.trusted_path(here, name): pair.public for name, pair in self._pairs.items()}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path, key in files.items():
                info = tarfile.TarInfo(str(path))
                info.mode, info.size = 0o600, len(key) + 1
                tar.addfile(info, io.BytesIO(f"{key}\n".encode()))
        return packed.getvalue()
