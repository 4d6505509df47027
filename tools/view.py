"""A site's status as a table that a person reads, one row a module, as the tree stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actors.energy.external import SourceStatus
from actors.energy.messages import ModuleStatus
from actors.energy.types import LimitsRes, ScheduleReqEntry, value_of
from tools.client import SiteStatus

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


def render(status: SiteStatus, depths: dict[str, int] | None = None) -> RenderableType:
    """The whole screen: the tree, then what the optimizer did. `depths` indents the modules."""
    parts: list[RenderableType] = [_tree(status.modules, depths or {})]
    notes = [f"{m.id}: {m.note}" for m in status.modules if m.note]
    notes += [f"controller {name} does not answer" for name in status.silent_controllers]
    if notes:
        parts.append(Text("\n".join(notes), style="yellow"))
    if sources := [(m.id, s) for m in status.modules for s in m.sources]:
        parts.append(_sources(sources))
    if status.optimizer is not None:
        run = status.optimizer
        parts.append(
            Text(
                f"market: run {run.runs} at {run.last_run[11:19]} UTC, {run.duration_ms:.1f} ms, "
                f"{run.slots} slots, {run.sales} sales"
                + (f"; used up: {', '.join(run.binding)}" if run.binding else "")
                + (f"; FAILED: {run.error}" if run.error else ""),
                style="red" if run.error else "dim",
            )
        )
    return Group(*parts)


def _tree(modules: Iterable[ModuleStatus], depths: dict[str, int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("module", "controller", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("wants", "limit", "in force", "current L1 L2 L3", "capacity"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("bound by", overflow="fold")
    for module in modules:
        style = "" if module.alive else "dim red"
        table.add_row(
            "  " * depths.get(module.id, 0) + module.id,
            module.controller,
            _state(module),
            _amount(module.wants_A, module.wants_W),
            _limit(module.limit),
            _amount(module.in_force_A, module.in_force_W),
            _currents(module),
            _amount(module.capacity_A, module.capacity_W),
            _bound_by(module),
            style=style,
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
