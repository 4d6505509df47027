"""The configuration as the market needs it: checked also when it was built in Python."""

from __future__ import annotations

from actors.energy.market.errors import RequestError
from actors.energy.types import EnergyManagerConfig

_ABOVE_0 = ("nominal_ac_voltage", "slice_ampere", "slice_watt")
_WHOLE = (
    ("update_interval", 1),
    ("schedule_interval_duration", 1),
    ("schedule_total_duration", 1),
    ("switch_3ph1ph_max_nr_of_switches_per_session", 0),
)
"""With the least that each may be."""
_FROM_0 = ("switch_3ph1ph_power_hysteresis_W", "switch_3ph1ph_time_hysteresis_s")
_MODES = ("Never", "Oneway", "Both")
_STICKYNESS = ("SinglePhase", "ThreePhase", "DontChange")

MOST = 1e9
"""Above any duration in minutes and any voltage; keeps all sums within their types."""


def check(config: EnergyManagerConfig) -> None:
    """Raise RequestError, with the key as its path, for a value that the market cannot work with."""
    for key in _ABOVE_0:
        value = getattr(config, key)
        if not _is_number(value) or not 0 < value <= MOST:
            raise RequestError(key, f"must be a number above 0, is {value!r}")
    for key, least in _WHOLE:
        value = getattr(config, key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST:
            raise RequestError(key, f"must be a whole number, {least} or more, is {value!r}")
    for key in _FROM_0:
        value = getattr(config, key)
        if not _is_number(value) or not 0 <= value <= MOST:
            raise RequestError(key, f"must be a number, 0 or more, is {value!r}")
    if config.switch_3ph1ph_while_charging_mode not in _MODES:
        raise RequestError("switch_3ph1ph_while_charging_mode", f"must be one of {', '.join(_MODES)}")
    if config.switch_3ph1ph_switch_limit_stickyness not in _STICKYNESS:
        raise RequestError(
            "switch_3ph1ph_switch_limit_stickyness", f"must be one of {', '.join(_STICKYNESS)}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
