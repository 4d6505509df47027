"""A tight spot: where in a site it is, and who comes and goes there."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from actors.simulation.plan import Fault, Plug, Unplug, Workload
from actors.simulation.workload import draw_car
from actors.site import EvseManagerConfig, Site

LONGEST_SETTLE_S = 15.0
"""Of any EVSE of a drawn site."""
LONGEST_INTERVALS = 14.0
"""The longest grant."""
GRANT_INTERVALS = 10.0
JUST_BEFORE_S = 0.005
Happenings = list[Workload | Fault]


class Spot(Struct, frozen=True, kw_only=True):
    """Where it gets tight: at a link between two processes, and among the EVSEs on both sides of it."""

    site: Site
    link: str
    at_s: float
    interval_s: float
    may_lose_state: bool
    inside: tuple[str, ...]
    """EVSEs below the link."""
    others: tuple[str, ...]
    """Those beside it, below the same parent."""

    @property
    def above(self) -> str:
        """The process at the link's upper end."""
        parent = self.site.modules[self.link].parent
        assert parent is not None
        return self.site.controller_of(parent).name

    @property
    def below(self) -> str:
        """The one at its lower end."""
        return self.site.controller_of(self.link).name

    @property
    def outlasts_s(self) -> float:
        """Longer than any grant holds, and any current needs to settle after it."""
        return LONGEST_SETTLE_S + 20.0 * self.interval_s

    def rivals(self, evse: str) -> list[str]:
        """All other EVSEs here."""
        return [other for other in (*self.others, *self.inside) if other != evse]

    def settle_s(self) -> float:
        """The longest of the cars inside."""
        return max(
            (config_of(self.site, evse).settle_time_s for evse in self.inside), default=LONGEST_SETTLE_S
        )

    def leave(self, evses: Iterable[str], at_s: float) -> Happenings:
        """Cars go."""
        return [Unplug(at_s=at_s, evse=evse) for evse in evses]

    def come(self, random: Random, evses: Iterable[str], at_s: float) -> Happenings:
        """Cars come that take all they get, and the whole settle time to take less."""
        plugs: Happenings = []
        for evse in evses:
            config = config_of(self.site, evse)
            car = replace(draw_car(random, config), reaction_s=config.settle_time_s, share=1.0)
            plugs.append(Plug(at_s=at_s, evse=evse, car=car))
        return plugs


def config_of(site: Site, evse: str) -> EvseManagerConfig:
    """Of an EVSE."""
    config = site.modules[evse].config
    assert isinstance(config, EvseManagerConfig)
    return config
