"""Who may speak at a port, and as whom: judged for every connection, and again for every message.

Whatever fails while it is judged, the answer is no.
"""

from __future__ import annotations

from collections.abc import Callable

from transport.counters import BoundedLog
from transport.curve import Keys
from transport.frames import Header


class Gate:
    """The gate of one port. A connecting port lets in one `peer`, a listening one whoever is known to `keys`
    and, given his identity, admitted by `admits`."""

    def __init__(
        self,
        keys: Keys,
        log: BoundedLog,
        *,
        peer: str | None = None,
        admits: Callable[[str], bool] | None = None,
        shared_keys: bool = False,
    ) -> None:
        """`shared_keys`: several processes use one key at once, and each is answered by itself."""
        self.peer = peer
        self._keys = keys
        self._log = log
        self._admits = admits
        self._shared_keys = shared_keys

    def identity(self, public_key: str) -> str | None:
        """Whose key that is; None if nobody's who may speak here now."""
        try:
            identity = self._keys.name_of(public_key)
            if identity is None or (self.peer is not None and identity != self.peer):
                return None
            return identity if self._admits is None or self._admits(identity) else None
        except Exception:  # deny by default: whatever went wrong, nobody gets in by it
            self._log.warning("gate", "judging the key %s failed: refused", public_key, traceback=True)
            return None

    def admits(self, public_key: str) -> bool:
        """Whether whoever has this key may speak here now."""
        return self.identity(public_key) is not None

    def key_of_peer(self) -> str | None:
        """The key that must answer a connecting port now; None: nobody may."""
        if self.peer is None:
            return None
        try:
            return self._keys.key_of(self.peer)
        except Exception:  # likewise
            self._log.warning("gate", "looking up the key of %s failed: none", self.peer, traceback=True)
            return None

    def name_of_sender(self, identity: str, header: Header) -> str:
        """Under which name the sender of a message is remembered and answered.

        THE ONE PLACE that decides it: the identity of its key. `header.sender`, which it chose itself, is
        a label; only where several processes may use one key does it tell them apart, and never more.
        """
        return f"{identity} {header.sender}" if self._shared_keys else identity
