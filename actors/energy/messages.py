"""What travels between the actors of the tree, on one machine or over links.

Up goes a Report, down a Grant, both every update interval and at once when something urgent happened
or room was made. Both carry all that the ledger needs, so that any of them may be lost, late or doubled;
what a short report leaves out (`wants`, `status`) comes again with the next full one:

- `boot` names one life of the sender's actor; a grant answers exactly one life.
- A grant expires `duration_s` after the report that it echoes was *sent*, on the child's own clock:
  a late grant arrives short or dead, and no two clocks are ever compared.
- (`epoch`, `seq`) orders the grants of a parent over its restarts; a child takes only newer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from actors.energy.amount import Amount
from actors.energy.external import SourceEvent, SourceStatus
from actors.energy.types import EnergyFlowRequest, EnergyManagerConfig, EnforcedLimits, LimitsRes


class Instant(Struct, frozen=True):
    """Now, twice: monotonic seconds for durations, wall clock for timestamps."""

    mono_s: float
    wall_us: int


class Order(Struct, frozen=True, order=True):
    """Position of a grant among all of its parent's, over the parent's restarts."""

    epoch: int
    seq: int


class Reading(Struct, frozen=True, kw_only=True):
    """What EVSE hardware says of itself; sent by its driver on every change and at least each second."""

    t_hardware_s: float
    """The hardware's own monotonic clock."""
    boot: str = ""
    """Names one life of hardware whose clock begins anew with each."""
    plugged_in: bool
    car_asks: bool
    """The car wants energy now (control pilot state C or D)."""
    complete: bool = False
    """The car said that it needs nothing more."""
    closed_phases: int
    """Phases that the contactor connects, or would when it closes."""
    currents_A: tuple[float, float, float]
    """Per phase, on the grid side; positive imports."""
    power_W: float
    limit_A: float
    """In force at the hardware, per phase."""
    limit_W: float | None = None
    limit_ends_in_s: float
    """Until the hardware's own watchdog falls back."""
    mark: str = ""
    """Of the Actuate that is in force; empty when none is."""
    contactor_closed: bool = True
    """Hardware that cannot tell says so, too: only an open contactor proves that nothing flows."""
    cable_limit_A: float | None = None
    car_limit_A: float | None = None
    fault: str | None = None

    def shows_the_same(self, other: Reading) -> bool:
        """Whether car, cable and contactor are as in another, whatever flows and whatever limits it."""
        return (
            self.closed_phases == other.closed_phases
            and self.boot == other.boot
            and self.plugged_in == other.plugged_in
            and self.car_asks == other.car_asks
            and self.complete == other.complete
            and self.cable_limit_A == other.cable_limit_A
            and self.car_limit_A == other.car_limit_A
            and self.fault == other.fault
        )


class Actuate(Struct, frozen=True, kw_only=True, tag=True):
    """What EVSE hardware may let through; it falls back when this runs out.

    It runs out `duration_s` after `t_echo_s`, the hardware's own time in the reading that this
    answers.
    """

    t_echo_s: float
    boot: str = ""
    """The life of the hardware that it answers; another takes it not, as its clock began anew."""
    duration_s: float
    mark: str = ""
    """Names this one; a reading that bears it says that it, and none before it, is in force."""
    takes_over: str | None = None
    """Refused unless this is the mark that is in force: for taking over what an earlier life told."""
    limit_A: float
    limit_W: float | None = None
    phase_count: int
    """What the contactor shall connect; while it connects another count, hardware that can change
    phases lets nothing through."""
    cp_state: Literal["on", "X1", "E", "F"] = "on"
    source: str = ""


class ModuleStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One module, for the operator; currents per phase."""

    id: str
    kind: str
    controller: str
    alive: bool = True
    age_s: float = 0.0
    """Since its parent last heard how it stands."""
    state: str = ""
    wants_A: float | None = None
    wants_W: float | None = None
    limit: LimitsRes | None = None
    """Granted to it, with the source that bound it."""
    limit_ends_in_s: float | None = None
    granted: Amount | None = None
    """By its parent's ledger: what was sent last."""
    exposure: Amount | None = None
    """The most that may still flow, as far as its parent can know; None: not known."""
    committed: Amount | None = None
    """The most that may still flow, as it says itself."""
    waits_for: str = ""
    """Why it has not been granted yet what the market gives it."""
    in_force_A: float | None = None
    in_force_W: float | None = None
    phases: int | None = None
    currents_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    currents_age_s: float | None = None
    """They flowed so long ago at most, when this was sent: shown by what was answered, not by when it was
    heard; None: not known."""
    power_W: float = 0.0
    capacity_A: float | None = None
    capacity_W: float | None = None
    capacity_source: str = ""
    sources: tuple[SourceStatus, ...] = ()
    fixed_load: str = ""
    """What of its fuse is kept for what is no EVSE, and why so much."""
    note: str = ""


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a child tells its parent."""

    child: str
    """Who tells it."""
    boot: str
    t_child_s: float
    """When it was sent; of two reports of a life the later has the larger."""
    wants: EnergyFlowRequest | None = None
    """None: as told last, but for `changes`."""
    changes: tuple[EnergyFlowRequest, ...] = ()
    """Nodes, without their children, that are other than in the request of `since_s` (see telling.py)."""
    since_s: float | None = None
    """`t_child_s` of the report whose request the changes apply to, or to any that was told after it."""
    acked: Order | None = None
    """The newest grant taken."""
    holds: Amount = Amount()
    """What the child is allowed now: by that grant, or its fallback."""
    committed: Amount | None = None
    """The most that may still flow below the child; None: not known."""
    fallback: Amount = Amount()
    settle_time_s: float = 0.0
    config_digest: str = ""
    priority: bool = False
    leaving: bool = False
    """The child's process ends in good order."""
    status: tuple[ModuleStatus, ...] = ()
    """The child's own first, then all below it; empty: as told last."""


class Grant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a parent allows a child, and for how long."""

    boot: str
    """The life of the child that it answers."""
    t_echo_s: float
    """`t_child_s` of the report that it answers."""
    order: Order
    duration_s: float
    amount: Amount = Amount()
    """What all below the child may draw together."""
    limits: tuple[EnforcedLimits, ...] = ()
    """What the market gives each EVSE of the child's subtree; together they may be more than `amount`
    while room for it is being made."""
    knows_s: float | None = None
    """`t_child_s` of the newest report of this life whose request is known; None: of none."""
    fence: bool = False
    """Nothing is granted: the child keeps what it has, but takes no older grant from now on."""


class Command(Struct, frozen=True, kw_only=True):
    """Something for one module, passed down the branch that it is on."""

    id: str
    origin: str
    """The module at which it entered the tree; the outcome goes there."""
    target: str
    event: SourceEvent


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a command; passed up to its origin."""

    id: str
    origin: str
    error: str | None = None
    warning: str | None = None
    """It was done, but."""


class EpochKept(Struct, frozen=True, kw_only=True):
    """An epoch is on stable storage (see ledger.py), or could not be put there."""

    epoch: int
    ok: bool
    fault: str = ""
    """Why it could not be put there, and what to do."""


class OptimizerStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last run of the market."""

    runs: int = 0
    last_run: str = ""
    """RFC 3339."""
    duration_ms: float = 0.0
    slots: int = 0
    sales: int = 0
    binding: tuple[str, ...] = ()
    """Limits that are used up in the active slot."""
    reasons: tuple[str, ...] = ()
    """Of each EVSE: what it gets and why it does not get more."""
    error: str | None = None
    forecast: tuple[EnforcedLimits, ...] = ()
    request: EnergyFlowRequest | None = None
    """What the market was asked last, and with which configuration; only where it was wanted."""
    config: EnergyManagerConfig | None = None


class MarketAnswer(Struct, frozen=True, kw_only=True):
    """The market's answer, or why there is none."""

    limits: Sequence[EnforcedLimits] = ()
    status: OptimizerStatus = OptimizerStatus()
    error: str | None = None
