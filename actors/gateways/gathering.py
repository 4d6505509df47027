"""How a gateway of a controller asks for the status of all below it, and whom it tells commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping

from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.handle import Handle
from actors.site import Site
from actors.tree_actor import StatusAnswer, StatusQuery


class Below:
    """All that a controller knows: the branches whose tops it hosts."""

    def __init__(self, site: Site, controller: str, handles: Mapping[str, Handle]) -> None:
        self.site = site
        self.controller = controller
        self._handles = handles
        self._tops = [m for m in handles if site.modules[m].parent not in handles]
        self._top_of = {m: top for top in self._tops for m in site.subtree(top)}

    @property
    def modules(self) -> list[str]:
        """All modules of these branches, depth-first."""
        return [m for m in self.site.modules if m in self._top_of]

    def top_of(self, module_id: str) -> tuple[str, Handle] | None:
        """The top of a module's branch; None when that is elsewhere."""
        top = self._top_of.get(module_id)
        return None if top is None else (top, self._handles[top])

    def ask(
        self,
        done: Callable[[Gathering], None],
        key: Hashable,
        *,
        with_request: bool = False,
        with_reasons: bool = True,
    ) -> None:
        """Call `done` once all tops have answered, on the thread of the last; never if one hangs. Who asks
        again by the same `key` has given up what it asked before."""
        gathering = Gathering(self.site, len(self._tops))

        def gather(answer: StatusAnswer) -> None:
            if gathering.add(answer):
                done(gathering)

        query = StatusQuery(gather, with_request, with_reasons)
        for top in self._tops:
            if not self._handles[top].tell(query, key=key):
                gather(StatusAnswer((self._dead(top),)))

    def _dead(self, module_id: str) -> ModuleStatus:
        return ModuleStatus(
            id=module_id,
            kind=self.site.modules[module_id].kind,
            controller=self.controller,
            alive=False,
            note="its actor has died",
        )


class Gathering:
    """What the tops answered; for any thread."""

    def __init__(self, site: Site, expected: int) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._expected = expected
        self._answers: list[StatusAnswer] = []

    def add(self, answer: StatusAnswer) -> bool:
        """Whether this was the last."""
        with self._lock:
            self._answers.append(answer)
            return len(self._answers) == self._expected

    def modules(self) -> tuple[ModuleStatus, ...]:
        """In the order of the site's tree."""
        order = {module: position for position, module in enumerate(self._site.modules)}
        found = [status for answer in self._answers for status in answer.modules]
        return tuple(sorted(found, key=lambda status: order.get(status.id, len(order))))

    def optimizer(self) -> OptimizerStatus | None:
        """The root's, where it is among them."""
        return next((a.optimizer for a in self._answers if a.optimizer is not None), None)
