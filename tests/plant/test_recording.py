"""The record's file: whole lines, bounded, and never the plant's end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from actors.plant.recording import Recorder

HEAD: dict[str, object] = {"site": "test"}


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_written_when_flushed_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    recorder = Recorder(path, HEAD)
    recorder.write({"t": 1})
    recorder.flush()
    assert lines(path) == [HEAD, {"t": 1}]
    recorder.write({"t": 2})
    recorder.close()
    recorder.close()
    recorder.write({"t": 3})
    assert lines(path) == [HEAD, {"t": 1}, {"t": 2}]


def test_a_record_that_is_full_ends_with_a_whole_line_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "record.jsonl"
    recorder = Recorder(path, HEAD, max_B=100)
    for t in range(100):
        recorder.write({"t": t})
    recorder.close()
    assert path.stat().st_size <= 100
    assert lines(path)[-1] == {"t": len(lines(path)) - 2}
    assert [record.getMessage() for record in caplog.records] == [
        f"record {path} is full at 100 bytes: it ends here"
    ]


def test_a_full_disk_ends_the_record_at_its_last_whole_line_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.jsonl"
    recorder = Recorder(path, HEAD)
    recorder.flush()
    room_B = [7]

    os_write = os.write

    def write(descriptor: int, data: bytearray) -> int:
        if not room_B[0]:
            raise OSError(28, "No space left on device")
        written_B = os_write(descriptor, data[: room_B[0]])
        room_B[0] -= written_B
        return written_B

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        recorder.write({"t": 1})
        recorder.flush()
    recorder.write({"t": 2})
    recorder.close()
    assert lines(path) == [HEAD]
    assert "No space left on device" in caplog.text


def test_a_device_that_is_always_full_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(Path("/dev/full"), HEAD)
    recorder.close()
    assert "ends: No space left on device" in caplog.text
