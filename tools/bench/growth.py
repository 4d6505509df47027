"""How the market's cost grows with EVSEs and slots, as a log-log picture.

    python -m tools.bench.growth docs/market-growth.svg

Plain SVG: it needs no library, and every browser shows it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from actors.energy.types import EnergyManagerConfig
from tools.bench.families import Family, plain_site
from tools.bench.market import medians
from tools.workers import worker_pool

SIZES = (10, 30, 100, 300, 1000, 3000, 10_000)
SLOTS = (1, 24)
RUNS = {10: 51, 30: 51, 100: 31, 300: 21, 1000: 11, 3000: 7, 10_000: 3}
STAGES = {"read_ms": "#3182bd", "allocate_ms": "#cb181d", "build_ms": "#31a354"}

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 900, 560, 80, 50, 190, 60
LINE_HEIGHT = 15
X_RANGE, Y_RANGE = (10.0, 10_000.0), (0.01, 1000.0)
Points = list[tuple[int, float]]
"""EVSEs and milliseconds."""


def main() -> None:
    """Measure every size in a fresh process, and write the picture."""
    curves: dict[tuple[str, int], Points] = {}
    for slots in SLOTS:
        for count in SIZES:
            with worker_pool(1) as pool:
                figures = pool.submit(measure, count, slots).result()
            print(count, slots, {key: round(value, 3) for key, value in figures.items()}, file=sys.stderr)
            for stage in STAGES:
                curves.setdefault((stage, slots), []).append((count, figures[stage]))
    Path(sys.argv[1]).write_text(draw(curves))


def measure(count: int, slots: int) -> dict[str, float]:
    """Of a site where, with several slots, every limit of every EVSE is another one."""
    config = EnergyManagerConfig(schedule_total_duration=slots)
    return medians(Family("", lambda: plain_site(count, slots), {}, config), RUNS[count])


def draw(curves: dict[tuple[str, int], Points]) -> str:
    """The SVG; a line a stage and number of slots, and a thin one for what is exactly linear."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 28, "Market: CPU time by EVSEs, 1 slot (dashed) and 24 slots (solid)", size=16),
        *_grid(),
    ]
    labels: list[tuple[float, str, str]] = []
    for (stage, slots), points in curves.items():
        line = " ".join(f"{_x(count):.1f},{_y(ms):.1f}" for count, ms in points)
        dash = ' stroke-dasharray="6 4"' if slots == 1 else ""
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{STAGES[stage]}" stroke-width="2"{dash}/>'
        )
        label = f"{stage.removesuffix('_ms')}, {slots} slot{'s' if slots > 1 else ''}"
        labels.append((_y(points[-1][1]), label, STAGES[stage]))
    begin, end = (X_RANGE[0], 0.02), (X_RANGE[1], 0.02 * X_RANGE[1] / X_RANGE[0])
    parts.append(
        f'<line x1="{_x(begin[0]):.1f}" y1="{_y(begin[1]):.1f}" x2="{_x(end[0]):.1f}" y2="{_y(end[1]):.1f}" '
        'stroke="#999" stroke-width="1"/>'
    )
    labels.append((_y(end[1]), "exactly linear", "#999"))
    lowest = 0.0
    for y, label, colour in sorted(labels):
        lowest = max(y, lowest + LINE_HEIGHT)  # lines that end together are told one below the other
        parts.append(_text(_x(X_RANGE[1]) + 8, lowest + 4, label, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def _grid() -> Iterator[str]:
    for value in _decades(X_RANGE):
        x = _x(value)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
        yield _text(x, HEIGHT - BOTTOM + 20, f"{value:,.0f}", anchor="middle")
    for value in _decades(Y_RANGE):
        y = _y(value)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield _text(LEFT - 8, y + 4, f"{value:g} ms", anchor="end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "EVSEs", anchor="middle")


def _decades(span: tuple[float, float]) -> list[float]:
    first, last = (round(math.log10(value)) for value in span)
    return [10.0**power for power in range(first, last + 1)]


def _share(value: float, span: tuple[float, float]) -> float:
    return (math.log10(value) - math.log10(span[0])) / (math.log10(span[1]) - math.log10(span[0]))


def _x(evses: float) -> float:
    return LEFT + _share(evses, X_RANGE) * (WIDTH - LEFT - RIGHT)


def _y(ms: float) -> float:
    return HEIGHT - BOTTOM - _share(max(ms, Y_RANGE[0]), Y_RANGE) * (HEIGHT - TOP - BOTTOM)


def _text(
    x: float, y: float, text: str, *, size: int = 13, anchor: str = "start", colour: str = "#222"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


if __name__ == "__main__":
    main()
