"""What a charger can do, asked; and what it shall measure, set. A charger that does not say is taken for a
common one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from actors.drivers.ocpp.profiles import LEVEL_MAX
from actors.energy.charging_profiles.profile import Version

Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | None]]
MEASURANDS = "Current.Import,Power.Active.Import"


class Abilities(Struct, frozen=True, kw_only=True):
    """How limits can be told."""

    takes_A: bool = True
    takes_W: bool = True
    level: int = 1
    """The highest stack level; at least 1, as two are needed."""


async def read_abilities(ask: Ask, version: Version) -> Abilities:
    """Ask a charger."""
    if version == "1.6":
        keys = ["ChargeProfileMaxStackLevel", "ChargingScheduleAllowedChargingRateUnit"]
        answer = await ask("GetConfiguration", {"key": keys}) or {}
        found = {entry["key"]: entry.get("value", "") for entry in answer.get("configurationKey", [])}
        level, units = found.get(keys[0], ""), found.get(keys[1], "")
    else:
        data = [
            {"component": {"name": "SmartChargingCtrlr"}, "variable": {"name": name}}
            for name in ("ProfileStackLevel", "RateUnit")
        ]
        answer = await ask("GetVariables", {"getVariableData": data}) or {}
        found = {
            result["variable"]["name"]: result.get("attributeValue", "")
            for result in answer.get("getVariableResult", [])
        }
        level, units = found.get("ProfileStackLevel", ""), found.get("RateUnit", "")
    return abilities(level, units)


def abilities(level: str, units: str) -> Abilities:
    """From what a charger says: a number, and a list of units."""
    told = {unit.strip().lower() for unit in units.split(",")}
    highest = int(level) if level.isascii() and level.isdecimal() and len(level) < 10 else 1
    return Abilities(
        takes_A=bool(told & {"current", "a"}) or not told & {"power", "w"},
        takes_W=bool(told & {"power", "w"}) or not told & {"current", "a"},
        level=max(1, min(LEVEL_MAX, highest)),
    )


async def set_meters(ask: Ask, version: Version, interval_s: int) -> None:
    """How often it shall tell what flows, and what of it."""
    if version == "1.6":
        wanted = {"MeterValueSampleInterval": str(interval_s), "MeterValuesSampledData": MEASURANDS}
        for key, value in wanted.items():
            await ask("ChangeConfiguration", {"key": key, "value": value})
        return
    data = [
        {
            "attributeValue": value,
            "component": {"name": "SampledDataCtrlr"},
            "variable": {"name": name},
        }
        for name, value in (("TxUpdatedInterval", str(interval_s)), ("TxUpdatedMeasurands", MEASURANDS))
    ]
    await ask("SetVariables", {"setVariableData": data})
