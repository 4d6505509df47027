"""The drivers of a controller's chargers, made from what the site says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from actors.drivers import Driver
from actors.drivers.account import Limit
from actors.drivers.kinds import Chargers, EverestChargersConfig, OcppChargersConfig
from actors.energy.lease import longest_grant_s
from actors.energy.messages import Reading
from actors.energy.modules import EvseManagerConfig
from actors.site import Site


class Served(Struct, frozen=True, kw_only=True):
    """An EVSE and where its driver finds its charger."""

    evse_id: str
    charger: str
    """What the driver knows the charger by."""
    config: EvseManagerConfig
    phases: int
    """Wired to it."""
    voltage_V: float
    """Between a phase and neutral."""
    longest_s: float
    """For how long an EVSE may tell its charger a limit."""

    @property
    def default(self) -> Limit:
        """What the charger shall fall back to."""
        current_A = self.config.fallback_limit_A
        if self.config.charge_mode == "AC":
            return Limit(current_A, None, self.phases)
        return Limit(current_A, current_A * self.phases * self.voltage_V, self.phases)


def served_by(site: Site, controller: str, driver: str) -> tuple[Served, ...]:
    """The EVSEs of a controller with this driver."""
    manager = site.manager_config()
    return tuple(
        Served(
            evse_id=module_id,
            charger=config.charger or module_id,
            config=config,
            phases=site.phase_count(module_id),
            voltage_V=manager.nominal_ac_voltage,
            longest_s=longest_grant_s(manager),
        )
        for module_id in site.controllers[controller].modules
        if isinstance(config := site.modules[module_id].config, EvseManagerConfig) and config.driver == driver
    )


def charger_drivers(
    site: Site, controller: str, on_reading: Callable[[str, Reading], None]
) -> dict[str, Driver]:
    """The driver of each EVSE of a controller that has a charger; one serves all of its kind. Files are
    sought from the site's file on. Raises DriverError where one cannot be as configured."""
    drivers: dict[str, Driver] = {}
    for module_id in site.controllers[controller].chargers:
        chargers = site.chargers[module_id]
        served = served_by(site, controller, chargers.driver)
        folder = Path(site.path).parent
        driver = _make(chargers, served, folder, on_reading)
        drivers |= dict.fromkeys((one.evse_id for one in served), driver)
    return drivers


def _make(
    chargers: Chargers, served: tuple[Served, ...], folder: Path, on_reading: Callable[[str, Reading], None]
) -> Driver:
    match chargers.config:
        case EverestChargersConfig() as config:
            # Here, as it needs what is defined above.
            from actors.drivers.everest.driver import EverestDriver

            return EverestDriver(chargers.id, config, served, folder, on_reading)
        case OcppChargersConfig() as config:
            from actors.drivers.ocpp.driver import OcppDriver

            return OcppDriver(chargers.id, config, served, folder, on_reading)
