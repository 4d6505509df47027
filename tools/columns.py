"""What the columns of a site's table say of a module, and which of them are shown in how much room.

A number is shown whole or not at all; what a silent module said last is not shown as if it were present.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from rich.text import Text

from actors.energy.amount import Amount
from actors.energy.messages import ModuleStatus
from actors.energy.types import value_of

REFUSED = "raised no more: "
"""How a reason begins that is no wait for anything."""

STATE_STYLES = {
    "Charging": "green",
    "PausedEVSE": "yellow",
    "WaitForEnergy": "yellow",
    "PausedEV": "cyan",
    "PrepareCharging": "cyan",
    "Finished": "blue",
    "Disabled": "red",
    "fallback": "red",
}


def printable(text: str) -> str:
    """The text on one line, with control characters escaped, so that none reaches the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Column(NamedTuple):
    heading: str
    cell: Callable[[ModuleStatus], Text]
    justify: Literal["left", "right"]
    room: int
    """Characters that it takes at least, so that columns do not come and go with the values."""
    most: int | None = None
    """Characters beyond which names fold; numbers never do."""


def _state(module: ModuleStatus) -> Text:
    if not module.alive:
        return Text(f"silent {module.age_s:.0f} s" if module.age_s else "silent", style="red")
    return Text(printable(module.state), style=STATE_STYLES.get(module.state, ""))


def amount_text(current_A: float | None, power_W: float | None) -> str:
    parts = []
    if current_A is not None:
        parts.append(f"{current_A:.1f} A")
    if power_W:
        parts.append(f"{power_W / 1000:.1f} kW")
    return " ".join(parts) or "-"


def _flow(module: ModuleStatus, amount: Amount) -> str:
    """In ampere, in watt for DC: of each amount the other follows."""
    if module.wants_A is None and module.wants_W is not None:
        return f"{(amount.import_W or -amount.export_W or 0.0) / 1000:.1f} kW"
    return f"{amount.import_A or -amount.export_A or 0.0:.1f} A"


def _wants(module: ModuleStatus) -> str:
    return amount_text(module.wants_A, module.wants_W) if module.alive else "-"


def _granted(module: ModuleStatus) -> str:
    limit = module.limit
    if module.granted is not None:
        text = _lower_limit(module, module.granted) or _flow(module, module.granted)
    elif limit is not None:  # of an EVSE whose parent is not heard here
        text = amount_text(value_of(limit.ac_max_current_A), value_of(limit.total_power_W))
    else:
        return "-"
    phases = None if limit is None else limit.ac_max_phase_count
    return text if phases is None else f"{text} x{phases.value}"


def _lower_limit(module: ModuleStatus, granted: Amount) -> str:
    """What an EVSE is limited to, where its parent counts it with more: with its fallback at least."""
    if module.kind != "EvseManager" or not module.alive or module.limit is None:
        return ""
    if module.wants_A is None and module.wants_W is not None:
        power_W = value_of(module.limit.total_power_W)
        if power_W is None or power_W >= (granted.import_W or -granted.export_W or 0.0):
            return ""
        return f"{power_W / 1000:.1f} kW"
    current_A = value_of(module.limit.ac_max_current_A)
    if current_A is None or current_A >= (granted.import_A or -granted.export_A or 0.0):
        return ""
    return f"{current_A:.1f} A"


def _may_flow(module: ModuleStatus, amount: Amount | None) -> str:
    """What is not known of a module that is there is no dash."""
    if amount is None:
        return "?" if module.alive else "-"
    return _flow(module, amount)


def _exposure(module: ModuleStatus) -> str:
    return "-" if module.kind == "EnergyManager" else _may_flow(module, module.exposure)


def _in_force(module: ModuleStatus) -> str:
    # What was measured before the silence must not look present.
    return amount_text(module.in_force_A, module.in_force_W) if module.alive else "-"


def _currents(module: ModuleStatus) -> str:
    if not module.alive or not any(module.currents_A):
        return "-"
    return " ".join(f"{current:.1f}" for current in module.currents_A)


