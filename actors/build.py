"""From the site's configuration to the cores of its modules."""

from __future__ import annotations

from actors.energy.branch import ChildSettings
from actors.energy.evse import EvseCore, EvseSettings
from actors.energy.external import SavedSources
from actors.energy.manager import ManagerCore
from actors.energy.messages import Instant
from actors.energy.modules import EnergyNodeConfig, EvseManagerConfig
from actors.energy.node import NodeCore
from actors.energy.trunk import TrunkSettings
from actors.energy.types import IntegerWithSource, LimitsReq, NumberWithSource
from actors.site import Site


def build_core(
    site: Site, module_id: str, boot: str, now: Instant, saved: SavedSources | None
) -> ManagerCore | NodeCore | EvseCore:
    """The core of a module at the beginning of one of its lives (`boot` names it)."""
    module = site.modules[module_id]
    controller = site.controller_of(module_id).name
    if isinstance(module.config, EvseManagerConfig):
        evse = EvseSettings(
            id=module_id,
            controller=controller,
            config=module.config,
            site=site.manager_config(),
            phases=site.phase_count(module_id),
            sources=module.sources,
            config_digest=site.digest,
        )
        return EvseCore(evse, boot, now, saved)
    settings = TrunkSettings(
        id=module_id,
        kind=module.kind,
        controller=controller,
        site=site.manager_config(),
        limits=_fuse(module_id, module.config)
        if isinstance(module.config, EnergyNodeConfig)
        else LimitsReq(),
        watt_to_current_W=_watt_to_current_W(module.config)
        if isinstance(module.config, EnergyNodeConfig)
        else None,
        children=tuple(_child(site, child) for child in module.children),
        sources=module.sources,
        fallback_A=site.fallback_A(module_id),
        config_digest=site.digest,
    )
    if module_id == site.root:
        return ManagerCore(settings, now, saved)
    return NodeCore(settings, boot, now, saved)


def _fuse(module_id: str, config: EnergyNodeConfig) -> LimitsReq:
    return LimitsReq(
        ac_max_current_A=None
        if config.fuse_limit_A is None
        else NumberWithSource(config.fuse_limit_A, f"{module_id}/fuse"),
        ac_max_phase_count=IntegerWithSource(config.phase_count, f"{module_id}/phases"),
    )


def _watt_to_current_W(config: EnergyNodeConfig) -> float | None:
    return config.nominal_voltage_V * config.phase_count if config.enhance_external_schedule else None


def _child(site: Site, module_id: str) -> ChildSettings:
    below = site.subtree(module_id)
    return ChildSettings(
        id=module_id,
        kind=site.modules[module_id].kind,
        controller=site.controller_of(module_id).name,
        fallback_A=site.fallback_A(module_id),
        modules=frozenset(below),
        expected=tuple((m, site.modules[m].kind, site.controller_of(m).name) for m in below),
    )
