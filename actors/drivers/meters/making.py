"""Which drivers the meters of a controller need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from actors.drivers.meters.links import Job, ModbusMeter, MqttMeter
from actors.drivers.meters.telling import Teller
from actors.energy.fixed_load import MeterReading, MeterTrouble
from actors.mqtt.config import BrokerConfig
from actors.site import EnergyNodeConfig, Site


class MeterDriver(Protocol):
    """Reads meters on threads of its own."""

    def tick(self) -> None:
        """Called each second: begin, and begin again what has ended. Never blocks for long."""

    def stop(self) -> None:
        """End; idempotent."""


def meter_drivers(
    site: Site,
    controller: str,
    hosted: Iterable[str],
    tell: Callable[[str, MeterReading | MeterTrouble], None],
) -> list[MeterDriver]:
    """Those that a controller needs for the meters of the nodes that it hosts."""
    jobs = [job for node in hosted if (job := _job(site, node)) is not None]
    teller = Teller(tell)
    drivers: list[MeterDriver] = []
    brokers: dict[BrokerConfig, list[Job]] = {}
    for job in jobs:
        if isinstance(job.link, MqttMeter):
            brokers.setdefault(_connection(job.link), []).append(job)
    # Each is imported where it is needed: few sites do, and each controller would pay for it.
    for number, (config, its_jobs) in enumerate(brokers.items(), 1):
        from actors.drivers.meters.mqtt import MqttMeters

        name = config.client_id or f"amptree-{site.name}-{controller}-meters{number}"
        drivers.append(MqttMeters(config, name, Path(site.path).parent, its_jobs, teller))
    if modbus := [job for job in jobs if isinstance(job.link, ModbusMeter)]:
        from actors.drivers.meters.modbus import ModbusMeters

        drivers.append(ModbusMeters(modbus, teller))
    return drivers


def _job(site: Site, node: str) -> Job | None:
    module = site.modules[node]
    if module.meter is None or module.meter_link is None:
        return None
    assert isinstance(module.config, EnergyNodeConfig)
    return Job(
        node=node,
        link=module.meter_link,
        lag_s=module.meter.lag_s,
        voltage_V=module.config.nominal_voltage_V,
    )


def _connection(link: MqttMeter) -> BrokerConfig:
    """What meters of the same broker have in common."""
    return BrokerConfig(**{f.name: getattr(link, f.name) for f in msgspec.structs.fields(BrokerConfig)})
