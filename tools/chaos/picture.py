"""A picture of a run: the load of each guard over time against its rating, and under them the faults.

    title
    ┌ guard ──────────────── rating ┐   one panel a guard; the area is the load of its most loaded phase
    └────────────────────────────────┘
    ── lane of a part or line: bars ──   one lane for all that is hurt
    axis in seconds of the story

Plain SVG: it needs no library, and every browser shows it, with a word on each bar under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from html import escape

from tools.chaos.conduct import Course, describe
from tools.chaos.record import BIN_S, MARGIN, Tally
from tools.chaos.story import AnyFault, Cut, Disturb, FillDisk, Kill, Limit, Pause, Stop, Story, WallClock

WIDTH, LEFT, RIGHT = 1240, 150, 20
PLOT = WIDTH - LEFT - RIGHT
TOP, PANEL, GAP, LANE, AXIS, LEGEND = 58, 92, 16, 18, 34, 26
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000)
TICKS_MAX = 14

COLOURS = {
    "kill": "#b2182b",
    "stop": "#d6604d",
    "pause": "#7b3294",
    "cut": "#1f1f1f",
    "disturb": "#e08214",
    "fill_disk": "#8c510a",
    "wall_clock": "#2166ac",
    "limit": "#5aae61",
}
WORDS = {"fill_disk": "disk full", "wall_clock": "wall clock", "limit": "external limit"}
_X = Callable[[float], float]

LOAD, LOAD_LINE, RATING, OVER = "#9ecae1", "#3182bd", "#cb181d", "#ff0000"


def draw(story: Story, course: Course, tallies: list[Tally], *, title: str, verdict: str, ok: bool) -> str:
    """The SVG."""
    lanes = _lanes(story)
    bins = [bin_ for tally in tallies for bin_ in tally.curve]
    begin_s = min(bins, default=0) * BIN_S
    end_s = max((max(bins, default=0) + 1) * BIN_S, begin_s + 1.0)
    scale = PLOT / (end_s - begin_s)

    def x(at_s: float) -> float:
        return LEFT + (at_s - begin_s) * scale

    height = TOP + len(tallies) * (PANEL + GAP) + len(lanes) * LANE + AXIS + LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(LEFT, 24, title, size=16, weight="bold"),
        _text(LEFT, 43, verdict, colour="#1a7f37" if ok else RATING),
    ]
    y = float(TOP)
    for tally in tallies:
        parts += _panel(tally, x, y, story.for_s, end_s)
        y += PANEL + GAP
    for name, faults in lanes.items():
        parts += _lane(name, faults, x, y)
        y += LANE
    parts += _axis(begin_s, end_s, x, TOP, y)
    parts += _legend({kind_of(fault) for fault in story.faults}, y + AXIS)
    return "\n".join([*parts, "</svg>", ""])


def kind_of(fault: AnyFault) -> str:
    """The key that names it in a story."""
    match fault:
        case Kill():
            return "kill"
        case Stop():
            return "stop"
        case Pause():
            return "pause"
        case Cut():
            return "cut"
        case Disturb():
            return "disturb"
        case FillDisk():
            return "fill_disk"
        case WallClock():
            return "wall_clock"
        case Limit():
            return "limit"


def _lanes(story: Story) -> dict[str, list[AnyFault]]:
    """What is hurt -> its faults: processes first, then lines, then limits."""
    lanes: dict[tuple[int, str], list[AnyFault]] = {}
    for fault in story.faults:
        for lane in _lanes_of(fault):
            lanes.setdefault(lane, []).append(fault)
    return {name: lanes[order, name] for order, name in sorted(lanes)}


def _lanes_of(fault: AnyFault) -> set[tuple[int, str]]:
    match fault:
        case Cut(cut=ways) | Disturb(disturb=ways):
            return {(1, " - ".join(sorted(way))) for way in ways}
        case Kill(kill=part) | Stop(stop=part) | Pause(pause=part):
            return {(0, part)}
        case FillDisk(fill_disk=part) | WallClock(wall_clock=part):
            return {(0, part)}
        case Limit(limit=module):
            return {(2, f"limit of {module}")}


def _panel(tally: Tally, x: _X, y: float, for_s: float, end_s: float) -> Iterator[str]:
    guard = tally.guard
    top_A = max(guard.rating_A * 1.15, tally.max_A * 1.05, 1.0)

    def height(load_A: float) -> float:
        return y + PANEL - load_A / top_A * PANEL

    yield f'<rect x="{LEFT}" y="{y}" width="{PLOT}" height="{PANEL}" fill="#f7f7f7"/>'
    for start_s, stop_s in ((None, 0.0), (for_s, end_s)):  # before the story, and the calm after it
        left = LEFT if start_s is None else x(start_s)
        width = max(0.0, x(stop_s) - left)
        yield f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{PANEL}" fill="#ececec"/>'
    points = [(x(bin_ * BIN_S), height(load_A)) for bin_, load_A in sorted(tally.curve.items())]
    if points:
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        base = y + PANEL
        area = f"{points[0][0]:.1f},{base:.1f} {line} {points[-1][0]:.1f},{base:.1f}"
        yield f'<polygon points="{area}" fill="{LOAD}" fill-opacity="0.7"/>'
        yield f'<polyline points="{line}" fill="none" stroke="{LOAD_LINE}" stroke-width="1"/>'
    rating_y = height(guard.rating_A)
    yield (
        f'<line x1="{LEFT}" x2="{LEFT + PLOT}" y1="{rating_y:.1f}" y2="{rating_y:.1f}" '
        f'stroke="{RATING}" stroke-width="1.3" stroke-dasharray="7 3"/>'
    )
    for bin_, load_A in tally.curve.items():
        if load_A > guard.rating_A * (1.0 + MARGIN):
            yield f'<circle cx="{x(bin_ * BIN_S):.1f}" cy="{height(load_A):.1f}" r="3" fill="{OVER}"/>'
    yield _text(LEFT - 8, y + 14, guard.node, anchor="end", weight="bold")
    what = "fuse" if guard.fuse else "limit"
    yield _text(LEFT - 8, y + 30, f"{what} {guard.rating_A:g} A", anchor="end", colour=RATING)
    yield _text(LEFT - 8, y + 46, f"most {tally.max_A:.1f} A", anchor="end", colour=LOAD_LINE)
    yield _text(LEFT - 8, y + PANEL, "0", anchor="end", colour="#777")


def _lane(name: str, faults: list[AnyFault], x: _X, y: float) -> Iterator[str]:
    yield _text(LEFT - 8, y + LANE - 5, name, anchor="end")
    base = y + LANE - 1
    yield f'<line x1="{LEFT}" x2="{LEFT + PLOT}" y1="{base:.1f}" y2="{base:.1f}" stroke="#e4e4e4"/>'
    for fault in faults:
        left = x(fault.at_s)
        width = max(3.0, x(fault.at_s + (fault.for_s or 0.0)) - left)
        lasts = f" for {fault.for_s:g} s" if fault.for_s else ""
        label = escape(f"{fault.at_s:g} s: {describe(fault)}{lasts}")
        yield (
            f'<rect x="{left:.1f}" y="{y + 3:.1f}" width="{width:.1f}" height="{LANE - 7}" rx="1.5" '
            f'fill="{COLOURS[kind_of(fault)]}" fill-opacity="0.8"><title>{label}</title></rect>'
        )


def _axis(begin_s: float, end_s: float, x: _X, top: float, y: float) -> Iterator[str]:
    step_s = next((t for t in TICKS if (end_s - begin_s) / t <= TICKS_MAX), TICKS[-1])
    for n in range(math.ceil(begin_s / step_s), math.floor(end_s / step_s) + 1):
        at = x(n * step_s)
        yield (
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{y + 4:.1f}" '
            f'stroke="#000" stroke-opacity="{0.35 if n == 0 else 0.08}"/>'
        )
        yield _text(at, y + 18, f"{n * step_s} s", anchor="middle", colour="#555")


def _legend(kinds: set[str], y: float) -> Iterator[str]:
    at = float(LEFT)
    for kind, colour in COLOURS.items():
        if kind in kinds:
            word = WORDS.get(kind, kind)
            yield f'<rect x="{at:.1f}" y="{y}" width="12" height="12" rx="1.5" fill="{colour}"/>'
            yield _text(at + 17, y + 10, word)
            at += 34 + 7 * len(word)
    yield _text(LEFT + PLOT, y + 10, "grey: before and after the faults", anchor="end", colour="#777")


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    weight: str = "normal",
    anchor: str = "start",
    colour: str = "#222",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )
