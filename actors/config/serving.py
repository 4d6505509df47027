"""Which module serves which EVSEs' chargers, and whether it can.

One that links EVSEs with their chargers serves the EVSEs with its `driver` of the controller that hosts it.
"""

from __future__ import annotations

import math

from msgspec.structs import replace

from actors.config.faults import Faults
from actors.config.grammar import Entry, Modules
from actors.config.links import Tree
from actors.drivers.kinds import CHARGERS
from actors.energy.types import EnergyManagerConfig, valid_for_s
from actors.site import Controller, EvseManagerConfig


def host_chargers(
    controllers: dict[str, Controller], modules: Modules, faults: Faults
) -> dict[str, Controller]:
    """The controllers with all such modules: what is not listed goes to where its EVSEs are."""
    listed = {chargers for c in controllers.values() for chargers in c.chargers}
    hosted = {name: list(c.chargers) for name, c in controllers.items()}
    for kind, (driver, _) in CHARGERS.items():
        in_need = [c.name for c in controllers.values() if _evses(c, modules, driver)]
        bare = [name for name in in_need if not _of_kind(hosted[name], modules, kind)]
        for chargers in modules.chargers.values():
            if chargers.kind != kind or chargers.id in listed:
                continue
            place = (*modules.path, chargers.id)
            if len(bare) == 1:
                hosted[bare[0]].append(chargers.id)
            elif bare:
                faults.add(
                    place,
                    f"controllers {', '.join(bare)} host EVSEs with driver: {driver}; each needs a module "
                    f"{kind} of its own, listed among its modules under controllers",
                )
            else:
                faults.add(place, f"serves nobody: no EVSE has driver: {driver} and needs it")
    for controller in controllers.values():
        _check_hosted(controller, hosted[controller.name], modules, faults)
    return {name: replace(c, chargers=tuple(hosted[name])) for name, c in controllers.items()}


def _check_hosted(controller: Controller, hosted: list[str], modules: Modules, faults: Faults) -> None:
    for kind, (driver, _) in CHARGERS.items():
        evses = _evses(controller, modules, driver)
        own = _of_kind(hosted, modules, kind)
        for extra in own[1:]:
            faults.add((*modules.path, extra), f"controller {controller.name} hosts {own[0]} already")
        if own and not evses:
            told = f"serves nobody: controller {controller.name} hosts no EVSE with driver: {driver}"
            faults.add((*modules.path, own[0]), told)
        taken: dict[tuple[str, int], str] = {}
        whole = (
            own and getattr(modules.chargers[own[0]].config, "limit_profile", "") == "ChargePointMaxProfile"
        )
        chargers = [config.charger or entry.id for entry, config in evses]
        for entry, config in evses:
            if not own and not any(c.kind == kind for c in modules.chargers.values()):
                faults.add(
                    (*entry.config_path, "driver"), f"needs a module {kind}; there is none in this file"
                )
            elif not own:
                faults.add(
                    (*entry.config_path, "driver"),
                    f"needs a module {kind} at its controller, {controller.name}; list one there under "
                    "controllers",
                )
            place = (config.charger or entry.id, config.connector_id)
            if whole and chargers.count(place[0]) > 1:
                faults.add(
                    entry.config_path,
                    f"charger {place[0]} has several EVSEs, and limit_profile: ChargePointMaxProfile of "
                    f"{own[0]} limits them together; use TxDefaultProfile",
                )
            if (first := taken.setdefault(place, entry.id)) != entry.id:
                faults.add(
                    entry.config_path,
                    f"connector {place[1]} of charger {place[0]} is that of {first} already",
                )


def check_leases(tree: Tree, modules: Modules, faults: Faults) -> None:
    """Limits must last long enough for those that cannot be told often."""
    manager = modules.ours[tree.root]
    assert isinstance(manager.config, EnergyManagerConfig)
    valid_s = valid_for_s(manager.config)
    for chargers in modules.chargers.values():
        least_s = chargers.config.min_lease_s
        if valid_s < least_s:
            interval_s = math.ceil(least_s / (valid_s / manager.config.update_interval))
            faults.add(
                (*manager.config_path, "update_interval"),
                f"a limit lasts {valid_s} s, ten update intervals, and {chargers.id} can tell its chargers "
                f"none of less than {least_s} s; set update_interval to {interval_s}",
            )


def _evses(controller: Controller, modules: Modules, driver: str) -> list[tuple[Entry, EvseManagerConfig]]:
    entries = [modules.ours[m] for m in controller.modules]
    return [
        (e, e.config)
        for e in entries
        if isinstance(e.config, EvseManagerConfig) and e.config.driver == driver
    ]


def _of_kind(hosted: list[str], modules: Modules, kind: str) -> list[str]:
    return [chargers for chargers in hosted if modules.chargers[chargers].kind == kind]
