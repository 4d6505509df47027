"""The table of a site: nothing from outside is markup, numbers are whole, and it fits its terminal."""

from __future__ import annotations

import io
import re

import pytest
from msgspec.structs import replace
from rich.console import Console

from actors.energy.amount import Amount
from actors.energy.external import ShortLimits, SourceStatus, short_form
from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.energy.types import IntegerWithSource, LimitsRes, NumberWithSource
from tools.client import SiteStatus
from tools.columns import printable
from tools.view import PLAIN_WIDTH, console, render

WIDTHS = (80, 100, 120, 160, 200)


def granted(current_A: float, power_W: float | None, source: str, phases: int | None = 3) -> LimitsRes:
    return LimitsRes(
        ac_max_current_A=NumberWithSource(current_A, source),
        total_power_W=None if power_W is None else NumberWithSource(power_W, source),
        ac_max_phase_count=None if phases is None else IntegerWithSource(phases, source),
    )


def evse(
    name: str, *, charging: bool = True, alive: bool = True, source: str = "floor_1_node/fuse"
) -> ModuleStatus:
    return ModuleStatus(
        id=name,
        kind="EvseManager",
        controller="floor_1_node",
        alive=alive,
        age_s=0.0 if alive else 12.0,
        state="PrepareCharging" if charging else "Unplugged",
        wants_A=32.0 if charging else 0.0,
        wants_W=50e3 if charging else None,
        limit=granted(32.0, 50e3, source),
        granted=Amount(32.0, 50e3),
        exposure=Amount(132.5, 91e3),
        committed=Amount(131.5, 90e3),
        in_force_A=31.5,
        in_force_W=49.5e3,
        currents_A=(30.1, 30.2, 30.3) if charging else (0.0, 0.0, 0.0),
        capacity_A=33.0,
        capacity_W=50.5e3,
        capacity_source=f"{name}/hardware",
    )


def node(name: str, **more: object) -> ModuleStatus:
    return ModuleStatus(
        id=name,
        kind="EnergyNode",
        controller=name,
        state="ok",
        granted=Amount(125.0, 86.2e3),
        exposure=Amount(126.5, 87e3),
        capacity_A=63.0,
        capacity_source=f"{name}/fuse",
        **{"committed": Amount(127.5, 88e3), **more},  # type: ignore[arg-type]
    )


def dc(name: str) -> ModuleStatus:
    return ModuleStatus(
        id=name,
        kind="EvseManager",
        controller="floor_1_node",
        state="Charging",
        wants_W=150e3,
        limit=LimitsRes(total_power_W=NumberWithSource(100e3, "floor_1_node/fuse")),
        granted=Amount(145.0, 100e3),
        exposure=Amount(160.0, 110.4e3),
        committed=Amount(150.0, 103.5e3),
    )


def site(*modules: ModuleStatus, **more: object) -> SiteStatus:
    return SiteStatus(site="home", modules=modules, **more)  # type: ignore[arg-type]


def drawn(
    status: SiteStatus, width: int, height: int | None = None, depths: dict[str, int] | None = None
) -> str:
    out = io.StringIO()
    Console(file=out, width=width, height=10_000).print(render(status, depths or {}, width, height))
    return out.getvalue()


def row(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(name))


HOSTILE = "grid[/]\x1b[31m\n\x07:car:\u202e"


def test_strings_from_outside_are_neither_markup_nor_control_characters() -> None:
    source = SourceStatus(
        name=HOSTILE, state="set", limits=short_form(ShortLimits(total_power_W=5e3), HOSTILE)
    )
    status = site(
        node(HOSTILE, note=HOSTILE, sources=(source,)),
        evse("evse_1", source=HOSTILE),
        silent_controllers=(HOSTILE,),
        optimizer=OptimizerStatus(binding=(HOSTILE,), error=HOSTILE, last_run=HOSTILE * 3),
    )
    text = drawn(status, 400)
    assert text.count(r"grid[/]\x1b[31m\n\x07:car:\u202e") >= 6
    assert not set(text) & {"\x1b", "\x07", "\u202e"}


