"""A story of faults: what is done to a running site, when, and what its plant must show then.

Stories are YAML files that users write for their own acceptance tests (docs/chaos.md). All that is wrong
with one is told at once, each fault with its path and what to write instead. Seconds count from when the
site was found at work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from actors.config.faults import ConfigError, Faults, Path, did_you_mean, shown
from actors.config.fields import values
from actors.site import EvseManagerConfig, Site
from tools.chaos.hosts import PLANT
from transport.faults import Delay, Share

FAULTS_MAX = 10_000
FOR_MAX_S = 86_400.0

Seconds = Annotated[float, Meta(ge=0, le=FOR_MAX_S)]
Length = Annotated[float, Meta(gt=0, le=FOR_MAX_S)]
Way = tuple[str, str]
"""From a part to a part."""


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all have: when it begins, and how long it lasts."""

    at_s: Seconds = 0.0
    for_s: Length | None = None


class Kill(Fault, frozen=True, kw_only=True):
    """kill -9. It stays dead for `for_s`; without it, it is begun again at once, as by a supervisor."""

    kill: str


class Stop(Fault, frozen=True, kw_only=True):
    """SIGTERM; else as `kill`."""

    stop: str


class Pause(Fault, frozen=True, kw_only=True):
    """SIGSTOP, and SIGCONT after `for_s`."""

    pause: str


class Cut(Fault, frozen=True, kw_only=True):
    """No message passes these ways."""

    cut: tuple[Way, ...]


class Disturb(Fault, frozen=True, kw_only=True):
    """Messages are lost, late, damaged, repeated or overtaken on these ways."""

    disturb: tuple[Way, ...]
    loss: Share = 0.0
    repeat: Share = 0.0
    damage: Share = 0.0
    min_delay_s: Delay = 0.0
    max_delay_s: Delay = 0.0
    reorder: bool = False


class FillDisk(Fault, frozen=True, kw_only=True):
    """The state folder of a controller takes nothing."""

    fill_disk: str


class WallClock(Fault, frozen=True, kw_only=True):
    """A controller's wall clock jumps by `ahead_s`, and back after `for_s`."""

    wall_clock: str
    ahead_s: Annotated[float, Meta(ge=-1e7, le=1e7)]


class Limit(Fault, frozen=True, kw_only=True):
    """No fault, but what faults fall upon: an external limit at a module, cleared after `for_s`."""

    limit: str
    current_A: Annotated[float, Meta(ge=0, le=100_000)]


AnyFault = Kill | Stop | Pause | Cut | Disturb | FillDisk | WallClock | Limit
KINDS: dict[str, type[AnyFault]] = {
    "kill": Kill,
    "stop": Stop,
    "pause": Pause,
    "cut": Cut,
    "disturb": Disturb,
    "fill_disk": FillDisk,
    "wall_clock": WallClock,
    "limit": Limit,
}
MUST_LAST = ("pause", "cut", "disturb", "fill_disk", "wall_clock", "limit")

State = Literal["fallback", "settled", "full"]


class Expectation(Struct, frozen=True, kw_only=True):
    """What every sample of the plant's record from `from_s` to `until_s` must show of each EVSE below a
    module: `fallback`: its fallback limit, or less, is in force; `settled`: nor does it draw more; `full`:
    `share` of what was in force there before the first fault, all EVSEs together."""

    below: str
    state: State
    from_s: Seconds
    until_s: Length
    share: Share = 0.95


class Story(Struct, frozen=True, kw_only=True):
    """A whole story."""

    story: str = ""
    """What it is about, in a line."""
    seed: Annotated[int, Meta(ge=0)] = 0
    """Of all chance in it."""
    cars: Literal["steady", "changing", "site"] = "steady"
    """`steady`: a car at each EVSE that always wants all it can get; `changing`: cars come and go until
    shortly before the end; `site`: as the site's file says."""
    for_s: Length = 60.0
    """All faults are over by then."""
    calm_s: Length = 60.0
    """Then, within so long, the site must be at work again."""
    faults: tuple[AnyFault, ...] = ()
    expect: tuple[Expectation, ...] = ()


