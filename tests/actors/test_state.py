"""What outlives a controller: external limits, epochs, and what the market keeps of sessions."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from actors.energy.external import SavedSource, SavedSources, ShortLimits, short_form
from actors.market_runner import KeptSession
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


def test_an_epoch_that_was_never_kept_is_lost_and_0_is_surely_none(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    assert state.load_epoch("root") is None
    assert state.begin_without_former_life(["root", "floor_1"]) is None
    assert (state.load_epoch("root"), state.load_epoch("floor_1")) == (0, 0)
    assert state.keep_epoch("root", 7) is None
    assert StateFolder(tmp_path / "state").load_epoch("root") == 7


@pytest.mark.parametrize("content", ["", "-1", "1.5", '"7"', "{}", "7 8"])
def test_a_damaged_epoch_counts_as_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    (tmp_path / "root.epoch.json").write_text(content)
    with caplog.at_level(logging.ERROR, logger="amptree.state"):
        assert StateFolder(tmp_path).load_epoch("root") is None
    assert "the last epoch counts as lost" in caplog.text


def test_why_an_epoch_cannot_be_kept_is_told_once_with_path_and_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    state = StateFolder(blocked)
    with caplog.at_level(logging.INFO, logger="amptree.state"):
        faults = {state.keep_epoch("root", 1) for _ in range(5)}
        blocked.unlink()
        assert state.keep_epoch("root", 1) is None
    (fault,) = faults
    assert fault is not None
    assert fault.startswith(f"{blocked / 'root.epoch.json'}: cannot be written (")
    assert "root grants nothing; free the disk" in fault
    assert [record.getMessage() for record in caplog.records] == [
        fault,
        f"{blocked / 'root.epoch.json'}: written again",
    ]


def test_sessions_are_found_again(tmp_path: Path) -> None:
    sessions = {"evse_1": KeptSession(switches=2, phases=1)}
    assert StateFolder(tmp_path).load_sessions("root") == {}
    assert StateFolder(tmp_path).keep_sessions("root", sessions)
    assert StateFolder(tmp_path).load_sessions("root") == sessions
