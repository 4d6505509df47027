"""Which of several drivers serves an EVSE."""

from __future__ import annotations

from actors.plant.watchers import MAX_WATCHERS, SILENT_s, Watchers


def test_the_driver_that_began_last_is_served_however_often_an_older_one_speaks() -> None:
    watchers = Watchers()
    assert watchers.peer(0.0) is None
    assert watchers.watch(0.0, "old", "a")
    assert watchers.watch(1.0, "new", "b")
    assert not watchers.watch(2.0, "old", "a")
    assert watchers.peer(2.0) == "b"


def test_a_driver_that_fell_silent_gives_the_evse_back() -> None:
    watchers = Watchers()
    watchers.watch(0.0, "old", "a")
    watchers.watch(1.0, "new", "b")
    watchers.watch(5.0, "old", "a")
    assert watchers.peer(1.0 + SILENT_s) == "b"
    assert watchers.peer(1.1 + SILENT_s) == "a"
    assert watchers.peer(30.0) is None


def test_an_older_driver_that_reconnects_keeps_its_place() -> None:
    watchers = Watchers()
    watchers.watch(0.0, "old", "a")
    watchers.watch(1.0, "new", "b")
    assert not watchers.watch(2.0, "old", "a2")
    assert watchers.peer(2.0) == "b"


def test_drivers_are_remembered_up_to_a_bound() -> None:
    watchers = Watchers()
    for number in range(3 * MAX_WATCHERS):
        watchers.watch(0.0, f"driver {number}", f"peer {number}")
    assert watchers.peer(0.0) == f"peer {3 * MAX_WATCHERS - 1}"
    assert len(watchers._watchers) == MAX_WATCHERS
