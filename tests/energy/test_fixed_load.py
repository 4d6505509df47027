from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.energy.fixed_load import (
    READING_S,
    STEP_A,
    TOGETHER_S,
    UNSTEADY_S,
    FixedLoad,
    MeterConfig,
    MeterReading,
    MeterTrouble,
)
from tests.energy.builders import assert_caught, mutated

METER = MeterConfig(timeout_s=10.0, frozen_s=60.0, lag_s=0.5, hold_s=15.0, margin_A=1.0)
TOLD_S = 1.0
"""After how long a car's report of a change is here, and how often it reports."""
LAG_S = 1.0 + READING_S
"""Until a reading is judged."""


def metered(declared_A: float = 20.0, meter: MeterConfig = METER) -> FixedLoad:
    return FixedLoad(declared_A, meter, 0.0)


def cars(load: FixedLoad, now_s: float, *currents_A: float) -> None:
    """They tell what they draw."""
    L1, L2, L3 = currents_A if len(currents_A) == 3 else currents_A * 3
    load.note_cars(now_s, (L1, L2, L3), now_s)


def show(load: FixedLoad, now_s: float, *currents_A: float, most_A: float = math.inf) -> bool:
    """A reading comes; whether what counts has risen."""
    L1, L2, L3 = currents_A if len(currents_A) == 3 else currents_A * 3
    load.note_cars(now_s, load._cars[-1][1], now_s - TOLD_S)
    load.hear(now_s, MeterReading(currents_A=(L1, L2, L3), t_meter_s=now_s), most_A)
    return load.update(now_s)


def run(load: FixedLoad, begin_s: float, end_s: float, *currents_A: float, most_A: float = math.inf) -> None:
    """A meter that shows the same all the time, and works."""
    for k in range(int(begin_s * 2), int(end_s * 2)):
        show(load, k / 2, *currents_A, most_A=most_A)


def test_without_a_meter_what_is_declared_counts() -> None:
    load = FixedLoad(20.0, None, 0.0)
    assert not load.update(1e6)
    assert (load.counted_A, load.due_s, load.fault) == (20.0, math.inf, "")
    assert load.text() == "20 A are kept for its fixed load"
    assert FixedLoad(0.0, None, 0.0).text() == ""


def test_what_is_declared_counts_until_the_meter_has_told_enough() -> None:
    load = metered()
    show(load, 0.0, 5.0)
    show(load, LAG_S, 5.0)
    assert (load.counted_A, load.fault) == (20.0, "its meter has not told enough yet"), "it may be frozen"
    show(load, 2 * LAG_S, 5.0)
    assert load.fault == "its meter has not told enough yet", "a car may have paused just then"
    run(load, 2 * LAG_S + 0.5, 12.0, 5.0)
    assert (load.counted_A, load.fault) == (6.0, "")
    assert load.text() == "6 A are kept for its fixed load (measured)"


def begins_while_a_car_pauses() -> None:
    """Both of the reports between which a car paused tell what it draws else; all readings of then show less."""
    load = FixedLoad(40.0, METER, 0.0)
    currents_A = (16.0,) * 3
    load.note_cars(0.0, currents_A, 0.0)
    for k in range(40):
        now_s = k / 2
        if k in (1, 13, 25):  # each 6 s, and it was so when it was sent
            load.note_cars(now_s, currents_A, now_s)
        shown_A = 30.0 if k < 11 else 46.0
        load.hear(now_s, MeterReading(currents_A=(shown_A,) * 3, t_meter_s=now_s), math.inf)
        load.update(now_s)
        assert load.counted_A >= 30.0, "the load is 30 A"


def test_a_car_that_pauses_as_the_meter_begins_hides_no_load() -> None:
    begins_while_a_car_pauses()


def test_it_is_seen_when_the_first_reading_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = mutated(FixedLoad._fault, "or self._sampled_s < self._first_s + self._unseen_s()", "")
    monkeypatch.setattr(FixedLoad, "_fault", hasty)
    with pytest.raises(AssertionError):
        begins_while_a_car_pauses()


def test_the_phase_with_most_counts() -> None:
    load = metered()
    run(load, 0.0, 10.0, 2.0, 7.0, 4.0)
    assert load.counted_A == 8.0


def test_what_the_cars_draw_is_no_load() -> None:
    load = metered()
    cars(load, 0.0, 16.0)
    run(load, 10.0, 20.0, 19.0)
    assert load.counted_A == 4.0


