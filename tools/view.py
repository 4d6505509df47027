"""A site's status as a table that a person reads, one row a module, as the tree stands.

Room decides what is shown, and a number is shown whole or not at all: columns are left out until the
rest fits (`LAYOUTS`), names fold into more lines, and rows are left out where there are too many.
Names, notes and sources come from outside: they are text, never markup, and control characters
are shown escaped.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from actors.energy.external import SourceStatus
from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.energy.types import ScheduleReqEntry, value_of
from tools.client import SiteStatus
from tools.columns import ALL, BOUND_BY, LAYOUTS, MODULE, REFUSED, Column, amount_text, printable

PLAIN_WIDTH = 200
"""Characters of a line where there is no terminal."""
LEAST_LINES = 3
"""Notes and rows of sources that are shown on any terminal, however low."""
_GAP = 2
"""Spaces between two columns."""
_HEAD_LINES = 2
_UNFOLDED = 18
"""Characters of a name that fit on one line of the screen."""
_DEEP_INDENT_WIDTH = 120
"""From here on each step into the tree is two spaces, not one."""

_MEASURE = Console(file=io.StringIO(), width=PLAIN_WIDTH, color_system=None)
"""Wraps text that is not shown yet."""
_Item = TypeVar("_Item")


def console(*, stderr: bool = False) -> Console:
    """Where a site is shown: strings are printed as they are; about 200 columns without a terminal."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made


