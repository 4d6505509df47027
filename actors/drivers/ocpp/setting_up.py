"""What a charger is asked and told before it is told limits.

How it can be told (units, stack levels); its default, which must be accepted; how often it shall measure; and
how its connectors are. What a former master left is taken away only while no car is there: some chargers take
away more than they are asked to, and then have no limit for a moment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from actors.drivers.kinds import OcppChargersConfig
from actors.drivers.ocpp import profiles
from actors.drivers.ocpp.abilities import Abilities, Ask, read_abilities, set_meters
from actors.drivers.ocpp.evse import ChargerEvse
from actors.drivers.ocpp.profiles import Terms
from actors.energy.charging_profiles.profile import Version

Chore = Callable[[], Awaitable[None]]


class SettingUp:
    """Of one connection; `evses` by connector. `ask` returns None where there is no answer."""

    def __init__(
        self, ask: Ask, version: Version, config: OcppChargersConfig, evses: Mapping[int, ChargerEvse]
    ) -> None:
        self._ask = ask
        self._version: Version = version
        self._config = config
        self._evses = evses
        self.terms: dict[int, Terms] = {}
        """How each connector is told."""

    async def give_defaults(self) -> dict[int, str | None]:
        """Of each connector why it has none; None where it has."""
        abilities = await read_abilities(self._ask, self._version)
        troubles: dict[int, str | None] = {}
        for number, evse in self._evses.items():
            self.terms[number] = self._terms_of(number, evse, abilities)
            if evse.is_dc and not abilities.takes_W:
                troubles[number] = "takes no limits in watt, as DC needs"
            else:
                troubles[number] = await self._give_default(evse, self.terms[number])
        return troubles

    def _terms_of(self, number: int, evse: ChargerEvse, abilities: Abilities) -> Terms:
        return Terms(
            version=self._version,
            unit="W" if evse.is_dc or not abilities.takes_A else "A",
            level=abilities.level,
            purpose=self._config.limit_profile,
            voltage_V=evse.served.voltage_V,
            connector=number,
        )

    async def _give_default(self, evse: ChargerEvse, terms: Terms) -> str | None:
        why = await self._try_default(evse, terms)
        if why is not None and terms.version != "1.6":  # another's may be in its place, under another id
            for level in (terms.level, terms.level - 1):
                message = profiles.clear(terms, terms.default_purpose, terms.place, level)
                await self._ask("ClearChargingProfile", message)
            why = await self._try_default(evse, terms)
        return why and f"does not take its default limit, to which it would fall back ({why})"

    async def _try_default(self, evse: ChargerEvse, terms: Terms) -> str | None:
        why = ""
        for absolute in (False, True):
            message = profiles.default_of(evse.served.default, terms, absolute=absolute)
            answer = await self._ask("SetChargingProfile", message)
            why = "no answer" if answer is None else str(answer.get("status"))
            if why == "Accepted":
                return None
        return why

    async def clear_others(self) -> None:
        """Take away what others have left."""
        for terms in self.terms.values():
            for message in profiles.clear_others(terms):
                await self._ask("ClearChargingProfile", message)

    def chores(self) -> Iterator[Chore]:
        """What can wait."""
        yield partial(set_meters, self._ask, self._version, self._config.meter_interval_s)
        for number in self._evses:
            yield partial(self._trigger, number)

    async def _trigger(self, number: int) -> None:
        status: dict[str, Any] = {"evse": {"id": number, "connectorId": 1}}
        values: dict[str, Any] = {"evse": {"id": number}}
        if self._version == "1.6":
            status = values = {"connectorId": number}
        await self._ask("TriggerMessage", {"requestedMessage": "StatusNotification", **status})
        await self._ask("TriggerMessage", {"requestedMessage": "MeterValues", **values})
