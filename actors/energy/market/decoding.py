"""Plain data, as from JSON, into the market's types; every fault with its path.

Newer EVerest managers have options that this one does not. Those that choose another algorithm are
accepted where they are neutral; those that only tune such an algorithm are accepted and ignored.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from actors.energy.market import configuration
from actors.energy.market.errors import RequestError, joined
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig

T = TypeVar("T")

NEUTRAL: dict[str, object] = {"broker_strategy": "FastCharging", "phase_symmetry_enabled": False}
IGNORED = frozenset(
    {
        "max_phase_imbalance_A",
        "phase_imbalance_hold_s",
        "power_meter_aggregation_window_s",
        "power_redistribution_connector_margin",
        "power_redistribution_gain",
        "power_redistribution_site_margin",
        "redistribution_margin_A",
        "redistribution_reduction_hold_s",
        "redistribution_start_with_lower_limit",
    }
)
_AT = re.compile(r" - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_FIELD = re.compile(r"^Object (?:missing required|contains unknown) field `(?P<field>[^`]*)`")


def request_from(data: object) -> EnergyFlowRequest:
    """A request; its values are validated when it is allocated."""
    return _convert(data, EnergyFlowRequest)


def config_from(data: object) -> EnergyManagerConfig:
    """A configuration, validated; keys of newer EVerest managers as the module's docstring says."""
    if isinstance(data, dict):
        for key, neutral in NEUTRAL.items():
            if key in data and data[key] != neutral:
                raise RequestError(key, f"only {neutral!r} is supported, is {data[key]!r}")
        data = {key: value for key, value in data.items() if key not in NEUTRAL and key not in IGNORED}
    config = _convert(data, EnergyManagerConfig)
    configuration.check(config)
    return config


def _convert(data: Any, wanted: type[T]) -> T:
    try:
        return msgspec.convert(data, wanted)
    except msgspec.ValidationError as error:
        raise _located(str(error)) from None
    except RecursionError:
        raise RequestError("", "is nested too deeply") from None


def _located(message: str) -> RequestError:
    """msgspec's message with the path taken out of it, and the field that it names put in."""
    at = _AT.search(message)
    path = "" if at is None else at["path"]
    message = message if at is None else message[: at.start()]
    field = _FIELD.match(message)
    return RequestError(path if field is None else joined(path, field["field"]), message)