@pytest.mark.parametrize("text", ["plain", "grün 5 kW", "[bold]x[/]"])
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("source", ["floor_1_node/fuse", "a_name_that_is_64_characters_long_" * 2])
def test_numbers_are_never_cut(width: int, source: str) -> None:
    name = "charge_point_001"
    external = SourceStatus(
        name=source,
        state="failsafe",
        limits=short_form(ShortLimits(total_power_W=50e3, ac_max_current_A=32.0), source),
        ends_in_s=900.0,
    )
    status = site(node("energy_root"), node("floor_1_node", sources=(external,)), evse(name, source=source))
    text = drawn(status, width, depths={"floor_1_node": 1, name: 2})
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    cells = row(text, name)
    assert "PrepareCharging" in cells
    assert "32.0 A x3" in cells
    assert ("30.1 30.2 30.3" in cells) or ("30.3" in cells and "30.1" not in cells)
    assert "bound by" in text
    assert "125.0 A" in row(text, "floor_1_node")
    assert ("126.5 A" in row(text, "floor_1_node")) == ("exposure" in text)
    assert ("132.5 A" in cells) == ("exposure" in text)
    assert ("131.5 A" in cells) == ("committed" in text)
    assert ("31.5 A 49.5 kW" in cells) == ("in force" in text)
    assert ("33.0 A 50.5 kW" in cells) == ("capacity" in text)


def test_more_room_shows_more_columns() -> None:
    shown = [len(drawn(site(evse("evse_1")), width).splitlines()[0].split()) for width in WIDTHS]
    assert shown == sorted(shown)
    narrow, widest = drawn(site(evse("evse_1")), 80), drawn(site(evse("evse_1")), 200)
    assert "current L1" not in narrow
    assert "controller" in widest
    assert "current L1 L2 L3" in widest


def test_the_largest_phase_stands_for_all_where_there_is_little_room() -> None:
    assert "30.3" in row(drawn(site(evse("evse_1")), 80), "evse_1")


@pytest.mark.parametrize("width", [10, 40])
def test_a_tiny_terminal_still_gets_a_table(width: int) -> None:
    assert drawn(site(evse("evse_1")), width)


def test_a_capacity_names_its_source_without_the_own_name() -> None:
    text = drawn(site(node("floor_1_node")), 200)
    assert "63.0 A fuse" in text
    assert "floor_1_node/fuse" not in text


def test_an_evse_names_what_bound_it() -> None:
    assert "floor_1_node/fuse" in row(drawn(site(evse("evse_1")), 80), "evse_1")


def test_a_silent_module_shows_no_stale_numbers() -> None:
    for width in WIDTHS:
        cells = row(drawn(site(evse("evse_1", alive=False)), width), "evse_1")
        assert "silent 12 s" in cells
        assert "30." not in cells
        assert "31.5" not in cells
        assert "50.0 kW" not in cells
        assert "132.5 A" in cells  # what it may still draw its parent knows


def test_what_was_told_by_a_silent_node_of_those_below_it_is_not_shown() -> None:
    silent = replace(node("panel_1"), alive=False, age_s=12.0)
    modules = (node("root"), silent, evse("evse_1", alive=False), node("panel_2"), evse("evse_2"))
    depths = {"panel_1": 1, "evse_1": 2, "panel_2": 1, "evse_2": 2}
    text = drawn(site(*modules), 200, depths=depths)
    assert "126.5 A" in row(text, "panel_1")
    assert "127.5 A" not in row(text, "panel_1")
    assert not {"32.0 A x3", "132.5 A", "131.5 A"} & set(re.split(r"\s{2,}", row(text, "evse_1")))
    assert {"32.0 A x3", "132.5 A", "131.5 A"} <= set(re.split(r"\s{2,}", row(text, "evse_2")))


def test_what_is_not_known_is_no_dash() -> None:
    unknown = replace(node("panel_1"), exposure=None, committed=None)
    cells = re.split(r"\s{2,}", row(drawn(site(unknown), 200), "panel_1").strip())
    assert cells.count("?") == 2
    root = replace(node("root"), kind="EnergyManager", exposure=None, committed=None)
    assert re.split(r"\s{2,}", row(drawn(site(root), 200), "root").strip()).count("?") == 1


def test_dc_is_shown_in_watt() -> None:
    cells = re.split(r"\s{2,}", row(drawn(site(dc("dc_1")), 200), "dc_1"))
    assert {"150.0 kW", "100.0 kW", "110.4 kW", "103.5 kW"} <= set(cells)


def test_a_raise_that_waits_says_for_what() -> None:
    waiting = replace(evse("evse_1"), waits_for="evse_2, which may still draw 16 A 11040 W")
    status = site(node("panel"), waiting, evse("evse_2"))
    for width in WIDTHS:
        assert "waits for" in row(drawn(status, width, 40), "evse_1")
        assert "which may still draw" not in drawn(status, width, 40)
    assert "evse_1 waits for evse_2, which may still draw 16 A 11040 W" in drawn(status, 200)


def test_what_is_raised_no_more_waits_for_nothing() -> None:
    refused = "raised no more: its fallback is 10 A, not 6 A"
    text = drawn(site(node("panel"), replace(evse("evse_1"), waits_for=refused)), 200)
    assert f"evse_1: {refused}" in text
    assert "waits for" not in text


