"""How long the market takes, in its three stages: read a request, allocate, build the results.

A request is decoded anew for each run, as it comes out of messages, so nothing is known of it by
identity; decoding itself is not counted. Every family is measured in a process of its own, in CPU time
(which others on the machine do not change), and what the run before left is freed before the next.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice, pairwise

import msgspec
from msgspec.structs import replace

from actors.energy.market import Memory, allocate
from actors.energy.market.plain_tree import read_tree
from actors.energy.packing import all_packed, unpacked
from actors.energy.types import EnergyFlowRequest
from tools.bench.families import FAMILIES, START_US, Family
from tools.bench.rows import Row
from tools.processes import run_smoothly
from tools.workers import worker_pool

__all__ = ["FAMILIES", "measure_market"]

STAGES = ("read_ms", "allocate_ms", "build_ms", "all_ms")
QUICK_RUNS = 3
RATIOS = {
    "depth 50": ("depth 3", "all_ms", 3.0),
    "floors, fine slice": ("floors", "allocate_ms", 1.1),
}
"""Than which, in which stage, and how many times as long at most."""


def measure_market(names: Sequence[str] = tuple(FAMILIES), *, quick: bool = False) -> list[Row]:
    """Measure families by name, each in a fresh process; medians, in milliseconds of CPU time."""
    found: dict[str, Row] = {}
    for name in names:
        with worker_pool(1) as pool:
            found[name] = pool.submit(measure, name, quick).result()
        row = found[name]
        if name in RATIOS:
            other, figure, most = RATIOS[name]
            with worker_pool(1) as pool:
                times = pool.submit(measure_ratio, name, other, figure, quick).result()
            found[name] = replace(
                row, figures={**row.figures, "times": times}, reach={**row.reach, "times": most}
            )
    return list(found.values())


def measure(name: str, quick: bool = False) -> Row:
    """One family, in this process, which is tuned as a controller's is."""
    run_smoothly()
    family = FAMILIES[name]
    figures = medians(family, QUICK_RUNS if quick else family.runs)
    return Row(bench="market", name=name, what=family.what, figures=figures, reach=family.reach)


def measure_ratio(name: str, other: str, figure: str, quick: bool = False) -> float:
    """How many times as long as another family takes one, run by run in turn, in this process: so what else
    the machine does meanwhile slows down both."""
    run_smoothly()
    stage, runs = STAGES.index(figure), QUICK_RUNS if quick else FAMILIES[name].runs
    pairs = zip(_runs(FAMILIES[name]), _runs(FAMILIES[other]), strict=False)
    return statistics.median([one[stage] / two[stage] for one, two in islice(pairs, runs)])


def medians(family: Family, runs: int) -> dict[str, float]:
    """Milliseconds of each stage, in this process."""
    times = islice(_runs(family), runs)
    return dict(zip(STAGES, map(statistics.median, zip(*times, strict=True)), strict=True))


def _runs(family: Family) -> Iterator[list[float]]:
    """Milliseconds of each stage, run after run, without end."""
    wire = msgspec.msgpack.encode(all_packed(family.make()))
    decoder = msgspec.msgpack.Decoder(EnergyFlowRequest)
    run = _run_changed if family.changed else _run_new
    gc.collect()
    for number in count():  # what a run made is freed as it returns, after its last mark
        times_ms = run(family, decoder.decode(wire), number)
        if number:  # the first warms up
            yield times_ms


def _run_new(family: Family, request: EnergyFlowRequest, _: int) -> list[float]:
    begin_s = time.process_time()
    tree = read_tree(request)
    read_s = time.process_time()
    allocation, _memory = allocate(request, family.config, START_US, Memory(tree=tree))
    allocated_s = time.process_time()
    results = list(allocation)
    built_s = time.process_time()
    assert len(results) == len(allocation)
    return _stages(begin_s, read_s, allocated_s, built_s)


def _run_changed(family: Family, request: EnergyFlowRequest, number: int) -> list[float]:
    """The tree was compiled and allocated; some EVSEs, and so the nodes above them, are new objects."""
    before, memory = allocate(request, family.config, START_US)
    before_results = list(before)
    changed = changed_request(request, family.changed, number)
    begin_s = time.process_time()
    tree = read_tree(changed, memory.tree)
    read_s = time.process_time()
    allocation, _ = allocate(changed, family.config, START_US, Memory(memory.contexts, tree))
    allocated_s = time.process_time()
    results = allocation.renewed(before, before_results)
    built_s = time.process_time()
    assert results
    return _stages(begin_s, read_s, allocated_s, built_s)


def changed_request(request: EnergyFlowRequest, share: float, number: int) -> EnergyFlowRequest:
    """Every so many EVSEs want a little less than before."""
    every = round(1 / share)
    floors = []
    seen = number
    for floor in request.children:
        children = list(floor.children)
        for i, child in enumerate(children):
            seen += 1
            if seen % every == 0:
                children[i] = _wants_less(child)
        if children != list(floor.children):
            floor = replace(floor, children=tuple(children))
        floors.append(floor)
    return replace(request, children=tuple(floors))


def _wants_less(child: EnergyFlowRequest) -> EnergyFlowRequest:
    """Decoded anew, as from a message, with other limits."""
    data = msgspec.to_builtins(unpacked(child))
    for entry in data["schedule_import"]:
        entry["limits_to_root"]["ac_max_current_A"]["value"] -= 1.0
    wire = msgspec.msgpack.encode(all_packed(msgspec.convert(data, EnergyFlowRequest)))
    return msgspec.msgpack.decode(wire, type=EnergyFlowRequest)


def _stages(begin_s: float, read_s: float, allocated_s: float, built_s: float) -> list[float]:
    marks = (begin_s, read_s, allocated_s, built_s)
    stages = [(end - begin) * 1000 for begin, end in pairwise(marks)]
    return [*stages, sum(stages)]
