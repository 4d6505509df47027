"""Moves typed messages between processes; knows nothing of energy.

A `Wire` is the one I/O thread of a process and owns all of its sockets. A `Port` is one of them: a
listening one (ROUTER, many peers) or a connecting one (DEALER, one peer). What may be sent is
registered in a `Registry` by those who own the message types. Who may speak is told by `Keys`: all
links are CURVE, and a peer is its public key.
"""

from transport.addresses import AddressError
from transport.counters import Drop, PortCounters
from transport.curve import KeyPair, Keys, nobody
from transport.faults import Disturbance, LinkFaults
from transport.inbound import Delivery, OnMessage
from transport.keyfiles import KeyFileError
from transport.keyring import Keyring
from transport.options import OUTBOX_MAX
from transport.pile import Pile
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
    "KeyFileError",
    "KeyPair",
    "Keyring",
    "Keys",
    "LinkFaults",
    "OnMessage",
    "Pile",
    "Port",
    "PortCounters",
    "Record",
    "RecordWriter",
    "Registry",
    "Wire",
    "nobody",
    "read_records",
]
