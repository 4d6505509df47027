"""The `plant:` section of a site's file: which cars come, what else draws, when it ends.

Without `cars` and `arrivals` there is a default story of arrivals, so that whoever runs a site sees
cars at once. Times are seconds since the plant's start. All faults are told at once, with paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from actors.config.faults import ConfigError, Faults, Path, did_you_mean, shown
from actors.config.fields import mapping, values
from actors.plant.catalogue import CATALOGUE, Car
from actors.plant.wiring import evse_configs, wire
from actors.site import Site

MAX_CURRENT_A = 10_000.0
MAX_CARS = 100_000
"""Entries of `cars`, `fixed_loads` or `meters`."""

_Time = Annotated[float, Meta(ge=0)]
_Positive = Annotated[float, Meta(gt=0)]


class Visit(Car, frozen=True, kw_only=True):
    """A car that comes to an EVSE, and how long it stays; None: until the end."""

    evse: str = ""
    at_s: _Time = 0.0
    stay_s: _Positive | None = None


class FixedLoad(Struct, frozen=True, kw_only=True):
    """What draws at a node besides the cars, from `at_s` until the node's next entry."""

    node: str
    at_s: float
    currents_A: tuple[float, float, float]
    """Per phase; negative feeds in."""


class MeterState(Struct, frozen=True, kw_only=True):
    """How a node's meter is from `at_s` on: dead, it says nothing; frozen, it says the same again."""

    node: str = ""
    at_s: _Time = 0.0
    state: Literal["ok", "dead", "frozen"] = "ok"


class Arrivals(Struct, frozen=True, kw_only=True):
    """Cars by chance, the same for the same seed."""

    evses: list[str] = []
    """All that `cars` does not name, if left out."""
    kinds: list[str] = []
    """All that can charge at an EVSE, if left out."""
    gap_of: Literal["evse", "site"] = "evse"
    """Whether `gap_s` is from a car's leaving to the next one's coming at an EVSE, or from one car's
    coming to the next one's over all."""
    gap_s: _Positive = 30.0
    """Mean."""
    stay_s: _Positive = 300.0
    """Mean."""
    first_after_s: _Time = 2.0
    first_within_s: _Time = 20.0
    """The first cars come between these two."""
    min_energy_kWh: _Positive = 0.2
    max_energy_kWh: _Positive = 1.5
    """A car wants between these two; at a DC EVSE ten times as much."""


class Story(Struct, frozen=True, kw_only=True):
    """All that happens at a site by itself."""

    seed: Annotated[int, Meta(ge=0)] = 1
    speed: Annotated[float, Meta(gt=0, le=100_000)] = 1.0
    """Batteries fill so many times as fast; all else keeps its pace."""
    breakers: Literal["trip", "record"] = "trip"
    """Whether an overloaded breaker cuts what is below, or only tells."""
    end_s: _Positive | None = None
    """When the last cars leave."""
    cars: tuple[Visit, ...] = ()
    arrivals: Arrivals | None = None
    fixed_loads: tuple[FixedLoad, ...] = ()
    meters: tuple[MeterState, ...] = ()


class StoryError(Exception):
    """All that is wrong with a story: (path, message) of each fault."""

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        super().__init__("\n".join(f"{path}: {message}" if path else message for path, message in faults))
        self.faults = faults


def parse_story(raw: Mapping[str, Any], site: Site) -> Story:
    """The story that a `plant:` section tells, `listen` apart. Raises StoryError."""
    reader = _Reader(site)
    story = reader.story(raw)
    _raise_if_any(reader.faults)
    return story


def parse_visit(raw: Mapping[str, Any], site: Site) -> Visit:
    """One entry of `cars`. Raises StoryError."""
    reader = _Reader(site)
    visit = reader.visit(raw, ())
    _raise_if_any(reader.faults)
    assert visit is not None  # else there are faults
    return visit


def check_fixed_load(node: str, currents_A: tuple[float, float, float], site: Site) -> None:
    """Raises StoryError where a node cannot have such a fixed load."""
    reader = _Reader(site)
    reader.fixed_load({"node": node, "currents_A": list(currents_A)}, ())
    _raise_if_any(reader.faults)


def _raise_if_any(faults: Faults) -> None:
    try:
        faults.raise_if_any()
    except ConfigError as error:
        raise StoryError(tuple((fault.path, fault.message) for fault in error.faults)) from None


