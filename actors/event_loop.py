"""A thread with an asyncio loop of its own, for libraries that want one.

What runs on it may neither block nor touch what is an actor's; it tells handles, and is told by `soon`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

LOG = logging.getLogger("amptree.event_loop")

STOP_TIMEOUT_S = 5.0
"""For all its tasks to end; what hangs is left behind."""

Result = TypeVar("Result")


class EventLoop:
    """Started once, stopped once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def soon(self, call: Callable[..., Any], *args: Any) -> bool:
        """Let the loop call this, from any thread; False when it has ended."""
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            return False
        return True

    def task(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Let the loop work on this, from any thread. RuntimeError when it has ended."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise

    def stop(self) -> None:
        """Cancel all tasks, wait until they have ended, and end the thread; idempotent."""
        if self._thread.is_alive():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_TIMEOUT_S)
        elif not self._loop.is_closed() and self._thread.ident is None:
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._cancel_all())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        except Exception:  # the thread's last words: what is left is to close the loop
            LOG.exception("the event loop of %s did not end in good order", self.name)
        finally:
            self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S / 2)
