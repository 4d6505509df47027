"""Faults on purpose come from a file, and end with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors import clock
from actors.injection import Injection, Orders
from transport import Disturbance


@pytest.fixture(autouse=True)
def right_clock() -> Iterator[None]:
    yield
    clock.set_wall_ahead(0.0)


def replace(file: Path, content: bytes) -> None:
    draft = file.with_suffix(".new")
    draft.write_bytes(content)
    draft.replace(file)


def wall_s() -> float:
    return clock.now().wall_us / 1e6


def test_the_wall_clock_jumps_and_the_steady_one_does_not(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    injection = Injection(file)
    injection.look()
    before, wall = clock.now(), wall_s()
    replace(file, msgspec.json.encode(Orders(wall_offset_s=3600.0)))
    injection.look()
    assert wall_s() - wall == pytest.approx(3600.0, abs=5.0)
    assert clock.now().mono_s - before.mono_s == pytest.approx(0.0, abs=5.0)
    file.unlink()
    injection.look()
    assert wall_s() - wall == pytest.approx(0.0, abs=5.0)


def test_links_are_disturbed_as_the_file_says_until_it_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    injection = Injection(file)
    delivered: list[list[bytes]] = []
    from tests.transport.test_faults import frame

    replace(file, msgspec.json.encode(Orders(links=(Disturbance(sender="main", loss=1.0),))))
    injection.look()
    injection.links.meet(0.0, frame(1), delivered.append)
    assert delivered == []
    replace(file, b"{}")
    injection.look()
    injection.links.meet(0.0, frame(2), delivered.append)
    assert delivered == [frame(2)]


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b'{"wall_offset_s": 1e300}', b'{"links": [{"loss": 2}]}', b"\xff\xff"]
)
def test_a_file_that_is_none_is_told_and_what_it_said_before_goes_on(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "faults.json"
    injection = Injection(file)
    replace(file, msgspec.json.encode(Orders(wall_offset_s=3600.0)))
    injection.look()
    wall = wall_s()
    replace(file, content)
    caplog.clear()
    injection.look()
    injection.look()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message.startswith(f"{file}: not read, what it said before goes on: ")
    assert wall_s() - wall == pytest.approx(0.0, abs=5.0)