def test_a_paused_evse_shows_its_limit_not_the_fallback_that_its_parent_counts() -> None:
    paused = replace(evse("evse_1"), limit=granted(0.0, 0.0, "fuse"), granted=Amount(6.0, 4140.0))
    assert "0.0 A x3" in row(drawn(site(paused), 200), "evse_1")
    silent = replace(paused, alive=False)
    assert "6.0 A x3" in row(drawn(site(silent), 200), "evse_1")
    none = LimitsRes(total_power_W=NumberWithSource(0.0, "fuse"))
    assert "0.0 kW" in row(drawn(site(replace(dc("dc_1"), limit=none)), 200), "dc_1")


def test_a_node_that_is_not_heard_has_one_note_for_all_below_it() -> None:
    unheard = [
        ModuleStatus(id=i, kind=k, controller="c", alive=False, note="not heard")
        for i, k in (("panel_1", "EnergyNode"), ("evse_1", "EvseManager"), ("panel_2", "EnergyNode"))
    ]
    below = replace(unheard[1], id="evse_2", note="another")
    modules = (node("root"), *unheard[:2], below, unheard[2])
    depths = {"panel_1": 1, "evse_1": 2, "evse_2": 2, "panel_2": 1}
    lines = [line.strip() for line in drawn(site(*modules), 200, depths=depths).splitlines()]
    notes = [line for line in lines if ": " in line]
    assert notes == ["panel_1: not heard", "evse_2: another", "panel_2: not heard"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("length", [12, 13, 18, 19, 20, 37, 55])
def test_no_character_of_a_source_stands_alone(width: int, length: int) -> None:
    parts = re.findall("Q+", drawn(site(evse("evse_1", source="Q" * length)), width))
    assert sum(map(len, parts)) == length
    assert min(map(len, parts)) > 4


def test_notes_stand_apart_from_the_sources_table() -> None:
    source = SourceStatus(name="grid", state="set")
    lines = drawn(site(node("root", note="a note", sources=(source,))), 120).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("external limit at"))
    assert [line.strip() for line in lines[at - 3 : at]] == ["", "root: a note", ""]


def test_one_is_no_plural() -> None:
    run = OptimizerStatus(last_run="2026-01-01T12:00:00.000Z", slots=1, sales=2)
    assert "1 slot, 2 sales" in drawn(site(optimizer=run), 120)


def tall(**more: object) -> SiteStatus:
    charging = [evse(f"busy_{i}") for i in range(3)]
    idle = [evse(f"idle_{i}", charging=False) for i in range(40)]
    return site(node("energy_root", note="a note"), *charging, *idle, evse("last"), **more)


def test_idle_evses_make_room_first_and_are_counted() -> None:
    status = tall(optimizer=OptimizerStatus(last_run="2026-01-01T12:00:00.000Z"))
    text = drawn(status, 120, 20)
    assert len(text.splitlines()) == 20
    assert "… 31 more" in text
    for kept in ("energy_root", "busy_0", "busy_2", "last", "idle_0", "a note", "market: run 0 at 12:00:00"):
        assert kept in text
    assert "idle_39" not in text


@pytest.mark.parametrize("height", [8, 12, 24, 47, 48, 49, 60])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_fits_its_terminal(width: int, height: int) -> None:
    text = drawn(tall(), width, height)
    assert len(text.splitlines()) <= height
    rows = sum(line.strip().startswith(("busy", "idle", "last")) for line in text.splitlines())
    assert ("… " in text) == (rows < 44)
    assert "… " not in text or f"… {44 - rows} more" in text


def test_without_idle_evses_the_last_ones_go() -> None:
    text = drawn(site(node("root"), *[evse(f"busy_{i}") for i in range(9)]), 160, 8)
    assert "busy_3" in text
    assert "busy_4" not in text
    assert "… 5 more" in text


def test_many_notes_leave_room_for_the_tree() -> None:
    modules = [node(f"node_{i}", note="not heard") for i in range(50)]
    text = drawn(site(*modules), 120, 30)
    assert len(text.splitlines()) == 30
    assert "node_0: not heard" in text
    assert "… 41 more" in text


def test_without_a_height_all_rows_are_shown() -> None:
    assert "more" not in drawn(tall(), 120)


def test_without_a_terminal_lines_are_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    made = console()
    assert made.width == PLAIN_WIDTH
    made.print("a[/]b :car: 12")
    assert made.file.getvalue() == "a[/]b :car: 12\n"  # type: ignore[attr-defined]
