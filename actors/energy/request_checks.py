"""What a child may ask for: nothing that the market would refuse, since that would refuse all others too.

A request is merged into that of the parent, and so on up to the root. So each parent looks at it when it
hears it, and a child that asks for what cannot be is asked no more (branch.py): it keeps its account in
the ledger, and others go on. The market's own rules are called, none is written twice; added is what
only the request as a whole can break:

- it names modules of the child's own branch, each once, so no module of another can be named twice;
- it is no deeper than the site, so that those of all levels together are not;
- efficiencies multiply to LEAST_EFFICIENCY at least, so that those further up have room below the market's;
- its schedules and its size have bounds, so that a market with it comes to an end in time.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from actors.energy.market.entries import Direction, fallback_of, instant, row_of
from actors.energy.market.errors import RequestError, joined
from actors.energy.market.reading import MOST_ENTRIES
from actors.energy.market.setpoints import frequency_of, target_of
from actors.energy.market.walking import priority_of
from actors.energy.types import EnergyFlowRequest, ScheduleReqEntry

NOT_HEARD = "/not heard"
"""Ends the name of the fixed load that stands for a silent module."""
LEAST_EFFICIENCY = 1e-4
"""Of all converters below a node together."""
MOST_INSTANTS = 5_000
"""Different timestamps in a request: each is a slot of the market. All sources of a module together may
set fewer."""
MOST_FALLBACK = 1e9
"""Ampere or watt, as in the ledger."""
SIZE_MAX_B = 4 << 20
SIZE_MAX_PER_MODULE_B = 16 << 10
"""Bytes of a request on the wire, at most: what its parent tells in turn must still fit into a message."""


Schedule = tuple[ScheduleReqEntry, ...]
Seen = dict[tuple[int, Direction], tuple[Schedule, float]]
"""Schedules by id, kept so that the id stays theirs, with the worst efficiency of each."""


class RequestCheck:
    """Of one child; what it asked for before, as the very same objects, is not read again."""

    def __init__(self, modules: Collection[str], levels: int) -> None:
        """`modules` are all that the child may speak for, `levels` is how deep its tree may be."""
        self._modules = modules
        self._levels = levels
        self._seen: Seen = {}

    def check(self, request: EnergyFlowRequest) -> None:
        """Refuse what the market would refuse. Raises RequestError with the path of the first fault."""
        size_B = len(msgspec.msgpack.encode(request))
        most_B = SIZE_MAX_B + SIZE_MAX_PER_MODULE_B * len(self._modules)
        if size_B > most_B:
            raise RequestError("", f"has {size_B} bytes, more than {most_B}")
        walk = _Walk(self._modules, self._levels, self._seen)
        walk.visit(request, 1, {"import": 1.0, "export": 1.0})
        self._seen = walk.seen


class _Walk:
    def __init__(self, modules: Collection[str], levels: int, before: Seen) -> None:
        self._modules = modules
        self._levels = levels
        self._before = before
        self.seen: Seen = {}
        self._named: set[str] = set()
        self._instants: dict[str, int] = {}

    def visit(self, node: EnergyFlowRequest, level: int, efficiency: dict[Direction, float]) -> None:
        """This node and all below it; `efficiency` is that of the way down to it."""
        name = node.uuid.removesuffix(NOT_HEARD)
        if name not in self._modules:
            raise RequestError("uuid", f"{node.uuid[:80]!r} is not on this branch")
        if name in self._named:
            raise RequestError("uuid", f"{node.uuid[:80]!r} is named twice")
        self._named.add(name)
        if level > self._levels:
            raise RequestError("", f"has more than {self._levels} levels")
        priority_of(node)
        if max(fallback_of(node)) > MOST_FALLBACK:
            raise RequestError("fallback_A", "is beyond belief")
        here: dict[Direction, float] = {
            "import": efficiency["import"] * self._schedule(node.schedule_import, "import"),
            "export": efficiency["export"] * self._schedule(node.schedule_export, "export"),
        }
        if min(here.values()) < LEAST_EFFICIENCY:
            raise RequestError("", f"the efficiencies down to here multiply to {min(here.values()):g}")
        self._setpoints(node)
        for place, child in enumerate(node.children):
            try:
                self.visit(child, level + 1, here)
            except RequestError as error:
                raise error.below(f"children[{place}]") from None

    def _schedule(self, schedule: Schedule, direction: Direction) -> float:
        """Its worst efficiency."""
        key = (id(schedule), direction)
        known = self._before.get(key)
        if known is not None:
            for entry in schedule:
                self._note_instant(entry.timestamp)
            self.seen[key] = known
            return known[1]
        name, worst = f"schedule_{direction}", 1.0
        _check_length(name, len(schedule))
        for index, entry in enumerate(schedule):
            try:
                self._note_instant(entry.timestamp)
                worst = min(worst, row_of(entry, direction).efficiency)
            except RequestError as error:
                raise error.below(f"{name}[{index}]") from None
        self.seen[key] = (schedule, worst)
        return worst

    def _setpoints(self, node: EnergyFlowRequest) -> None:
        _check_length("schedule_setpoints", len(node.schedule_setpoints))
        frequency_Hz = frequency_of(node)
        for index, entry in enumerate(node.schedule_setpoints):
            path = f"schedule_setpoints[{index}]"
            try:
                self._note_instant(entry.timestamp)
            except RequestError as error:
                raise error.below(path) from None
            try:
                target_of(entry.setpoint, frequency_Hz)
            except RequestError as error:
                raise error.below(joined(path, "setpoint")) from None

    def _note_instant(self, text: str) -> None:
        if text not in self._instants:
            self._instants[text] = instant(text)
            if len(self._instants) > MOST_INSTANTS:
                raise RequestError("timestamp", f"is one of more than {MOST_INSTANTS}")


def _check_length(name: str, length: int) -> None:
    if length > MOST_ENTRIES:
        raise RequestError(name, f"must have at most {MOST_ENTRIES} entries, has {length}")
