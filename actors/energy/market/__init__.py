"""Who gets what: the pure market of the energy tree. `allocate` is all that others need."""

from actors.energy.market.allocation import Allocation
from actors.energy.market.bounds import Bound
from actors.energy.market.errors import RequestError, TooMuchError
from actors.energy.market.market import allocate
from actors.energy.market.memory import Context, Memory
from actors.energy.market.report import Report, Why
from actors.energy.market.trace import Event

__all__ = [
    "Allocation",
    "Bound",
    "Context",
    "Event",
    "Memory",
    "Report",
    "RequestError",
    "TooMuchError",
    "Why",
    "allocate",
]
