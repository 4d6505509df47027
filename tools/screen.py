"""How `amptree up` shows a site: live on a terminal, as a table now and then elsewhere, or not at all."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from actors.site import Site
from tools.client import SiteStatus
from tools.columns import printable
from tools.view import console as console_for
from tools.view import render

REFRESH_S = 0.5
PLAIN_REFRESH_S = 10.0
"""Between two tables where there is no terminal."""


class Screen(Protocol):
    """Shows a site. Context manager."""

    console: Console
    shows: bool
    """Whether it wants a status at all, once the site is complete."""
    pause_s: float
    """Until it wants to show something again."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def show(self, status: SiteStatus | None, *, complete: bool) -> None:
        """Show this status, None when no controller answers yet; `complete` once all have been heard."""


def screen_for(site: Site, *, silent: bool) -> Screen:
    """The screen that fits standard output."""
    console = console_for(stderr=silent)
    if silent:
        return NoScreen(console)
    return LiveScreen(site, console) if console.is_terminal else PlainScreen(site, console)


class NoScreen:
    """Shows nothing; the logs speak."""

    shows = False
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

    shows = True

    def __init__(self, site: Site, console: Console) -> None:
        super().__init__(console)
        self._depths = _depths(site)

    def show(self, status: SiteStatus | None, *, complete: bool) -> None:
        """Print it, once the site is complete."""
        if status is not None and complete:
            self.pause_s = PLAIN_REFRESH_S
            try:
                self.console.print(render(status, self._depths, self.console.width))
            except OSError:
                raise  # the reader went away
            except Exception as error:  # as in LiveScreen
                self.console.print(_not_drawn(error))


class LiveScreen(NoScreen):
    """Keeps the table in its place."""

    shows = True

    def __init__(self, site: Site, console: Console) -> None:
        super().__init__(console)
        self._depths = _depths(site)
        self._waiting = Text(f"site {printable(site.name)} is starting…")
        self._live = Live(self._waiting, console=console, auto_refresh=False)
        self._last: SiteStatus | None = None
        self._heard_s = 0.0

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, status: SiteStatus | None, *, complete: bool) -> None:
        """Put it in the place of the last, which stays where nothing answers."""
        now_s = time.monotonic()
        if status is not None:
            self._last, self._heard_s = status, now_s
        silent_s = None if status is not None else now_s - self._heard_s
        # The screen is the least part of a site: whatever a drawing fails at, cars go on charging.
        try:
            self._live.update(self._drawing(silent_s), refresh=True)
        except Exception as error:
            with suppress(Exception):  # the terminal itself may be gone
                self._live.update(_not_drawn(error), refresh=True)

    def _drawing(self, silent_s: float | None) -> RenderableType:
        """The last table, under a warning when nobody has answered since."""
        if self._last is None:
            return self._waiting
        width, height = self.console.size
        if silent_s is None:
            return render(self._last, self._depths, width, height)
        warning = Text(f"no answer for {silent_s:.0f} s", style="red")
        return Group(warning, render(self._last, self._depths, width, height - 1))


def _not_drawn(error: Exception) -> Text:
    return Text(printable(f"the table cannot be drawn: {type(error).__name__}: {error}"), style="red")


def _depths(site: Site) -> dict[str, int]:
    return {m: len(site.path_to_root(m)) - 1 for m in site.modules}
