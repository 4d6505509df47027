"""The machines of a site, as far as chaos needs them: one small interface, whoever they are.

`tools.chaos.local` is processes on this machine; a bench of network namespaces, or real hosts over
ssh, are others. A *part* is a controller, by its name in the site's file, or `plant`. The plant is the
ground truth: its lines may be cut, but it is never killed or paused.

Every call returns at once, and doing what is done already is no error: a story may kill what is dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from actors.injection import Orders
from tools.client import SiteStatus

PLANT = "plant"


class Notice(Struct, frozen=True):
    """Something that happened to a part."""

    text: str
    by_itself: bool
    """It died, and nobody had killed it; or it was stopped, and did not end in good order."""


class Hosts(Protocol):
    """How the parts of a site are started, hurt, mended and watched."""

    def begin(self) -> None:
        """Start the plant and all controllers. Raises UserError."""

    def tend(self) -> list[Notice]:
        """Called some ten times a second: begin again what has died, unless `kill` or `stop` holds it
        down; what happened. Raises UserError when the run is lost (the plant has ended)."""

    def end(self) -> None:
        """End all that was started, the plant last; also what is paused or cut off."""

    # --- one controller ---------------------------------------------------------------------------

    def kill(self, part: str, *, stay_dead: bool) -> None:
        """kill -9; without `stay_dead` whoever supervises it begins it again."""

    def stop(self, part: str, *, stay_dead: bool) -> None:
        """SIGTERM, as an operator ends it."""

    def start(self, part: str) -> None:
        """Begin one again that stayed dead."""

    def pause(self, part: str) -> None:
        """SIGSTOP."""

    def resume(self, part: str) -> None:
        """SIGCONT."""

    def fill_disk(self, part: str) -> None:
        """Its state folder takes nothing more."""

    def free_disk(self, part: str) -> None:
        """It does again."""

    # --- lines, limits and clocks ---------------------------------------------------------------------------

    def cut(self, ways: frozenset[tuple[str, str]]) -> None:
        """Nothing passes from the first to the second of these pairs any more; all others are whole."""

    def limit(self, module: str, current_A: float | None) -> None:
        """Set an external limit at a module, or (None) clear it; tried again for a while where nobody
        answers."""

    def inject(self, orders: Mapping[str, Orders]) -> None:
        """What each part does to what comes in, and to its wall clock; a part that is not named does
        nothing. It is the contents of the file of its `--faults`."""

    # --- what is seen -------------------------------------------------------------------------------

    def now_s(self) -> float:
        """The steady clock of the plant's record."""

    def record(self) -> Path:
        """The plant's record, on this machine (copied here where the plant is elsewhere)."""

    def status(self, *, with_request: bool = False) -> SiteStatus | None:
        """What the controllers say, the root's first; None when none answers within a second or two."""
