"""Moves typed messages between processes; knows nothing of energy.

A `Wire` is the one I/O thread of a process and owns all of its sockets. A `Port` is one of them: a
listening one (ROUTER, many peers) or a connecting one (DEALER, one peer). What may be sent is
registered in a `Registry` by those who own the message types.
"""

from transport.addresses import AddressError
from transport.counters import Drop, PortCounters
from transport.faults import Disturbance, LinkFaults
from transport.inbound import Delivery, OnMessage
from transport.options import OUTBOX_MAX
from transport.port import Port
from transport.recording import Direction, Record, RecordWriter, read_records
from transport.registry import Registry
from transport.wire import Wire

__all__ = [
    "OUTBOX_MAX",
    "AddressError",
    "Delivery",
    "Direction",
    "Disturbance",
    "Drop",
    "LinkFaults",
    "OnMessage",
    "Port",
    "PortCounters",
    "Record",
    "RecordWriter",
    "Registry",
    "Wire",
    "read_records",
]
