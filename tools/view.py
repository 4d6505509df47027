"""A site's status as a table that a person reads, one row a module, as the tree stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actors.energy.external import SourceStatus
from actors.energy.messages import ModuleStatus, OptimizerStatus
from actors.energy.types import LimitsRes, ScheduleReqEntry, value_of
from tools.client import SiteStatus

WIDE = 120
"""Characters from which on all columns are shown."""

STATE_STYLES = {
    "Charging": "green",
    "PausedEVSE": "yellow",
    "WaitForEnergy": "yellow",
    "PausedEV": "cyan",
    "PrepareCharging": "cyan",
    "Finished": "blue",
    "Disabled": "red",
    "fallback": "red",
}


def render(status: SiteStatus, depths: dict[str, int], width: int) -> RenderableType:
    """The whole screen, `width` characters wide: the tree, then what the optimizer did.

    `depths` indents the modules. Where there is little room, some columns are left out.
    """
    parts: list[RenderableType] = [_tree(status.modules, depths, wide=width >= WIDE)]
    notes = [f"{m.id}: {m.note}" for m in status.modules if m.note]
    notes += [f"controller {name} does not answer" for name in status.silent_controllers]
    if notes:
        parts.append(Text("\n".join(notes), style="yellow"))
    if sources := [(m.id, s) for m in status.modules for s in m.sources]:
        parts.append(_sources(sources))
    if status.optimizer is not None:
        parts.append(_optimizer(status.optimizer))
    return Group(*parts)


def _optimizer(run: OptimizerStatus) -> Text:
    text = (
        f"market: run {run.runs} at {run.last_run[11:19]} UTC, {run.duration_ms:.1f} ms, "
        f"{run.slots} slots, {run.sales} sales"
    )
    if run.binding:
        text += f"; used up: {', '.join(run.binding)}"
    if run.error:
        text += f"; FAILED: {run.error}"
    return Text(text, style="red" if run.error else "dim")


def _tree(modules: Iterable[ModuleStatus], depths: dict[str, int], *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1) if wide else (0, 1, 0, 0))
    columns = [column for column in _COLUMNS if wide or column.always]
    for column in columns:
        table.add_column(column.heading, justify=column.justify, no_wrap=column.heading != "bound by")
    for module in modules:
        cells = [column.cell(module) for column in columns]
        indented = " " * (2 if wide else 1) * depths.get(module.id, 0)
        table.add_row(
            Text(indented) + Text(str(cells[0])), *cells[1:], style="" if module.alive else "dim red"
        )
    return table


def _state(module: ModuleStatus) -> Text:
    if not module.alive:
        return Text(f"silent {module.age_s:.0f} s" if module.age_s else "silent", style="red")
    return Text(module.state, style=STATE_STYLES.get(module.state, ""))


def _amount(current_A: float | None, power_W: float | None) -> str:
    parts = []
    if current_A is not None:
        parts.append(f"{current_A:.1f} A")
    if power_W:
        parts.append(f"{power_W / 1000:.1f} kW")
    return " ".join(parts) or "-"


def _limit(limit: LimitsRes | None) -> str:
    if limit is None:
        return "-"
    current, power, phases = limit.ac_max_current_A, limit.total_power_W, limit.ac_max_phase_count
    text = _amount(value_of(current), value_of(power))
    return text if phases is None else f"{text} x{phases.value}"


def _currents(module: ModuleStatus) -> str:
    if not any(module.currents_A):
        return "-"
    return " ".join(f"{current:.1f}" for current in module.currents_A)


def _bound_by(module: ModuleStatus) -> str:
    if module.kind != "EvseManager":
        return module.capacity_source
    limit = module.limit
    if limit is None:
        return ""
    bound = limit.ac_max_current_A or limit.total_power_W
    return "" if bound is None else bound.source


def _sources(sources: Iterable[tuple[str, SourceStatus]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("external limit at", "source", "state", "import", "export", "ends in"):
        table.add_column(heading)
    for module_id, source in sources:
        limits = source.limits
        table.add_row(
            module_id,
            source.name,
            Text(source.state, style="red" if source.state == "failsafe" else ""),
            "-" if limits is None or not limits.schedule_import else _request(limits.schedule_import),
            "-" if limits is None or not limits.schedule_export else _request(limits.schedule_export),
            "" if source.ends_in_s is None else f"{source.ends_in_s:.0f} s",
        )
    return table


def _request(schedule: Sequence[ScheduleReqEntry]) -> str:
    limits = schedule[0].limits_to_root
    text = _amount(value_of(limits.ac_max_current_A), value_of(limits.total_power_W))
    return text if len(schedule) == 1 else f"{text} and {len(schedule) - 1} later"


class _Column(NamedTuple):
    heading: str
    cell: Callable[[ModuleStatus], RenderableType]
    justify: Literal["left", "right"]
    always: bool
    """Shown also where there is little room."""


_COLUMNS = (
    _Column("module", lambda m: m.id, "left", True),
    _Column("controller", lambda m: m.controller, "left", False),
    _Column("state", _state, "left", True),
    _Column("wants", lambda m: _amount(m.wants_A, m.wants_W), "right", False),
    _Column("limit", lambda m: _limit(m.limit), "right", True),
    _Column("in force", lambda m: _amount(m.in_force_A, m.in_force_W), "right", False),
    _Column("current L1 L2 L3", _currents, "right", True),
    _Column("capacity", lambda m: _amount(m.capacity_A, m.capacity_W), "right", False),
    _Column("bound by", _bound_by, "left", True),
)
