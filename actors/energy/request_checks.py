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

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from actors.energy.market.entries import Direction, fallback_of, instant, steps_of
from actors.energy.market.errors import RequestError, joined
from actors.energy.market.reading import check_length, look_carefully
from actors.energy.market.setpoints import frequency_of, target_of
from actors.energy.market.walking import priority_of
from actors.energy.packing import packed
from actors.energy.types import EnergyFlowRequest, PackedSchedule

NOT_HEARD = "/not heard"
"""Ends the name of the fixed load that stands for a silent module."""
LEAST_EFFICIENCY = 1e-4
"""Of all converters below a node together."""
MOST_INSTANTS = 5_000
"""Different timestamps in a request: each is a slot of the market. All sources of a module together may
set fewer."""
MOST_FALLBACK = 1e9
"""Ampere or watt, as in the ledger."""
KEPT_PER_MODULE = 4
"""Subtrees that are remembered, the present ones among them."""
SIZE_MAX_B = 4 << 20
SIZE_MAX_PER_MODULE_B = 16 << 10
"""Bytes of a request on the wire, at most: what its parent tells in turn must still fit into a message."""


Efficiencies = tuple[float, float]
"""Importing, exporting."""


class _Known(NamedTuple):
    """A subtree that was found good, as the very same object in the same place."""

    node: EnergyFlowRequest
    """Kept, so that its id stays its own."""
    level: int
    above: Efficiencies
    """Of the way down to it."""
    size_B: int
    names: set[str]
    instants: set[int]


class RequestCheck:
    """Of one child; what it asked for before, as the very same objects, is not read again."""

    def __init__(self, modules: Collection[str], levels: int) -> None:
        """`modules` are all that the child may speak for, `levels` is how deep its tree may be."""
        self._modules = modules
        self._levels = levels
        self._known: dict[int, _Known] = {}

    def check(self, request: EnergyFlowRequest) -> None:
        """Refuse what the market would refuse. Raises RequestError with the path of the first fault."""
        walk = _Walk(self._modules, self._levels, self._known)
        size_B = walk.visit(request, 1, (1.0, 1.0)).size_B
        most_B = SIZE_MAX_B + SIZE_MAX_PER_MODULE_B * len(self._modules)
        if size_B > most_B:
            raise RequestError("", f"has {size_B} bytes, more than {most_B}")
        if len(self._known) > KEPT_PER_MODULE * len(self._modules):
            self._known = {}
        self._known |= walk.known


class _Walk:
    def __init__(self, modules: Collection[str], levels: int, before: dict[int, _Known]) -> None:
        self._modules = modules
        self._levels = levels
        self._before = before
        self.known: dict[int, _Known] = {}
        """Found good in this walk; not what is below what was known before."""
        self._named: set[str] = set()
        self._instants: set[int] = set()

    def visit(self, node: EnergyFlowRequest, level: int, above: Efficiencies) -> _Known:
        """This node and all below it; `above` is the efficiency of the way down to it."""
        known = self._before.get(id(node))
        if known is None or known[1:3] != (level, above) or not self._named.isdisjoint(known.names):
            known = self._read(node, level, above)
        self._named.update(known.names)
        self._note_instants(known.instants)
        self.known[id(node)] = known
        return known

    def _read(self, node: EnergyFlowRequest, level: int, above: Efficiencies) -> _Known:
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
        instants: set[int] = set()
        into, out = above
        here = (
            into * self._schedule(node, "import", instants),
            out * self._schedule(node, "export", instants),
        )
        if min(here) < LEAST_EFFICIENCY:
            raise RequestError("", f"the efficiencies down to here multiply to {min(here):g}")
        self._setpoints(node, instants)
        size_B, names = len(msgspec.msgpack.encode(replace(node, children=()))), {name}
        for place, child in enumerate(node.children):
            try:
                below = self.visit(child, level + 1, here)
            except RequestError as error:
                raise error.below(f"children[{place}]") from None
            size_B += below.size_B
            names.update(below.names)
            instants.update(below.instants)
        return _Known(node, level, above, size_B, names, instants)

    def _schedule(self, node: EnergyFlowRequest, direction: Direction, instants: set[int]) -> float:
        """Its worst efficiency."""
        schedule = packed(node.schedule_import if direction == "import" else node.schedule_export)
        if not schedule:
            return 1.0
        if isinstance(schedule, PackedSchedule):
            steps = steps_of(schedule, direction)
            if steps is not None:
                self._note_instants(steps.starts_us)
                instants.update(steps.starts_us)
                return steps.worst
        look_carefully(node, direction)
        raise RequestError(f"schedule_{direction}", "cannot be read")

    def _setpoints(self, node: EnergyFlowRequest, instants: set[int]) -> None:
        check_length(node.schedule_setpoints, "schedule_setpoints")
        frequency_Hz = frequency_of(node)
        for index, entry in enumerate(node.schedule_setpoints):
            path = f"schedule_setpoints[{index}]"
            try:
                time_us = instant(entry.timestamp)
            except RequestError as error:
                raise error.below(path) from None
            self._note_instants((time_us,))
            instants.add(time_us)
            try:
                target_of(entry.setpoint, frequency_Hz)
            except RequestError as error:
                raise error.below(joined(path, "setpoint")) from None

    def _note_instants(self, times_us: Iterable[int]) -> None:
        self._instants.update(times_us)
        if len(self._instants) > MOST_INSTANTS:
            raise RequestError("timestamp", f"is one of more than {MOST_INSTANTS}")
