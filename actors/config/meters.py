"""`meter:` of an EnergyNode: what measures all that flows through its fuse.

meter:
  driver: plant        # what reads it
  timeout_s: 10        # silent for longer, and fixed_load_A counts
"""

from __future__ import annotations

from typing import Any

from actors.config.faults import Faults, Path, did_you_mean
from actors.config.fields import mapping, values
from actors.site import EnergyNodeConfig, MeterConfig, ModuleConfig

DRIVERS = ("plant",)


def read_meter(raw: Any, config: ModuleConfig, path: Path, faults: Faults) -> MeterConfig | None:
    """The meter of a module, if it has one."""
    if raw is None:
        return None
    meter = MeterConfig(**values(MeterConfig, mapping(raw, path, faults), path, faults))
    if not isinstance(config, EnergyNodeConfig):
        faults.add(path, "only an EnergyNode has a meter")
    elif config.fuse_limit_A is None:
        faults.add(path, "a meter without a fuse_limit_A: there is nothing to keep free for what it measures")
    elif config.fixed_load_A is None:
        faults.add(path, "a meter without a fixed_load_A: say what draws at most, for when it is silent")
    if meter.driver not in DRIVERS:
        remedy = did_you_mean(meter.driver, DRIVERS)
        text = f'no driver "{meter.driver[:40]}"; known: {", ".join(DRIVERS)}{remedy}'
        faults.add((*path, "driver"), text)
    return meter