def render(
    status: SiteStatus, depths: dict[str, int], width: int, height: int | None = None
) -> RenderableType:
    """The whole screen, `width` characters wide: the tree, then what the optimizer did.

    `depths` indents the modules. Of a tree that does not fit into `height` lines the least
    interesting EVSEs are left out, and counted.
    """
    most = None if height is None else max(LEAST_LINES, height // 3)
    below: list[RenderableType] = []
    modules = _without_stale(status.modules, depths)
    notes = _notes(modules, depths)
    notes += [f"controller {name} does not answer" for name in status.silent_controllers]
    notes += [f"{g.id} is {g.told}" for g in status.gateways if not g.ok]
    if height is None:
        notes += [_waiting(m) for m in modules if m.waits_for]
        notes += [f"{m.id}: {m.fixed_load}" for m in modules if m.fixed_load and m.fixed_load not in m.note]
    if notes:
        shown, more = _first(notes, most)
        below.append(Text("\n".join([printable(n) for n in shown] + more), style="yellow"))
    if sources := [(m.id, s) for m in status.modules for s in m.sources]:
        shown_sources, more = _first(sources, most)
        if below:
            below.append(Text())
        below += [_sources(shown_sources), *map(Text, more)]
    below += [Text(f"{g.kind} {printable(g.id)} is {printable(g.told)}") for g in status.gateways if g.ok]
    if status.optimizer is not None:
        below.append(_optimizer(status.optimizer))
    if below:
        below.insert(0, Text())
    left = None if height is None else height - _lines(Group(*below), width)
    return Group(_tree(modules, depths, width, left), *below)


def _notes(modules: Sequence[ModuleStatus], depths: dict[str, int]) -> list[str]:
    """A line for each; where all below a silent module is as silent, its own says it for all."""
    notes = []
    silent: ModuleStatus | None = None
    for module in modules:
        if silent is not None and depths.get(module.id, 0) <= depths.get(silent.id, 0):
            silent = None
        if silent is not None and not module.alive and module.note == silent.note:
            continue
        if silent is None and not module.alive:
            silent = module
        if module.note:
            notes.append(f"{module.id}: {module.note}")
    return notes


def _waiting(module: ModuleStatus) -> str:
    """Why a module is not raised, on a line of its own."""
    if module.waits_for.startswith(REFUSED):
        return f"{module.id}: {module.waits_for}"
    return f"{module.id} waits for {module.waits_for}"


def _without_stale(modules: Sequence[ModuleStatus], depths: dict[str, int]) -> list[ModuleStatus]:
    """What a silent module was granted and may still draw is known by its parent; all else that it and
    those below it said last may no longer be true."""
    shown = []
    silent_depth: int | None = None
    for module in modules:
        depth = depths.get(module.id, 0)
        if silent_depth is not None and depth > silent_depth:
            shown.append(
                replace(module, limit=None, granted=None, exposure=None, committed=None, waits_for="")
            )
        elif module.alive:
            silent_depth = None
            shown.append(module)
        else:
            silent_depth = depth
            shown.append(replace(module, committed=None))
    return shown


def _first(items: Sequence[_Item], most: int | None) -> tuple[Sequence[_Item], list[str]]:
    """As many as there is room for, and a line that counts the others."""
    if most is None or len(items) <= most:
        return items, []
    return items[: most - 1], [f"… {len(items) - most + 1} more"]


def _lines(shown: RenderableType, width: int) -> int:
    measure = Console(file=io.StringIO(), width=width, color_system=None)
    return len(measure.render_lines(shown, pad=False))


def _optimizer(run: OptimizerStatus) -> Text:
    text = (
        f"market: run {run.runs} at {run.last_run[11:19]} UTC, {run.duration_ms:.1f} ms, "
        f"{_counted(run.slots, 'slot')}, {_counted(run.sales, 'sale')}"
    )
    if run.binding:
        text += f"; used up: {', '.join(run.binding)}"
    if run.error:
        text += f"; FAILED: {run.error}"
    return Text(printable(text), style="red" if run.error else "dim")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class _Row(NamedTuple):
    module: ModuleStatus
    cells: list[Text]


def _tree(
    modules: Sequence[ModuleStatus], depths: dict[str, int], width: int, height: int | None
) -> RenderableType:
    columns, widths, rows = _layout(modules, depths, width)
    hidden = set() if height is None else _hidden(rows, widths, height - _HEAD_LINES)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for column, characters in zip(columns, widths, strict=True):
        table.add_column(Text(column.heading), justify=column.justify, overflow="fold", width=characters)
    for index, row in enumerate(rows):
        if index not in hidden:
            table.add_row(*row.cells, style="" if row.module.alive else "dim red")
    return Group(table, Text(f"… {len(hidden)} more", style="dim")) if hidden else table


def _layout(
    modules: Sequence[ModuleStatus], depths: dict[str, int], width: int
) -> tuple[Sequence[Column], list[int], list[_Row]]:
    """The columns that fit into `width`, their widths, and the rows. Fewer columns are better
    than rows that take two lines."""
    indent = 2 if width >= _DEEP_INDENT_WIDTH else 1
    cells = {column.heading: [column.cell(m) for m in modules] for column in ALL}
    names = [Text(" " * indent * depths.get(m.id, 0)) + Text(printable(m.id)) for m in modules]
    cells[MODULE.heading] = names
    for columns in LAYOUTS:
        widths = [_natural(column, cells[column.heading]) for column in columns]
        spare = width - sum(widths) - _GAP * (len(columns) - 1)
        if spare >= 0:
            break
    if columns[-1] is BOUND_BY and spare > 0:
        longest = max((cell.cell_len for cell in cells[BOUND_BY.heading]), default=0)
        widths[-1] = min(widths[-1] + spare, max(widths[-1], longest))
    wide = list(zip(columns, widths, strict=True))
    rows = [_Row(m, [_folded(cells[c.heading][i], w) for c, w in wide]) for i, m in enumerate(modules)]
    return columns, widths, rows


def _natural(column: Column, cells: Iterable[Text]) -> int:
    longest = max((cell.cell_len for cell in cells), default=0)
    if column.most is not None:
        longest = min(longest, max(column.most, _UNFOLDED))
    return max(longest, column.room, len(column.heading))


def _folded(cell: Text, width: int) -> Text:
    """A word that is too long, in lines of about the same length: no character stands alone."""
    if cell.cell_len <= width or " " in cell.plain:
        return cell
    lines = -(-cell.cell_len // width)
    return Text("\n").join(cell.wrap(_MEASURE, -(-cell.cell_len // lines), overflow="fold"))


def _hidden(rows: Sequence[_Row], widths: Sequence[int], height: int) -> set[int]:
    """Which rows to leave out, so that the others and a line that counts these take `height` lines.

    Idle EVSEs go first, then the others, silent ones last, then nodes; always from the end. The
    root stays.
    """
    lines = [
        max(len(cell.wrap(_MEASURE, w, overflow="fold")) for cell, w in zip(row.cells, widths, strict=True))
        for row in rows
    ]
    surplus = sum(lines) - height
    hidden: set[int] = set()
    if surplus <= 0:
        return hidden
    for index in sorted(range(1, len(rows)), key=lambda i: (_interest(rows[i].module), -i)):
        hidden.add(index)
        surplus -= lines[index]
        if surplus < 0:  # one line is for their number
            break
    return hidden


def _interest(module: ModuleStatus) -> int:
    if module.kind != "EvseManager":
        return 3
    if not module.alive:
        return 2
    return 1 if module.wants_A or module.wants_W or any(module.currents_A) else 0


def _sources(sources: Iterable[tuple[str, SourceStatus]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for heading in ("external limit at", "source", "state", "import", "export", "ends in"):
        table.add_column(Text(heading), overflow="fold")
    for module_id, source in sources:
        limits = source.limits
        table.add_row(
            Text(printable(module_id)),
            Text(printable(source.name)),
            Text(_source_state(source), style="red" if source.state == "failsafe" else ""),
            Text(_request(() if limits is None else limits.schedule_import)),
            Text(_request(() if limits is None else limits.schedule_export)),
            Text("" if source.ends_in_s is None else f"{source.ends_in_s:.0f} s"),
        )
    return table


def _source_state(source: SourceStatus) -> str:
    delay = "" if source.delayed_s is None else f", delayed {source.delayed_s:.0f} s"
    return f"{source.state}{delay}"


def _request(schedule: Sequence[ScheduleReqEntry]) -> str:
    if not schedule:
        return "-"
    limits = schedule[0].limits_to_root
    text = amount_text(value_of(limits.ac_max_current_A), value_of(limits.total_power_W))
    return text if len(schedule) == 1 else f"{text} and {len(schedule) - 1} later"
