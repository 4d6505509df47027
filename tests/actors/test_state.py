"""What outlives a controller: external limits."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from actors.energy.external import SavedSource, SavedSources, ShortLimits, short_form
from actors.state import StateFolder

SAVED = SavedSources(
    saved_at_us=1_000_000,
    sources=(SavedSource(name="grid", limits=short_form(ShortLimits(total_power_W=22e3), "grid")),),
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    StateFolder(tmp_path / "state").save("floor_1", SAVED)
    assert StateFolder(tmp_path / "state").load("floor_1") == SAVED
    assert StateFolder(tmp_path / "state").load("floor_2") is None


def test_a_damaged_file_is_said_and_left_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "floor_1.sources.json").write_text("{")
    with caplog.at_level(logging.ERROR, logger="amptree.state"):
        assert StateFolder(tmp_path).load("floor_1") is None
    assert "external limits set before are not known" in caplog.text


def test_a_folder_that_cannot_be_written_is_said_and_survived(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.ERROR, logger="amptree.state"):
        StateFolder(tmp_path / "file" / "state").save("floor_1", SAVED)
    assert "will not outlive a restart" in caplog.text
