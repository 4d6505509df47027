"""The table of a site: nothing from outside is markup, numbers are whole, and it fits its terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from actors.energy.external import ShortLimits, SourceStatus, short_form
from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.energy.types import IntegerWithSource, LimitsRes, NumberWithSource
from tools.client import SiteStatus
from tools.view import PLAIN_WIDTH, console, printable, render

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
        limit=granted(125.0, 86.2e3, "sum of its EVSEs", None),
        capacity_A=63.0,
        capacity_source=f"{name}/fuse",
        **more,  # type: ignore[arg-type]
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
    assert "32.0 A 50.0 kW x3" in cells
    assert ("30.1 30.2 30.3" in cells) or ("30.3" in cells and "30.1" not in cells)
    assert "bound by" in text
    assert "125.0 A 86.2 kW" in row(text, "floor_1_node")
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
    assert "sum of its EVSEs" not in text  # nodes leave `bound by` empty


def test_an_evse_names_what_bound_it() -> None:
    assert "floor_1_node/fuse" in row(drawn(site(evse("evse_1")), 80), "evse_1")


def test_a_silent_module_shows_no_stale_numbers() -> None:
    for width in WIDTHS:
        cells = row(drawn(site(evse("evse_1", alive=False)), width), "evse_1")
        assert "silent 12 s" in cells
        assert "30." not in cells
        assert "31.5" not in cells


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