def test_a_load_that_rises_counts_at_once_and_one_that_falls_after_a_while() -> None:
    load = metered()
    run(load, 0.0, 10.0, 3.0)
    assert not show(load, 10.0, 9.0), "its reports are not in"
    assert show(load, 10.0 + LAG_S, 9.0)
    assert load.counted_A == 10.0
    run(load, 12.0, 10.0 + LAG_S + METER.hold_s, 3.0)
    assert load.counted_A == 10.0
    run(load, 10.0 + LAG_S + METER.hold_s, 11.0 + 2 * LAG_S + METER.hold_s, 3.0)
    assert load.counted_A == 4.0


def test_while_cars_change_nothing_is_judged_and_what_was_counts() -> None:
    load = metered()
    run(load, 0.0, 10.0, 3.0)
    show(load, 10.0, 19.0)  # a car began; its report follows
    cars(load, 11.0, 16.0)
    run(load, 11.0, 14.0, 19.0)
    assert load.counted_A == 4.0
    show(load, 14.0, 3.0)  # and ends
    cars(load, 15.0, 0.0)
    run(load, 15.0, 40.0, 3.0)
    assert load.counted_A == 4.0


def test_what_no_car_can_explain_counts_at_once() -> None:
    load = metered()
    run(load, 0.0, 10.0, 3.0, most_A=28.0)
    assert show(load, 10.0, 40.0, most_A=28.0)
    assert load.counted_A == 13.0


def remembers_what_no_car_explained() -> None:
    load = metered()
    run(load, 0.0, 10.0, 3.0, most_A=28.0)
    show(load, 10.0, 40.0, most_A=28.0)
    show(load, 12.0, 3.0, most_A=28.0)  # now older readings are judged
    for s in range(13, 60):  # the cars come down and never stand still
        cars(load, s, 10.0 + s % 2 * 3.0)
        show(load, s, 22.0 + s % 2 * 3.0, most_A=28.0)
    assert (load.counted_A, load.fault) == (13.0, "")
    run(load, 60.0, 60.0 + LAG_S + METER.hold_s, 16.0, most_A=28.0)
    assert load.counted_A == 4.0


def test_what_no_car_explained_counts_until_a_later_reading_is_judged() -> None:
    remembers_what_no_car_explained()


@pytest.mark.parametrize(
    ("how", "fault"),
    [("silent", "silent for 10 s or more"), ("frozen", "the same for 60 s or more")],
)
def test_a_meter_that_dies_or_freezes_is_not_believed_until_it_has_told_enough_again(
    how: str, fault: str
) -> None:
    load = metered()
    run(load, 0.0, 10.0, 3.0)
    end_s = 9.5 + (METER.timeout_s if how == "silent" else METER.frozen_s)
    if how == "frozen":
        for k in range(20, int(end_s * 2)):
            load.hear(k / 2, MeterReading(currents_A=(3.0, 3.0, 3.0), t_meter_s=9.5), math.inf)
            assert not load.update(k / 2)
    assert load.due_s <= end_s
    assert not load.update(end_s - 0.01)
    assert load.update(end_s)
    assert load.counted_A == 20.0
    assert fault in load.fault
    show(load, 100.0, 5.0)
    assert load.counted_A == 20.0, "what was measured before says nothing of now"
    run(load, 100.5, 110.0, 5.0)
    assert (load.counted_A, load.fault) == (6.0, "")


def test_a_meter_that_shows_less_than_the_cars_draw_is_not_believed() -> None:
    load = metered()
    cars(load, 0.0, 16.0, 0.0, 0.0)
    run(load, 10.0, 20.0, 0.0, 17.0, 0.0)
    assert load.fault == "", "the car's first phase is the meter's second"
    run(load, 20.0, 25.0, 0.0, 5.0, 0.0)
    assert load.fault == "its meter shows less than the cars draw"
    assert load.counted_A == 20.0


def test_where_cars_never_stand_still_what_is_declared_counts_in_the_end() -> None:
    load = metered()
    run(load, 0.0, 10.0, 3.0)
    for k in range(20, 20 + int(UNSTEADY_S * 2) + 4):
        cars(load, k / 2, 10.0 * (k % 2))
        show(load, k / 2, 3.0 + 10.0 * (k % 2))
    assert "never stood still" in load.fault
    assert load.counted_A == 20.0


