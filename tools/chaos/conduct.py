"""Plays a story on the hosts of a site, from its start to when it is at work again.

    begin ──until at work──► story: faults begin and end at their time ──► calm: until at work again ──► end

Where faults overlap, one ends only what no other still wants: lines and clocks are set to what all that
are active want together, and a controller is begun again when nobody holds it down any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from actors.injection import Orders
from actors.site import Site
from tools.chaos.hosts import Hosts
from tools.chaos.story import (
    AnyFault,
    Cut,
    Disturb,
    FillDisk,
    Kill,
    Limit,
    Pause,
    Stop,
    Story,
    WallClock,
    Way,
)
from tools.chaos.work import last_sample, what_is_missing
from tools.errors import UserError
from transport import Disturbance

START_TIMEOUT_S = 90.0
LOOK_EVERY_S = 1.0
"""Between two looks whether the site is at work."""
TURN_S = 0.05
STEADY_S = 4.0
"""So long the site must be at work before a story begins, and after it."""


class Waits(Protocol):
    """Waits for seconds; True when the run is to end."""

    def wait(self, timeout_s: float) -> bool: ...


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened, in seconds of the story."""

    at_s: float
    text: str


class Course(Struct, kw_only=True):
    """How a run went, apart from the plant's record."""

    begin_s: float = 0.0
    """When the story began, on the record's clock."""
    events: list[Event] = []
    died: list[Event] = []
    """Parts that ended though nobody had ended them."""
    stuck: list[str] = []
    """What was not at work at the end."""
    at_work_after_s: float | None = None
    """After the end of all faults; None: never."""
    stopped: bool = False
    """Somebody ended the run before its end."""


class Conductor:
    """Plays one story. `tell` gets a line for all that happens."""

    def __init__(
        self, site: Site, story: Story, hosts: Hosts, stop: Waits, tell: Callable[[str], None]
    ) -> None:
        self._site = site
        self._story = story
        self._hosts = hosts
        self._stop = stop
        self._tell = tell
        self._active: list[AnyFault] = []
        self.course = Course()

    def play(self) -> Course:
        """The whole run; whoever calls it ends the hosts. Raises UserError when it cannot be run."""
        hosts, course = self._hosts, self.course
        hosts.begin()
        course.begin_s = hosts.now_s()
        if not self._until_at_work(START_TIMEOUT_S):
            if course.stopped:
                return course
            reasons = "; ".join(course.stuck[:3])
            raise UserError(f"the site is not at work after {START_TIMEOUT_S:g} s: {reasons}")
        course.begin_s = hosts.now_s()
        course.events.clear()
        self._note("the site is at work; the story begins")
        self._faults()
        if not course.stopped:
            self._note("all faults are over")
            self._calm()
        return course

    # --- parts of a run ---------------------------------------------------------------------------

    def _faults(self) -> None:
        changes = sorted(_changes(self._story), key=lambda change: change[0])
        for at_s, begins, fault in changes:
            if not self._wait_until(at_s):
                return
            if begins:
                self._active.append(fault)
                self._begin(fault)
            else:
                self._active.remove(fault)
                self._end(fault)
        self._wait_until(self._story.for_s)

    def _calm(self) -> None:
        end_s = self._now_s()
        course = self.course
        if self._until_at_work(self._story.calm_s):
            course.at_work_after_s = max(0.0, self._now_s() - end_s - STEADY_S)
            self._note(f"at work again {course.at_work_after_s:.0f} s after the end of all faults")
        for missing in course.stuck:
            self._note(f"stuck: {missing}")
        self._wait_until(max((e.until_s for e in self._story.expect), default=0.0))

    def _until_at_work(self, timeout_s: float) -> bool:
        """Wait until the site has been at work for STEADY_S; what was missing last is in `stuck`."""
        since_s: float | None = None
        end_s = self._hosts.now_s() + timeout_s + STEADY_S
        while self._hosts.now_s() < end_s:
            status = self._hosts.status(with_request=True)
            missing = what_is_missing(self._site, status, last_sample(self._hosts.record()))
            now_s = self._hosts.now_s()
            self.course.stuck = missing
            since_s = None if missing else since_s if since_s is not None else now_s
            if since_s is not None and now_s - since_s >= STEADY_S:
                return True
            if not self._wait_until(now_s + LOOK_EVERY_S - self.course.begin_s):
                return False
        return False

    def _wait_until(self, at_s: float) -> bool:
        """Tend the hosts until that time of the story; False when the run is to end."""
        while not self.course.stopped:
            for notice in self._hosts.tend():
                self._note(notice.text)
                if notice.by_itself:
                    self.course.died.append(Event(at_s=self._now_s(), text=notice.text))
            left_s = at_s - self._now_s()
            if left_s <= 0.0:
                return True
            self.course.stopped = self._stop.wait(min(left_s, TURN_S))
        return False

    def _now_s(self) -> float:
        return self._hosts.now_s() - self.course.begin_s

    def _note(self, text: str) -> None:
        at_s = self._now_s()
        self.course.events.append(Event(at_s=at_s, text=text))
        self._tell(f"{at_s:7.1f} s  {text}")

    # --- faults -----------------------------------------------------------------------------------

    def _begin(self, fault: AnyFault) -> None:
        hosts, lasts = self._hosts, fault.for_s is not None
        self._note(f"{describe(fault)}{f' for {fault.for_s:g} s' if fault.for_s else ''}")
        match fault:
            case Kill(kill=part):
                hosts.kill(part, stay_dead=lasts)
            case Stop(stop=part):
                hosts.stop(part, stay_dead=lasts)
            case Pause(pause=part):
                hosts.pause(part)
            case FillDisk(fill_disk=part):
                hosts.fill_disk(part)
            case Limit(limit=module, current_A=current_A):
                hosts.limit(module, current_A)
            case Cut():
                hosts.cut(cut_ways(self._active))
            case Disturb() | WallClock():
                hosts.inject(orders(self._active))

    def _end(self, fault: AnyFault) -> None:
        hosts = self._hosts
        self._note(f"{describe(fault)}: over")
        match fault:
            case Kill(kill=part) | Stop(stop=part):
                if not any(_held_down(other) == part for other in self._active):
                    hosts.start(part)
            case Pause(pause=part):
                if not any(isinstance(other, Pause) and other.pause == part for other in self._active):
                    hosts.resume(part)
            case FillDisk(fill_disk=part):
                if not any(isinstance(o, FillDisk) and o.fill_disk == part for o in self._active):
                    hosts.free_disk(part)
            case Limit(limit=module):
                others = [o for o in self._active if isinstance(o, Limit) and o.limit == module]
                hosts.limit(module, others[-1].current_A if others else None)
            case Cut():
                hosts.cut(cut_ways(self._active))
            case Disturb() | WallClock():
                hosts.inject(orders(self._active))