class _Reader:
    """Reads one story; keeps what is wrong with it."""

    def __init__(self, site: Site) -> None:
        self.faults = Faults()
        self._wired = wire(site)
        self._evses = evse_configs(site)
        self._nodes = [m.id for m in site.modules.values() if m.kind != "EvseManager"]

    def story(self, raw: Mapping[str, Any]) -> Story:
        path: Path = ("plant",)
        lists = ("cars", "arrivals", "fixed_loads", "meters")
        plain = {key: value for key, value in raw.items() if key not in lists}
        given = values(Story, plain, path, self.faults)
        cars_path = (*path, "cars")
        cars = [
            (index, visit)
            for index, entry in self._entries(raw.get("cars", []), cars_path)
            if (visit := self.visit(entry, (*cars_path, index))) is not None
        ]
        self._check_overlaps(cars, cars_path)
        arrivals = None
        if "arrivals" in raw or "cars" not in raw:
            named = {visit.evse for _, visit in cars}
            arrivals = self._arrivals(raw.get("arrivals"), (*path, "arrivals"), named)
        loads_path = (*path, "fixed_loads")
        loads = [
            load
            for index, entry in self._entries(raw.get("fixed_loads", []), loads_path)
            if (load := self.fixed_load(entry, (*loads_path, index))) is not None
        ]
        meters_path = (*path, "meters")
        meters = [
            self.meter_state(entry, (*meters_path, index))
            for index, entry in self._entries(raw.get("meters", []), meters_path)
        ]
        return Story(
            **given,
            cars=tuple(v for _, v in cars),
            arrivals=arrivals,
            fixed_loads=tuple(loads),
            meters=tuple(meters),
        )

    def visit(self, raw: Mapping[str, Any], path: Path) -> Visit | None:
        given = values(Visit, raw, path, self.faults)
        kind = CATALOGUE[given.get("kind", "family")]
        visit = Visit(**{**msgspec.structs.asdict(kind), **given})
        if visit.min_current_A > visit.max_current_A:
            text = f"{visit.min_current_A:g} A is above max_current_A, {visit.max_current_A:g} A"
            self.faults.add((*path, "min_current_A"), text)
        if "evse" not in given:
            if "evse" not in raw:
                self.faults.add((*path, "evse"), "missing: the EVSE that the car comes to")
            return None
        if not self._known_evse(visit.evse, (*path, "evse")):
            return None
        if self._evses[visit.evse].charge_mode == "DC" and visit.max_power_W is None:
            text = f"{visit.evse} charges with DC, which the kind {visit.kind} cannot; give max_power_W"
            self.faults.add(path, text)
        return visit

    def _entries(self, raw: Any, path: Path) -> list[tuple[int, dict[str, Any]]]:
        if not isinstance(raw, list) or len(raw) > MAX_CARS:
            self.faults.add(path, f"expected a list of at most {MAX_CARS} entries, got {shown(raw)}")
            return []
        return [(index, mapping(entry, (*path, index), self.faults)) for index, entry in enumerate(raw)]

    def _check_overlaps(self, cars: list[tuple[int, Visit]], path: Path) -> None:
        last: dict[str, tuple[int, Visit]] = {}
        for index, visit in sorted(cars, key=lambda item: item[1].at_s):
            before, there = last.get(visit.evse, (0, None))
            if there is not None and (there.stay_s is None or there.at_s + there.stay_s > visit.at_s):
                text = f"{visit.evse} is still taken by cars[{before}] at {visit.at_s:g} s"
                self.faults.add((*path, index), text)
            last[visit.evse] = (index, visit)

    def _arrivals(self, raw: Any, path: Path, named: set[str]) -> Arrivals:
        arrivals = Arrivals(**values(Arrivals, mapping(raw, path, self.faults), path, self.faults))
        for index, evse in enumerate(arrivals.evses):
            here = (*path, "evses", index)
            if self._known_evse(evse, here) and evse in named:
                self.faults.add(here, f"{evse} has cars of its own; leave it out here or there")
        for index, kind in enumerate(arrivals.kinds):
            if kind not in CATALOGUE:
                known = f"known: {', '.join(CATALOGUE)}{did_you_mean(kind, CATALOGUE)}"
                self.faults.add((*path, "kinds", index), f"no kind of car {shown(kind)}; {known}")
        for low, high in (("first_after_s", "first_within_s"), ("min_energy_kWh", "max_energy_kWh")):
            if getattr(arrivals, low) > getattr(arrivals, high):
                self.faults.add((*path, low), f"above {high}, {getattr(arrivals, high):g}")
        evses = arrivals.evses or [evse for evse in self._evses if evse not in named]
        return msgspec.structs.replace(arrivals, evses=evses)

    def fixed_load(self, raw: dict[str, Any], path: Path) -> FixedLoad | None:
        for key in raw:
            if key not in FixedLoad.__struct_fields__:
                near = did_you_mean(key, FixedLoad.__struct_fields__)
                self.faults.add((*path, key), f"unknown key{near}")
        at_s, currents = raw.get("at_s", 0.0), raw.get("currents_A")
        if not _is_number(at_s, 0.0, 1e9):
            self.faults.add((*path, "at_s"), f"expected a number, at least 0, got {shown(at_s)}")
            at_s = 0.0
        if (node := self._node(raw.get("node"), (*path, "node"))) is None:
            return None
        if (fault := self._currents_fault(node, currents)) is not None:
            self.faults.add((*path, "currents_A"), fault)
            return None
        assert isinstance(currents, list)
        return FixedLoad(node=node, at_s=float(at_s), currents_A=(currents[0], currents[1], currents[2]))

    def meter_state(self, raw: dict[str, Any], path: Path) -> MeterState:
        self._node(raw.get("node"), (*path, "node"))
        return MeterState(**values(MeterState, raw, path, self.faults))

    def _node(self, node: Any, path: Path) -> str | None:
        if isinstance(node, str) and node in self._nodes:
            return node
        near = did_you_mean(node, self._nodes) if isinstance(node, str) else ""
        self.faults.add(path, f"expected an EnergyManager or EnergyNode, got {shown(node)}{near}")
        return None

    def _currents_fault(self, node: str, currents: Any) -> str | None:
        """Why these cannot be the currents of a fixed load at `node`."""
        if not (
            isinstance(currents, list)
            and len(currents) == 3
            and all(_is_number(current, -MAX_CURRENT_A, MAX_CURRENT_A) for current in currents)
        ):
            return f"expected three currents [L1, L2, L3] from -{MAX_CURRENT_A:g} to {MAX_CURRENT_A:g} A"
        missing = [f"L{k + 1}" for k in range(3) if currents[k] and k not in self._wired[node]]
        return f"{node} is not wired to {' and '.join(missing)}" if missing else None

    def _known_evse(self, evse: str, path: Path) -> bool:
        if evse in self._evses:
            return True
        self.faults.add(path, f"no EVSE {shown(evse)}{did_you_mean(evse, self._evses)}")
        return False


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
