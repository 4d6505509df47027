"""The station's profiles: taken, cleared, composed, and as limits of the modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from actors.energy.charging_profiles.checks import Station, check_profile
from actors.energy.charging_profiles.composite import (
    Composed,
    Step,
    at_evse,
    at_station,
    compose,
    hold_at,
    steps,
)
from actors.energy.charging_profiles.installed import Criteria, clear, end_transaction, take
from actors.energy.charging_profiles.limits import external_limits, grid_limits
from actors.energy.charging_profiles.profile import FOREVER_S, Profile, Purpose, Transaction, Unit
from actors.energy.charging_profiles.wire import read_profile
from actors.energy.types import ExternalLimits
from actors.gateways.ocpp.layout import Layout

HORIZON_S = 24 * 3600
"""How far ahead modules know their limits."""
RENEW_S = 3600
"""They are told anew so often, at least."""
STEPS_MAX = 100
"""That a module is told at a time."""
EXTERNAL: Purpose = "ChargingStationExternalConstraints"
MAXIMUM: Purpose = "ChargingStationMaxProfile"

Running = Mapping[int, Transaction]


class Wanted(Struct, frozen=True):
    """What a source of a module shall set; None: nothing."""

    limits: ExternalLimits | None
    ends_s: int | None = None
    """When it ends by itself."""


class SmartCharging:
    """Of one charge point. Instants are whole seconds since the epoch."""

    def __init__(self, layout: Layout, profiles: tuple[Profile, ...]) -> None:
        self._layout = layout
        self._config = layout.config
        grid = layout.config.grid_operator_source
        self._purposes = (EXTERNAL, MAXIMUM) if grid is None else (MAXIMUM,)
        self.profiles = profiles
        self.stale = {evse.number for evse in layout.evses}
        """EVSEs whose limits have to be worked out anew."""
        self._due_s: dict[int, int] = {}
        self.grid_spoken = any(profile.purpose == EXTERNAL for profile in profiles)
        """Whether the CSMS ever said anything for the grid operator."""

    def set(self, evse: int, raw: dict[str, Any], running: Running, now_s: int) -> None:
        """Take a profile as the CSMS's message has it. Raises ProfileRefusedError."""
        layout = self._layout
        profile = read_profile(layout.version, evse, raw)
        station = Station(
            version=layout.version,
            evses=frozenset(range(1, len(layout.evses))),
            dc=frozenset(evse.number for evse in layout.evses if evse.dc),
            transactions=running,
            takes_external_constraints=self._config.grid_operator_source is not None,
        )
        check_profile(profile, station)
        self._now_are(take(self.profiles, profile, layout.version, now_s))

    def clear(self, which: Criteria) -> bool:
        """Whether there were any."""
        before = self.profiles
        self._now_are(clear(before, which))
        return self.profiles != before

    def found(self, which: Criteria) -> tuple[Profile, ...]:
        """Those that are meant."""
        return tuple(profile for profile in self.profiles if which.meets(profile))

    def transaction_changed(self, evse: int, *, ended: bool) -> None:
        """One began, or got its id, or ended."""
        if ended:
            self._now_are(end_transaction(self.profiles, evse))
        self.stale.add(evse)

    def compose(
        self, evse: int, unit: Unit | None, duration_s: int, running: Running, now_s: int
    ) -> tuple[Unit, list[Composed], int]:
        """The composite schedule from now on: its unit, steps and duration. KeyError for a stranger."""
        if not 0 <= evse < len(self._layout.evses):
            raise KeyError(evse)
        unit = unit or self._config.RequestCompositeScheduleUnit
        own, station = self._layout.evses[evse], self._layout.station
        places = [(at_station(self.profiles), station.wiring)]
        if evse:
            places.append((at_evse(self.profiles, evse, running.get(evse)), own.wiring))
        return unit, *compose(places, unit, own.rating(unit), now_s, duration_s)

    # --- what modules are told -----------------------------------------------------------------------

    def due(self, now_s: int) -> list[int]:
        """EVSEs whose limits have to be worked out now; that is done then."""
        late = {evse for evse, due_s in self._due_s.items() if now_s >= due_s}
        due, self.stale = sorted(self.stale | late), set()
        return due

    def wanted(self, evse: int, running: Running, now_s: int) -> Wanted:
        """What the profiles' source shall set at an EVSE's module.

        Without a car nothing flows, so there what a car would be allowed that came now is set already: the
        default profiles hold from its first second on.
        """
        own = self._layout.evses[evse]
        place = at_evse(self.profiles, evse, running.get(evse, Transaction(None, now_s)))
        if evse == 0:
            place = at_station(self.profiles, self._purposes)
        found, until_s = steps(place, now_s, now_s + HORIZON_S, STEPS_MAX)
        self._due_s[evse] = min(now_s + RENEW_S, (now_s + until_s) // 2 + 1)
        unit, source = self._config.RequestCompositeScheduleUnit, self._config.source
        return Wanted(external_limits(found, unit, own.wiring, source))

    def wanted_of_grid(self, now_s: int) -> Wanted | None:
        """What the grid operator's source shall set; None: he has said nothing.

        Where there is a gap the limit is lifted, so what is set reaches up to the next one only.
        """
        source = self._config.grid_operator_source
        if source is None or not self.grid_spoken:
            return None
        place = at_station(self.profiles, (EXTERNAL,))
        found, until_s = steps(place, now_s, now_s + HORIZON_S, STEPS_MAX)
        gap = next((step for step in found if not step.held.any()), None)
        held: list[Step] = found if gap is None else found[: found.index(gap)]
        changes_s = hold_at(place, now_s)[1] if not held else until_s
        ends_s = None if gap is None or not held else gap.start_s
        due_s = min(changes_s, ends_s or FOREVER_S, self._due_s.get(0, FOREVER_S))
        self._due_s[0] = max(now_s + 1, due_s)
        return Wanted(grid_limits(held, self._layout.station.wiring, source), ends_s)

    def _now_are(self, profiles: tuple[Profile, ...]) -> None:
        before, after = ({id(profile): profile for profile in all_of} for all_of in (self.profiles, profiles))
        changed = [
            profile for name, profile in (before | after).items() if name not in before or name not in after
        ]
        self.profiles = profiles
        self.grid_spoken |= any(profile.purpose == EXTERNAL for profile in changed)
        for profile in changed:
            everywhere = profile.evse == 0 and profile.purpose == "TxDefaultProfile"
            self.stale |= set(range(1, len(self._layout.evses))) if everywhere else {profile.evse}
