"""One actor or many on a thread, as an actor type of Pykka.

With a thread an actor, thousands of EVSEs are thousands of stacks, and each message is a switch of threads.
So actors share a loop, which gives them a turn for each message, in the order in which the messages came,
those that are urgent (handle.py) before all others.
What holds for Pykka's threads holds here: an actor handles one message at a time, an exception ends its
life and no other, and whoever stops it is told when that is done. What differs: an actor that blocks
holds up all on its loop. And a message that waits in a handle needs no envelope in an inbox: it is a `wake`,
which gives the actor its turn at a third of the cost.

What the actors of a loop give other loops to do is told these together, whenever the loop lets out what it
has said: a thread that is woken for the first of a hundred messages takes the interpreter from who says the
others.
"""

from __future__ import annotations

import sys
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import pykka

STOP_TIMEOUT_S = 5.0
"""For the loop to end; a turn that hangs may hold it up."""
TURNS_MAX = 128
"""Until a loop that has more to do lets out what it has said meanwhile."""


def _nothing() -> None:
    pass


class _Owed(threading.local):
    """Turns that this thread gave other loops, and has not told them of; None: it tells them at once."""

    turns: dict[Loop, int] | None = None


_OWED = _Owed()


def let_go() -> None:
    """Tell other loops of all turns that this thread gave them."""
    if _OWED.turns:
        owed, _OWED.turns = _OWED.turns, {}
        for loop, turns in owed.items():
            loop.wake(turns)


class Loop:
    """One thread, and what it is to do."""

    def __init__(self, name: str, turns_max: int = TURNS_MAX) -> None:
        self.name = name
        self._turns_max = turns_max
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        """One for each turn that is due; False: it is to end."""
        self._urgent: deque[Callable[[], None]] = deque()
        self._others: deque[Callable[[], None]] = deque()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._begin = self._rest = _nothing

    def start(self, begin: Callable[[], None] = _nothing, rest: Callable[[], None] = _nothing) -> None:
        """Start the thread. It calls `begin` first, and `rest` whenever there is nothing to do for now, and
        after `turns_max` turns: what actors say in a burst may be sent together then, and is told other loops
        together."""
        self._begin, self._rest = begin, rest
        self._thread.start()

    def do(self, turn: Callable[[], None], *, urgent: bool = False) -> None:
        """Let the loop call this, after all before it that is as urgent; from any thread."""
        (self._urgent if urgent else self._others).append(turn)
        owed = _OWED.turns
        if owed is None or threading.get_ident() == self._thread.ident:
            self._tokens.put(True)
        else:
            owed[self] = owed.get(self, 0) + 1

    def wake(self, turns: int) -> None:
        """So many turns that were given are due."""
        for _ in range(turns):
            self._tokens.put(True)

    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread, after all that it was told to do; idempotent."""
        if self._thread.is_alive():
            self._tokens.put(False)
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        self._begin()
        _OWED.turns = {}
        turns = 0
        while self._tokens.get():
            turn = self._urgent.popleft() if self._urgent else self._others.popleft()
            turn()
            turns += 1
            if turns == self._turns_max or self._tokens.empty():
                turns = 0
                let_go()
                self._rest()
        let_go()
        _OWED.turns = None


class _TurnIsOverError(Exception):
    """The actor took its message, and the next turn is another's."""


class Inbox:
    """An inbox that gives a message a turn."""

    def __init__(self) -> None:
        self.turn = self.woken = _nothing
        """Called by the loop for each message, and for each `wake`."""
        self.loop: Loop | None = None
        self.left = 0
        """Messages that may be taken in this turn."""
        self._envelopes: deque[Any] = deque()

    def wake(self, *, urgent: bool = False) -> None:
        """Something waits for the actor elsewhere; what, and what of it comes first, is known there."""
        assert self.loop is not None, "the actor was not started"
        self.loop.do(self.woken, urgent=urgent)

    def put(self, envelope: Any) -> None:
        assert self.loop is not None, "the actor was not started"
        self._envelopes.append(envelope)
        self.loop.do(self.turn)

    def get(self) -> Any:
        if self.left == 0:
            raise _TurnIsOverError
        self.left -= 1
        return self._envelopes.popleft()

    def empty(self) -> bool:
        return not self._envelopes

    def __len__(self) -> int:
        return len(self._envelopes)


class LoopActor(pykka.Actor):
    """An actor on the loop that it is given."""

    actor_inbox: Inbox

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.actor_inbox.loop = loop
        self.actor_inbox.turn = self._take_turn
        self.actor_inbox.woken = self._be_woken

    @abstractmethod
    def on_wake(self) -> None:
        """Something waits for it. An exception ends its life."""

    def on_receive(self, message: Any) -> Any:
        """A message in Pykka's own way, for those that take any."""
        raise TypeError(f"{self} is told through its handle, not {message!r}")

    @staticmethod
    def _create_actor_inbox() -> Any:
        return Inbox()

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return pykka.ThreadingFuture()

    def _start_actor_loop(self) -> None:
        assert self.actor_inbox.loop is not None
        self.actor_inbox.loop.do(self._actor_loop_setup, urgent=True)  # before whatever it is told

    def _take_turn(self) -> None:
        """One message; after the actor's end, tell all that still wait for an answer."""
        self.actor_inbox.left = 0 if self.actor_inbox.empty() else 1
        with suppress(_TurnIsOverError):
            self._actor_loop_running()
            self._end()

    def _be_woken(self) -> None:
        if self.actor_stopped.is_set():
            return
        try:
            self.on_wake()
        except Exception:  # as Pykka has it
            self._handle_failure(*sys.exc_info())
            try:
                self.on_failure(*sys.exc_info())
            except Exception:
                self._handle_failure(*sys.exc_info())
            self._end()

    def _end(self) -> None:
        self.actor_inbox.left = sys.maxsize
        self._actor_loop_teardown()
