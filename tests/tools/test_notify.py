"""What systemd is told by a service that it runs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.notify import ServiceManager


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / "notify"))
        one.setblocking(False)
        yield one


def said(heard: socket.socket) -> list[str]:
    texts = []
    while True:
        try:
            texts.append(heard.recv(100).decode())
        except BlockingIOError:
            return texts


def environment(heard: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(heard.getsockname()), **more}


def test_ready_is_said_once_and_the_end_too(heard: socket.socket) -> None:
    manager = ServiceManager(environment(heard))
    manager.beat()
    manager.beat()
    manager.stopping()
    assert said(heard) == ["READY=1", "STOPPING=1"]


def test_signs_of_life_go_out_some_times_in_the_time_that_is_waited(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    manager = ServiceManager(environment(heard, WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid())))
    for _ in range(25):
        manager.beat()
        now_s += 0.1
    assert said(heard) == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]


def test_a_watchdog_of_another_process_is_not_answered(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    manager = ServiceManager(environment(heard, WATCHDOG_USEC="3000000", WATCHDOG_PID="1"))
    manager.beat()
    now_s += 60.0
    manager.beat()
    assert said(heard) == ["READY=1"]


def test_an_abstract_socket_is_found() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(f"\0amptree-test-{os.getpid()}")
        one.settimeout(10.0)
        ServiceManager({"NOTIFY_SOCKET": f"@amptree-test-{os.getpid()}"}).beat()
        assert one.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "rubbish"})
    manager.beat()
    manager.stopping()
