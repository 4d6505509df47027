"""The site as a charge point: EVSE 0 is the site or a part of it, EVSE 1, 2, … are its EvseManagers."""

from __future__ import annotations

from msgspec import Struct

from actors.energy.charging_profiles.composite import Wiring
from actors.energy.charging_profiles.profile import Unit, Version
from actors.site import EnergyNodeConfig, EvseManagerConfig, OcppGatewayConfig, OcppLink, Site


class Evse(Struct, frozen=True, kw_only=True):
    """One EVSE, or with number 0 the station."""

    number: int
    module_id: str
    wiring: Wiring
    rating_A: float
    """Per phase: what hardware and fuses allow."""
    dc: bool = False

    def rating(self, unit: Unit) -> float:
        """In that unit."""
        return self.rating_A if unit == "A" else self.rating_A * self.wiring.voltage_V * self.wiring.phases


class Layout(Struct, frozen=True, kw_only=True):
    """All that does not change in the life of a gateway."""

    id: str
    config: OcppGatewayConfig
    identity: str
    version: Version
    evses: tuple[Evse, ...]
    """By number."""

    @property
    def station(self) -> Evse:
        """EVSE 0."""
        return self.evses[0]


def layout(site: Site, link: OcppLink) -> Layout:
    """As configured."""
    config = link.config
    return Layout(
        id=link.id,
        config=config,
        identity=config.charge_point_id or site.name,
        version="1.6" if config.protocol == "ocpp1.6" else "2.0.1",
        evses=tuple(
            _evse(site, number, module_id) for number, module_id in enumerate((link.station, *link.evses))
        ),
    )


def _evse(site: Site, number: int, module_id: str) -> Evse:
    module = site.modules[module_id]
    return Evse(
        number=number,
        module_id=module_id,
        wiring=_wiring(site, module_id),
        rating_A=_rating_A(site, module_id),
        dc=isinstance(module.config, EvseManagerConfig) and module.config.charge_mode == "DC",
    )


def _wiring(site: Site, module_id: str) -> Wiring:
    return Wiring(site.manager_config().nominal_ac_voltage, site.phase_count(module_id))


def _rating_A(site: Site, module_id: str) -> float:
    """What fuses on the way to the root allow, and the hardware of an EVSE; without a fuse all EVSEs
    together."""
    fuses = [
        config.fuse_limit_A
        for config in (site.modules[m].config for m in site.path_to_root(module_id))
        if isinstance(config, EnergyNodeConfig) and config.fuse_limit_A is not None
    ]
    config = site.modules[module_id].config
    if isinstance(config, EvseManagerConfig):
        wiring = _wiring(site, module_id)
        rated_A = config.max_current_A
        if config.charge_mode == "DC":
            rated_A = (config.max_power_W or 0.0) / (wiring.voltage_V * wiring.phases)
        return min([rated_A, *fuses])
    return min(fuses, default=sum(_rating_A(site, child) for child in site.modules[module_id].children))
