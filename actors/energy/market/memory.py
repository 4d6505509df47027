"""What the market remembers from run to run: the compiled tree, and each EVSE's switching.

A session ends with Unplugged or Finished: then the switches are counted anew, and the time
hysteresis counts as waited out. A switch is a change of the reported number of active phases
within a session, whoever caused it. An EVSE that is missing from a request keeps its context (it
may only have been silent), until far more contexts are held than there are EVSEs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from actors.energy.market.arrays import Bools, Counts, Floats, Ints, any_of
from actors.energy.market.plain_tree import AnyTree
from actors.energy.market.tree import CompiledTree, Shape
from actors.energy.timestamps import MICROSECONDS


class Context(NamedTuple):
    """One EVSE's switching. `single_wanted_us` is when the minimum phase count was last wanted;
    None once that was waited out. `phases` are the last that it reported in this session."""

    single_wanted_us: int | None
    switches: int = 0
    phases: int | None = None


_WAITED_OUT = np.iinfo(np.intp).min
_EXTRA_CONTEXTS = 1000
_OVER = Context(None)


@dataclass(frozen=True, eq=False)
class Contexts(Mapping[str, Context]):
    """The contexts of a tree's EVSEs as arrays, and those of EVSEs that are missing from it."""

    shape: Shape
    single_wanted_us: Ints
    switches: Ints
    phases: Counts
    """0 for None."""
    missing: Mapping[str, Context]

    def __getitem__(self, uuid: str) -> Context:
        number = self.shape.number_of.get(uuid)
        if number is None:
            return self.missing[uuid]
        noted_us, phases = int(self.single_wanted_us[number]), int(self.phases[number])
        return Context(
            None if noted_us == _WAITED_OUT else noted_us, int(self.switches[number]), phases or None
        )

    def __iter__(self) -> Iterator[str]:
        yield from self.shape.uuids
        yield from self.missing

    def __len__(self) -> int:
        return len(self.shape.uuids) + len(self.missing)

    def waited_s(self, start_us: int) -> Floats:
        """How long ago the minimum phase count was wanted."""
        waited_out = self.single_wanted_us == _WAITED_OUT
        noted_us = np.where(waited_out, start_us, self.single_wanted_us)
        return np.where(waited_out, np.inf, (start_us - noted_us) / MICROSECONDS)

    def wanting_single(self, wanted: Bools, start_us: int) -> Contexts:
        """Note now for EVSEs whose minimum phase count is what is wanted."""
        if not any_of(wanted):
            return self
        return replace(self, single_wanted_us=np.where(wanted, start_us, self.single_wanted_us))


@dataclass(frozen=True)
class Memory:
    """Pass what a run returned to the next one. Nothing in it changes."""

    contexts: Mapping[str, Context] = field(default_factory=lambda: MappingProxyType({}))
    tree: AnyTree | None = None


def observe(
    before: Mapping[str, Context], tree: CompiledTree, reported: Sequence[float] | Counts, start_us: int
) -> Contexts:
    """The contexts after hearing of a run's states and reported phases (one a EVSE, 0 for none)."""
    over = tree.session_over
    now = np.asarray(reported, dtype=np.int8)
    held = _held(before, tree.shape, now, start_us)
    if not before and not any_of(over):
        return held
    changed = now != held.phases
    changed &= now > 0
    if not (any_of(changed) or any_of(over) or any_of(held.single_wanted_us > start_us)):
        return held
    # If the wall clock was set back: wait anew, not until it has caught up.
    single_wanted_us = np.minimum(held.single_wanted_us, start_us)
    switches = held.switches + (changed & (held.phases > 0))
    phases = np.where(changed, now, held.phases)
    if over.any():
        single_wanted_us[over] = _WAITED_OUT
        switches[over] = 0
        phases[over] = 0
    return Contexts(tree.shape, single_wanted_us, switches, phases, held.missing)


def observe_plainly(
    before: Mapping[str, Context],
    uuids: Sequence[str],
    session_over: Sequence[bool],
    reported: Sequence[int],
    start_us: int,
) -> Mapping[str, Context]:
    """The same in plain numbers, of the EVSEs `uuids`; `before` itself where nothing is new."""
    changed: dict[str, Context] = {}
    for uuid, is_over, now in zip(uuids, session_over, reported, strict=True):
        context = before.get(uuid)
        if is_over:
            if context != _OVER:
                changed[uuid] = _OVER
            continue
        if context is None:
            changed[uuid] = Context(start_us, 0, now or None)
            continue
        wanted_us, switches, phases = context
        if wanted_us is not None and wanted_us > start_us:
            wanted_us = start_us
        if now and now != phases:
            switches, phases = switches + (phases is not None), now
        seen = wanted_us, switches, phases
        if seen != context:
            changed[uuid] = Context(*seen)
    if not changed:
        return before
    if len(before) > 2 * len(uuids) + _EXTRA_CONTEXTS:
        before = {uuid: before[uuid] for uuid in uuids if uuid in before}
    return MappingProxyType({**before, **changed})


def wanting_single_plainly(
    contexts: Mapping[str, Context], uuids: Sequence[str], wanted: Sequence[bool], start_us: int
) -> Mapping[str, Context]:
    """Note now for EVSEs whose minimum phase count is what is wanted."""
    if not any(wanted):
        return contexts
    noted = {
        u: contexts[u]._replace(single_wanted_us=start_us) for u, w in zip(uuids, wanted, strict=True) if w
    }
    return MappingProxyType({**contexts, **noted})


def _held(before: Mapping[str, Context], shape: Shape, now: Counts, start_us: int) -> Contexts:
    """What is held of the tree's EVSEs; those that were never seen begin now, with the phases of now."""
    if type(before) is Contexts and before.shape is shape:
        return before
    count = len(shape.evses)
    missing = {uuid: context for uuid, context in before.items() if uuid not in shape.number_of}
    if len(missing) > count + _EXTRA_CONTEXTS:
        missing = {}
    wanted_us = np.empty(count, dtype=np.intp)
    wanted_us.fill(start_us)
    held = Contexts(shape, wanted_us, np.zeros(count, dtype=np.intp), now.copy(), missing)
    for uuid, context in before.items():
        number = shape.number_of.get(uuid)
        if number is not None:
            noted_us = context.single_wanted_us
            held.single_wanted_us[number] = _WAITED_OUT if noted_us is None else noted_us
            held.switches[number] = context.switches
            held.phases[number] = context.phases or 0
    return held