def test_more_than_what_is_declared_counts_too() -> None:
    load = metered(declared_A=5.0)
    run(load, 0.0, 10.0, 9.0)
    assert load.counted_A == 10.0
    assert load.update(30.0) is False
    assert load.counted_A == 5.0


@pytest.mark.parametrize("L1_A", [math.nan, math.inf, -math.inf, 1e300])
def test_what_cannot_be_a_current_is_not_heard(L1_A: float) -> None:
    load = metered()
    run(load, 0.0, 10.0, 3.0)
    load.hear(10.0, MeterReading(currents_A=(L1_A, 1.0, 1.0)), math.inf)
    assert load.update(9.5 + METER.timeout_s)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["car", "load"]),
        st.floats(0.0, 32.0),
        st.floats(0.0, 12.0),
        st.floats(0.0, TOLD_S),
    ),
    min_size=1,
    max_size=15,
)
"""What changes, to what, how long after the last change, and how late the car's report is."""
Changes = list[tuple[str, float, float, float]]


def counts_enough(changes: Changes, spare_A: float = math.inf, meter: MeterConfig = METER) -> None:
    """While the meter is believed, the load of the last reading that is judged counts, whatever of a later one
    no car can explain, which may draw `spare_A` more than it does, and the margin."""
    load = metered(0.0, meter)
    moments: list[tuple[float, str, float, int]] = []
    at_s = 0.0
    for number, (what, amount_A, gap_s, late_s) in enumerate(changes):
        at_s += gap_s
        moments.append((at_s, what, amount_A, number))
        if what == "car":
            moments.append((at_s + late_s, "told", amount_A, number))
    moments += [(k / 2, "meter", 0.0, 0) for k in range(int(at_s + 10.0) * 2)]
    car_A = load_A = 0.0
    newest = -1
    shown: list[tuple[float, float]] = []
    for now_s, what, amount_A, number in sorted(moments, key=lambda moment: moment[0]):
        if what == "car":
            car_A = amount_A
        elif what == "load":
            load_A = amount_A
        elif what == "told" and number > newest:  # an overtaken report is dropped
            newest = number
            cars(load, now_s, amount_A)
        elif what == "meter":
            shown.append((now_s, load_A))
            show(load, now_s, car_A + load_A, most_A=car_A + spare_A)
            judged = [true_A for s, true_A in shown if s == load._sampled_s]
            known = [true_A - spare_A for s, true_A in shown if s > load._sampled_s]
            assert load.fault or load.counted_A >= max(judged[-1:] + known) + METER.margin_A - 1e-6
            assert load.counted_A % STEP_A == 0.0


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_it_never_counts_less_than_what_a_reading_that_was_judged_showed_of_the_load(
    changes: Changes,
) -> None:
    counts_enough(changes)


def counts_what_no_car_explained(changes: Changes) -> None:
    """Also where the highest of the last while is soon forgotten."""
    counts_enough(changes, spare_A=2.0, meter=MeterConfig(hold_s=0.5))


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_it_never_counts_less_than_what_no_car_has_explained_since(changes: Changes) -> None:
    counts_what_no_car_explained(changes)


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [("update", "self._least_A,", "0.0,"), ("_judge", "at_s >= self._least_s", "True")],
    ids=["it is forgotten after a while", "an older reading takes it back"],
)
def test_it_is_found_when_what_no_car_explained_is_forgotten(
    method: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FixedLoad, method, mutated(getattr(FixedLoad, method), before, after))
    covers_up = mutated(FixedLoad._forget, "if self._sampled_s > -math.inf:", "if False:")
    monkeypatch.setattr(FixedLoad, "_forget", covers_up)
    with pytest.raises(AssertionError):
        remembers_what_no_car_explained()


