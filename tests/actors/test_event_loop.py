"""A thread with an asyncio loop: what is asked of it is done, and nothing of it is left."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from actors.event_loop import EventLoop

PATIENCE_S = 5.0


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop("test")
    loop.start()
    yield loop
    loop.stop()


def test_it_works_on_its_own_thread(loop: EventLoop) -> None:
    async def name() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert loop.task(name()).result(PATIENCE_S) == "test"


def test_stopping_cancels_what_it_works_on_and_lets_it_clean_up(loop: EventLoop) -> None:
    began, cleaned = threading.Event(), threading.Event()

    async def wait_for_ever() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    loop.task(wait_for_ever())
    assert began.wait(PATIENCE_S)
    loop.stop()
    loop.stop()
    assert cleaned.is_set()
    assert not loop.running()


def test_a_loop_that_has_ended_takes_nothing(loop: EventLoop) -> None:
    loop.stop()

    async def nothing() -> None:
        pass

    assert not loop.soon(print)
    with pytest.raises(RuntimeError):
        loop.task(nothing())


def test_one_that_never_began_closes(recwarn: pytest.WarningsRecorder) -> None:
    EventLoop("never").stop()
    assert not recwarn.list
