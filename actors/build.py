"""From the site's configuration to the cores of its modules."""

from __future__ import annotations

from actors.energy.amount import Amount, total
from actors.energy.branch import ChildSettings
from actors.energy.evse import EvseCore
from actors.energy.evse_wishes import EvseSettings
from actors.energy.external import SavedSources
from actors.energy.manager import ManagerCore
from actors.energy.messages import Instant
from actors.energy.modules import EnergyNodeConfig, EvseManagerConfig
from actors.energy.node import NodeCore
from actors.energy.trunk import TrunkSettings
from actors.energy.types import EnergyManagerConfig, IntegerWithSource, LimitsReq, NumberWithSource
from actors.site import Site


def build_core(
    site: Site,
    module_id: str,
    boot: str,
    now: Instant,
    saved: SavedSources | None = None,
    kept_epoch: int | None = None,
) -> ManagerCore | NodeCore | EvseCore:
    """The core of a module at the beginning of one of its lives (`boot` names it).

    `kept_epoch` is the last epoch on stable storage: 0 when there surely never was a grant of this
    module, None when that is not known.
    """
    module = site.modules[module_id]
    controller = site.controller_of(module_id).name
    if isinstance(module.config, EvseManagerConfig):
        evse = EvseSettings(
            id=module_id,
            controller=controller,
            config=module.config,
            site=site.manager_config(),
            phases=site.phase_count(module_id),
            fallback=fallback(site, module_id),
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
        fallback=fallback(site, module_id),
        height=_height(site, module_id),
        fixed_load_A=site.fixed_load_A(module_id),
        meter=module.meter,
        config_digest=site.digest,
    )
    if module_id == site.root:
        return ManagerCore(settings, now, saved, kept_epoch)
    return NodeCore(settings, boot, now, saved, kept_epoch)


def fallback(site: Site, module_id: str) -> Amount:
    """What a module may draw when it has heard nothing."""
    module = site.modules[module_id]
    config = module.config
    own_A = None if isinstance(config, EnergyManagerConfig) else config.fallback_limit_A
    if own_A is None:
        return total(fallback(site, child) for child in module.children)
    watt_per_A = site.phase_count(module_id) * site.manager_config().nominal_ac_voltage
    return Amount(own_A, own_A * watt_per_A)


def _height(site: Site, module_id: str) -> int:
    """Levels of nodes from a module down; 0 for an EVSE."""
    children = site.modules[module_id].children
    if isinstance(site.modules[module_id].config, EvseManagerConfig):
        return 0
    return 1 + max((_height(site, child) for child in children), default=0)


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
    configs = (site.modules[m].config for m in below)
    settle_times_s = [c.settle_time_s for c in configs if isinstance(c, EvseManagerConfig)]
    return ChildSettings(
        id=module_id,
        kind=site.modules[module_id].kind,
        controller=site.controller_of(module_id).name,
        fallback=fallback(site, module_id),
        settle_time_s=max(settle_times_s, default=0.0),
        modules=below,
        expected=tuple((m, site.modules[m].kind, site.controller_of(m).name) for m in below),
    )
