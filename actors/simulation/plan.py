"""A run as data: all that will happen, drawn before it begins.

Times are true seconds since the begin of the run. What was drawn can be taken out again piece by
piece, which is how a failing run is made small.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from actors.simulation.network import Direction, Quality
from actors.site import Site

MeterFault = Literal["silent", "frozen", "absurd", "less"]
"""It says nothing; the same again and again; what cannot be; less than cars draw, if they draw anything."""


class Knobs(Struct, frozen=True, kw_only=True):
    """What may be set of a run that is drawn; None: drawn as well."""

    site: Site | None = None
    """One that is there, as `sites.configured` makes it; it has its own EVSEs and panels."""
    evses: int | None = None
    panels: int | None = None
    """At most so many."""
    hurt_s: float | None = None
    """How long things go wrong."""
    deep: bool | None = None
    tight: bool = False
    """Whether nothing but tight spots happens."""
    spots: tuple[str, ...] = ()
    """The kinds of them that are drawn, of `tight_spots.KINDS`; empty: all."""
    lost_state: bool = True
    """Whether processes may lose what they have on disk."""
    meters: float | None = None
    """Share of the drawn sites that have fixed loads and meters; None: as many as loads.py says, and none
    where nothing but tight spots happens. Where it is 0 no meter is played at a site that is there either."""


class Car(Struct, frozen=True, kw_only=True):
    """A car that may do all that is allowed, at its worst."""

    max_current_A: float = 32.0
    phases: int = 3
    reaction_s: float = 5.0
    """True seconds for which a lower limit moves it not at all; at most its EVSE's settle time."""
    surges: bool = False
    """Told to take less, it takes all that it may still take."""
    share: float = 1.0
    """Of what it may draw, that it draws."""
    meter: float = 1.0
    """Of what it draws, that readings tell."""
    meter_lags: bool = False
    """Readings tell what it drew one reading ago."""


class Happening(Struct, frozen=True, kw_only=True, tag=True):
    """Something that happens at a time."""

    at_s: float


class Crash(Happening, frozen=True, kw_only=True):
    """A process dies with all its cores, and is back after `for_s`."""

    process: str
    for_s: float
    after_effects: int | None = None
    """It dies in the middle of a step: after so many more effects."""
    loses_state: bool = False
    reboots: bool = False
    """Its machine restarts, and the machine's monotonic clock begins anew."""


class Leave(Happening, frozen=True, kw_only=True):
    """A process ends in good order, and is back after `for_s`."""

    process: str
    for_s: float


class Pause(Happening, frozen=True, kw_only=True):
    """A process stands still; its clocks go on."""

    process: str
    for_s: float
    after_effects: int | None = None
    """It stops in the middle of a step."""


class Rebirth(Happening, frozen=True, kw_only=True):
    """One module's life ends and another begins, in a process that goes on."""

    module: str


class RestartHardware(Happening, frozen=True, kw_only=True):
    """EVSE hardware restarts: from now on it is at its fallback, its clock begins anew, and for `for_s` it
    neither hears nor says anything."""

    evse: str
    for_s: float
    opens: bool = True
    """Its contactor falls open; else it stays, and the car has its time to come down."""


class GiveBack(Happening, frozen=True, kw_only=True):
    """A module tells its parent that, besides all else, so much flows back below it; true or not."""

    module: str
    current_A: float
    for_s: float


class DiskFails(Happening, frozen=True, kw_only=True):
    """What a process writes is not kept, and it is told so."""

    process: str
    for_s: float


class JumpWall(Happening, frozen=True, kw_only=True):
    """Somebody sets a process's civil time."""

    process: str
    by_s: float


class Cut(Happening, frozen=True, kw_only=True):
    """A link carries nothing. Links are named by their lower end; "x#driver" is the hardware's."""

    link: str
    direction: Direction
    for_s: float
    after_messages: int = 0
    """In each direction it begins only when so many more have passed."""


class Clog(Happening, frozen=True, kw_only=True):
    """A link carries nothing, and then all at once."""

    link: str
    direction: Direction
    for_s: float
    after_messages: int = 0


class Detour(Happening, frozen=True, kw_only=True):
    """What a link carries for a while comes late; what it carries after that does not."""

    link: str
    direction: Direction
    for_s: float
    late_s: float


class Weather(Happening, frozen=True, kw_only=True):
    """A link has another quality for a while."""

    link: str
    quality: Quality
    for_s: float


class Plug(Happening, frozen=True, kw_only=True):
    """A car is plugged in; one that is there goes first."""

    evse: str
    car: Car


class Unplug(Happening, frozen=True, kw_only=True):
    """The car goes, if there is one."""

    evse: str


class Ask(Happening, frozen=True, kw_only=True):
    """The car wants energy, or pauses."""

    evse: str
    asks: bool


class Appetite(Happening, frozen=True, kw_only=True):
    """The car takes another share of what it may."""

    evse: str
    share: float


class SetLimit(Happening, frozen=True, kw_only=True):
    """An external limit for a node: ampere per phase, watt, or a schedule of amperes."""

    node: str
    via: str
    """The module at which the command enters the tree."""
    source: str = "sim"
    current_A: float | None = None
    power_W: float | None = None
    later: tuple[tuple[float, float], ...] = ()
    """(after so many seconds of civil time, ampere)."""
    for_s: float | None = None


class ClearLimit(Happening, frozen=True, kw_only=True):
    """The source withdraws its limit."""

    node: str
    via: str
    source: str = "sim"


class Load(Happening, frozen=True, kw_only=True):
    """What else than cars draws at a node, those below it apart, is so much from now on: ampere in the phase
    with most."""

    node: str
    current_A: float


class MeterFails(Happening, frozen=True, kw_only=True):
    """A node's meter says nothing for a while, or not what is."""

    node: str
    how: MeterFault
    for_s: float


Workload = Plug | Unplug | Ask | Appetite | SetLimit | ClearLimit | Load
Fault = (
    Crash
    | Leave
    | Pause
    | Rebirth
    | RestartHardware
    | GiveBack
    | DiskFails
    | JumpWall
    | Cut
    | Clog
    | Detour
    | Weather
    | MeterFails
)


class Plan(Struct, frozen=True, kw_only=True):
    """A whole run."""

    seed: int
    site: Site
    hurt_s: float
    """From then on all is mended, and nothing new happens."""
    mended_s: float
    """For how long the run goes on after that, at least."""
    happenings: tuple[Workload | Fault, ...]
    """By time."""
    qualities: dict[str, Quality]
    """Of links by name; one that is missing is good."""
