"""What the market remembers from run to run: the compiled tree, and each EVSE's switching.

A session ends with Unplugged or Finished: then the switches are counted anew, and the time
hysteresis counts as waited out. A switch is a change of the reported number of active phases
within a session, whoever caused it. An EVSE that is missing from a request keeps its context (it
may only have been silent), until far more contexts are held than there are EVSEs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from actors.energy.market.arrays import Floats
from actors.energy.market.tree import CompiledTree


@dataclass(frozen=True, slots=True)
class Context:
    """One EVSE's switching. `single_wanted_us` is when the minimum phase count was last wanted;
    None once that was waited out. `phases` are the last that it reported in this session."""

    single_wanted_us: int | None
    switches: int = 0
    phases: int | None = None


WAITED_OUT = Context(None)
_EXTRA_CONTEXTS = 1000


@dataclass(frozen=True)
class Memory:
    """Pass what a run returned to the next one. Nothing in it changes."""

    contexts: Mapping[str, Context] = field(default_factory=lambda: MappingProxyType({}))
    tree: CompiledTree | None = None


def observe(
    contexts: Mapping[str, Context], tree: CompiledTree, reported: Sequence[float] | Floats, start_us: int
) -> dict[str, Context]:
    """The contexts after hearing of a run's states and reported phases (one a EVSE, 0 for none)."""
    new = dict(contexts)
    for i, uuid in enumerate(tree.uuids):
        if tree.session_over[i]:
            new[uuid] = WAITED_OUT
            continue
        old = new.get(uuid)
        if old is None:
            old = new[uuid] = Context(start_us)
        elif old.single_wanted_us is not None and old.single_wanted_us > start_us:
            # The wall clock was set back: wait anew, not until it has caught up.
            old = new[uuid] = Context(start_us, old.switches, old.phases)
        phases = int(reported[i])
        if phases and phases != old.phases:
            switches = old.switches + (old.phases is not None)
            new[uuid] = Context(old.single_wanted_us, switches, phases)
    if len(new) > 2 * len(tree.uuids) + _EXTRA_CONTEXTS:
        new = {uuid: new[uuid] for uuid in tree.uuids}
    return new


def note_single_wanted(contexts: dict[str, Context], uuids: list[str], start_us: int) -> None:
    """Note now for EVSEs whose minimum phase count is what is wanted."""
    for uuid in uuids:
        old = contexts[uuid]
        contexts[uuid] = Context(start_us, old.switches, old.phases)
