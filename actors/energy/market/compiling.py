"""Compiling: a request validated and turned into numbers.

Fields are read one after the other of all nodes at once (reading.py), so the good case builds no
paths; a fault is then looked for node by node. What stood in the tree before as the very same object
is taken over as it is, with all below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from actors.energy.market.arrays import Bools, Ints, in_order
from actors.energy.market.entries import Direction, fallback_of, instant
from actors.energy.market.errors import RequestError, joined
from actors.energy.market.patched import Patched
from actors.energy.market.reading import check_length, look_carefully, read, read_again
from actors.energy.market.setpoints import frequency_of, target_of
from actors.energy.market.timetables import Timetables
from actors.energy.market.tree import Changed, CompiledTree, NodeTargets, Shape
from actors.energy.market.walking import (
    Nodes,
    Replaced,
    changed_nodes,
    differing,
    path_of,
    same_but_for_schedules,
    walk,
)
from actors.energy.types import EnergyFlowRequest, EvseState, Schedule

LEAST_EFFICIENCY = 1e-9
"""Of a whole path; below it a watt at the end of the path is no longer told from none."""
DIRECTIONS: tuple[Direction, ...] = ("import", "export")
_OVER = (EvseState.Unplugged, EvseState.Finished)
Fallbacks = dict[int, tuple[float, float]]


def compile_tree(
    request: EnergyFlowRequest,
    before: CompiledTree | None = None,
    walked: tuple[list[EnergyFlowRequest], Shape] | None = None,
) -> CompiledTree:
    """Validate a request and turn it into numbers; RequestError with the path of the first fault.

    `before` is a tree compiled earlier: its parts serve again where they are the same objects. `walked` is
    what the walk over the request found, where that is known.
    """
    replaced = None if before is None else changed_nodes(request, before.request, before.shape)
    tree = None
    if before is not None and replaced is not None:
        tree = _renewed(request, before, replaced)
    return tree or _compiled(request, *(walked or walk(request)))


def _compiled(request: EnergyFlowRequest, nodes: list[EnergyFlowRequest], shape: Shape) -> CompiledTree:
    places = range(len(nodes))
    shape.prepare()
    schedules, targets, fallbacks = _read(nodes, places, shape.parent, order=shape.evses_last)
    _check_efficiencies(schedules, shape)
    return CompiledTree(
        request=request,
        nodes=Patched(nodes),
        shape=shape,
        schedules=schedules,
        targets=targets,
        times_us=_times_us(schedules, targets),
        fallbacks=fallbacks,
        session_over=_session_over(in_order(nodes, shape.evse_array)),
    )


def _renewed(request: EnergyFlowRequest, before: CompiledTree, replaced: Replaced) -> CompiledTree | None:
    """The tree before, with some nodes replaced; None when it is time to read all of it again."""
    shape, (at, now, old) = before.shape, replaced
    nodes = before.nodes.patched(dict(zip(at, now, strict=True)))
    schedules = dict(before.schedules)
    anew: dict[Direction, list[int]] = {}
    changed: set[int] = set()
    for direction in DIRECTIONS:
        say, said = _schedules(now, direction), _schedules(old, direction)
        if others := differing(say, said):
            changed.update(others)
            here = np.array([at[i] for i in others], dtype=np.intp)
            both = [say[i] for i in others], [said[i] for i in others]
            again = read_again(schedules[direction], here, *both, direction)
            if again is None:
                anew[direction] = others
            else:
                schedules[direction] = again
    same = (i for i in range(len(at)) if i not in changed)
    changed.update([i for i in same if not same_but_for_schedules(now[i], old[i])])
    if not changed:
        return replace(before, request=request, nodes=nodes, changed=Changed(before.nodes, ()))
    some = sorted(changed)
    places, fresh = [at[i] for i in some], [now[i] for i in some]
    saying = {direction: [now[i] for i in others] for direction, others in anew.items()}
    read_now, targets, fallbacks = _read(fresh, places, shape.parent, saying)
    for direction, new in read_now.items():
        here = np.array([at[i] for i in anew[direction]], dtype=np.intp)
        renewed = schedules[direction].renewed(here, new)
        if renewed is None:
            return None
        schedules[direction] = renewed
    told = set(places)
    if before.targets:
        targets += [each for each in before.targets if each.node not in told]
        targets.sort(key=lambda each: each.node)
    if before.fallbacks:
        fallbacks.update((i, both) for i, both in before.fallbacks.items() if i not in told)
    session_over = before.session_over
    if states := [i for i in some if now[i].evse_state is not old[i].evse_state]:
        session_over = session_over.copy()
        for i in states:
            if (evse := shape.number_at[at[i]]) >= 0:
                session_over[evse] = is_session_over(now[i])
    _check_efficiencies(schedules, shape)
    return CompiledTree(
        request=request,
        nodes=nodes,
        shape=shape,
        schedules=schedules,
        targets=targets,
        times_us=_times_us(schedules, targets),
        fallbacks=fallbacks,
        session_over=session_over,
        changed=Changed(before.nodes, tuple(places)),
    )


def _schedules(nodes: Nodes, direction: Direction) -> list[Schedule]:
    if direction == "import":
        return [node.schedule_import for node in nodes]
    return [node.schedule_export for node in nodes]


def _read(
    nodes: Nodes,
    places: Sequence[int],
    parent: list[int],
    saying: Mapping[Direction, Nodes] | None = None,
    order: Ints | None = None,
) -> tuple[dict[Direction, Timetables], list[NodeTargets], Fallbacks]:
    """Schedules, setpoints and fallbacks of some nodes, which stand at `places` in the tree; where told,
    schedules only of the nodes in `saying`. The order is reading.read's."""
    found = {
        direction: read(those, direction, order)
        for direction, those in (dict.fromkeys(DIRECTIONS, nodes) if saying is None else saying).items()
    }
    schedules = {direction: timetables for direction, timetables in found.items() if timetables is not None}
    targets: list[NodeTargets] = []
    fallbacks: Fallbacks = {}
    in_doubt = len(schedules) < len(found)
    for i, node in zip(places, nodes, strict=True) if in_doubt else _with_more(places, nodes):
        try:
            if in_doubt:
                for direction in DIRECTIONS:
                    look_carefully(node, direction)
            if node.schedule_setpoints:
                targets.append(_targets(i, node))
            both = fallback_of(node)
            if any(both):
                fallbacks[i] = both
        except RequestError as error:
            raise error.below(path_of(i, parent)) from None
        except (AttributeError, TypeError) as error:  # built in Python, of other types
            raise RequestError(path_of(i, parent), f"is malformed: {error}") from None
    if in_doubt:
        raise RequestError("", "has schedules that cannot be read")
    return schedules, targets, fallbacks


