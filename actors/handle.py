"""How one actor reaches another: a reference that never raises and an inbox that stays small.

Pykka's own references raise when the actor is dead, and its inboxes have no bound. A handle answers
False instead, so that a sender outlives its peers, and lets newer state replace older state that
has not been read yet: whoever is slow sees the latest report of each child, not all of them. What is
urgent overtakes what is not: a limit that is to be lowered does not wait for a hundred reports.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import pykka

from actors.loop import Inbox

INBOX_MAX = 10_000
"""Unread messages of one actor; more are refused."""


class Handle:
    """The reference to one actor; for any thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refused = 0
        """Messages that were not taken: the inbox was full, or the actor dead."""
        self.most = 0
        """The largest number of unread messages that there ever was."""
        self._lock = threading.Lock()
        self._urgent: OrderedDict[Hashable, Any] = OrderedDict()
        self._waiting: OrderedDict[Hashable, Any] = OrderedDict()
        self._ref: pykka.ActorRef[Any] | None = None
        self._inbox = Inbox()

    def attach(self, ref: pykka.ActorRef[Any]) -> None:
        """Point to a newly started actor on a loop; what waited for its predecessor is dropped."""
        assert isinstance(ref.actor_inbox, Inbox)
        with self._lock:
            self._urgent.clear()
            self._waiting.clear()
            self._ref, self._inbox = ref, ref.actor_inbox

    def tell(
        self, message: Any, key: Hashable = None, after: Hashable = None, *, urgent: bool = False
    ) -> bool:
        """Put a message into the inbox; one with an equal `key` (and as `urgent`) replaces one that is still
        unread, and takes its place, or the last place where one with the key `after` is unread.

        False when the actor is dead or its inbox full.
        """
        slot = object() if key is None else key
        with self._lock:
            ref = self._ref
            unread = len(self._waiting) + len(self._urgent)
            if ref is None or unread >= INBOX_MAX:
                self.refused += 1
                return False
            waiting = self._urgent if urgent else self._waiting
            replaces = slot in waiting
            waiting[slot] = message
            if not replaces and unread >= self.most:
                self.most = unread + 1
            if replaces and after is not None and after in waiting:
                waiting.move_to_end(slot)
            inbox = self._inbox
        if not ref.is_alive():
            return False
        if not replaces:
            inbox.wake(urgent=urgent)
        return True

    def take(self) -> list[Any]:
        """What is urgent, else what waits longest, as a list of one; empty when another life took it. For the
        actor."""
        with self._lock:
            waiting = self._urgent or self._waiting
            return [waiting.popitem(last=False)[1]] if waiting else []

    def alive(self) -> bool:
        """Whether the actor runs."""
        ref = self._ref
        return ref is not None and ref.is_alive()

    def end(self) -> Callable[[float], bool]:
        """Tell the actor to end, after all that it was told before; what is returned waits for that, at most
        so many seconds, and tells whether it has ended. A dead one is fine."""
        ref = self._ref
        if ref is None or not ref.is_alive():
            return lambda _: True
        ended = ref.stop(block=False)

        def wait(timeout_s: float) -> bool:
            try:
                ended.get(timeout=max(0.0, timeout_s))
            except pykka.Timeout:
                return False
            return True

        return wait
