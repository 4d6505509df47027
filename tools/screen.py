"""How `amptree up` shows a site: live on a terminal, as a table now and then elsewhere, or not at all."""

from __future__ import annotations

from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from actors.site import Site
from tools.client import SiteStatus
from tools.view import render

REFRESH_S = 0.5
PLAIN_REFRESH_S = 10.0
"""Between two tables where there is no terminal."""


class Screen(Protocol):
    """Shows a site. Context manager."""

    console: Console
    pause_s: float
    """Until it wants to show something again."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def show(self, status: SiteStatus | None, *, complete: bool) -> None:
        """Show this status, None when no controller answers yet; `complete` once all have been heard."""


def screen_for(site: Site, *, silent: bool) -> Screen:
    """The screen that fits standard output."""
    console = Console(highlight=False, stderr=silent)
    if silent:
        return NoScreen(console)
    return LiveScreen(site, console) if console.is_terminal else PlainScreen(site, console)


class NoScreen:
    """Shows nothing; the logs speak."""

    pause_s = REFRESH_S

    def __init__(self, console: Console) -> None:
        self.console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, status: SiteStatus | None, *, complete: bool) -> None:
        """Nothing."""


class PlainScreen(NoScreen):
    """Prints a table now and then."""

    def __init__(self, site: Site, console: Console) -> None:
        super().__init__(console)
        self._depths = _depths(site)

    def show(self, status: SiteStatus | None, *, complete: bool) -> None:
        """Print it, once the site is complete."""
        if status is not None and complete:
            self.console.print(render(status, self._depths, self.console.width))
            self.pause_s = PLAIN_REFRESH_S


class LiveScreen(NoScreen):
    """Keeps the table in its place."""

    def __init__(self, site: Site, console: Console) -> None:
        super().__init__(console)
        self._depths = _depths(site)
        self._waiting = Text(f"site {site.name} is starting…")
        self._live = Live(self._waiting, console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, status: SiteStatus | None, *, complete: bool) -> None:
        """Put it in the place of the last."""
        shown = self._waiting if status is None else render(status, self._depths, self.console.width)
        self._live.update(shown, refresh=True)


def _depths(site: Site) -> dict[str, int]:
    return {m: len(site.path_to_root(m)) - 1 for m in site.modules}