def _with_more(places: Sequence[int], nodes: Nodes) -> Iterable[tuple[int, EnergyFlowRequest]]:
    """Those with setpoints or a fallback."""
    more = [
        i
        for i, node in enumerate(nodes)
        if node.schedule_setpoints or node.fallback_A is not None or node.fallback_W is not None
    ]
    return [(places[i], nodes[i]) for i in more]


def _targets(index: int, node: EnergyFlowRequest) -> NodeTargets:
    check_length(node.schedule_setpoints, "schedule_setpoints")
    frequency_Hz = frequency_of(node)
    stamped = []
    for i, entry in enumerate(node.schedule_setpoints):
        try:
            time = instant(entry.timestamp)
            try:
                stamped.append((time, i, target_of(entry.setpoint, frequency_Hz)))
            except RequestError as error:
                raise error.below("setpoint") from None
        except RequestError as error:
            raise error.below(f"schedule_setpoints[{i}]") from None
    stamped.sort(key=lambda each: each[:2])
    return NodeTargets(
        node=index,
        starts_us=np.array([time for time, _, _ in stamped], dtype=np.intp),
        targets=[target for _, _, target in stamped],
        entries=[node.schedule_setpoints[i] for _, i, _ in stamped],
    )


def _times_us(schedules: dict[Direction, Timetables], targets: list[NodeTargets]) -> list[int]:
    times: set[int] = set().union(*(each.starts for each in schedules.values()))
    return sorted(times.union(*(each.starts_us.tolist() for each in targets)))


def _session_over(evses: Nodes) -> Bools:
    unplugged, finished = EvseState.Unplugged, EvseState.Finished
    states = [evse.evse_state for evse in evses]  # a call of each is what costs
    over = [each is unplugged or each is finished for each in states]
    return np.frombuffer(bytes(over), dtype=np.bool_)


def is_session_over(evse: EnergyFlowRequest) -> bool:
    """Whether an EVSE's charging session is."""
    return evse.evse_state in _OVER


def _check_efficiencies(schedules: dict[Direction, Timetables], shape: Shape) -> None:
    for direction, timetables in schedules.items():
        efficiency = timetables["efficiency"]
        if efficiency is not None:
            ranges = zip(timetables.first.tolist(), timetables.count.tolist(), strict=True)
            worst = [min(efficiency[first : first + count].tolist()) for first, count in ranges]
            check_path_efficiencies(worst, shape, direction)


def check_path_efficiencies(worst: list[float], shape: Shape, direction: Direction) -> None:
    """The product of a path's worst efficiencies must still tell a watt from none. Changes `worst`, of
    nodes."""
    for node, above in enumerate(shape.parent):
        if above >= 0:
            worst[node] *= worst[above]
        if worst[node] < LEAST_EFFICIENCY:
            path = joined(path_of(node, shape.parent), f"schedule_{direction}")
            raise RequestError(path, f"the efficiencies down to here multiply to {worst[node]:g}")