def _largest_current(module: ModuleStatus) -> str:
    if not module.alive or not any(module.currents_A):
        return "-"
    return f"{max(module.currents_A, key=abs):.1f}"


def _capacity(module: ModuleStatus) -> str:
    amount = amount_text(module.capacity_A, module.capacity_W)
    source = module.capacity_source.removeprefix(f"{module.id}/")
    return amount if amount == "-" or not source else f"{amount} {source}"


def _bound_by(module: ModuleStatus) -> str:
    if module.waits_for.startswith(REFUSED):
        return module.waits_for
    if module.waits_for:
        return f"waits for {module.waits_for.partition(',')[0]}"
    if module.kind != "EvseManager" or module.limit is None:
        return ""
    bound = module.limit.ac_max_current_A or module.limit.total_power_W
    return "" if bound is None else bound.source


def _plain(text_of: Callable[[ModuleStatus], str]) -> Callable[[ModuleStatus], Text]:
    return lambda module: Text(printable(text_of(module)))


MODULE = Column("module", _plain(lambda m: m.id), "left", 12, most=26)
_CONTROLLER = Column("controller", _plain(lambda m: m.controller), "left", 12, most=20)
_STATE = Column("state", _state, "left", 15)
_WANTS = Column("wants", _plain(_wants), "right", 8)
_GRANTED = Column("granted", _plain(_granted), "right", 10)
_EXPOSURE = Column("exposure", _plain(_exposure), "right", 8)
_COMMITTED = Column("committed", _plain(lambda m: _may_flow(m, m.committed)), "right", 9)
_IN_FORCE = Column("in force", _plain(_in_force), "right", 8)
_CURRENTS = Column("current L1 L2 L3", _plain(_currents), "right", 16)
_CURRENT = Column("current", _plain(_largest_current), "right", 7)
"""Of the phase with the largest."""
_CAPACITY = Column("capacity", _plain(_capacity), "left", 11, most=28)
BOUND_BY = Column("bound by", _plain(_bound_by), "left", 12, most=12)
"""Takes what the others leave."""

ALL = (
    MODULE,
    _CONTROLLER,
    _STATE,
    _WANTS,
    _GRANTED,
    _EXPOSURE,
    _COMMITTED,
    _IN_FORCE,
    _CURRENTS,
    _CURRENT,
    _CAPACITY,
    BOUND_BY,
)
_FLOWS = (_GRANTED, _EXPOSURE, _COMMITTED)
LAYOUTS = (
    (MODULE, _CONTROLLER, _STATE, _WANTS, *_FLOWS, _IN_FORCE, _CURRENTS, _CAPACITY, BOUND_BY),
    (MODULE, _STATE, _WANTS, *_FLOWS, _IN_FORCE, _CURRENTS, _CAPACITY, BOUND_BY),
    (MODULE, _STATE, _WANTS, *_FLOWS, _IN_FORCE, _CURRENT, _CAPACITY, BOUND_BY),
    (MODULE, _STATE, _WANTS, *_FLOWS, _IN_FORCE, _CURRENTS, BOUND_BY),
    (MODULE, _STATE, _WANTS, *_FLOWS, _IN_FORCE, _CURRENT, BOUND_BY),
    (MODULE, _STATE, _WANTS, *_FLOWS, _CURRENT, BOUND_BY),
    (MODULE, _STATE, _WANTS, _GRANTED, _EXPOSURE, _CURRENT, BOUND_BY),
    (MODULE, _STATE, *_FLOWS, _CURRENT, BOUND_BY),
    (MODULE, _STATE, _GRANTED, _EXPOSURE, _CURRENT, BOUND_BY),
    (MODULE, _STATE, _GRANTED, _CURRENT, BOUND_BY),
    (MODULE, _STATE, _GRANTED, _CURRENT),
    (MODULE, _GRANTED, _CURRENT),
)
"""From the widest on; the first that fits is shown."""