def load_story(file: str, site: Site) -> Story:
    """The story of a file. Raises ConfigError with every fault of it, and for one that cannot be read."""
    faults = Faults()
    raw: Any = None
    try:
        raw = yaml.safe_load(FilePath(file).read_text(encoding="utf-8"))
    except OSError as error:
        faults.add((), f"cannot be read: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        faults.add((), f"is not YAML: {error}")
    faults.raise_if_any()
    if not isinstance(raw, dict):
        faults.add((), f"expected a mapping with `faults:`, got {shown(raw)}")
        faults.raise_if_any()
    return parse_story(raw, site)


def parse_story(raw: Mapping[str, Any], site: Site) -> Story:
    """A story, checked against the site that it is for. Raises ConfigError."""
    reader = _Reader(site)
    story = reader.story(raw)
    reader.faults.raise_if_any()
    return story


def as_yaml(story: Story) -> str:
    """The story as a file, so that it can be told again; a line each fault."""
    plain = msgspec.to_builtins(story)
    faults, expect = plain.pop("faults", []), plain.pop("expect", [])
    for fault in faults:
        for key in ("cut", "disturb"):
            if key in fault:
                fault[key] = [{"from": sender, "to": receiver} for sender, receiver in fault[key]]
    lines = [yaml.safe_dump(plain, sort_keys=False)]
    for name, entries in (("faults", faults), ("expect", expect)):
        if entries:
            lines += [f"{name}:\n", *(f"  - {_flow(entry)}\n" for entry in entries)]
    return "".join(lines)


def _flow(entry: Any) -> str:
    return yaml.safe_dump(entry, sort_keys=False, default_flow_style=True, width=1_000_000).strip()


class _Reader:
    def __init__(self, site: Site) -> None:
        self.faults = Faults()
        self._site = site
        self._parts = [*site.controllers, PLANT]

    def story(self, raw: Mapping[str, Any]) -> Story:
        plain = {key: value for key, value in raw.items() if key not in ("faults", "expect")}
        given = values(Story, plain, (), self.faults)
        story = Story(**given)
        entries = self._entries(raw.get("faults"), ("faults",))
        read = [self._fault(entry, path, story.for_s) for path, entry in entries]
        expected = [
            self._expectation(entry, path, story)
            for path, entry in self._entries(raw.get("expect"), ("expect",))
        ]
        return msgspec.structs.replace(
            story,
            faults=tuple(sorted((f for f in read if f is not None), key=lambda f: f.at_s)),
            expect=tuple(e for e in expected if e is not None),
        )

    def _entries(self, raw: Any, path: Path) -> list[tuple[Path, dict[str, Any]]]:
        if raw is None:
            return []
        if not isinstance(raw, list) or len(raw) > FAULTS_MAX:
            self.faults.add(path, f"expected a list of at most {FAULTS_MAX} entries, got {shown(raw)}")
            return []
        for n, entry in enumerate(raw):
            if not isinstance(entry, dict):
                self.faults.add((*path, n), f"expected a mapping, got {shown(entry)}")
        return [((*path, n), entry) for n, entry in enumerate(raw) if isinstance(entry, dict)]

    def _fault(self, raw: dict[str, Any], path: Path, for_s: float) -> AnyFault | None:
        kinds = [key for key in raw if key in KINDS]
        if len(kinds) != 1:
            near = next((text for key in raw if (text := did_you_mean(str(key), KINDS))), "")
            said = f"it says {' and '.join(kinds)}" if kinds else f"it says none{near}"
            self.faults.add(path, f"expected one of {', '.join(KINDS)}; {said}")
            return None
        (kind,) = kinds
        fields = values(KINDS[kind], {k: v for k, v in raw.items() if k != kind}, path, self.faults)
        here = (*path, kind)
        target: Any
        if kind in ("cut", "disturb"):
            target = self._ways(raw[kind], here)
        elif kind == "limit":
            target = self._known(raw[kind], self._site.modules, here, "a module of the site")
        else:
            target = self._known(raw[kind], self._site.controllers, here, "a controller of the site")
        if kind in MUST_LAST and "for_s" not in raw:
            self.faults.add((*path, "for_s"), "missing: how many seconds it lasts")
        needed = {"wall_clock": "ahead_s", "limit": "current_A"}.get(kind)
        if needed is not None and needed not in fields:
            if needed not in raw:
                self.faults.add((*path, needed), "missing: a number")
            return None
        if target is None:
            return None
        fault = msgspec.convert({kind: target, **fields}, KINDS[kind])
        end_s = fault.at_s + (fault.for_s or 0.0)
        if end_s > for_s:
            text = f"it ends at {end_s:g} s, after the story, which has for_s {for_s:g}: make that longer"
            self.faults.add(path, text)
        self._check_disturbance(fault, path)
        return fault

    def _check_disturbance(self, fault: AnyFault, path: Path) -> None:
        if not isinstance(fault, Disturb):
            return
        if fault.min_delay_s > fault.max_delay_s:
            text = f"above max_delay_s, {fault.max_delay_s:g}: give max_delay_s, too"
            self.faults.add((*path, "min_delay_s"), text)
        if fault.reorder and any(PLANT in way for way in fault.disturb):
            text = "hardware gets messages in their order (docs/safety.md); leave reorder out for the plant"
            self.faults.add((*path, "reorder"), text)

    def _ways(self, raw: Any, path: Path) -> tuple[Way, ...] | None:
        """`[a, b]` is both ways, `{from: a, to: b}` one; a list of such mappings is all of them."""
        if isinstance(raw, list) and len(raw) == 2 and all(isinstance(part, str) for part in raw):
            found = [self._part(part, (*path, n)) for n, part in enumerate(raw)]
            first, second = found
            return None if first is None or second is None else ((first, second), (second, first))
        entries = raw if isinstance(raw, list) else [raw]
        ways = []
        for n, entry in enumerate(entries):
            here = path if entries is not raw else (*path, n)
            if not isinstance(entry, dict) or set(entry) != {"from", "to"}:
                text = f"expected [A, B] for both ways or {{from: A, to: B}} for one, got {shown(entry)}"
                self.faults.add(here, text)
                continue
            sender = self._part(entry["from"], (*here, "from"))
            receiver = self._part(entry["to"], (*here, "to"))
            if sender is not None and receiver is not None:
                ways.append((sender, receiver))
        return tuple(ways) or None

    def _part(self, raw: Any, path: Path) -> str | None:
        return self._known(raw, self._parts, path, "a controller of the site, or plant")

    def _known(self, raw: Any, known: Any, path: Path, what: str) -> str | None:
        if isinstance(raw, str) and raw in known:
            return raw
        near = did_you_mean(raw, known) if isinstance(raw, str) else ""
        names = f": {', '.join(known)}" if len(known) <= 12 else ""
        self.faults.add(path, f"expected {what}{names}, got {shown(raw)}{near}")
        return None

    def _expectation(self, raw: dict[str, Any], path: Path, story: Story) -> Expectation | None:
        given = values(Expectation, raw, path, self.faults)
        missing = [key for key in ("below", "state", "from_s", "until_s") if key not in raw]
        for key in missing:
            self.faults.add((*path, key), "missing")
        if missing or len(given) < len(raw):
            return None
        expectation = Expectation(**given)
        if self._known(expectation.below, self._site.modules, (*path, "below"), "a module") is None:
            return None
        if not expectation.from_s <= expectation.until_s <= story.for_s + story.calm_s:
            end_s = story.for_s + story.calm_s
            text = f"expected from_s <= until_s <= for_s + calm_s, which is {end_s:g}"
            self.faults.add((*path, "until_s"), text)
        if expectation.state == "full" and story.cars != "steady":
            text = "`full` compares with before the faults, which only `cars: steady` allows"
            self.faults.add((*path, "state"), text)
        return expectation


def evses_below(site: Site, module: str) -> list[str]:
    """EVSEs of a module's subtree."""
    return [m for m in site.subtree(module) if isinstance(site.modules[m].config, EvseManagerConfig)]


__all__ = [
    "KINDS",
    "AnyFault",
    "ConfigError",
    "Cut",
    "Disturb",
    "Expectation",
    "Fault",
    "FillDisk",
    "Kill",
    "Limit",
    "Pause",
    "Stop",
    "Story",
    "WallClock",
    "Way",
    "as_yaml",
    "evses_below",
    "load_story",
    "parse_story",
]
