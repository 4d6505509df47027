"""OCPP chargers as EVSEs: a small CSMS that chargers of a controller connect to (docs/ocpp-chargers.md)."""
