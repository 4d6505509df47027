"""The live screen outlives failing drawings, and says when nobody answers."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from actors.config import load_site
from actors.energy.messages import ModuleStatus
from actors.site import Site
from tools import screen
from tools.client import SiteStatus
from tools.screen import LiveScreen, NoScreen, PlainScreen

HERE = Path(__file__).resolve().parents[2]
STATUS = SiteStatus(site="home", modules=(ModuleStatus(id="evse_1", kind="EvseManager", controller="main"),))


@pytest.fixture
def site() -> Site:
    return load_site(str(HERE / "configs" / "single_charger.yaml"))


def terminal(height: int = 20) -> Console:
    return Console(file=io.StringIO(), width=80, height=height, force_terminal=True, color_system=None)


def written(console: Console) -> str:
    """Since the last call."""
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    console.file.seek(0)
    console.file.truncate()
    return text


def broken(*_: object) -> None:
    raise RuntimeError("no\nsuch\x1bthing")


def test_a_site_that_has_not_answered_yet_is_starting(site: Site) -> None:
    console = terminal()
    with LiveScreen(site, console) as live:
        live.show(None, complete=False)
        assert "is starting" in written(console)


def test_the_last_table_stays_under_a_warning_when_nobody_answers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, now_s = terminal(), 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    with LiveScreen(site, console) as live:
        live.show(STATUS, complete=True)
        assert "no answer" not in written(console)
        now_s = 107.0
        live.show(None, complete=True)
        text = written(console)
        assert text.index("no answer for 7 s") < text.index("evse_1")
        assert "is starting" not in text
        live.show(STATUS, complete=True)
        assert "no answer" not in written(console)


def test_a_live_screen_fits_its_terminal_also_under_the_warning(site: Site) -> None:
    modules = tuple(ModuleStatus(id=f"evse_{i}", kind="EvseManager", controller="main") for i in range(50))
    console = terminal(height=12)
    with LiveScreen(site, console) as live:
        live.show(SiteStatus(site="home", modules=modules), complete=True)
        written(console)
        live.show(None, complete=True)
        text = written(console)
    assert "no answer for 0 s" in text
    assert "… 42 more" in text
    assert "..." not in text  # what a screen that is too high ends in


def test_a_failing_drawing_does_not_end_the_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    console = terminal()
    with LiveScreen(site, console) as live:
        with monkeypatch.context() as patch:
            patch.setattr(screen, "render", broken)
            live.show(STATUS, complete=True)
            assert r"the table cannot be drawn: RuntimeError: no\nsuch\x1bthing" in written(console)
        live.show(STATUS, complete=True)
        assert "evse_1" in written(console)


def test_a_terminal_that_is_gone_does_not_end_the_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveScreen(site, terminal())
    monkeypatch.setattr(live._live, "update", broken)
    live.show(STATUS, complete=True)


def test_a_failing_drawing_is_told_also_without_a_terminal(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(screen, "render", broken)
    PlainScreen(site, console).show(STATUS, complete=True)
    assert written(console).startswith("the table cannot be drawn")


def test_a_plain_screen_waits_for_the_whole_site(site: Site) -> None:
    console = Console(file=io.StringIO(), width=200)
    with PlainScreen(site, console) as plain:
        plain.show(STATUS, complete=False)
        plain.show(None, complete=True)
        assert not written(console)
        plain.show(STATUS, complete=True)
        assert "evse_1" in written(console)


def test_without_a_screen_nothing_is_shown(site: Site) -> None:
    console = terminal()
    with NoScreen(console) as none:
        none.show(STATUS, complete=True)
    assert not written(console)