MUTANTS: dict[str, tuple[str, str, str]] = {
    "a reading is judged before the cars have told": ("update", "self._told_s >=", "math.inf >="),
    "cars that changed are taken as they told last": ("_judge", "in self._cars]", "in [self._cars[-1]]]"),
    "the most that cars told is no load": ("_judge", "zip(shown_A, low", "zip(shown_A, high"),
    "there is no margin": ("update", "self.meter.margin_A", "0.0"),
    "it is rounded down": ("update", "math.ceil", "math.floor"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What was measured counts for `hold_s` alone: that it counts for longer covers up others.
    soon = mutated(FixedLoad._forget, "if self._sampled_s > -math.inf:", "if False:")
    monkeypatch.setattr(FixedLoad, "_forget", soon)
    method, before, after = MUTANTS[name]
    monkeypatch.setattr(FixedLoad, method, mutated(getattr(FixedLoad, method), before, after))
    assert_caught(counts_enough, CHANGES, soon=52)


def test_why_a_meter_is_not_read_is_told_while_the_declared_load_counts() -> None:
    load = metered()
    load.hear_trouble(MeterTrouble(why="connection refused"))
    load.update(0.0)
    assert (
        load.text()
        == "20 A are kept for its fixed load (its meter has not told enough yet: connection refused)"
    )
    run(load, 0.0, 10.0, 3.0)
    assert load.text() == "4 A are kept for its fixed load (measured)"
    load.hear_trouble(MeterTrouble(why="connection reset"))
    load.update(10.0)
    assert load.text() == "4 A are kept for its fixed load (measured)", "it may be over in a second"
    load.update(10.0 + METER.timeout_s)
    fault = "its meter is silent for 10 s or more"
    assert (load.fault, load.counted_A) == (fault, 20.0)
    assert load.text() == f"20 A are kept for its fixed load ({fault}: connection reset)"


@pytest.mark.parametrize("absurd_A", [math.nan, math.inf, -math.inf, 2e6, 20 * 63.0 + 1, -2e6])
def test_what_cannot_be_is_no_reading_and_the_declared_load_counts(absurd_A: float) -> None:
    load = FixedLoad(20.0, METER, 0.0, fuse_A=63.0)
    run(load, 0.0, 10.0, 3.0)
    assert load.counted_A == 4.0
    for k in range(40):
        show(load, 10.0 + k / 2, 3.0, absurd_A, 3.0)
    assert load.counted_A == 20.0
    assert "silent" in load.text()
    assert "it shows 3, " in load.text()
    assert "A, which cannot be" in load.text()


def test_a_frozen_meter_does_not_take_more_and_more_for_load_while_the_cars_come_down() -> None:
    load = FixedLoad(40.0, METER, 0.0, fuse_A=63.0)
    cars(load, 0.0, 27.0)
    run(load, 0.0, 10.0, 62.3, most_A=27.0)
    assert load.counted_A == 36.5
    for k in range(20, 400):
        left_A = 63.0 - load.counted_A
        load.hear(k / 2, MeterReading(currents_A=(62.3,) * 3, t_meter_s=9.5), left_A)
        load.update(k / 2)
    assert load.fault == "its meter shows the same for 60 s or more"
    assert load.counted_A == 40.0


def test_a_frozen_meter_does_not_take_less_for_load_while_the_cars_take_more() -> None:
    load = FixedLoad(40.0, METER, 0.0, fuse_A=63.0)
    cars(load, 0.0, 10.0)
    run(load, 0.0, 10.0, 30.0)
    assert load.counted_A == 21.0
    for k in range(20, 2 * int(METER.frozen_s)):
        if k == 30:
            cars(load, k / 2, 25.0)
        load.note_cars(k / 2, load._cars[-1][1], k / 2 - TOLD_S)
        load.hear(k / 2, MeterReading(currents_A=(30.0,) * 3, t_meter_s=9.5), math.inf)
        load.update(k / 2)
        assert load.counted_A == 21.0


def flooded() -> None:
    load = metered()
    load.hear(0.0, MeterReading(currents_A=(2.0,) * 3), math.inf)
    for k in range(30_000):
        load.hear(k / 10_000, MeterReading(currents_A=(12.0 if k == 777 else 3.0,) * 3), math.inf)
    assert len(load._readings) <= 3.0 / TOGETHER_S + 1
    load.note_cars(3.0, (0.0,) * 3, 3.0)
    load.update(3.0)
    run(load, 3.5, 12.0, 3.0)
    assert (load.counted_A, load.fault) == (13.0, "")


def test_a_flood_of_readings_is_judged_by_its_highest() -> None:
    flooded()


@pytest.mark.parametrize(
    ("before", "after"),
    [("_highest(others_A, reading.currents_A)", "others_A"), ("+ TOGETHER_S", "+ 0.0")],
    ids=["the first of a flood counts", "a flood is remembered whole"],
)
def test_a_flood_is_neither_cut_nor_kept(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FixedLoad, "hear", mutated(FixedLoad.hear, before, after))
    with pytest.raises(AssertionError):
        flooded()
