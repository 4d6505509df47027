"""How a story is played: at its times, and one fault's end undoes only what no other still wants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.config import load_site
from actors.injection import Orders
from tools.chaos import conduct
from tools.chaos.conduct import Conductor, Course, cut_ways, orders
from tools.chaos.hosts import Notice
from tools.chaos.story import Story, parse_story
from tools.client import SiteStatus
from tools.errors import UserError
from transport import Disturbance

SITE = load_site(Path(__file__).parents[2] / "configs" / "garage.yaml")


class Clock:
    """Time goes on when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.ends_at_s: float | None = None

    def wait(self, timeout_s: float) -> bool:
        self.now_s += timeout_s
        return self.ends_at_s is not None and self.now_s >= self.ends_at_s


class FakeHosts:
    """Notes what is asked of it; `missing` is what keeps the site from being at work."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin_s = 0.0
        self.done: list[tuple[float, str, Any]] = []
        self.notices: list[Notice] = []

    def _note(self, what: str, value: Any = None) -> None:
        self.done.append((round(self._clock.now_s - self._begin_s, 1), what, value))

    def begin(self) -> None:
        self._begin_s = self._clock.now_s

    def tend(self) -> list[Notice]:
        taken, self.notices = self.notices, []
        return taken

    def end(self) -> None:
        self._note("end")

    def kill(self, part: str, *, stay_dead: bool) -> None:
        self._note(f"kill {part}", stay_dead)

    def stop(self, part: str, *, stay_dead: bool) -> None:
        self._note(f"stop {part}", stay_dead)

    def start(self, part: str) -> None:
        self._note(f"start {part}")

    def pause(self, part: str) -> None:
        self._note(f"pause {part}")

    def resume(self, part: str) -> None:
        self._note(f"resume {part}")

    def fill_disk(self, part: str) -> None:
        self._note(f"fill {part}")

    def free_disk(self, part: str) -> None:
        self._note(f"free {part}")

    def limit(self, module: str, current_A: float | None) -> None:
        self._note(f"limit {module}", current_A)

    def cut(self, ways: frozenset[tuple[str, str]]) -> None:
        self._note("cut", sorted(ways))

    def inject(self, orders: Mapping[str, Orders]) -> None:
        self._note("inject", dict(orders))

    def now_s(self) -> float:
        return self._clock.now_s

    def record(self) -> Path:
        return Path("/nowhere")

    def status(self, *, with_request: bool = False) -> SiteStatus | None:
        return None


def play(
    monkeypatch: pytest.MonkeyPatch, *faults: dict[str, Any], broken_from_s: float | None = None, **what: Any
) -> tuple[Course, FakeHosts]:
    story = parse_story({"for_s": 60, "calm_s": 20, "faults": list(faults), **what}, SITE)
    clock = Clock()
    hosts = FakeHosts(clock)

    def missing(*_: object) -> list[str]:
        broken = broken_from_s is not None and clock.now_s - hosts._begin_s >= broken_from_s
        return ["evse_11 has 0.0 of 8.0 A"] if broken else []

    monkeypatch.setattr(conduct, "what_is_missing", missing)
    course = Conductor(SITE, story, hosts, clock, lambda _: None).play()
    hosts._begin_s = 0.0
    hosts.done = [(round(at_s + 1000.0 - course.begin_s, 1), *rest) for at_s, *rest in hosts.done]
    return course, hosts


def test_faults_begin_and_end_at_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    course, hosts = play(
        monkeypatch,
        {"at_s": 3, "kill": "level_1"},
        {"at_s": 5, "pause": "main", "for_s": 10},
        {"at_s": 8, "stop": "level_2", "for_s": 4},
        {"at_s": 20, "fill_disk": "main", "for_s": 5},
        {"at_s": 30, "limit": "energy_root", "current_A": 40, "for_s": 5},
    )
    assert hosts.done == [
        (3.0, "kill level_1", False),
        (5.0, "pause main", None),
        (8.0, "stop level_2", True),
        (12.0, "start level_2", None),
        (15.0, "resume main", None),
        (20.0, "fill main", None),
        (25.0, "free main", None),
        (30.0, "limit energy_root", 40.0),
        (35.0, "limit energy_root", None),
    ]
    assert course.at_work_after_s == pytest.approx(0.0, abs=1.5)
    assert course.stuck == []


def test_what_two_faults_hold_down_begins_again_with_the_end_of_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, hosts = play(
        monkeypatch,
        {"at_s": 1, "kill": "level_1", "for_s": 10},
        {"at_s": 5, "stop": "level_1", "for_s": 20},
        {"at_s": 2, "pause": "main", "for_s": 10},
        {"at_s": 5, "pause": "main", "for_s": 10},
    )
    assert [(at_s, what) for at_s, what, _ in hosts.done if what.startswith(("start", "resume"))] == [
        (15.0, "resume main"),
        (25.0, "start level_1"),
    ]


def test_lines_are_whole_again_only_when_no_fault_cuts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _, hosts = play(
        monkeypatch,
        {"at_s": 1, "cut": ["main", "level_1"], "for_s": 10},
        {"at_s": 5, "cut": {"from": "main", "to": "level_1"}, "for_s": 20},
    )
    both, one = [("level_1", "main"), ("main", "level_1")], [("main", "level_1")]
    assert [(at_s, ways) for at_s, _, ways in hosts.done] == [
        (1.0, both),
        (5.0, both),
        (11.0, one),
        (25.0, []),
    ]


def test_orders_name_the_receiver_and_clocks_add_up() -> None:
    faults = parse_story(
        {
            "faults": [
                {"disturb": ["main", "level_1"], "for_s": 1, "loss": 0.5},
                {"disturb": {"from": "main", "to": "level_1"}, "for_s": 1, "repeat": 1},
                {"wall_clock": "main", "ahead_s": 10, "for_s": 1},
                {"wall_clock": "main", "ahead_s": -3, "for_s": 1},
                {"cut": ["main", "level_2"], "for_s": 1},
            ]
        },
        SITE,
    ).faults
    lossy = Disturbance(sender="level_1", loss=0.5)
    assert orders(faults) == {
        "main": Orders(wall_offset_s=7.0, links=(lossy,)),
        "level_1": Orders(links=(Disturbance(sender="main", repeat=1.0),)),
    }
    assert cut_ways(faults) == {("main", "level_2"), ("level_2", "main")}


def test_a_site_that_does_not_come_back_is_stuck_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    course, _ = play(monkeypatch, broken_from_s=30.0)
    assert course.at_work_after_s is None
    assert course.stuck == ["evse_11 has 0.0 of 8.0 A"]


def test_a_site_that_never_gets_to_work_is_not_hurt(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="the site is not at work after 90 s: evse_11 has"):
        play(monkeypatch, {"at_s": 0, "kill": "main"}, broken_from_s=0.0)


def test_what_dies_by_itself_is_kept_for_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FakeHosts,
        "tend",
        lambda self: [Notice("level_1 has ended (exit code 3)", True)] if not self.done else [],
    )
    course, _ = play(monkeypatch, {"at_s": 1, "kill": "main"})
    assert {event.text for event in course.died} == {"level_1 has ended (exit code 3)"}


def test_a_run_that_is_ended_stops_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.ends_at_s = 1010.0
    hosts = FakeHosts(clock)
    monkeypatch.setattr(conduct, "what_is_missing", lambda *_: [])
    story = parse_story({"faults": [{"at_s": 30, "kill": "main"}]}, SITE)
    course = Conductor(SITE, story, hosts, clock, lambda _: None).play()
    assert course.stopped
    assert hosts.done == []
    assert isinstance(story, Story)