def _changes(story: Story) -> Iterator[tuple[float, bool, AnyFault]]:
    for fault in story.faults:
        yield fault.at_s, True, fault
        if fault.for_s is not None:
            yield fault.at_s + fault.for_s, False, fault


def _held_down(fault: AnyFault) -> str | None:
    match fault:
        case Kill(kill=part, for_s=float()) | Stop(stop=part, for_s=float()):
            return part
    return None


def cut_ways(active: Iterable[AnyFault]) -> frozenset[Way]:
    """All ways that are cut."""
    return frozenset(way for fault in active if isinstance(fault, Cut) for way in fault.cut)


def orders(active: Iterable[AnyFault]) -> dict[str, Orders]:
    """What each part must do to what comes in and to its clock; of two for the same way the later holds,
    wall clocks add up."""
    links: dict[str, dict[str, Disturbance]] = {}
    ahead_s: dict[str, float] = {}
    for fault in active:
        match fault:
            case Disturb():
                for sender, receiver in fault.disturb:
                    links.setdefault(receiver, {})[sender] = Disturbance(
                        sender=sender,
                        loss=fault.loss,
                        repeat=fault.repeat,
                        damage=fault.damage,
                        min_delay_s=fault.min_delay_s,
                        max_delay_s=fault.max_delay_s,
                        reorder=fault.reorder,
                    )
            case WallClock(wall_clock=part):
                ahead_s[part] = ahead_s.get(part, 0.0) + fault.ahead_s
    return {
        part: Orders(wall_offset_s=ahead_s.get(part, 0.0), links=tuple(links.get(part, {}).values()))
        for part in sorted({*links, *ahead_s})
    }


def describe(fault: AnyFault) -> str:
    """A fault in a few words."""
    match fault:
        case Kill(kill=part):
            return f"kill -9 {part}"
        case Stop(stop=part):
            return f"stop {part}"
        case Pause(pause=part):
            return f"pause {part}"
        case Cut(cut=ways):
            return f"cut {_shown(ways)}"
        case Disturb(disturb=ways):
            return f"disturb {_shown(ways)} ({', '.join(_troubles(fault))})"
        case FillDisk(fill_disk=part):
            return f"fill the disk of {part}"
        case WallClock(wall_clock=part, ahead_s=ahead_s):
            return f"wall clock of {part} {ahead_s:+g} s"
        case Limit(limit=module, current_A=current_A):
            return f"limit {module} to {current_A:g} A"


def _troubles(fault: Disturb) -> Iterator[str]:
    for name in ("loss", "repeat", "damage"):
        if share := getattr(fault, name):
            yield f"{name} {share:.0%}"
    if fault.max_delay_s:
        yield f"{fault.min_delay_s:g} to {fault.max_delay_s:g} s late"
    if fault.reorder:
        yield "reordered"


def _shown(ways: tuple[Way, ...]) -> str:
    if len(ways) == 2 and ways[0] == ways[1][::-1]:
        return f"{ways[0][0]} <> {ways[0][1]}"
    return ", ".join(f"{sender} > {receiver}" for sender, receiver in ways)
