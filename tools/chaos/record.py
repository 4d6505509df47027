"""The plant's record against every fuse, and against what a story expects of it.

    record ──line by line──► Judge ──► load of every guard over time, overloads, failed expectations

An *overload* is a sample of a node more than MARGIN over its rating, as long as the fixed load there is
within its declared worst case: that part of a fuse which a permanent limit of the node leaves to it, as
`external_limits` of the site's file say. A permanent limit is a guard itself: it bounds what the cars
below draw together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from actors.energy.modules import EnergyNodeConfig
from actors.energy.types import ExternalLimits
from actors.site import Module, Site
from tools.chaos.story import Expectation, evses_below

MARGIN = 0.005
TOLERANCE_A = 0.01
"""Less than this a limit in force is the same."""
BIN_S = 0.5
"""Width of what a curve keeps: the most within it."""

Line = Mapping[str, Any]


class Guard(Struct, frozen=True, kw_only=True):
    """A node and what it must not carry more of, per phase."""

    node: str
    rating_A: float
    fuse: bool
    """Else a permanent limit, such as that of a grid connection."""
    inside: tuple[str, ...]
    """The node and all nodes below it."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.node}{'' if self.fuse else ' (limit)'}"


class Tally(Struct, kw_only=True):
    """What one guard carried; ampere on its most loaded phase."""

    guard: Guard
    samples: int = 0
    overloads: int = 0
    """Samples."""
    excused: int = 0
    """Samples that were over the rating while a fixed load was beyond its declared worst case."""
    max_A: float = 0.0
    max_at_s: float = 0.0
    sum_A: float = 0.0
    curve: dict[int, float] = {}
    """Bin -> the most within it."""


class Unmet(Struct, frozen=True, kw_only=True):
    """An expectation that a sample did not meet; the first such sample."""

    expectation: Expectation
    at_s: float
    found: str


def read_record(path: Path) -> Iterator[Line]:
    """Samples of a plant's record, in their order; a last line that is not whole is left out."""
    decoder = msgspec.json.Decoder()
    with open(path, "rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                return
            line = decoder.decode(raw)
            if "t" in line:
                yield line


def guards(site: Site) -> list[Guard]:
    """All fuses, and all permanent limits in ampere, of a site's nodes."""
    found = []
    for module in site.modules.values():
        if not module.children:
            continue
        inside = tuple(m for m in site.subtree(module.id) if site.modules[m].children)
        fuse_A = _fuse_A(module)
        if fuse_A is not None:
            found.append(Guard(node=module.id, rating_A=fuse_A, fuse=True, inside=inside))
        limit_A = _permanent_A(module)
        if limit_A is not None and (fuse_A is None or limit_A < fuse_A):
            found.append(Guard(node=module.id, rating_A=limit_A, fuse=False, inside=inside))
    return found


def declared_A(module: Module) -> float:
    """The largest fixed load at a node that the site's file leaves room for."""
    fuse_A, limit_A = _fuse_A(module), _permanent_A(module)
    return 0.0 if fuse_A is None or limit_A is None else max(0.0, fuse_A - limit_A)


class Judge:
    """Looks at samples one after the other; seconds count from `begin_s` on the record's clock."""

    def __init__(self, site: Site, begin_s: float, expect: tuple[Expectation, ...] = ()) -> None:
        self.tallies = [Tally(guard=guard) for guard in guards(site)]
        self.unmet: list[Unmet] = []
        self.before: Line | None = None
        """The last sample before the story began."""
        self.last: Line | None = None
        self._site = site
        self._begin_s = begin_s
        self._declared_A = {m.id: declared_A(m) for m in site.modules.values() if m.children}
        self._open = {n: (e, evses_below(site, e.below)) for n, e in enumerate(expect)}

    def see(self, line: Line) -> None:
        """Judge one sample."""
        at_s = line["t"] - self._begin_s
        self.last = line
        if at_s < 0 or self.before is None:
            self.before = line
        for tally in self.tallies:
            self._carry(tally, line, at_s)
        for n, (expectation, evses) in list(self._open.items()):
            if expectation.from_s <= at_s <= expectation.until_s:
                found = self._unmet(expectation, evses, line)
                if found is not None:
                    self.unmet.append(Unmet(expectation=expectation, at_s=at_s, found=found))
                    del self._open[n]

    def _carry(self, tally: Tally, line: Line, at_s: float) -> None:
        guard = tally.guard
        breaker = line["breakers"].get(guard.node)
        currents_A = line["loads"][guard.node] if breaker is None else breaker["currents_A"]
        fixed = line.get("fixed", {})
        if not guard.fuse:
            currents_A = _less(currents_A, [fixed[node] for node in guard.inside if node in fixed])
        load_A = max(map(abs, currents_A))
        tally.samples += 1
        tally.sum_A += load_A
        if load_A > tally.max_A:
            tally.max_A, tally.max_at_s = load_A, at_s
        bin_ = int(at_s // BIN_S)
        tally.curve[bin_] = max(tally.curve.get(bin_, 0.0), load_A)
        if load_A > guard.rating_A * (1.0 + MARGIN):
            if all(max(fixed[n]) <= self._declared_A[n] for n in guard.inside if n in fixed):
                tally.overloads += 1
            else:
                tally.excused += 1

    def _unmet(self, expectation: Expectation, evses: list[str], line: Line) -> str | None:
        limits_A = {evse: line["evses"][evse]["limit_A"] for evse in evses}
        if expectation.state in ("fallback", "settled"):
            for evse, limit_A in limits_A.items():
                most_A = self._site.fallback_A(evse) + TOLERANCE_A
                if limit_A > most_A:
                    return f"{limit_A:g} A are in force at {evse}"
                current_A = max(map(abs, line["evses"][evse]["currents_A"]))
                if expectation.state == "settled" and current_A > most_A:
                    return f"{evse} draws {current_A:g} A"
            return None
        assert self.before is not None
        before_A = sum(self.before["evses"][evse]["limit_A"] for evse in evses)
        held_A = sum(min(a, self.before["evses"][evse]["limit_A"]) for evse, a in limits_A.items())
        if held_A < expectation.share * before_A - TOLERANCE_A:
            return f"{held_A:.1f} A of the {before_A:.1f} A before"
        return None


def _less(currents_A: list[float], fixed: list[list[float]]) -> list[float]:
    return [current_A - sum(each[n] for each in fixed) for n, current_A in enumerate(currents_A)]


def _fuse_A(module: Module) -> float | None:
    return module.config.fuse_limit_A if isinstance(module.config, EnergyNodeConfig) else None


def _permanent_A(module: Module) -> float | None:
    """The least current that sources of a node's file limit it to for good."""
    limits = [
        limit_A
        for source in module.sources
        if source.limits is not None and source.heartbeat_timeout_s is None
        if (limit_A := _constant_A(source.limits)) is not None
    ]
    return min(limits, default=None)


def _constant_A(limits: ExternalLimits) -> float | None:
    """Import, in ampere, where it is one value for all time."""
    if len(limits.schedule_import) != 1:
        return None
    (entry,) = limits.schedule_import
    sides = [entry.limits_to_root, entry.limits_to_leaves]
    found = [side.ac_max_current_A.value for side in sides if side.ac_max_current_A is not None]
    return min(found, default=None)
