"""What must hold between values: within one module, and between a node and its children."""

from __future__ import annotations

from actors.config.chargers import check_driver
from actors.config.faults import Faults
from actors.config.grammar import Entry, Modules
from actors.config.links import Tree
from actors.site import EnergyManagerConfig, EnergyNodeConfig, EvseManagerConfig

MAX_SLOTS = 10_000
"""Intervals of a forecast; the market computes each."""
_CRUMB_A = 1e-7  # of floating point: three fallbacks of 10.1 A fit into 30.3 A


def check_modules(modules: Modules, faults: Faults) -> None:
    """What must hold within each module."""
    for entry in modules.ours.values():
        if isinstance(entry.config, EvseManagerConfig):
            _check_evse(entry, entry.config, faults)
        elif isinstance(entry.config, EnergyManagerConfig):
            _check_manager(entry, entry.config, faults)


def _check_evse(entry: Entry, config: EvseManagerConfig, faults: Faults) -> None:
    path = entry.config_path
    if config.min_current_A > config.max_current_A:
        faults.add(
            (*path, "min_current_A"),
            f"{config.min_current_A:g} A is above max_current_A, {config.max_current_A:g} A",
        )
    if config.fallback_limit_A > config.max_current_A:
        faults.add(
            (*path, "fallback_limit_A"),
            f"{config.fallback_limit_A:g} A is above max_current_A, {config.max_current_A:g} A",
        )
    if config.charge_mode == "DC" and config.max_power_W is None:
        faults.add(path, "charge_mode DC needs max_power_W, the rated power on the grid side")
    check_driver(entry.id, config, path, faults)


def _check_manager(entry: Entry, config: EnergyManagerConfig, faults: Faults) -> None:
    slots = config.schedule_total_duration * 60 / config.schedule_interval_duration
    if slots > MAX_SLOTS:
        faults.add(
            (*entry.config_path, "schedule_total_duration"),
            f"{config.schedule_total_duration} h in intervals of {config.schedule_interval_duration} min are "
            f"{slots:.0f} intervals; at most {MAX_SLOTS}",
        )


def check_fallbacks(tree: Tree, modules: Modules, faults: Faults) -> None:
    """Fallbacks nest: what all may draw when they have heard nothing, and what else draws, no fuse may see
    exceeded."""
    fallback_A: dict[str, float] = {}
    load_A: dict[str, float] = {}
    for module_id in reversed(tree.order):  # children before parents
        entry = modules.ours[module_id]
        below_A = sum(fallback_A[child] for child in tree.children[module_id])
        fallback_A[module_id] = below_A
        load_A[module_id] = sum(load_A[child] for child in tree.children[module_id])
        if isinstance(entry.config, EvseManagerConfig):
            fallback_A[module_id] = entry.config.fallback_limit_A
        elif isinstance(entry.config, EnergyNodeConfig):
            load_A[module_id] = _node_load_A(entry, entry.config, load_A[module_id], faults)
            fallback_A[module_id] = _node_fallback_A(entry, entry.config, below_A, load_A[module_id], faults)


def _node_load_A(entry: Entry, config: EnergyNodeConfig, below_A: float, faults: Faults) -> float:
    """The most that all but EVSEs draws below a node's fuse."""
    own_A = config.fixed_load_A
    if own_A is None:
        return below_A
    if own_A < below_A - _CRUMB_A:
        faults.add(
            (*entry.config_path, "fixed_load_A"),
            f"{own_A:g} A are less than what the nodes below have for theirs, {below_A:g} A in all",
        )
    return own_A


def _node_fallback_A(
    entry: Entry, config: EnergyNodeConfig, below_A: float, load_A: float, faults: Faults
) -> float:
    own_A, fuse_A = config.fallback_limit_A, config.fuse_limit_A
    without = f" without {load_A:g} A of fixed load" if load_A else ""
    if fuse_A is not None and load_A > fuse_A:
        faults.add(
            (*entry.config_path, "fuse_limit_A"), f"the fixed load, {load_A:g} A, exceeds {fuse_A:g} A"
        )
    if own_A is not None and fuse_A is not None and own_A > fuse_A - load_A:
        text = f"{own_A:g} A exceed the fuse of {fuse_A:g} A{without}"
        faults.add((*entry.config_path, "fallback_limit_A"), text)
    if own_A is not None:
        name, room_A, without = "fallback_limit_A", own_A, ""
    elif fuse_A is not None:
        name, room_A = "fuse_limit_A", fuse_A - load_A
    else:
        return below_A
    if below_A > room_A + _CRUMB_A:
        faults.add(
            (*entry.config_path, name),
            f"the fallbacks of the modules below, {below_A:g} A in all, exceed {room_A:g} A"
            f"{' that are left' if without else ''}{without}; lower their fallback_limit_A",
        )
    return below_A if own_A is None else own_A
